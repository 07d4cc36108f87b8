//! What the host knows and tells: metrics, log lines of guests, events.
//! Does not decide anything from what it knows.

pub mod calls;
pub mod events;
pub mod logs;
pub mod metrics;

/// An error with its causes, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
