//! What operators are told of plans: apps that have no room, and have it again, and hosts that were
//! emptied. Each once, however often the same is planned. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use steerage_core::id::{AppName, HostName};
use steerage_core::place::{Plan, Why};

use crate::telemetry::events::{Event, Events, Severity};

/// What to do where an app has no room.
const NO_ROOM_ADVICE: &str = "add a host, free room, or let it ask for less in [resources]; until then \
                              whichever host is called runs it itself";
/// What to do with a host that was emptied.
const EMPTIED_ADVICE: &str =
    "to give it back, `steerage drain` it and stop it; or keep it as room for growth";

/// What was told so far.
#[derive(Debug)]
pub(super) struct News {
    events: Arc<Events>,
    /// How many replicas of each app had no room the last time.
    unplaced: BTreeMap<AppName, u32>,
}

impl News {
    /// Nothing yet.
    pub(super) fn new(events: Arc<Events>) -> Self {
        Self { events, unplaced: BTreeMap::new() }
    }

    /// Tells which apps have no room that had, and the other way round.
    pub(super) fn tell_room(&mut self, plan: &Plan) {
        let mut now = BTreeMap::new();
        for unplaced in &plan.unplaced {
            now.insert(unplaced.app.clone(), unplaced.replicas);
            if self.unplaced.get(&unplaced.app) == Some(&unplaced.replicas) {
                continue;
            }
            tracing::warn!("{unplaced}");
            self.events.push(Event {
                severity: Severity::Error,
                app: Some(unplaced.app.clone()),
                advice: Some(NO_ROOM_ADVICE.to_owned()),
                ..Event::now("no_room", unplaced.to_string())
            });
        }
        for app in self.unplaced.keys().filter(|app| !now.contains_key(*app)) {
            self.events.push(Event {
                app: Some(app.clone()),
                ..Event::now("has_room", format!("all replicas of {app} have room now"))
            });
        }
        self.unplaced = now;
    }

    /// Tells which hosts have nothing to do because their replicas went to others.
    pub(super) fn tell_emptied(&self, plan: &Plan) {
        let left = plan.moves.iter().filter(|step| step.why == Why::Consolidated);
        let left: BTreeSet<&HostName> = left.filter_map(|step| step.from.as_ref()).collect();
        for host in left.into_iter().filter(|host| plan.spare.contains(host)) {
            let to = plan.moves.iter().filter(|step| step.from.as_ref() == Some(host));
            let to: BTreeSet<&str> =
                to.filter_map(|step| step.to.as_ref()).map(HostName::as_str).collect();
            let to = to.into_iter().collect::<Vec<_>>().join(", ");
            tracing::info!(%host, to, "emptied");
            self.events.push(Event {
                advice: Some(EMPTIED_ADVICE.to_owned()),
                ..Event::now(
                    "host_emptied",
                    format!("{host} was emptied: {to} had room for all of it"),
                )
            });
        }
    }
}
