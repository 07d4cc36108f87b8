//! Problems as alerts of Alertmanager's second API. Alerts of the same labels are one to it, so each host
//! that tells a problem gives it the same labels.
//! Does not group and does not silence: Alertmanager does.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use http_body_util::Full;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use steerage_core::notify::{Notice, NotifyRules};
use steerage_core::problem::ProblemState;

use super::{FullNotice, NotifyOrigin};
use crate::connector::OutsideUrl;
use crate::telemetry::destinations;

/// What is open is sent again so often, as Prometheus does.
const REPEAT: u64 = 60_000;
/// An alert of which Alertmanager hears nothing ends after so long: four times as long, as those of
/// Prometheus, so that three messages may be lost.
const ENDS_AFTER: u64 = 4 * REPEAT;

/// Alertmanager waits and groups by itself, so it is told at once.
pub(super) const RULES: NotifyRules = NotifyRules {
    wait: 0,
    change_every: 0,
    repeat: Some(REPEAT),
    at_once: 64,
    most: 1000,
    first_pause: 1_000,
    longest_pause: 30_000,
    // By then it has ended by itself.
    try_for: ENDS_AFTER,
};

/// All of them in one request.
pub(super) fn request(
    url: &OutsideUrl,
    origin: &NotifyOrigin,
    notices: &[FullNotice],
) -> Result<Request<Full<Bytes>>, String> {
    let now = destinations::now();
    let alerts: Vec<Value> = notices.iter().map(|notice| alert(origin, notice, now)).collect();
    let body = serde_json::to_vec(&alerts).map_err(|error| error.to_string())?;
    let request = Request::builder().method(Method::POST).uri(url.uri());
    let request = request.header(CONTENT_TYPE, "application/json");
    request.body(Full::new(Bytes::from(body))).map_err(|error| error.to_string())
}

/// `now` is in milliseconds since the epoch, as all times are.
fn alert(origin: &NotifyOrigin, notice: &FullNotice, now: u64) -> Value {
    let problem = &notice.problem;
    // The machine's clock may have been set back since. An alert that ended in the future would go on, and
    // one that ended before it began is refused.
    let ends_at = match (notice.notice, notice.closed_at) {
        (Notice::Closed, Some(at)) => at.min(now),
        _ => now.saturating_add(ENDS_AFTER),
    };
    // What it says of itself may be before this host looked, and never after.
    let began_at = problem.since.unwrap_or(notice.opened_at).min(notice.opened_at);
    let began_at = began_at.min(ends_at).min(now);
    let mut annotations = Map::new();
    let mut say = |name: &str, value: String| {
        if !value.is_empty() {
            annotations.insert(name.to_owned(), Value::String(value));
        }
    };
    say("summary", problem.claim.clone());
    say("evidence", problem.evidence.join("\n"));
    say("symptoms", problem.symptoms.join("\n"));
    if let Some(remedy) = &problem.remedy {
        say("remedy", remedy.text.clone());
        say("command", remedy.command.clone().unwrap_or_default());
    }
    if problem.state == ProblemState::Unmeasured {
        say("state", "nothing has been measured for ten minutes".to_owned());
    }
    json!({
        "labels": labels(origin, notice),
        "annotations": annotations,
        "startsAt": time(began_at),
        "endsAt": time(ends_at),
    })
}

/// What makes it one alert, whoever tells it: nothing that changes while it is open.
fn labels(origin: &NotifyOrigin, notice: &FullNotice) -> Map<String, Value> {
    let key = &notice.key;
    let mut labels = Map::new();
    let mut label = |name: &str, value: &str| {
        if !value.is_empty() {
            labels.insert(name.to_owned(), Value::String(value.to_owned()));
        }
    };
    label("alertname", &alert_name(&key.kind));
    label("job", "steerage");
    label("kind", &key.kind);
    label("severity", if key.app.is_some() { "warning" } else { "critical" });
    label("app", key.app.as_deref().unwrap_or(""));
    label("fleet", origin.fleet.as_deref().unwrap_or(""));
    // An app's problem is of its fleet. That of a host that is alone is of that host.
    let alone = if origin.fleet.is_none() { origin.host.as_str() } else { "" };
    label("host", key.host.as_deref().unwrap_or(alone));
    labels
}

/// `SteerageOpenFiles` of `open files`.
fn alert_name(kind: &str) -> String {
    let words = kind.split(' ').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    format!("Steerage{}", words.collect::<String>())
}

fn time(at: u64) -> Option<String> {
    Timestamp::from_millisecond(i64::try_from(at).ok()?).map(|at| at.to_string()).ok()
}

#[cfg(test)]
mod tests;
