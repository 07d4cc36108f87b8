//! How a new deployment comes to have all calls, as it stands in the record of its app: a canary with its
//! steps, and the watch over one that took the place of another at once.
//! Does not say what follows: `core::rollout` does.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use steerage_core::canary::Share;
use steerage_core::rollout::{CanaryPlan, CanaryStep, Progress};

use super::rest::Rest;

/// A deployment that did worse than the one beside it, or before it, and was rolled back by itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct RolledBack {
    /// Which.
    pub generation: u64,
    /// In what it did worse, in a sentence.
    pub why: String,
    /// When, in milliseconds since the epoch, as the host said that took it back.
    pub at: u64,
    /// Whether it had all calls, and was no canary.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub had_all: bool,
}

/// A canary.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CanaryRecord {
    /// Which.
    pub generation: u64,
    /// Calls out of ten thousand that it gets.
    pub share: u32,
    /// When it began, in milliseconds since the epoch, as the host said that took the wish.
    pub since: u64,
    /// What tells it from another of its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Its steps, if it has any. `share` is that of the one at hand, so that a host that knows of no steps
    /// leaves it where it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepRecord>,
    /// Which of them it is at; the first is 0.
    #[serde(default, skip_serializing_if = "is_first")]
    pub step: usize,
    /// When that began; with the canary where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_since: Option<u64>,
    /// Calls of the canary that were over by then.
    #[serde(default, skip_serializing_if = "is_none_before")]
    pub calls_before: u64,
    /// Whether it gets all calls after its last step without an operator's word.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto_promote: bool,
    /// Since when an operator wants no step to be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<u64>,
    /// What a newer host has written.
    #[serde(flatten)]
    pub rest: Rest,
}

/// One step of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct StepRecord {
    /// Calls out of ten thousand that it gets.
    pub share: u32,
    /// How long at least, in milliseconds.
    pub time: u64,
}

/// The watch over the deployment that is served, since it took another's place. An older host writes it
/// again as it was, also where it has deployed another one: it counts for that of its number only.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct WatchRecord {
    /// Which deployment is watched.
    pub generation: u64,
    /// The one that it replaced, which is served again where it fails.
    pub replaced: u64,
    /// When it was deployed, in milliseconds since the epoch, as the host said that took the wish.
    pub since: u64,
    /// Until when it is watched, by the same clock.
    pub until: u64,
    /// What a newer host has written.
    #[serde(flatten)]
    pub rest: Rest,
}

impl CanaryRecord {
    /// A canary that begins now.
    #[must_use]
    pub fn begin(
        (generation, fingerprint): (u64, Option<String>),
        plan: &CanaryPlan,
        now: u64,
    ) -> Self {
        Self {
            generation,
            share: plan.first.get(),
            since: now,
            fingerprint,
            steps: plan.steps.iter().map(StepRecord::of).collect(),
            step: 0,
            step_since: None,
            calls_before: 0,
            auto_promote: plan.promotes,
            paused_at: None,
            rest: Rest::default(),
        }
    }

    /// Its steps, as far as this host understands them.
    #[must_use]
    pub fn steps(&self) -> Vec<CanaryStep> {
        self.steps.iter().map_while(StepRecord::read).collect()
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            step: self.step,
            since: self.step_since.unwrap_or(self.since),
            calls_before: self.calls_before,
            is_paused: self.paused_at.is_some(),
            promotes: self.auto_promote,
        }
    }

    /// Has it take a step, after so many calls.
    pub fn take_step(&mut self, step: usize, calls: u64, now: u64) {
        let Some(StepRecord { share, .. }) = self.steps.get(step).copied() else { return };
        (self.share, self.step, self.step_since) = (share, step, Some(now));
        self.calls_before = calls;
    }

    /// Has it wait for an operator, or go on: the time that it waited is none of its step's.
    pub fn pause(&mut self, is_paused: bool, now: u64) {
        match (self.paused_at, is_paused) {
            (None, true) => self.paused_at = Some(now),
            (Some(paused_at), false) => {
                let since = self.step_since.unwrap_or(self.since);
                self.step_since = Some(since.saturating_add(now.saturating_sub(paused_at)));
                self.paused_at = None;
            }
            _ => {}
        }
    }
}

impl StepRecord {
    fn of(step: &CanaryStep) -> Self {
        let time = u64::try_from(step.time.as_millis()).unwrap_or(u64::MAX);
        Self { share: step.share.get(), time }
    }

    fn read(&self) -> Option<CanaryStep> {
        let share = Share::new(self.share).ok()?;
        Some(CanaryStep { share, time: Duration::from_millis(self.time) })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's way")]
fn is_none_before(calls: &u64) -> bool {
    *calls == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's way")]
fn is_first(step: &usize) -> bool {
    *step == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::record::{AppRecord, decode, encode};

    const WRITTEN: &[u8] = br#"{"v": 1, "generation": 3, "min": 1, "max": 2, "priority": 0,
        "canary": {"generation": 4, "share": 500, "since": 1000,
            "steps": [{"share": 500, "time": 60000}, {"share": 2500, "time": 60000}]}}"#;

    #[test]
    fn a_canary_of_an_older_host_has_no_steps_and_one_of_this_host_reads_back() {
        let old = br#"{"v": 1, "generation": 3, "min": 1, "max": 2,
            "canary": {"generation": 4, "share": 5, "since": 6}}"#;
        let record: AppRecord = decode("desired/apps/a", old).unwrap();
        let canary = record.canary.clone().unwrap();
        assert_eq!((canary.steps(), canary.progress().since), (Vec::new(), 6));
        let record: AppRecord = decode("desired/apps/a", WRITTEN).unwrap();
        let written: serde_json::Value = serde_json::from_slice(WRITTEN).unwrap();
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&encode(&record)).unwrap(), written);
    }

    #[test]
    fn a_step_changes_the_share_that_older_hosts_go_by() {
        let record: AppRecord = decode("desired/apps/a", WRITTEN).unwrap();
        let mut canary = record.canary.clone().unwrap();
        canary.take_step(1, 250, 90_000);
        assert_eq!((canary.share, canary.step), (2500, 1));
        let progress = canary.progress();
        assert_eq!((progress.since, progress.calls_before), (90_000, 250));
        canary.take_step(7, 900, 99_000);
        assert_eq!((canary.share, canary.step), (2500, 1), "there is no such step");
        // A minute of the step was over; half an hour of pause takes nothing of the rest.
        canary.pause(true, 150_000);
        canary.pause(true, 160_000);
        assert!(canary.progress().is_paused);
        canary.pause(false, 1_950_000);
        canary.pause(false, 1_960_000);
        let progress = canary.progress();
        assert_eq!((progress.is_paused, progress.since), (false, 1_890_000));
    }

    #[test]
    fn a_watch_is_over_with_its_time_and_with_its_deployment() {
        let mut record: AppRecord = decode("desired/apps/a", WRITTEN).unwrap();
        record.canary = None;
        let rest = Rest::default();
        let watch = WatchRecord { generation: 3, replaced: 2, since: 0, until: 100, rest };
        record.watch = Some(watch.clone());
        assert_eq!(record.watched(99), Some(&watch));
        assert_eq!(record.watched(100), None);
        // An older host deployed another one and kept what it did not know.
        record.generation = 4;
        assert_eq!(record.watched(99), None);
        record.generation = 3;
        record.is_quarantined = true;
        assert_eq!(record.watched(99), None);
    }
}
