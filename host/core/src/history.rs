//! What an app did in one minute or in one hour, in few bytes: calls by how they ended, latencies and sizes
//! of answers in buckets of 5 %, CPU time, fuel, memory. Slots add up, so hours are made of minutes, and what
//! several hosts say becomes one.
//! Does not know what time it is, and reads and writes no files.

pub mod block;
mod code;
pub mod files;
mod grain;
mod histogram;
mod slot;
#[cfg(test)]
mod tests;

pub use self::code::Unreadable;
pub use self::grain::Grain;
pub use self::histogram::Histogram;
pub use self::slot::{CountedCauses, Slot, SlotCall};
