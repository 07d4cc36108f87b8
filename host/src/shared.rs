//! What several threads write: locks, atomics, and values of which each thread has one of its own.
//! Does not know what they are for.
//!
//! A line of memory that a core writes is taken from all other cores, which costs 5 to 20 ns on a few
//! cores and 50 to 150 on 64. So what calls write on such lines goes through these types, and some
//! builds count it by the place in the source (`shared/count.rs`): a test holds what a call may write, and
//! `benches shared` prints it. What is released counts nothing.
//!
//! Reference counts of an `Arc` are writes as well, and are not counted.

pub mod count;
mod counted;
mod sharded;
mod sum;

pub use self::counted::{Locked, Readable, Shared};
pub use self::sharded::Sharded;
pub use self::sum::Sum;
