//! Telling when the clock of another host differs from this one's. Nothing in the fleet goes by it:
//! leases are counted by the store, patience by each host alone. Only people who compare times of two
//! hosts are misled, and certificates may seem to be of another time. Sets no clock.

use std::collections::BTreeSet;
use std::time::Duration;

use steerage_core::units::show_duration;

use super::Member;
use crate::telemetry::events::Severity;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(1);
/// What to do about it.
const ADVICE: &str = "let both follow a time server, as chrony or systemd-timesyncd do; until then \
                      times in logs and events differ, and certificates may be refused as too new or \
                      too old. Calls and placement go on";

/// Watches the clocks until it is dropped.
pub(super) async fn watch(member: &Member) {
    let mut told = BTreeSet::new();
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        for peer in member.fleet.peers().all() {
            let Some(ahead) = peer.clock_ahead() else {
                told.remove(&peer.name);
                continue;
            };
            if told.insert(peer.name.clone()) {
                let detail = said(peer.name.as_str(), ahead);
                tracing::warn!("{detail}");
                member.tell("clock_skew", Severity::Warning, detail, ADVICE);
            }
        }
    }
}

fn said(host: &str, ahead: i64) -> String {
    let gap = show_duration(Duration::from_secs(ahead.unsigned_abs()));
    let way = if ahead > 0 { "ahead of" } else { "behind" };
    format!("the clock of {host} is {gap} {way} this host's")
}
