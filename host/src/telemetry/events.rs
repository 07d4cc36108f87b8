//! What happened on this host: who, the evidence, and what to do about it, in a bounded ring.
//! Failures that repeat are counted instead of listed, so that one app cannot push out the others.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use steerage_core::id::{AppName, CallId, Generation};
use tokio::sync::broadcast;

/// Events kept.
const KEPT: usize = 1000;
/// Failures of one kind and app within this time are one event, in milliseconds.
const SAME_WITHIN: u64 = 10_000;
/// How far back a repeated failure is looked for.
const LOOK_BACK: usize = 50;
/// Events a follower may fall behind before it loses some.
const FOLLOWER_LAG: usize = 256;

/// Who should care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A state changed.
    Info,
    /// An app's developer should look.
    Warning,
    /// The operator should look.
    Error,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counts up from 1 since the host started.
    pub id: u64,
    /// Milliseconds since the epoch, of the last time it happened.
    pub at: u64,
    /// What happened, as a stable code: a verb, or the cause of a failed call.
    pub kind: &'static str,
    /// Who should care.
    pub severity: Severity,
    /// The app it happened to.
    pub app: Option<AppName>,
    /// The deployment it happened to.
    pub generation: Option<Generation>,
    /// The call it happened in, the first one when it repeated.
    pub call: Option<CallId>,
    /// What happened, in one sentence.
    pub message: String,
    /// What it was concluded from: limits, values used, frames of a backtrace.
    pub evidence: Vec<(String, String)>,
    /// What to do about it.
    pub advice: Option<String>,
    /// How often it happened.
    pub count: u64,
}

/// The last events.
#[derive(Debug)]
pub struct Events {
    state: Mutex<State>,
    followers: broadcast::Sender<Event>,
}

#[derive(Debug, Default)]
struct State {
    ring: VecDeque<Event>,
    last_id: u64,
}

impl Default for Events {
    fn default() -> Self {
        let (followers, _) = broadcast::channel(FOLLOWER_LAG);
        Self { state: Mutex::default(), followers }
    }
}

impl Event {
    /// An event of this moment that concerns no app; set the other fields by struct update.
    #[must_use]
    pub fn now(kind: &'static str, message: String) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            id: 0,
            at: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            kind,
            severity: Severity::Info,
            app: None,
            generation: None,
            call: None,
            message,
            evidence: Vec::new(),
            advice: None,
            count: 1,
        }
    }

    fn repeats(&self, earlier: &Self) -> bool {
        self.severity > Severity::Info
            && self.kind == earlier.kind
            && self.app == earlier.app
            && self.generation == earlier.generation
            && self.message == earlier.message
            && self.at.saturating_sub(earlier.at) <= SAME_WITHIN
    }
}

impl Events {
    /// Adds an event, or counts it onto the same one of a moment ago.
    pub fn push(&self, event: Event) {
        let mut state = self.state();
        let recent = state.ring.iter_mut().rev().take(LOOK_BACK);
        if let Some(same) = recent.into_iter().find(|earlier| event.repeats(earlier)) {
            same.count += 1;
            same.at = event.at;
            return;
        }
        state.last_id += 1;
        let event = Event { id: state.last_id, ..event };
        if state.ring.len() == KEPT {
            state.ring.pop_front();
        }
        state.ring.push_back(event.clone());
        drop(state);
        // Nobody follows, most of the time.
        drop(self.followers.send(event));
    }

    /// The last `n` events, of one app where one is named, oldest first.
    #[must_use]
    pub fn recent(&self, app: Option<&AppName>, n: usize) -> Vec<Event> {
        let state = self.state();
        let wanted = |event: &&Event| app.is_none() || event.app.as_ref() == app;
        let mut found: Vec<Event> =
            state.ring.iter().rev().filter(wanted).take(n).cloned().collect();
        found.reverse();
        found
    }

    /// Every new event from now on; repetitions are not told again.
    #[must_use]
    pub fn follow(&self) -> broadcast::Receiver<Event> {
        self.followers.subscribe()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(app: &str, at: u64) -> Event {
        Event {
            app: Some(app.parse().unwrap()),
            severity: Severity::Warning,
            at,
            ..Event::now("trapped", "the app trapped".to_owned())
        }
    }

    #[test]
    fn a_crash_loop_is_one_event() {
        let events = Events::default();
        events.push(failure("calm", 0));
        for at in 0..5000 {
            events.push(failure("loop", at));
        }
        let all = events.recent(None, 10);
        assert_eq!(all.len(), 2);
        assert_eq!(all[1].count, 5000);
        assert_eq!(all[1].at, 4999);
        let calm = "calm".parse().unwrap();
        assert_eq!(events.recent(Some(&calm), 10).len(), 1);
    }

    #[test]
    fn what_happens_again_much_later_is_told_again() {
        let events = Events::default();
        events.push(failure("loop", 0));
        events.push(failure("loop", SAME_WITHIN + 1));
        assert_eq!(events.recent(None, 10).len(), 2);
    }
}
