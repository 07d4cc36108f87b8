//! What happened, in the API's words: calls, lines that guests printed, events.
//! Does not translate; every name is a promise to other programs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::sources::Sources;
use super::time;

/// An app's last calls, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Calls {
    /// The calls.
    pub calls: Vec<Call>,
    /// Which hosts of the fleet told this; nothing where the host is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
}

/// One call that is over.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Call {
    /// Its id, as the client was told it.
    pub id: String,
    /// The app that it was of.
    #[serde(default)]
    pub app: String,
    /// When it came in.
    #[serde(with = "time")]
    pub at: u64,
    /// The deployment that served it.
    pub generation: u64,
    /// The request's method.
    pub method: String,
    /// The request's path without its query.
    pub path: String,
    /// The status sent; 0 when none was.
    pub status: u16,
    /// How it ended, as a stable code.
    pub cause: String,
    /// Whether it failed through the app or the host, an answer of class 5xx of the app's own included.
    #[serde(default)]
    pub failed: bool,
    /// From accepting the request to the last response byte.
    pub duration_us: u64,
    /// Where that time went: microseconds of each phase that took any, by its code. They add up to
    /// `duration_us`, but for what was rounded.
    #[serde(default)]
    pub time_us: BTreeMap<String, u64>,
    /// Whom of those that it had asked it waited for longest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_for: Option<WaitedFor>,
    /// The same of those that gave it no good answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_by: Option<WaitedFor>,
    /// Fuel the guest took.
    pub fuel: u64,
    /// The most memory the instance had.
    pub memory_bytes: u64,
    /// CPU time the guest took.
    pub cpu_us: u64,
    /// Time to make the instance; 0 when one was reused.
    pub instantiate_us: u64,
    /// Bytes of request body: as many as it was said to have, or as had come.
    #[serde(default)]
    pub request_bytes: u64,
    /// Bytes of response body.
    pub response_bytes: u64,
    /// The address that called: a client's, or that of what stands before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// What became of its capsule, by which it can be run again: `kept`, `quota_reached` where enough calls of its
    /// kind failed before, it was `too_large`, had `too_many_secrets` or an `encoded` body, or instances are
    /// `reused`, or it `used_store`. Nothing where it was to leave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capsule: Option<String>,
    /// The host that tells it; nothing where that is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// A destination of a call's outbound requests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct WaitedFor {
    /// As `host:port`.
    pub destination: String,
    /// How long the call waited for it, all its requests to it together.
    pub waited_us: u64,
    /// How a request to it ended that had something wrong: one of the codes of `Destination.ended`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong: Option<String>,
}

/// What an app printed, the oldest line first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct LogLines {
    /// The lines.
    pub lines: Vec<LogLine>,
    /// Which hosts of the fleet told this; nothing where the host is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
}

/// One line that a guest printed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct LogLine {
    /// When.
    #[serde(with = "time")]
    pub at: u64,
    /// The app that printed it.
    pub app: String,
    /// The deployment that printed it.
    pub generation: u64,
    /// The call it was printed in.
    pub call: String,
    /// `stdout` or `stderr`.
    pub stream: Stream,
    /// The line, without its end.
    pub text: String,
    /// The host that tells it; nothing where that is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// Which of a guest's output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What happened, the oldest event first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Events {
    /// The events.
    pub events: Vec<Event>,
    /// Which hosts of the fleet told this; nothing where the host is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Event {
    /// Counts up from 1, over restarts; each host counts its own.
    pub id: u64,
    /// When it first happened.
    #[serde(with = "time", default)]
    pub first_at: u64,
    /// When it last happened.
    #[serde(with = "time")]
    pub at: u64,
    /// What happened, as a stable code.
    pub kind: String,
    /// Who should care.
    pub severity: Severity,
    /// The app it happened to.
    pub app: Option<String>,
    /// The deployment it happened to.
    pub generation: Option<u64>,
    /// A call it happened in, of the last ones.
    pub call: Option<String>,
    /// What happened, in one sentence.
    pub message: String,
    /// What it was concluded from: limits, values used, a backtrace with a frame a line.
    pub evidence: BTreeMap<String, String>,
    /// What to do about it.
    pub advice: Option<String>,
    /// How often it happened.
    pub count: u64,
    /// The host that tells it; nothing where that is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// Who should care about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A state changed.
    Info,
    /// An app's developer should look.
    Warning,
    /// The operator should look.
    Error,
}
