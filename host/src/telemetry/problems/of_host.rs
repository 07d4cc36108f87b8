//! What a host lacks itself: something of which it has only so much, its data folder, its time on the cores.
//! Measures nothing, and does not judge: `core::problem` does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steerage_core::problem::{LevelWatch, OpenLevel, ProblemTurn, level_claim};
use steerage_core::units::about_duration;

use super::turn::tell;
use crate::telemetry::events::{Event, Events, Severity};

/// What is wrong with this host.
#[derive(Debug)]
pub struct HostProblems {
    events: Arc<Events>,
    levels: Mutex<BTreeMap<&'static str, LevelWatch>>,
    /// Since when the data folder is gone; 0 while it is there.
    folder_gone_since: AtomicU64,
}

impl HostProblems {
    /// Nothing yet; what turns up is told there.
    pub(super) fn new(events: Arc<Events>) -> Self {
        Self { events, levels: Mutex::default(), folder_gone_since: AtomicU64::new(0) }
    }

    /// So much is used of something of which there is only so much; `new` makes its watch. To be called
    /// every few seconds.
    pub fn note_level(
        &self,
        what: &'static str,
        now: u64,
        (used, most): (u64, u64),
        new: impl FnOnce() -> LevelWatch,
    ) {
        let mut levels = self.levels();
        let level = levels.entry(what).or_insert_with(new);
        let turn = level.note(now, used, most);
        let open = level.open().copied();
        drop(levels);
        match (turn, open) {
            (Some(ProblemTurn::Opened), Some(open)) => {
                let message = level_claim("this host", what, &open);
                tell(&self.events, None, "problem_opened", Severity::Error, message);
            }
            (Some(ProblemTurn::Closed), _) => {
                let message = format!("there is enough of the host's {what} again");
                tell(&self.events, None, "problem_closed", Severity::Info, message);
            }
            _ => {}
        }
    }

    /// What is nearly used up.
    #[must_use]
    pub fn levels_open(&self) -> Vec<(&'static str, OpenLevel)> {
        let levels = self.levels();
        levels.iter().filter_map(|(what, level)| Some((*what, *level.open()?))).collect()
    }

    /// The folder in which the host keeps what it must not lose is there, or is not. To be called every few
    /// seconds.
    pub fn note_folder(&self, now: u64, is_there: bool) {
        if is_there == self.folder_gone_since().is_none() {
            return;
        }
        let since = if is_there { 0 } else { now.max(1) };
        self.folder_gone_since.store(since, Ordering::Relaxed);
        let (kind, severity, message) = if is_there {
            ("problem_closed", Severity::Info, "the data folder of this host is there again")
        } else {
            ("problem_opened", Severity::Error, "the data folder of this host is gone")
        };
        tell(&self.events, None, kind, severity, message.to_owned());
    }

    /// Since when the data folder is gone, where it is: milliseconds since the epoch.
    #[must_use]
    pub fn folder_gone_since(&self) -> Option<u64> {
        Some(self.folder_gone_since.load(Ordering::Relaxed)).filter(|since| *since > 0)
    }

    /// This process was not run for so long.
    pub fn note_stall(&self, stalled: Duration) {
        let advice = "see whether the process or its machine was stopped, or whether others kept the cores or \
                      the disk busy";
        let message = format!("this host stood still for {}", about_duration(stalled));
        self.events.push(Event {
            severity: Severity::Warning,
            advice: Some(advice.to_owned()),
            ..Event::now("host_stalled", message)
        });
    }

    /// How many there are.
    pub(super) fn n_open(&self) -> usize {
        self.levels_open().len() + usize::from(self.folder_gone_since().is_some())
    }

    fn levels(&self) -> MutexGuard<'_, BTreeMap<&'static str, LevelWatch>> {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(host: &HostProblems) -> Vec<String> {
        host.events.recent(None, 100).iter().map(|event| event.kind.to_string()).collect()
    }

    #[test]
    fn what_is_nearly_used_up_is_told_when_it_begins_and_when_it_is_over() {
        let host = HostProblems::new(Arc::default());
        let watch = || LevelWatch::new(0.9, Duration::from_secs(60));
        for n in 0..60 {
            let used = if n < 20 { 95 } else { 10 };
            host.note_level("memory", n * 10_000, (used, 100), watch);
            assert_eq!(host.levels_open().len(), usize::from((6..26).contains(&n)));
        }
        assert_eq!(told(&host), ["problem_opened", "problem_closed"]);
    }

    #[test]
    fn a_folder_that_is_gone_is_told_once_and_when_it_is_back() {
        let host = HostProblems::new(Arc::default());
        for (now, is_there, since) in
            [(10, true, None), (20, false, Some(20)), (30, false, Some(20)), (40, true, None)]
        {
            host.note_folder(now, is_there);
            assert_eq!((host.folder_gone_since(), host.n_open()), (since, usize::from(!is_there)));
        }
        assert_eq!(told(&host), ["problem_opened", "problem_closed"]);
    }
}
