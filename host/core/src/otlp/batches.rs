//! Batches on their way to a collector, one at a time: when one is full or old enough, how often it is tried,
//! and what is counted of those that never arrive.
//! Does not hold what waits behind the batch: whoever drives it asks for no more than there is room for.
//!
//! Add what `room` has a place for, send what `next` gives, and say in `done` what came of it. `next_at` says
//! when there is something to send. Times are milliseconds.

use crate::pause::pause;

/// When a batch is sent, and for how long it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchRules {
    /// Most that go at once.
    pub at_once: usize,
    /// With so many bytes a batch is full: the last one of it may make it larger.
    pub most_bytes: usize,
    /// Longest wait of the first one for others.
    pub wait: u64,
    /// The pause after the first failure; each further one doubles it.
    pub first_pause: u64,
    /// The longest pause of our own.
    pub longest_pause: u64,
    /// After so long a batch that is not taken is given up.
    pub try_for: u64,
    /// A collector that wants to be left alone for longer is asked after so long.
    pub longest_wait: u64,
    /// So long without a loss or a failure, and a collector is said to work again.
    pub well_after: u64,
}

/// The batches of the OpenTelemetry specification, tried for a minute as its SDKs do.
pub const RULES: BatchRules = BatchRules {
    at_once: 512,
    // Collectors take requests of 4 MiB by gRPC unless they are told otherwise.
    most_bytes: 1 << 20,
    wait: 5_000,
    first_pause: 1_000,
    longest_pause: 30_000,
    try_for: 60_000,
    // A wrong clock of a collector may name a time that never comes.
    longest_wait: 3_600_000,
    well_after: 60_000,
};

/// So many failures one after the other are told to operators.
const FAILS_AFTER: u32 = 3;

/// What became of a batch that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchAnswer {
    /// It was taken, but for so many in it.
    Taken {
        /// What the collector says that it did not take.
        rejected: u64,
    },
    /// It will never be taken.
    Refused,
    /// It may be taken later, and when, where that was said, in milliseconds.
    Later {
        /// No sooner than after this.
        after: Option<u64>,
    },
    /// Nobody was reached, so it can be sent again without being there twice.
    NotReached,
    /// It may have been taken: to send it again may double it.
    InDoubt,
}

/// Why something is never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// Too much was waiting.
    QueueFull,
    /// The collector refused it.
    Refused,
    /// The collector did not take it for as long as it was tried.
    GivenUp,
    /// The collector did not say what became of it.
    Unanswered,
    /// The host ended before it was taken.
    HostEnded,
}

impl DropReason {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::QueueFull, Self::Refused, Self::GivenUp, Self::Unanswered, Self::HostEnded];

    /// Its name in metrics.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Refused => "refused",
            Self::GivenUp => "given_up",
            Self::Unanswered => "unanswered",
            Self::HostEnded => "host_ended",
        }
    }
}

/// What was sent and lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// Taken by the collector.
    pub sent: u64,
    /// Never sent, by reasons, in the order of [`DropReason::ALL`].
    pub dropped: [u64; DropReason::ALL.len()],
}

/// What operators should hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchNews {
    /// The collector does not take what it is sent, or something was lost.
    Fails,
    /// It has taken all for a while, and at least one batch.
    Works,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BatchState {
    /// The batch takes more.
    Fills,
    /// It is on its way.
    Sent { first_at: u64 },
    /// It was not taken and is tried again then.
    Pauses { first_at: u64, until: u64 },
}

/// The batch at hand, and what became of those before it.
#[derive(Clone, Debug)]
pub struct Batches<T> {
    rules: BatchRules,
    batch: Vec<T>,
    /// As how many they count.
    weight: u64,
    n_bytes: usize,
    /// When the first one of it came.
    since: u64,
    state: BatchState,
    is_ending: bool,
    /// No batch is sent before. It matters to the next batch where this one is given up sooner.
    not_before: u64,
    counts: BatchCounts,
    n_failed_in_row: u32,
    is_failing: bool,
    /// Whether a batch was taken whole since something was lost last.
    is_taken_whole: bool,
    /// When something was lost last.
    lost_at: Option<u64>,
    /// When something was lost or not taken last.
    trouble_at: Option<u64>,
}

impl<T> Batches<T> {
    /// An empty batch.
    #[must_use]
    pub fn new(rules: BatchRules) -> Self {
        Self {
            rules,
            batch: Vec::new(),
            weight: 0,
            n_bytes: 0,
            since: 0,
            state: BatchState::Fills,
            is_ending: false,
            not_before: 0,
            counts: BatchCounts::default(),
            n_failed_in_row: 0,
            is_failing: false,
            is_taken_whole: false,
            lost_at: None,
            trouble_at: None,
        }
    }

    /// How many it takes now.
    #[must_use]
    pub fn room(&self) -> usize {
        match self.state {
            BatchState::Fills if self.n_bytes >= self.rules.most_bytes => 0,
            BatchState::Fills => self.rules.at_once.saturating_sub(self.batch.len()),
            BatchState::Sent { .. } | BatchState::Pauses { .. } => 0,
        }
    }

    /// Adds one of so many bytes, for which there is room.
    pub fn add(&mut self, now: u64, one: T, n_bytes: usize) {
        self.n_bytes = self.n_bytes.saturating_add(n_bytes);
        self.add_as(now, one, 1);
    }

    /// Adds one that counts as so many, whatever its bytes.
    pub fn add_as(&mut self, now: u64, one: T, weight: u64) {
        if self.batch.is_empty() {
            self.since = now;
        }
        self.batch.push(one);
        self.weight += weight;
    }

    /// Sends what there is from now on without waiting for more, and tries nothing again.
    pub fn end(&mut self) {
        self.is_ending = true;
    }

    /// What is to be sent now. Say in `done` what became of it.
    pub fn next(&mut self, now: u64) -> Option<&[T]> {
        if self.next_at().is_none_or(|at| now < at) {
            return None;
        }
        let first_at = match self.state {
            BatchState::Pauses { first_at, .. } | BatchState::Sent { first_at } => first_at,
            BatchState::Fills => now,
        };
        self.state = BatchState::Sent { first_at };
        Some(&self.batch)
    }

    /// What became of what `next` gave. `random` makes the pauses of many hosts differ.
    pub fn done(&mut self, now: u64, answer: BatchAnswer, random: u64) {
        let BatchState::Sent { first_at } = self.state else { return };
        let n_sent = self.weight;
        match answer {
            BatchAnswer::Taken { rejected } => {
                let rejected = rejected.min(n_sent);
                self.counts.sent += n_sent - rejected;
                self.n_failed_in_row = 0;
                self.is_taken_whole = true;
                self.finish();
                self.lose(now, DropReason::Refused, rejected);
                return;
            }
            BatchAnswer::Refused => self.fail(now, DropReason::Refused),
            BatchAnswer::InDoubt => self.fail(now, DropReason::Unanswered),
            BatchAnswer::Later { .. } | BatchAnswer::NotReached if self.is_ending => {
                self.fail(now, DropReason::HostEnded);
            }
            BatchAnswer::Later { after: Some(after) } => self.retry(now, first_at, after),
            BatchAnswer::Later { after: None } | BatchAnswer::NotReached => {
                let BatchRules { first_pause, longest_pause, .. } = self.rules;
                let n_failed = self.n_failed_in_row.saturating_add(1);
                self.retry(now, first_at, pause(first_pause, longest_pause, n_failed, random));
            }
        }
        self.n_failed_in_row = self.n_failed_in_row.saturating_add(1);
        self.trouble_at = Some(now);
    }

    /// The batch at hand is not sent any more, where there is one that is not on its way.
    pub fn give_up(&mut self, now: u64) {
        if !matches!(self.state, BatchState::Sent { .. }) {
            let reason = if self.is_ending { DropReason::HostEnded } else { DropReason::GivenUp };
            self.fail(now, reason);
        }
    }

    /// So many were lost before they came here.
    pub fn lose(&mut self, now: u64, reason: DropReason, n_lost: u64) {
        if n_lost == 0 {
            return;
        }
        if let Some(count) = self.counts.dropped.get_mut(reason as usize) {
            *count += n_lost;
        }
        (self.lost_at, self.trouble_at) = (Some(now), Some(now));
        self.is_taken_whole = false;
    }

    /// When `next` has something to send unless more comes; nothing while a batch is on its way.
    #[must_use]
    pub fn next_at(&self) -> Option<u64> {
        match self.state {
            BatchState::Sent { .. } => None,
            BatchState::Pauses { .. } if self.is_ending => Some(0),
            BatchState::Pauses { until, .. } => Some(until),
            BatchState::Fills if self.batch.is_empty() => None,
            BatchState::Fills if self.is_ending => Some(0),
            BatchState::Fills if self.room() == 0 => Some(self.not_before),
            BatchState::Fills => {
                Some(self.since.saturating_add(self.rules.wait).max(self.not_before))
            }
        }
    }

    /// The collector wants nothing before, unless it is the end.
    #[must_use]
    pub fn not_before(&self) -> u64 {
        self.not_before
    }

    /// What operators should hear, once each time.
    pub fn news(&mut self, now: u64) -> Option<BatchNews> {
        let is_recent =
            |at: Option<u64>| at.is_some_and(|at| now.saturating_sub(at) < self.rules.well_after);
        let is_bad = is_recent(self.lost_at) || self.n_failed_in_row >= FAILS_AFTER;
        let was_bad_lately = is_recent(self.trouble_at);
        if is_bad && !self.is_failing {
            self.is_failing = true;
            return Some(BatchNews::Fails);
        }
        // A collector that rejects something of each batch does not work, however seldom a batch comes.
        let is_well = self.is_taken_whole && self.n_failed_in_row == 0;
        if self.is_failing && !was_bad_lately && is_well {
            self.is_failing = false;
            return Some(BatchNews::Works);
        }
        None
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> BatchCounts {
        self.counts
    }

    /// How many are in the batch.
    #[must_use]
    pub fn n_held(&self) -> usize {
        self.batch.len()
    }

    fn finish(&mut self) {
        self.batch.clear();
        (self.weight, self.n_bytes) = (0, 0);
        self.state = BatchState::Fills;
    }

    fn fail(&mut self, now: u64, reason: DropReason) {
        let n_lost = self.weight;
        self.finish();
        self.lose(now, reason, n_lost);
    }

    fn retry(&mut self, now: u64, first_at: u64, pause: u64) {
        let until = now.saturating_add(pause.min(self.rules.longest_wait));
        self.not_before = until;
        if until > first_at.saturating_add(self.rules.try_for) {
            self.fail(now, DropReason::GivenUp);
        } else {
            self.state = BatchState::Pauses { first_at, until };
        }
    }
}
