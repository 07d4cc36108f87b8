//! Who was lost and who came back, for people: a host that is lost is told by all others, and stays in
//! their list for a day. Does not decide who counts as there: the view does.

use std::sync::Arc;
use std::time::Duration;

use steerage_core::id::HostName;
use steerage_core::units::show_duration;

use super::Member;
use crate::fleet::record::HostRecord;
use crate::fleet::{Lost, View};
use crate::telemetry::events::Severity;

/// What to do about a lost host.
const ADVICE: &str = "see that its machine and its process run, and what its own log says; its replicas \
                      start on others where there is room: `steerage plan` says what has none";

/// What has become of hosts since an earlier view.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    /// The lease has ended, and they do not answer.
    lost: Vec<HostName>,
    /// They said so, and were there to the end.
    left: Vec<HostName>,
    came: Vec<HostName>,
}

/// Watches until it is dropped.
pub(super) async fn watch(member: &Member) {
    let fleet = &member.fleet;
    let mut changes = fleet.changes();
    let mut before = Arc::new(View::default());
    while changes.changed().await.is_ok() {
        let now = fleet.view();
        let Changes { lost, left, came } = compare(&before, &now);
        // That the store has lost this host itself, its own lease tells.
        for host in lost.into_iter().filter(|host| host != fleet.me()) {
            let Some(record) = before.host(&host) else { continue };
            let zone = &record.zone;
            let detail = format!(
                "{host} in zone {zone} is lost: it does not answer, and its lease has ended"
            );
            tracing::warn!("{detail}");
            member.tell("host_lost", Severity::Error, detail, ADVICE);
            fleet.note_lost(host, Some(Lost::now(record.clone())));
        }
        for host in left {
            tracing::info!(%host, "a host has left the fleet");
            member.tell("host_left", Severity::Info, format!("{host} has left the fleet"), "");
        }
        for host in came {
            if let Some(lost) = fleet.note_lost(host.clone(), None) {
                let away = show_duration(Duration::from_secs(lost.for_how_long().as_secs()));
                let detail = format!("{host} is back after {away}");
                tracing::info!("{detail}");
                member.tell("host_back", Severity::Info, detail, "");
            }
        }
        before = now;
    }
}

fn compare(before: &View, now: &View) -> Changes {
    let is_known = |host: &&HostName| now.host(host).is_some();
    let gone = |hosts: &imbl::OrdMap<HostName, Arc<HostRecord>>| -> Vec<HostName> {
        hosts.keys().filter(|host| !is_known(host)).cloned().collect()
    };
    Changes {
        lost: gone(&before.hosts),
        // The store did not know them any more while they still answered: they gave their lease back.
        left: gone(&before.detached),
        came: now.hosts.keys().filter(|host| !before.hosts.contains_key(*host)).cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(hosts: &[&str], detached: &[&str]) -> View {
        let record = serde_json::json!({
            "id": "1", "run": 1, "address": "127.0.0.1:1", "listen": "127.0.0.1:2",
            "admin": "127.0.0.1:3", "zone": "z", "cpu_m": 1, "memory": 1, "version": "1"
        });
        let record: Arc<HostRecord> = Arc::new(serde_json::from_value(record).unwrap());
        let all = |names: &[&str]| {
            names.iter().map(|name| (name.parse().unwrap(), record.clone())).collect()
        };
        let mut view = View::default();
        (view.hosts, view.detached) = (all(hosts), all(detached));
        view
    }

    #[test]
    fn who_says_goodbye_is_not_lost() {
        let names = |hosts: Vec<HostName>| {
            hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let check = |before: (&[&str], &[&str]), now: (&[&str], &[&str]), expected: [&str; 3]| {
            let changes = compare(&view(before.0, before.1), &view(now.0, now.1));
            let found = [names(changes.lost), names(changes.left), names(changes.came)];
            assert_eq!(found, expected, "{before:?} {now:?}");
        };
        check((&[], &[]), (&["a", "b"], &[]), ["", "", "a b"]);
        check((&["a", "b"], &[]), (&["a"], &[]), ["b", "", ""]);
        check((&["a", "b"], &[]), (&["a"], &["b"]), ["", "", ""]);
        check((&["a"], &["b"]), (&["a"], &[]), ["", "b", ""]);
        check((&["a"], &["b"]), (&["a", "b"], &[]), ["", "", "b"]);
    }
}
