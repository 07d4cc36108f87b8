//! What happened on this host: who, the evidence, and what to do about it, bounded in number and in
//! bytes, and kept on the disk over restarts. Failures of one kind in one place are one event that counts;
//! no app can push out what happened to the others. Does not know what a failure means: whoever tells it
//! does.

mod disk;
mod kept;
mod line;

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use steerage_core::excerpt::{self, excerpt};
use steerage_core::id::{AppName, CallId, Generation};
use steerage_core::lasting::Lasting;
use steerage_core::trace::TraceParent;
use tokio::sync::broadcast;

use self::disk::{Disk, Found};
use self::kept::Kept;

/// A failure that goes on is told again after so long, in milliseconds, so that followers hear of it
/// and what is shown of it is fresh. In between it is only counted.
const TOLD_AGAIN: u64 = 10_000;
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
    /// Counts up from 1 in this data folder; a new one each time it is told.
    pub id: u64,
    /// Milliseconds since the epoch, of the first time it happened.
    pub first_at: u64,
    /// The same of the last time.
    pub at: u64,
    /// What happened, as a stable code: a verb, or the cause of a failed call.
    pub kind: Cow<'static, str>,
    /// Who should care.
    pub severity: Severity,
    /// The app it happened to.
    pub app: Option<AppName>,
    /// The deployment it happened to.
    pub generation: Option<Generation>,
    /// Where it happened: equal for what has the same cause, whatever the amounts.
    pub place: EventPlace,
    /// The call it happened in, of those that were told the latest.
    pub call: Option<CallId>,
    /// The span of that call, where spans are exported. It is not written down.
    pub span: Option<TraceParent>,
    /// What happened, in one sentence.
    pub message: String,
    /// What it was concluded from: limits, values used, frames of a backtrace.
    pub evidence: Vec<(String, String)>,
    /// What to do about it.
    pub advice: Option<String>,
    /// How often it happened.
    pub count: u64,
}

/// Where something happened, as a number that stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventPlace(u64);

/// What is the same in every repetition of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Same<'e> {
    /// The app it happens to.
    pub app: Option<&'e AppName>,
    /// The deployment it happens to.
    pub generation: Option<Generation>,
    /// What happens.
    pub kind: &'e str,
    /// Where.
    pub place: EventPlace,
}

/// The last events.
#[derive(Debug)]
pub struct Events {
    kept: Mutex<Kept>,
    followers: broadcast::Sender<Event>,
    /// Those that hear of repetitions, too.
    repeats: broadcast::Sender<Event>,
    /// Where they are written, unless they end with the process.
    disk: OnceLock<Disk>,
    /// What began on this host in this run, and lasts. Taken by itself, before `kept`.
    lasting: Mutex<Lasting<EventPlace, Event>>,
}

impl Default for Events {
    fn default() -> Self {
        let (followers, _) = broadcast::channel(FOLLOWER_LAG);
        let (repeats, _) = broadcast::channel(FOLLOWER_LAG);
        let (disk, lasting) = (OnceLock::new(), Mutex::default());
        Self { kept: Mutex::default(), followers, repeats, disk, lasting }
    }
}

impl EventPlace {
    /// The place that all failures of a kind share.
    pub const ANY: Self = Self(0);

    /// The place that these values name.
    #[must_use]
    pub fn of(names: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        names.hash(&mut hasher);
        // Zero is taken.
        Self(hasher.finish() | 1)
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

impl Event {
    /// An event of this moment that concerns no app; set the other fields by struct update. What it
    /// says is where it happened, unless that is set, too.
    #[must_use]
    pub fn now(kind: &'static str, message: String) -> Self {
        let at = now();
        Self {
            id: 0,
            first_at: at,
            at,
            kind: Cow::Borrowed(kind),
            severity: Severity::Info,
            app: None,
            generation: None,
            place: EventPlace::of(&message),
            call: None,
            span: None,
            message,
            evidence: Vec::new(),
            advice: None,
            count: 1,
        }
    }

    /// What is the same in every repetition.
    fn same(&self) -> Same<'_> {
        Same {
            app: self.app.as_ref(),
            generation: self.generation,
            kind: &self.kind,
            place: self.place,
        }
    }

    /// Cuts what is longer than an event's parts may be, whoever wrote it.
    fn bounded(mut self) -> Self {
        for text in std::iter::once(&mut self.message).chain(self.advice.as_mut()) {
            if text.len() > excerpt::MESSAGE {
                *text = excerpt(excerpt::MESSAGE, &*text);
            }
        }
        let mut room = excerpt::EVIDENCE;
        self.evidence.retain_mut(|(name, value)| {
            if name.len() + value.len() > room {
                *value = excerpt(room.saturating_sub(name.len()), &*value);
            }
            let left = room.checked_sub(name.len() + value.len());
            room = left.unwrap_or(0);
            left.is_some()
        });
        self
    }

    /// Bytes of text.
    fn size(&self) -> usize {
        let evidence: usize =
            self.evidence.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.message.len() + self.advice.as_ref().map_or(0, String::len) + evidence
    }
}

impl Events {
    /// The events that are kept in a data folder, which must be there, and those that are told from now
    /// on, which are kept there as well. Files that cannot be read are set aside, which is an event.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn open(data: &Path) -> io::Result<Arc<Self>> {
        let events = Arc::new(Self::default());
        let found = Found::read(data);
        let disk = found.write(Arc::downgrade(&events))?;
        let mut kept = events.kept();
        found.events.into_iter().for_each(|event| kept.restore(event));
        drop(kept);
        // It is empty: nobody else has seen these events yet.
        drop(events.disk.set(disk));
        found.trouble.into_iter().for_each(|event| events.push(event));
        Ok(events)
    }

    /// Adds an event of a failure unless one of this kind was told of this place, in this run or in one
    /// before. Whether it was added.
    pub fn push_once(&self, event: Event) -> bool {
        let is_new = !self.kept().has_told(&event.kind, event.place);
        if is_new {
            self.push(event);
        }
        is_new
    }

    /// Has what was counted since it was told written as well, and waits until all is, so long at most.
    pub fn end(&self, patience: Duration) {
        let Some(disk) = self.disk.get() else { return };
        let last = self.kept().counted_since_told();
        disk.end(last, patience);
    }

    /// Counts a failure onto the event that tells of it already. `false` when there is none, or it
    /// should be told again: the whole event is wanted then.
    ///
    /// Refused calls come by the thousand; this is all that most of them cost.
    #[must_use]
    pub fn counted(&self, same: &Same<'_>) -> bool {
        self.kept().count(same, now())
    }

    /// Adds an event, or counts it onto the one that tells of it already.
    pub fn push(&self, event: Event) {
        let event = event.bounded();
        if event.app.is_none() {
            self.lasts().note(&event.kind, event.place, || event.clone());
        }
        let mut kept = self.kept();
        if event.severity > Severity::Info && kept.count(&event.same(), event.at) {
            drop(kept);
            return self.repeat(event);
        }
        let event = kept.tell(event);
        if let Some(disk) = self.disk.get() {
            disk.write(&event);
        }
        // Sent in the order of their ids, by which followers know what they have seen: the lock
        // is still held. Most of the time nobody follows.
        drop(self.followers.send(event));
    }

    /// The last `n` events, of one app where one is named, in the order in which they last happened.
    #[must_use]
    pub fn recent(&self, app: Option<&AppName>, n: usize) -> Vec<Event> {
        self.kept().recent(app, n)
    }

    /// What began on this host since it was started, and lasts, the oldest first.
    #[must_use]
    pub fn lasting(&self) -> Vec<Event> {
        self.lasts().iter().cloned().collect()
    }

    /// Bytes that all of them take.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        self.kept().n_bytes()
    }

    /// Tells of a failure that was only counted. Nobody hears of it but who follows repetitions.
    pub fn repeat(&self, event: Event) {
        drop(self.repeats.send(event));
    }

    /// Whether anybody follows repetitions: making an event of each costs more than counting it.
    #[must_use]
    pub fn are_repeats_followed(&self) -> bool {
        self.repeats.receiver_count() > 0
    }

    /// What is only counted for all others: each repetition from now on, by itself.
    #[must_use]
    pub fn follow_repeats(&self) -> broadcast::Receiver<Event> {
        self.repeats.subscribe()
    }

    /// Every event that is told from now on.
    #[must_use]
    pub fn follow(&self) -> broadcast::Receiver<Event> {
        self.followers.subscribe()
    }

    /// Every event that was told in this run so far, and those that are told from now on.
    #[must_use]
    pub fn follow_all(&self) -> (Vec<Event>, broadcast::Receiver<Event>) {
        // Under this lock they are sent, so none is missed and none is there twice.
        let kept = self.kept();
        (kept.told_in_this_run(), self.followers.subscribe())
    }

    fn lasts(&self) -> MutexGuard<'_, Lasting<EventPlace, Event>> {
        self.lasting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
