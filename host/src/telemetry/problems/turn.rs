//! How it is told that a problem has opened or closed: as an event that says where to read on.
//! Does not decide that one has.

use steerage_core::id::AppName;

use crate::telemetry::events::{Event, Events, Severity};

/// Tells that a problem of an app, or of the host, has opened or closed, as `kind` says.
pub(super) fn tell(
    events: &Events,
    app: Option<&AppName>,
    kind: &'static str,
    severity: Severity,
    message: String,
) {
    let opened = kind == "problem_opened";
    let advice = match app {
        Some(app) if opened => Some(format!("`steerage why {app}` says why, and what to do")),
        None if opened => Some("`steerage problems` says what to do".to_owned()),
        _ => None,
    };
    events.push(Event { app: app.cloned(), severity, advice, ..Event::now(kind, message) });
}
