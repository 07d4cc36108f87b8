//! What is told where a part of the history cannot be used.
//! Sets nothing aside: `disk` does.

use std::io;
use std::path::Path;

use crate::telemetry::events::{Event, EventPlace, Severity};

/// That this cannot be used, and why.
pub(super) fn unusable(path: &Path, error: &io::Error) -> Event {
    let shown = path.display();
    let advice = "look at the folder and at who may write to it; apps are served as before";
    Event {
        severity: Severity::Warning,
        place: EventPlace::of(shown.to_string()),
        advice: Some(advice.to_owned()),
        ..Event::now("history_damaged", format!("the history in {shown} cannot be used: {error}"))
    }
}
