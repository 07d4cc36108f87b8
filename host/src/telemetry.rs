//! What the host knows and tells: metrics, log lines of guests, events.
//! Does not decide anything from what it knows.

pub mod calls;
pub mod events;
pub mod logs;
pub mod metrics;
