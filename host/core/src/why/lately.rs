//! What happened to a host, as its events tell it: what is over and was a moment ago, and what began and has
//! not ended.
//! Judges no amounts, and says nothing of what has a diagnosis of its own, such as a host that is lost.

use super::diagnosis::{Diagnosis, Remedy};
use crate::units::ago;

/// What has no end that is told counts for so many milliseconds after the last time.
const LATELY: u64 = 600_000;
/// What is over as soon as it is told.
const MOMENTS: [&str; 13] = [
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
    "cannot_sign",
    "notices_lost",
];
/// What lasts, and what is told of the same app or of the host when it is over; events of the first kind may be
/// told again meanwhile.
const STATES: [(&str, &str); 13] = [
    ("app_quarantined", "deployed"),
    ("app_quarantined", "removed"),
    ("disk_full", "disk_has_room"),
    ("disk_near_bound", "disk_below_bound"),
    ("events_not_kept", "events_kept"),
    ("history_not_kept", "history_kept"),
    ("receiver_failing", "receiver_works"),
    ("plan_failed", "plan_written"),
    ("store_full", "store_has_room"),
    ("store_filling", "store_has_room"),
    ("certificate_unusable", "certificate_replaced"),
    ("settings_unusable", "settings_read"),
    ("token_unusable", "token_replaced"),
];

/// An event of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostEvent {
    /// The host, in a fleet.
    pub host: Option<String>,
    /// The app that it happened to.
    pub app: Option<String>,
    /// What happened, as a stable code.
    pub kind: String,
    /// Milliseconds since the epoch of the last time.
    pub at: u64,
    /// What happened, in a sentence.
    pub message: String,
    /// What to do about it.
    pub advice: Option<String>,
}

/// What the events of the hosts, the oldest first, tell that is wrong at this time or was lately; what
/// happened last comes first.
pub(super) fn all(now: u64, events: &[HostEvent]) -> Vec<Diagnosis> {
    let is_told = |event: &&HostEvent| {
        let is_end = |other: &&HostEvent| {
            let is_of_same = other.host == event.host && other.app == event.app;
            is_of_same && STATES.contains(&(&*event.kind, &*other.kind)) && other.at >= event.at
        };
        // What led to something worse is no news beside it.
        let is_worse =
            event.kind == "store_filling" && events.iter().any(|e| e.kind == "store_full");
        if STATES.iter().any(|(begins, _)| event.kind == *begins) {
            !events.iter().any(|other| is_end(&other)) && !is_worse
        } else {
            MOMENTS.contains(&&*event.kind) && event.at.saturating_add(LATELY) >= now
        }
    };
    let mut told: Vec<&HostEvent> = events.iter().filter(is_told).collect();
    // Of one moment, too, what came last stands first: it follows from the rest.
    told.reverse();
    told.sort_by_key(|event| std::cmp::Reverse(event.at));
    // Of one kind on one host the last is enough: what came before led to the same.
    let mut known: Vec<(&Option<String>, &Option<String>, &str)> = Vec::new();
    told.retain(|event| {
        let what = (&event.host, &event.app, &*event.kind);
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
        HostEvent { host: None, app: None, kind: kind.to_owned(), at, message, advice }
    }

    fn claims(events: &[HostEvent]) -> Vec<String> {
        all(NOW, events).into_iter().map(|found| found.claim).collect()
    }

    #[test]
    fn a_crash_is_told_for_ten_minutes_and_what_was_asked_for_never() {
        let crash = event("host_crashed", NOW - 5_000);
        let told = all(NOW, &[event("started", NOW - 4_000), crash.clone()]);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].evidence, ["that was 5s ago (host_crashed)"]);
        assert_eq!(told[0].remedy.as_ref().unwrap().text, "do something");
        assert_eq!(claims(&[HostEvent { at: NOW - LATELY - 1, ..crash }]), [""; 0]);
        let asked_for = ["started", "stopping", "deployed", "settings_read", "planner_frozen"];
        assert_eq!(claims(&asked_for.map(|kind| event(kind, NOW))), [""; 0]);
    }

    #[test]
    fn a_state_is_told_until_it_is_over() {
        let long_ago = event("disk_full", NOW - 10 * LATELY);
        assert_eq!(claims(std::slice::from_ref(&long_ago)), ["it says disk_full"]);
        let over = event("disk_has_room", NOW - 5 * LATELY);
        assert_eq!(claims(&[long_ago.clone(), over.clone()]), [""; 0]);
        // What is over on another host is not over on this one.
        let of_other = HostEvent { host: Some("h2".to_owned()), ..over.clone() };
        assert_eq!(claims(&[long_ago.clone(), of_other]).len(), 1);
        let again = event("disk_full", NOW - LATELY);
        assert_eq!(claims(&[long_ago, over, again]).len(), 1);
    }

    #[test]
    fn an_app_is_quarantined_until_it_is_deployed_or_removed() {
        let of = |app: &str, kind, at| HostEvent { app: Some(app.to_owned()), ..event(kind, at) };
        let quarantined = [of("web", "app_quarantined", 1_000), of("shop", "deployed", 2_000)];
        assert_eq!(claims(&quarantined), ["it says app_quarantined"]);
        for over in ["deployed", "removed"] {
            assert_eq!(claims(&[quarantined[0].clone(), of("web", over, 2_000)]), [""; 0]);
        }
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
        assert_eq!(all(NOW, &events)[1].evidence, ["that was 2s ago (host_crashed)"]);
    }
}
