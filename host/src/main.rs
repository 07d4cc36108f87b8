//! The steerage binary.
fn main() {}
