//! The story of a host that is alone. It follows what it writes in the same turn, so there is little left to
//! see to: its ledger and its store are brought together at the start and where the disk has failed one of
//! them, its crashes are counted, and its canaries are judged.
//! Does not decide which of the two is right: `core::takeover` does.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use steerage_core::units;
use tokio::sync::watch;

use super::{Member, Shared, analysis, crashes, part, pause, settle, until_closed};
use crate::desired::takeover::TakenOver;
use crate::fleet::LoneTurn;
use crate::telemetry::chain;
use crate::telemetry::events::Severity;

/// As many apps are named.
const NAMED: usize = 5;
/// How often counters of apps are looked at: they are kept by the minute.
const LOOK_BACK: Duration = Duration::from_secs(10);

impl Member {
    /// Sees to what a host that is alone shall run, until it has drained. Nobody changes that before the
    /// host has looked where its ledger and its store differ: `turn` is held until then. What no deployment
    /// needs that was there before `since` is removed after that, since the store may need it.
    pub async fn live_alone(self, turn: LoneTurn, since: SystemTime) {
        let shared = Arc::new(Shared {
            member: self,
            lease: watch::channel(None).0,
            follows: watch::channel(true).0,
            own_record: Arc::default(),
            settle: settle::Queue::default(),
        });
        let member = &shared.member;
        let mut says_the_same = false;
        let work = async { says_the_same = bring_together(member, Some(turn)).await };
        until_closed(&member.shutdown, work).await;
        // What is in the store only may need components that the ledger does not know of.
        if says_the_same {
            tokio::spawn(member.agent.clone().sweep(since));
        }
        tokio::join!(
            part(&shared, "takeover", |all| async move {
                until_closed(&all.member.shutdown, keep_together(&all.member)).await;
            }),
            part(&shared, "analysis", |all| async move {
                until_closed(&all.member.shutdown, analysis::analyze(&all.member)).await;
            }),
            part(&shared, "usage", |all| async move {
                until_closed(&all.member.shutdown, look_back(&all.member)).await;
            }),
            part(&shared, "crashes", |all| async move {
                until_closed(&all.member.shutdown, crashes::tell(&all)).await;
            }),
        );
    }
}

/// Has the last minutes of each app's counters known, with which a deployment is compared that takes the
/// place of another. In a fleet whoever reports what apps use does that.
async fn look_back(member: &Member) {
    let mut ticks = tokio::time::interval(LOOK_BACK);
    loop {
        ticks.tick().await;
        for app in member.own.catalog.snapshot().apps.values() {
            if let Some(state) = app.state() {
                state.meter.look_back();
            }
        }
    }
}

/// Brings ledger and store together whenever one of them did not take what the other one has.
async fn keep_together(member: &Member) {
    loop {
        member.fleet.comes_apart().await;
        tokio::time::sleep(pause(u32::MAX)).await;
        // What differs still is told.
        let _says_the_same = bring_together(member, None).await;
    }
}

/// Tries until both can be read and written; whether they say the same then.
async fn bring_together(member: &Member, mut turn: Option<LoneTurn>) -> bool {
    let mut n_failures = 0;
    loop {
        let Some(held) = (match turn.take() {
            Some(turn) => Some(turn),
            None => member.fleet.turn().await,
        }) else {
            return false;
        };
        let done = member.desired.take_over(&held).await;
        drop(held);
        match done {
            Ok(TakenOver { n_imported, left_out }) => {
                if n_imported > 0 {
                    tracing::info!(
                        n_imported,
                        "apps of the ledger were put into this host's store"
                    );
                }
                if !left_out.is_empty() {
                    let apps: Vec<String> = left_out
                        .iter()
                        .take(NAMED)
                        .map(|(app, why)| format!("{app}: {why}"))
                        .collect();
                    let message = format!(
                        "the ledger and the store of this host differ in {}, of which it serves what the \
                         ledger has: {}",
                        units::many(left_out.len(), "app"),
                        apps.join("; ")
                    );
                    tracing::error!("{message}");
                    let advice = "deploy them again";
                    member.tell("not_in_store", Severity::Error, message, advice);
                }
                return left_out.is_empty();
            }
            Err(error) => {
                if n_failures == 0 {
                    let message = format!(
                        "the ledger and the store of this host cannot be compared: {}",
                        chain(&error)
                    );
                    tracing::error!("{message}");
                    let advice = "apps are served as before, and it is tried again; see the disk of this host";
                    member.tell("store_away", Severity::Error, message, advice);
                }
                n_failures += 1;
                tokio::time::sleep(pause(n_failures)).await;
            }
        }
    }
}
