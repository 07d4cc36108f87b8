//! When a receiver is told that a problem opened, changed or closed, and what happens when it does not take
//! what it is told. Nothing is queued: what the receiver was told is compared with what is so now. So a
//! receiver that comes back is told how things are, not everything that happened meanwhile.
//! Sends nothing and does not know what a receiver is: whoever drives it does.
//!
//! Call `note` with all problems there are whenever somebody has looked, send what `next` gives, and say in
//! `done` what came of it. `next_at` says when there is something to send. Times are milliseconds.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

/// How a receiver wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotifyRules {
    /// A problem that is over before so much time has passed is not told.
    pub wait: u64,
    /// Two changes of one problem are told no sooner after each other.
    pub change_every: u64,
    /// What is open is told again so often; never where this is nothing.
    pub repeat: Option<u64>,
    /// Most problems in one message.
    pub at_once: usize,
    /// Most problems that are known at once. The rest has to wait until one of them is over.
    pub most: usize,
    /// The first pause after a message that was not taken. It doubles each time.
    pub first_pause: u64,
    /// It does not become longer than this.
    pub longest_pause: u64,
    /// That a problem closed is tried to be told for so long.
    pub try_for: u64,
}

/// How a problem is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// It is there.
    Here {
        /// A number that changes when the problem changes so that it is worth to be told.
        material: u64,
        /// Another problem that is told brings it about. It is not told unless it was already.
        is_symptom: bool,
    },
    /// It is not here any more, but another host tells it.
    Elsewhere,
    /// It is not here any more, and nobody knows yet whether another host tells it.
    Unclear,
}

/// What a receiver is told of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Notice {
    /// It is there.
    Opened,
    /// It is not what it was.
    Changed,
    /// It is still there.
    Repeated,
    /// It is over.
    Closed,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The receiver took it.
    Taken,
    /// The receiver was not reached, so it did not get it.
    NotReached,
    /// Nobody knows: the receiver failed, or did not answer in time.
    InDoubt,
    /// The receiver does not want it, and will not want it later either.
    Refused,
}

/// What an operator should hear of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiverNews {
    /// It takes nothing.
    Fails,
    /// It takes what it is told again.
    Works,
}

/// Counts of notices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotifyCounts {
    /// Those that were taken.
    pub taken: u64,
    /// Messages that were not taken, so that they were tried again or given up.
    pub failed: u64,
    /// Notices that the receiver will never get.
    pub lost: u64,
}

/// So many messages that are not taken one after the other are told to operators.
const FAILS_AFTER: u32 = 3;

/// What one receiver knows of the problems, and what it is to be told.
#[derive(Clone, Debug)]
pub struct Receiver<K> {
    rules: NotifyRules,
    known: BTreeMap<K, KnownProblem>,
    /// What is on its way.
    in_flight: Vec<(K, Notice, u64)>,
    counts: NotifyCounts,
    n_failed_in_row: u32,
    is_failing: bool,
    retry_at: u64,
    /// Problems for which there was no place at the last look.
    n_left_out: u64,
}

/// A problem, as far as the receiver is concerned.
#[derive(Clone, Copy, Debug)]
struct KnownProblem {
    state: CourseSeen,
    /// Since when it is seen.
    since: u64,
    told: Option<ToldNotice>,
    /// Somebody tried to tell the opening.
    was_tried: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CourseSeen {
    Open { material: u64, is_symptom: bool },
    Unclear,
    Over { at: u64 },
}

/// What the receiver was told last, or may have been.
#[derive(Clone, Copy, Debug)]
struct ToldNotice {
    material: u64,
    at: u64,
    /// What it may not have got.
    in_doubt: Option<Notice>,
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
            let state = CourseSeen::Open { material, is_symptom };
            let known = KnownProblem { state, since: now, told: None, was_tried: false };
            self.known.insert(key.clone(), known);
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
        for (key, notice) in &due {
            let Some(known) = self.known.get_mut(key) else { continue };
            known.was_tried = true;
            self.in_flight.push((key.clone(), *notice, known.material()));
        }
        due
    }

    /// What became of the message that `next` gave. `random` makes the pauses of many hosts differ.
    pub fn done(&mut self, now: u64, delivery: Delivery, random: u64) {
        for (key, notice, material) in std::mem::take(&mut self.in_flight) {
            let Some(known) = self.known.get_mut(&key) else { continue };
            let is_kept = known.told(now, (notice, material), delivery);
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
                self.retry_at = now.saturating_add(self.pause(random));
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

    /// Since when a problem is seen, and when it was over.
    #[must_use]
    pub fn times(&self, key: &K) -> Option<(u64, Option<u64>)> {
        let known = self.known.get(key)?;
        let CourseSeen::Over { at } = known.state else { return Some((known.since, None)) };
        Some((known.since, Some(at)))
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> NotifyCounts {
        self.counts
    }

    fn pause(&self, random: u64) -> u64 {
        let doublings = self.n_failed_in_row.saturating_sub(1).min(30);
        let whole = self.rules.first_pause.saturating_mul(1 << doublings);
        let whole = whole.min(self.rules.longest_pause);
        // Between half of it and all of it.
        whole / 2 + random % (whole / 2 + 1)
    }
}

impl KnownProblem {
    /// Takes what is seen of it now; whether there is anything left to tell.
    fn see(
        &mut self,
        now: u64,
        rules: &NotifyRules,
        seen: Option<&Sighting>,
        counts: &mut NotifyCounts,
    ) -> bool {
        match (seen, self.told) {
            (Some(Sighting::Here { material, is_symptom }), told) => {
                let is_new = told.is_none_or(|told| told.in_doubt == Some(Notice::Opened));
                if is_new && !self.is_open() {
                    self.since = now;
                }
                self.state = CourseSeen::Open { material: *material, is_symptom: *is_symptom };
                true
            }
            (Some(Sighting::Elsewhere), None) => false,
            // Whether it is told there is not known: what was told here is over once nobody has it.
            (Some(Sighting::Unclear | Sighting::Elsewhere), Some(_)) => {
                if self.is_open() {
                    self.state = CourseSeen::Unclear;
                }
                true
            }
            (Some(Sighting::Unclear) | None, None) => {
                let was_due = self.due(rules).is_some_and(|(at, _)| at <= now);
                if was_due || self.was_tried {
                    counts.lost += 1;
                }
                false
            }
            (None, Some(_)) => {
                if !matches!(self.state, CourseSeen::Over { .. }) {
                    self.state = CourseSeen::Over { at: now };
                }
                true
            }
        }
    }

    /// What is to be told next, and when.
    fn due(&self, rules: &NotifyRules) -> Option<(u64, Notice)> {
        let (material, is_symptom) = match (self.state, self.told) {
            // One that is in doubt stands behind what others wait for.
            (CourseSeen::Over { at }, Some(told)) => {
                return Some((at.max(told.at), Notice::Closed));
            }
            (CourseSeen::Over { .. }, None) | (CourseSeen::Unclear, _) => return None,
            (CourseSeen::Open { material, is_symptom }, _) => (material, is_symptom),
        };
        let Some(told) = self.told else {
            let due = (self.since.saturating_add(rules.wait), Notice::Opened);
            return (!is_symptom).then_some(due);
        };
        if let Some(notice) = told.in_doubt {
            return Some((told.at, notice));
        }
        if told.material != material {
            return Some((told.at.saturating_add(rules.change_every), Notice::Changed));
        }
        rules.repeat.map(|repeat| (told.at.saturating_add(repeat), Notice::Repeated))
    }

    /// It was told; whether there may be more to tell.
    fn told(&mut self, now: u64, (notice, material): (Notice, u64), delivery: Delivery) -> bool {
        match (notice, delivery) {
            (_, Delivery::NotReached) => true,
            (Notice::Closed, Delivery::InDoubt) => {
                // Where it opens again, the receiver may take it for closed.
                if let Some(told) = &mut self.told {
                    (told.in_doubt, told.at) = (Some(Notice::Opened), now);
                }
                true
            }
            (Notice::Closed, Delivery::Taken | Delivery::Refused) => {
                // It may have opened again while this was on its way.
                self.told = None;
                self.was_tried = false;
                self.is_open()
            }
            (_, Delivery::Taken | Delivery::Refused) => {
                self.told = Some(ToldNotice { material, at: now, in_doubt: None });
                true
            }
            (_, Delivery::InDoubt) => {
                // What it got for sure stays so long as nobody knows better.
                let known = self.told.map_or(material, |told| told.material);
                self.told = Some(ToldNotice { material: known, at: now, in_doubt: Some(notice) });
                true
            }
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.state, CourseSeen::Open { .. })
    }

    fn material(&self) -> u64 {
        if let CourseSeen::Open { material, .. } = self.state {
            return material;
        }
        self.told.map_or(0, |told| told.material)
    }

    fn over_for(&self, now: u64) -> u64 {
        match self.state {
            CourseSeen::Over { at } => now.saturating_sub(at),
            CourseSeen::Open { .. } | CourseSeen::Unclear => 0,
        }
    }
}
