//! What operators are told of plans: apps that have no room, and have it again, and hosts that were
//! emptied. Each once, however often the same is planned. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use steerage_core::id::{AppName, HostName};
use steerage_core::place::{Plan, Unplaced, Why};
use steerage_core::units;

use crate::telemetry::events::{Event, Events, Severity};

/// What to do where an app has no room.
const NO_ROOM_ADVICE: &str = "add a host, free room, or let it ask for less in [resources]; until then \
                              whichever host is called runs it itself";
/// What to do where there is room, but not for it.
const NO_PLACE_ADVICE: &str = "add a host that it may run on, or ask for fewer replicas in [replicas] or \
                               for less in [placement]; room is not what is lacking";
/// What to do with a host that was emptied.
const EMPTIED_ADVICE: &str =
    "to give it back, `steerage drain` it and stop it; or keep it as room for growth";

/// What to do where plans cannot be written.
const FAILED_ADVICE: &str = "until then no replica is placed or moved, also where a host is lost; calls \
                             are answered meanwhile. See the store's own log and `etcdctl endpoint \
                             status`; this host tries on";

/// As many apps are told one by one of one plan.
const TOLD: usize = 10;

/// What was told so far.
#[derive(Debug)]
pub(super) struct News {
    events: Arc<Events>,
    /// How many replicas of each app had no room the last time.
    unplaced: BTreeMap<AppName, u32>,
    /// Whether the last plan could not be written.
    has_failed: bool,
}

impl News {
    /// Nothing yet.
    pub(super) fn new(events: Arc<Events>) -> Self {
        Self { events, unplaced: BTreeMap::new(), has_failed: false }
    }

    /// Tells that a plan cannot be written, and why.
    pub(super) fn tell_failed(&mut self, why: &str) {
        if std::mem::replace(&mut self.has_failed, true) {
            tracing::debug!(why, "a plan cannot be written");
            return;
        }
        tracing::error!(why, "a plan cannot be written; trying on");
        self.tell("plan_failed", None, format!("no plan can be written: {why}"), FAILED_ADVICE);
    }

    /// Tells that plans are written again, where they could not be.
    pub(super) fn tell_written(&mut self) {
        if std::mem::replace(&mut self.has_failed, false) {
            self.tell("plan_written", None, "plans are written again".to_owned(), "");
        }
    }

    /// Tells that this host plans no more, where its plans could not be written: another may write its own.
    pub(super) fn tell_passed(&mut self) {
        if std::mem::replace(&mut self.has_failed, false) {
            self.tell("plan_written", None, "another host plans now".to_owned(), "");
        }
    }

    /// Tells which apps have no room that had, and the other way round.
    pub(super) fn tell_room(&mut self, plan: &Plan) {
        let now: BTreeMap<AppName, u32> =
            plan.unplaced.iter().map(|app| (app.app.clone(), app.replicas)).collect();
        let is_new = |app: &&Unplaced| self.unplaced.get(&app.app) != Some(&app.replicas);
        let new: Vec<&Unplaced> = plan.unplaced.iter().filter(is_new).collect();
        for unplaced in new.iter().take(TOLD) {
            tracing::warn!("{unplaced}");
            let is_short = unplaced.lacks.short_of_cpu + unplaced.lacks.short_of_memory > 0;
            let advice = if is_short { NO_ROOM_ADVICE } else { NO_PLACE_ADVICE };
            self.tell("no_room", Some(&unplaced.app), unplaced.to_string(), advice);
        }
        if new.len() > TOLD {
            let (more, all) = (new.len() - TOLD, now.len());
            let message = format!(
                "no room for {} more; {all} in all, see `steerage plan`",
                units::many(more, "app")
            );
            tracing::warn!("{message}");
            self.tell("no_room", None, message, NO_ROOM_ADVICE);
        }
        let gone: Vec<&AppName> =
            self.unplaced.keys().filter(|app| !now.contains_key(*app)).collect();
        for app in gone.iter().take(TOLD) {
            let message = format!("all replicas of {app} have room now");
            self.tell("has_room", Some(app), message, "");
        }
        if gone.len() > TOLD {
            let message = format!("room for {} more now", units::many(gone.len() - TOLD, "app"));
            self.tell("has_room", None, message, "");
        }
        self.unplaced = now;
    }

    fn tell(&self, kind: &'static str, app: Option<&AppName>, message: String, advice: &str) {
        self.events.push(Event {
            severity: if advice.is_empty() { Severity::Info } else { Severity::Error },
            app: app.cloned(),
            advice: (!advice.is_empty()).then(|| advice.to_owned()),
            ..Event::now(kind, message)
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_that_cannot_be_written_are_told_once_until_this_host_or_another_writes_them() {
        let events = Arc::<Events>::default();
        let mut news = News::new(events.clone());
        news.tell_written();
        news.tell_passed();
        for (why, end) in
            [("no leader", News::tell_written as fn(&mut News)), ("no quorum", News::tell_passed)]
        {
            news.tell_failed(why);
            news.tell_failed(why);
            end(&mut news);
            end(&mut news);
        }
        let told: Vec<String> =
            events.recent(None, 10).iter().map(|event| event.message.clone()).collect();
        let expected = [
            "no plan can be written: no leader",
            "plans are written again",
            "no plan can be written: no quorum",
            "another host plans now",
        ];
        assert_eq!(told, expected);
    }
}
