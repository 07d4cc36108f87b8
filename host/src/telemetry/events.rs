//! What happened on this host: who, the evidence, and what to do about it, bounded in number.
//! Failures that repeat are counted instead of listed, and when room runs out the app with the most
//! events loses its oldest, so that no app can push out what happened to the others.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use steerage_core::id::{AppName, CallId, Generation};
use tokio::sync::broadcast;

/// Events kept.
const KEPT: usize = 1000;
/// Failures of one kind and app are one event for so long after the first, in milliseconds. Then
/// they are told again, so that followers hear that it goes on.
const SAME_WITHIN: u64 = 10_000;
/// Frames of a backtrace, from the innermost, that tell where a call failed. Those further out say
/// how it came there, which a recursion does in ever new ways.
const SAME_FRAMES: usize = 16;
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
    /// Those that hear of repetitions.
    repeats: broadcast::Sender<Event>,
}

#[derive(Debug, Default)]
struct State {
    /// By id, so in order of when each first happened.
    events: BTreeMap<u64, Kept>,
    /// The ids of each app's events, and of those that concern none. No list is empty.
    of_app: BTreeMap<Option<AppName>, VecDeque<u64>>,
    /// The newest event with each fingerprint, to count repetitions onto.
    newest: BTreeMap<u64, u64>,
    last_id: u64,
}

#[derive(Debug)]
struct Kept {
    event: Event,
    fingerprint: u64,
    /// When it first happened.
    since: u64,
}

/// What became of an event.
enum Told {
    New(Event),
    Again(Event),
}

impl Default for Events {
    fn default() -> Self {
        let (followers, _) = broadcast::channel(FOLLOWER_LAG);
        let (repeats, _) = broadcast::channel(FOLLOWER_LAG);
        Self { state: Mutex::default(), followers, repeats }
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

    /// What is the same in every repetition: two traps at two places are two events.
    fn identity(&self) -> impl Hash + PartialEq {
        let frames = self.evidence.iter().filter(|(name, _)| name == "backtrace");
        let place: Vec<&str> = frames.map(|(_, frame)| frame.as_str()).take(SAME_FRAMES).collect();
        (self.app.as_ref(), self.generation, self.kind, self.message.as_str(), place)
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.identity().hash(&mut hasher);
        hasher.finish()
    }
}

impl Events {
    /// Adds an event, or counts it onto the same one of a moment ago.
    pub fn push(&self, event: Event) {
        let mut state = self.state();
        // Sent in the order of their ids, by which followers know what they have seen: the lock is
        // still held. Most of the time nobody follows.
        match state.keep(event) {
            Told::New(event) => drop(self.followers.send(event)),
            Told::Again(event) => drop(self.repeats.send(event)),
        }
    }

    /// The last `n` events, of one app where one is named, oldest first.
    #[must_use]
    pub fn recent(&self, app: Option<&AppName>, n: usize) -> Vec<Event> {
        let state = self.state();
        let all = state.events.values().rev().map(|kept| &kept.event);
        let wanted = all.filter(|event| app.is_none() || event.app.as_ref() == app);
        let mut found: Vec<Event> = wanted.take(n).cloned().collect();
        found.reverse();
        found
    }

    /// Every new event from now on; repetitions are not told again.
    #[must_use]
    pub fn follow(&self) -> broadcast::Receiver<Event> {
        self.followers.subscribe()
    }

    /// What is only counted for all others: each repetition from now on, with its own call and with
    /// how often it has happened.
    #[must_use]
    pub fn follow_repeats(&self) -> broadcast::Receiver<Event> {
        self.repeats.subscribe()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The event with its id, its own or that of the earlier one it was counted onto.
    fn keep(&mut self, event: Event) -> Told {
        let fingerprint = event.fingerprint();
        let earlier = self.newest.get(&fingerprint).and_then(|id| self.events.get_mut(id));
        if let Some(earlier) = earlier
            && event.severity > Severity::Info
            && event.identity() == earlier.event.identity()
            && event.at.saturating_sub(earlier.since) <= SAME_WITHIN
        {
            earlier.event.count += 1;
            earlier.event.at = event.at;
            return Told::Again(Event {
                id: earlier.event.id,
                count: earlier.event.count,
                ..event
            });
        }
        if self.events.len() == KEPT {
            self.drop_one();
        }
        self.last_id += 1;
        let event = Event { id: self.last_id, ..event };
        let kept = Kept { event: event.clone(), fingerprint, since: event.at };
        self.events.insert(event.id, kept);
        self.of_app.entry(event.app.clone()).or_default().push_back(event.id);
        self.newest.insert(fingerprint, event.id);
        Told::New(event)
    }

    /// Makes room: the oldest event goes of the app that has the most.
    fn drop_one(&mut self) {
        let Some((app, ids)) = self.of_app.iter_mut().max_by_key(|(_, ids)| ids.len()) else {
            return;
        };
        let oldest = ids.pop_front();
        if ids.is_empty() {
            let app = app.clone();
            self.of_app.remove(&app);
        }
        let Some(kept) = oldest.and_then(|id| self.events.remove(&id)) else { return };
        if self.newest.get(&kept.fingerprint) == Some(&kept.event.id) {
            self.newest.remove(&kept.fingerprint);
        }
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
    fn a_failure_that_goes_on_is_told_again_now_and_then() {
        let events = Events::default();
        for at in (0..=3 * SAME_WITHIN).step_by(100) {
            events.push(failure("loop", at));
        }
        let counts: Vec<u64> = events.recent(None, 10).iter().map(|event| event.count).collect();
        assert_eq!(counts, [101, 101, 99]);
    }

    #[test]
    fn what_is_new_is_not_counted_onto_something_else() {
        let events = Events::default();
        events.push(failure("loop", 0));
        events.push(Event { message: "another trap".to_owned(), ..failure("loop", 1) });
        events.push(Event { generation: Generation::new(2), ..failure("loop", 2) });
        events.push(failure("other", 3));
        let deployed = Event { severity: Severity::Info, ..failure("loop", 4) };
        events.push(Event { kind: "deployed", ..deployed.clone() });
        events.push(Event { kind: "deployed", ..deployed });
        assert_eq!(events.recent(None, 10).len(), 6);
        events.push(failure("loop", 5));
        assert_eq!(events.recent(None, 10)[0].count, 2);
    }

    #[test]
    fn an_app_that_fails_in_ever_new_ways_pushes_out_only_itself() {
        let events = Events::default();
        events.push(Event::now("started", "serving 0 apps".to_owned()));
        events.push(failure("calm", 0));
        for n in 0..3 * KEPT as u64 {
            let message = format!("wanted {n} bytes");
            events.push(Event { message, ..failure("noisy", n) });
        }
        let all = events.recent(None, 2 * KEPT);
        assert_eq!(all.len(), KEPT);
        assert_eq!(all[0].kind, "started");
        assert_eq!(all[1].app, "calm".parse().ok());
        let newest = all.last().unwrap();
        assert_eq!((newest.id, newest.at), (3 * KEPT as u64 + 2, 3 * KEPT as u64 - 1));
        // Nothing is remembered of what is gone.
        let state = events.state();
        assert_eq!(state.newest.len(), KEPT);
        assert_eq!(state.of_app.values().map(VecDeque::len).sum::<usize>(), KEPT);
    }

    #[test]
    fn two_places_are_two_events() {
        let events = Events::default();
        let mut repeats = events.follow_repeats();
        let at = |place: &str, n_outer: usize| {
            let inner = (0..SAME_FRAMES).map(|n| format!("{n}: {place}"));
            let outer = (0..n_outer).map(|n| format!("{n}: outer"));
            let frames = inner.chain(outer).map(|frame| ("backtrace".to_owned(), frame));
            Event { evidence: frames.collect(), ..failure("loop", 0) }
        };
        events.push(at("main", 1));
        events.push(at("helper", 1));
        events.push(Event { call: Some(CallId::from_u128(7)), ..at("main", 2) });
        let counts: Vec<u64> = events.recent(None, 9).iter().map(|event| event.count).collect();
        assert_eq!(counts, [2, 1]);
        let again = repeats.try_recv().unwrap();
        assert_eq!((again.id, again.count), (1, 2));
        assert_eq!(again.call, Some(CallId::from_u128(7)), "the call that failed now");
        assert!(repeats.try_recv().is_err());
    }

    #[tokio::test]
    async fn followers_hear_of_a_repeated_failure_once() {
        let events = Events::default();
        let mut coming = events.follow();
        for at in 0..3 {
            events.push(failure("loop", at));
        }
        events.push(Event::now("stopping", String::new()));
        assert_eq!(coming.recv().await.unwrap().kind, "trapped");
        assert_eq!(coming.recv().await.unwrap().kind, "stopping");
    }
}
