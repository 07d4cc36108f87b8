//! What happened to a host a moment ago, as its events tell it. What lasts is told as a problem.
//! Judges no amounts, and says nothing of what has a diagnosis of its own, such as a host that is lost.

use super::diagnosis::{Diagnosis, Remedy};
use crate::units::ago;

/// It counts for so many milliseconds after the last time.
const LATELY: u64 = 600_000;
/// What is told of a host once, when it happens, and has no end that is told.
const MOMENTS: [&str; 19] = [
    "host_crashed",
    "host_stalled",
    "out_of_files",
    "component_damaged",
    "ledger_damaged",
    "store_damaged",
    "history_damaged",
    "events_damaged",
    "peer_untrusted",
    "bad_record",
    "certificate_not_renewed",
    "certificate_unusable",
    "cannot_sign",
    "notices_lost",
    "settings_unusable",
    "token_unusable",
    "access_log_failing",
    "store_not_compacted",
    "host_fault",
];

/// Whether an event of this kind, at this time the last time, is one that is told of a host for a while.
#[must_use]
pub fn is_lately(now: u64, kind: &str, at: u64) -> bool {
    MOMENTS.contains(&kind) && at.saturating_add(LATELY) >= now
}

/// An event of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostEvent {
    /// The host, in a fleet.
    pub host: Option<String>,
    /// What happened, as a stable code.
    pub kind: String,
    /// Milliseconds since the epoch of the last time.
    pub at: u64,
    /// What happened, in a sentence.
    pub message: String,
    /// What to do about it.
    pub advice: Option<String>,
}

/// What the events of the hosts, the oldest first, tell that was wrong lately; what happened last comes first.
#[must_use]
pub fn lately(now: u64, events: &[HostEvent]) -> Vec<Diagnosis> {
    let is_told = |event: &&HostEvent| is_lately(now, &event.kind, event.at);
    let mut told: Vec<&HostEvent> = events.iter().filter(is_told).collect();
    // Of one moment, too, what came last stands first: it follows from the rest.
    told.reverse();
    told.sort_by_key(|event| std::cmp::Reverse(event.at));
    // Of one kind on one host the last is enough: what came before led to the same.
    let mut known: Vec<(&Option<String>, &str)> = Vec::new();
    told.retain(|event| {
        let what = (&event.host, &*event.kind);
        let is_new = !known.contains(&what);
        known.push(what);
        is_new
    });
    told.into_iter().map(|event| diagnosis(now, event)).collect()
}

fn diagnosis(now: u64, event: &HostEvent) -> Diagnosis {
    let on = event.host.as_ref().map(|host| format!("on {host}: ")).unwrap_or_default();
    Diagnosis {
        claim: format!("{on}{}", event.message),
        evidence: vec![format!("that was {} ago ({})", ago(now, event.at), event.kind)],
        remedy: event.advice.clone().map(|text| Remedy {
            text,
            command: Some("steerage events".to_owned()),
            changes: false,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 100_000_000;

    fn event(kind: &str, at: u64) -> HostEvent {
        let (message, advice) = (format!("it says {kind}"), Some("do something".to_owned()));
        HostEvent { host: None, kind: kind.to_owned(), at, message, advice }
    }

    fn claims(events: &[HostEvent]) -> Vec<String> {
        lately(NOW, events).into_iter().map(|found| found.claim).collect()
    }

    #[test]
    fn a_crash_is_told_for_ten_minutes_and_what_was_asked_for_never() {
        let crash = event("host_crashed", NOW - 5_000);
        let told = lately(NOW, &[event("started", NOW - 4_000), crash.clone()]);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].evidence, ["that was 5s ago (host_crashed)"]);
        assert_eq!(told[0].remedy.as_ref().unwrap().text, "do something");
        assert_eq!(claims(&[HostEvent { at: NOW - LATELY - 1, ..crash }]), [""; 0]);
        let asked_for = ["started", "stopping", "deployed", "settings_read", "planner_frozen"];
        assert_eq!(claims(&asked_for.map(|kind| event(kind, NOW))), [""; 0]);
    }

    #[test]
    fn of_one_kind_the_last_is_told_and_the_last_first() {
        let on =
            |host: &str, kind, at| HostEvent { host: Some(host.to_owned()), ..event(kind, at) };
        let events = [
            on("h1", "host_crashed", NOW - 9_000),
            on("h1", "host_crashed", NOW - 2_000),
            on("h2", "host_stalled", NOW - 1_000),
        ];
        assert_eq!(claims(&events), ["on h2: it says host_stalled", "on h1: it says host_crashed"]);
        assert_eq!(lately(NOW, &events)[1].evidence, ["that was 2s ago (host_crashed)"]);
    }
}
