//! The events that are kept: which is told already, which goes when room runs out.
//! Does not make events and has no clock.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use steerage_core::id::AppName;

use super::{Event, EventPlace, Same, Severity, TOLD_AGAIN};

/// Events kept.
pub(super) const KEPT: usize = 1000;
/// Bytes of text in them.
pub(super) const KEPT_BYTES: usize = 4 << 20;
/// Failures kept of one app: the rest of a page is for what happened to others.
pub(super) const OF_APP: usize = 32;
/// Places in which failures of one kind and deployment are told apart. What happens elsewhere is one
/// event: callers choose paths, and a guest may have as many places as it has functions.
pub(super) const PLACES: usize = 8;
/// A failure that was quiet for so long, in milliseconds, is a new one when it comes again.
pub(super) const OVER_AFTER: u64 = 600_000;

/// The last events.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// By id, so in order of when each was told last.
    events: BTreeMap<u64, KeptEvent>,
    n_bytes: usize,
    /// The ids of the failures of each app and of what else happened to it, and the same of the host.
    /// No list is empty.
    queues: BTreeMap<(Option<AppName>, bool), Queue>,
    /// The newest event of each failure, by its fingerprint.
    newest: BTreeMap<u64, u64>,
    /// How many of them there are of each kind, by the fingerprint that has no place.
    n_places: BTreeMap<u64, usize>,
    last_id: u64,
}

#[derive(Debug)]
struct KeptEvent {
    event: Event,
    /// When it was told: `at` moves with every repetition. Never in this run, where it is 0.
    told_at: u64,
    /// How often it had happened by then.
    told_count: u64,
}

#[derive(Debug, Default)]
struct Queue {
    ids: VecDeque<u64>,
    n_bytes: usize,
}

impl Kept {
    /// Counts a failure onto the event that tells of it, if that was told a moment ago.
    pub(super) fn count(&mut self, same: &Same<'_>, at: u64) -> bool {
        let place = self.place(same);
        let Some(told) = self.newest(&Same { place, ..*same }) else { return false };
        if at.saturating_sub(told.told_at) > TOLD_AGAIN {
            return false;
        }
        told.event.count += 1;
        told.event.at = told.event.at.max(at);
        true
    }

    /// Takes an event, and with it the count of the one that told of the same before.
    pub(super) fn tell(&mut self, mut event: Event) -> Event {
        if event.severity > Severity::Info {
            event.place = self.place(&event.same());
            if let Some(KeptEvent { event: earlier, .. }) = self.newest(&event.same())
                && event.at.saturating_sub(earlier.at) <= OVER_AFTER
            {
                let (id, count, first_at) = (earlier.id, earlier.count, earlier.first_at);
                self.remove(id);
                event.count += count;
                event.first_at = first_at;
            }
        }
        event.id = self.last_id + 1;
        self.insert(event.clone(), event.at);
        event
    }

    /// Takes an event of an earlier run, in the order in which they were told. Each has the count of those
    /// that told of the same before.
    pub(super) fn restore(&mut self, mut event: Event) {
        if event.severity > Severity::Info {
            event.place = self.place(&event.same());
            if let Some(KeptEvent { event: earlier, .. }) = self.newest(&event.same())
                && earlier.first_at == event.first_at
            {
                let id = earlier.id;
                self.remove(id);
            }
        }
        if event.id == 0 || self.events.contains_key(&event.id) {
            event.id = self.last_id + 1;
        }
        // Not told in this run: what happens again is told, and not only counted.
        self.insert(event, 0);
    }

    fn insert(&mut self, event: Event, told_at: u64) {
        self.last_id = self.last_id.max(event.id);
        let is_failure = event.severity > Severity::Info;
        if is_failure {
            let before = self.newest.insert(fingerprint(&event.same()), event.id);
            if before.is_none() {
                *self.n_places.entry(kind(&event.same())).or_default() += 1;
            }
        }
        let own = (event.app.clone(), is_failure);
        let queue = self.queues.entry(own.clone()).or_default();
        queue.ids.push_back(event.id);
        queue.n_bytes += event.size();
        self.n_bytes += event.size();
        let told_count = event.count;
        self.events.insert(event.id, KeptEvent { told_at, told_count, event });
        self.make_room(&own);
    }

    /// Those that have happened again since they were told.
    pub(super) fn counted_since_told(&self) -> Vec<Event> {
        let counted = self.events.values().filter(|told| told.event.count > told.told_count);
        counted.map(|told| told.event.clone()).collect()
    }

    /// Those that were told in this run, in that order.
    pub(super) fn told_in_this_run(&self) -> Vec<Event> {
        let told = self.events.values().filter(|told| told.told_at > 0);
        told.map(|told| told.event.clone()).collect()
    }

    /// Whether one of this kind and place is there.
    pub(super) fn has_told(&self, kind: &str, place: EventPlace) -> bool {
        self.events.values().any(|told| told.event.kind == kind && told.event.place == place)
    }

    /// Bytes of all events, with what is remembered beside each.
    pub(super) fn n_bytes(&self) -> usize {
        self.n_bytes + self.events.len() * (size_of::<KeptEvent>() + size_of::<[u64; 8]>())
    }

    /// The last `n` events in the order in which they last happened.
    pub(super) fn recent(&self, app: Option<&AppName>, n: usize) -> Vec<Event> {
        let all = self.events.values().map(|told| &told.event);
        let wanted = all.filter(|event| app.is_none() || event.app.as_ref() == app);
        let mut wanted: Vec<&Event> = wanted.collect();
        wanted.sort_by_key(|event| (event.at, event.id));
        wanted.iter().skip(wanted.len().saturating_sub(n)).map(|event| (*event).clone()).collect()
    }

    fn newest(&mut self, same: &Same<'_>) -> Option<&mut KeptEvent> {
        let id = self.newest.get(&fingerprint(same))?;
        self.events.get_mut(id).filter(|told| told.event.same() == *same)
    }

    /// Its own place, or the one it shares with others where too many are known.
    fn place(&self, same: &Same<'_>) -> EventPlace {
        let is_known = self.newest.contains_key(&fingerprint(same));
        let n_places = self.n_places.get(&kind(same)).copied().unwrap_or(0);
        if is_known || n_places < PLACES { same.place } else { EventPlace::ANY }
    }

    /// Drops the oldest event of whoever has too many, or the most when room has run out for all.
    fn make_room(&mut self, own: &(Option<AppName>, bool)) {
        let of_app = self.queues.get(own).filter(|queue| queue.ids.len() > OF_APP);
        let oldest = of_app.and_then(|queue| queue.ids.front().copied());
        if let Some(oldest) = oldest.filter(|_| own.0.is_some()) {
            self.remove(oldest);
        }
        while self.events.len() > KEPT || self.n_bytes > KEPT_BYTES {
            let too_many = self.events.len() > KEPT;
            let size = |queue: &&Queue| if too_many { queue.ids.len() } else { queue.n_bytes };
            let largest = self.queues.values().max_by_key(size);
            let Some(oldest) = largest.and_then(|queue| queue.ids.front().copied()) else { break };
            self.remove(oldest);
        }
    }

    fn remove(&mut self, id: u64) {
        let Some(KeptEvent { event, .. }) = self.events.remove(&id) else { return };
        self.n_bytes -= event.size();
        let queue = (event.app.clone(), event.severity > Severity::Info);
        if let Some(ids) = self.queues.get_mut(&queue) {
            ids.n_bytes -= event.size();
            // Nearly always the first.
            if let Some(place) = ids.ids.iter().position(|one| *one == id) {
                ids.ids.remove(place);
            }
            if ids.ids.is_empty() {
                self.queues.remove(&queue);
            }
        }
        let same = fingerprint(&event.same());
        if self.newest.get(&same) == Some(&id) {
            self.newest.remove(&same);
            let of_kind = kind(&event.same());
            if let Some(n_places) = self.n_places.get_mut(&of_kind) {
                *n_places -= 1;
                if *n_places == 0 {
                    self.n_places.remove(&of_kind);
                }
            }
        }
    }

    /// Entries beside the events themselves, to see that nothing is remembered of what is gone.
    #[cfg(test)]
    pub(super) fn n_remembered(&self) -> (usize, usize, usize) {
        let queued = self.queues.values().map(|queue| queue.ids.len()).sum();
        (self.newest.len(), self.n_places.values().sum(), queued)
    }
}

fn fingerprint(same: &Same<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    same.hash(&mut hasher);
    hasher.finish()
}

/// The same without a place.
fn kind(same: &Same<'_>) -> u64 {
    fingerprint(&Same { place: EventPlace::ANY, ..*same })
}
