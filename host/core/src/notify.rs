//! When a receiver is told that a problem opened, changed or closed, and what happens when it does not take
//! what it is told. Nothing is queued: what the receiver was told is compared with what is so now. So a
//! receiver that comes back is told how things are, not everything that happened meanwhile.
//! Sends nothing and does not know what a receiver is: whoever drives it does.
//!
//! Call `note` with all problems there are whenever somebody has looked, send what `next` gives, and say in
//! `done` what came of it. Do not call `note` between `next` and `done`: what is sent is what was noted last.
//! `next_at` says when there is something to send. Times are milliseconds.

mod known;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;

use self::known::KnownProblem;
pub use self::words::{
    Delivery, Notice, NoticeFacts, NotifyCounts, NotifyRules, ReceiverNews, Sighting,
};
use crate::pause::pause;

/// So many messages that are not taken one after the other are told to operators.
const FAILS_AFTER: u32 = 3;

/// What one receiver knows of the problems, and what it is to be told.
#[derive(Clone, Debug)]
pub struct Receiver<K> {
    rules: NotifyRules,
    known: BTreeMap<K, KnownProblem>,
    /// What is on its way.
    in_flight: Vec<(K, Notice)>,
    counts: NotifyCounts,
    n_failed_in_row: u32,
    is_failing: bool,
    retry_at: u64,
    /// Problems for which there was no place at the last look.
    n_left_out: u64,
}

impl<K: Ord + Clone> Receiver<K> {
    /// A receiver that was told nothing yet.
    #[must_use]
    pub fn new(rules: NotifyRules) -> Self {
        Self {
            rules,
            known: BTreeMap::new(),
            in_flight: Vec::new(),
            counts: NotifyCounts::default(),
            n_failed_in_row: 0,
            is_failing: false,
            retry_at: 0,
            n_left_out: 0,
        }
    }

    /// These are all problems now. What is not among them is over.
    pub fn note(&mut self, now: u64, seen: &BTreeMap<K, Sighting>) {
        let (rules, counts) = (self.rules, &mut self.counts);
        self.known.retain(|key, known| known.see(now, &rules, seen.get(key), counts));
        let mut n_left_out = 0_u64;
        for (key, sighting) in seen {
            let Sighting::Here { material, is_symptom } = *sighting else { continue };
            if self.known.contains_key(key) {
                continue;
            }
            if self.known.len() >= self.rules.most {
                n_left_out += 1;
                continue;
            }
            self.known.insert(key.clone(), KnownProblem::open(now, material, is_symptom));
        }
        // Those that were left out before may still be told; what comes in addition is counted.
        self.counts.lost += n_left_out.saturating_sub(self.n_left_out);
        self.n_left_out = n_left_out;
    }

    /// What is to be sent now, in one message; nothing while a message is on its way. Say in `done` what
    /// became of it.
    pub fn next(&mut self, now: u64) -> Vec<(K, Notice)> {
        if !self.in_flight.is_empty() || now < self.retry_at {
            return Vec::new();
        }
        let rules = self.rules;
        let mut due: Vec<(u64, &K, Notice)> = self
            .known
            .iter()
            .filter_map(|(key, known)| known.due(&rules).map(|(at, notice)| (at, key, notice)))
            .filter(|(at, ..)| *at <= now)
            .collect();
        // A repetition is worth least: whoever is not told of it knows as much.
        due.sort_by_key(|(at, _, notice)| (*notice == Notice::Repeated, *at));
        due.truncate(rules.at_once);
        let due: Vec<(K, Notice)> =
            due.into_iter().map(|(_, key, notice)| (key.clone(), notice)).collect();
        for (key, _) in &due {
            if let Some(known) = self.known.get_mut(key) {
                known.note_try();
            }
        }
        self.in_flight.clone_from(&due);
        due
    }

    /// What became of the message that `next` gave. `random` makes the pauses of many hosts differ.
    pub fn done(&mut self, now: u64, delivery: Delivery, random: u64) {
        for (key, notice) in std::mem::take(&mut self.in_flight) {
            let Some(known) = self.known.get_mut(&key) else { continue };
            let is_kept = known.told(now, notice, delivery);
            let gave_up = !known.is_open()
                && !matches!(delivery, Delivery::Taken)
                && known.over_for(now) >= self.rules.try_for;
            match delivery {
                Delivery::Taken => self.counts.taken += 1,
                Delivery::Refused => self.counts.lost += 1,
                Delivery::NotReached | Delivery::InDoubt if gave_up => self.counts.lost += 1,
                Delivery::NotReached | Delivery::InDoubt => {}
            }
            if !is_kept || gave_up {
                self.known.remove(&key);
            }
        }
        match delivery {
            Delivery::Taken => (self.n_failed_in_row, self.retry_at) = (0, now),
            Delivery::Refused | Delivery::NotReached | Delivery::InDoubt => {
                self.counts.failed += 1;
                self.n_failed_in_row = self.n_failed_in_row.saturating_add(1);
                let NotifyRules { first_pause, longest_pause, .. } = self.rules;
                let pause = pause(first_pause, longest_pause, self.n_failed_in_row, random);
                self.retry_at = now.saturating_add(pause);
            }
        }
    }

    /// When `next` has something to send, unless something else happens before; nothing while a message is
    /// on its way.
    #[must_use]
    pub fn next_at(&self) -> Option<u64> {
        if !self.in_flight.is_empty() {
            return None;
        }
        let due = self.known.values().filter_map(|known| known.due(&self.rules));
        due.map(|(at, _)| at.max(self.retry_at)).min()
    }

    /// What operators should hear, once each time.
    pub fn news(&mut self) -> Option<ReceiverNews> {
        let is_failing = self.n_failed_in_row >= FAILS_AFTER;
        if is_failing && !self.is_failing {
            self.is_failing = true;
            return Some(ReceiverNews::Fails);
        }
        if self.n_failed_in_row == 0 && self.is_failing {
            self.is_failing = false;
            return Some(ReceiverNews::Works);
        }
        None
    }

    /// Whether it still has to do with this problem.
    #[must_use]
    pub fn knows(&self, key: &K) -> bool {
        self.known.contains_key(key)
    }

    /// What belongs to a notice of this problem, as it was noted last.
    #[must_use]
    pub fn facts(&self, key: &K) -> Option<NoticeFacts> {
        self.known.get(key).map(KnownProblem::facts)
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> NotifyCounts {
        self.counts
    }
}
