//! Why an app fails, is slow or is not there, from what its hosts keep of it: a claim, the evidence for it,
//! and a remedy, in this order. It joins what is known apart: which deployment, which path, where the time
//! went, what happened before.
//! Knows no host and no clock. Judges only what is kept of the last calls: it raises no alarm.

mod busy;
mod clients;
mod common;
mod destination;
mod diagnosis;
mod failing;
mod fleet;
mod lately;
mod longer;
mod placed;
mod printed;
mod protocol;
mod refusing;
mod room;
mod slow;
mod unrouted;

use std::time::Duration;

pub use self::diagnosis::{Diagnosis, Explanation, PRINTED, Remedy};
pub use self::fleet::{
    FleetPast, HostTrouble, PastFinding, PastHost, PastUsage, certificate_of_callers,
    explain_fleet, fleet_troubles, remedy_of_lack,
};
pub use self::lately::{HostEvent, is_lately, lately};
pub use self::protocol::wrong_protocol;
pub use self::room::PastUnplaced;
pub use self::unrouted::{no_route, unrouted};
use crate::destinations::RequestEnd;
use crate::id::AppName;
use crate::objective::Latency;
use crate::outcome::{Fault, fault_of};
use crate::spent::Phase;
use crate::units::{Bytes, about_duration, ago, many};

/// What is kept of an app.
#[derive(Clone, Debug)]
pub struct AppPast {
    /// The app.
    pub app: AppName,
    /// Milliseconds since the epoch: the moment of the question.
    pub now: u64,
    /// The deployment that is served.
    pub current: u64,
    /// Whether that is quarantined: it is called no more, since its host went down with it.
    pub is_quarantined: bool,
    /// The one on trial beside it.
    pub canary: Option<u64>,
    /// Its timeout, where its manifest can be read.
    pub timeout: Option<Duration>,
    /// How soon how many of its calls are to be over, where that is promised.
    pub promised: Option<Latency>,
    /// The most bytes that a request may have, where its manifest can be read.
    pub request_body: Option<Bytes>,
    /// The last calls, as they came, the oldest first.
    pub calls: Vec<PastCall>,
    /// Calls that failed and are kept for longer.
    pub older_failures: Vec<PastCall>,
    /// What happened to it, the oldest first.
    pub events: Vec<PastEvent>,
    /// What it printed last, the oldest line first.
    pub lines: Vec<PastLine>,
    /// Its deployments that it can be rolled back to, and the current one, with when each was made.
    pub deployments: Vec<(u64, u64)>,
    /// Whom it asked in its outbound requests.
    pub destinations: Vec<PastDestination>,
    /// Which apps used most of the cores of its hosts, where that was asked for: see [`waited_for_a_core`].
    pub busiest: Vec<PastBusy>,
    /// How it stands in its fleet; nothing where its host is alone.
    pub replicas: Option<PastReplicas>,
}

/// One call that is over.
#[derive(Clone, Debug)]
pub struct PastCall {
    /// Its id.
    pub id: String,
    /// Milliseconds since the epoch when it came in.
    pub at: u64,
    /// The deployment that served it.
    pub generation: u64,
    /// Its method.
    pub method: String,
    /// Its path, without the query.
    pub path: String,
    /// The status sent; 0 when none was.
    pub status: u16,
    /// How it ended: a code of [`crate::outcome::Outcome::cause`].
    pub cause: String,
    /// How long it took.
    pub took: Duration,
    /// Where that time went.
    pub phases: Vec<(Phase, Duration)>,
    /// Whom it waited for longest of those that it had asked.
    pub waited_for: Option<PastWait>,
    /// Whom it had asked last, and longest, of those that gave it no good answer.
    pub failed_by: Option<PastWait>,
    /// Bytes of its request's body.
    pub request_bytes: u64,
    /// The address that called, where it is known.
    pub client: Option<String>,
    /// The host that served it, in a fleet.
    pub host: Option<String>,
}

/// A line that the app printed.
#[derive(Clone, Debug)]
pub struct PastLine {
    /// The call in which it was printed.
    pub call: String,
    /// Whether it went to standard error.
    pub is_error: bool,
    /// The line.
    pub text: String,
}

/// Whom a call waited for.
#[derive(Clone, Debug)]
pub struct PastWait {
    /// The destination of its requests, as `host:port`.
    pub destination: String,
    /// How long the call waited for it.
    pub waited: Duration,
    /// How a request to it ended that had something wrong.
    pub wrong: Option<RequestEnd>,
}

/// Somebody whom the app asked.
#[derive(Clone, Debug)]
pub struct PastDestination {
    /// As `host:port`.
    pub name: String,
    /// The last requests, the oldest first: when each was over in milliseconds since the epoch, to the
    /// second, how it ended, and how long it took.
    pub recent: Vec<(u64, RequestEnd, Duration)>,
    /// How the last one ended that had something wrong, and why, in a few words.
    pub last_error: Option<(RequestEnd, String)>,
}

/// What an app used of the cores of its host for some seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastBusy {
    /// The host, in a fleet.
    pub host: Option<String>,
    /// Milliseconds since the epoch: the end of those seconds.
    pub at: u64,
    /// The app.
    pub app: AppName,
    /// The part that it used of all cores that run guests, in percent.
    pub percent: u32,
}

/// Something that happened to the app.
#[derive(Clone, Debug)]
pub struct PastEvent {
    /// What, as a stable code: a verb, or the cause of failed calls.
    pub kind: String,
    /// Milliseconds since the epoch of the first and of the last time.
    pub first_at: u64,
    /// The same of the last time.
    pub at: u64,
    /// The deployment that it happened to.
    pub generation: Option<u64>,
    /// What happened, in a sentence.
    pub message: String,
    /// What to do about it.
    pub advice: Option<String>,
    /// Where the guest was, innermost frame first.
    pub frames: Vec<String>,
}

/// How an app stands in its fleet.
#[derive(Clone, Debug)]
pub struct PastReplicas {
    /// Replicas that are wanted.
    pub wanted: u32,
    /// Those that are ready.
    pub ready: u32,
    /// Hosts that serve another deployment of it meanwhile.
    pub others: u32,
    /// What is lacking for those that are placed nowhere.
    pub lacks: Option<String>,
}

/// Says what is wrong with an app.
#[must_use]
pub fn explain(past: &AppPast) -> Explanation {
    let (failing, slow) = (failing::calls(past), slow::calls(past));
    // Where calls fail or are slow, whom they asked stands there, where it has to do with that.
    let is_well = failing.is_none() && slow.is_none();
    let asking = if is_well { destination::of_well(past) } else { None };
    let quarantined = placed::quarantined(past);
    let diagnoses = [
        placed::replicas(past),
        quarantined,
        failing,
        refusing::calls(past),
        slow,
        asking,
        clients::calls(past),
    ];
    Explanation { diagnoses: diagnoses.into_iter().flatten().collect(), standing: standing(past) }
}

/// Says where the time went of the last calls that were answered and took longer than this, of an app that
/// is known to be slow.
#[must_use]
pub fn longer_than(past: &AppPast, slow_after: Duration) -> Option<Diagnosis> {
    longer::calls(past, slow_after)
}

/// Whether a call waited for a core for so long that it is worth asking who had the cores.
#[must_use]
pub fn waited_for_a_core(past: &AppPast) -> bool {
    past.calls.iter().any(|call| past.is_served(call.generation) && busy::waited(call))
}

/// What was gone back from so many milliseconds ago is what somebody who asks may mean.
const WENT_BACK_WITHIN: u64 = 600_000;
/// That a deployment was gone back from, because it did worse than the one before it.
const WENT_BACK: [&str; 2] = ["deployment_rolled_back", "canary_rolled_back"];

/// How the app does, whatever is wrong, and which deployment of it was gone back from lately.
fn standing(past: &AppPast) -> String {
    let is_lately = |event: &&PastEvent| {
        WENT_BACK.contains(&&*event.kind) && event.at.saturating_add(WENT_BACK_WITHIN) >= past.now
    };
    let does = does(past);
    match past.events.iter().rev().find(is_lately) {
        Some(event) => format!("{does}; {} ago {}", ago(past.now, event.at), event.message),
        None => does,
    }
}

/// How the app does.
fn does(past: &AppPast) -> String {
    let is_served = |call: &&PastCall| past.is_served(call.generation);
    let Some(last) = past.calls.iter().rfind(is_served) else {
        return format!("no call of {} is kept: nothing is known of how it does", past.app);
    };
    let calls = || past.calls.iter().filter(is_served);
    let n_failed = calls().filter(|call| call.is_failed()).count();
    let failed = match n_failed {
        0 => "none".to_owned(),
        failed => failed.to_string(),
    };
    let took = percentiles(calls().map(|call| call.took));
    format!(
        "{failed} of its last {} failed; they took {} at the median and {} at the 95th percentile, the \
         last one {} ago",
        many(calls().count(), "call"),
        about_duration(took.0),
        about_duration(took.1),
        ago(past.now, last.at),
    )
}

/// That a deployment of an app is called no more.
#[must_use]
pub fn quarantine_claim(app: &AppName, generation: u64) -> String {
    format!("calls of {app} are refused: its generation {generation} is quarantined")
}

/// Whether a call with this cause and status failed through the app or the host: a client that goes away,
/// or asks for what there is not, makes no app fail.
#[must_use]
pub fn is_failed(cause: &str, status: u16) -> bool {
    match fault_of(cause) {
        Some(Fault::Client) => false,
        Some(Fault::None) | None => status >= 500,
        Some(Fault::Guest | Fault::Host) => true,
    }
}

impl AppPast {
    /// Whether a deployment is served now.
    fn is_served(&self, generation: u64) -> bool {
        generation == self.current || Some(generation) == self.canary
    }

    /// Whether a call is among the last, and not only kept for longer since it failed.
    fn is_among_the_last(&self, call: &PastCall) -> bool {
        self.calls.iter().any(|last| last.id == call.id)
    }
}

impl PastCall {
    /// See [`is_failed`].
    fn is_failed(&self) -> bool {
        is_failed(&self.cause, self.status)
    }
}

/// The phase in which calls spent most of their time together, and its part in percent.
fn mostly<'c>(calls: impl Iterator<Item = &'c PastCall>) -> Option<(Phase, u128)> {
    let mut spent = [Duration::ZERO; Phase::ALL.len()];
    for (phase, took) in calls.flat_map(|call| &call.phases) {
        if let Some(spent) = spent.get_mut(*phase as usize) {
            *spent += *took;
        }
    }
    let whole: Duration = spent.iter().sum();
    let (phase, most) = Phase::ALL.into_iter().zip(spent).max_by_key(|(_, spent)| *spent)?;
    (!most.is_zero()).then(|| (phase, most.as_nanos() * 100 / whole.as_nanos().max(1)))
}

/// The median and the 95th percentile of what calls took.
fn percentiles(took: impl Iterator<Item = Duration>) -> (Duration, Duration) {
    let mut took: Vec<Duration> = took.collect();
    took.sort_unstable();
    // The nearest rank.
    let at = |percent: usize| {
        let rank = (took.len() * percent).div_ceil(100).max(1) - 1;
        took.get(rank).copied().unwrap_or_default()
    };
    (at(50), at(95))
}

#[cfg(test)]
mod tests;
