//! One call: what its parts share while it runs, how it ended, and where that is recorded.
//! Does not know what a guest is, nor what is done with the ending.

mod ids;
mod sender;
mod side;
mod spans;
mod state;
#[cfg(test)]
mod tests;
mod time;
mod usage;
mod waits;

pub use self::ids::CallIds;
pub use self::sender::{LentSender, ResponseSender};
pub use self::side::CallSide;
pub use self::spans::{GuestSpan, GuestSpanEvent, GuestSpans};
pub use self::state::{Call, GuestResponse, Recorder};
pub use self::time::{CallTime, Paused, WaitedFor};
pub use self::usage::Usage;
pub use self::waits::{LongestWait, OTHER_METHOD, OutboundRequest, OutboundWaits, known_method};
