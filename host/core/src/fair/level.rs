//! One level of start-time fair queueing: members in the order of their virtual times, as far as this
//! queue knows them. Does not know what its members are, what of them waits, or how long they stay.
//!
//! A member's time here is what all queues have told of it, and what this one has not told yet. What
//! others tell is looked at when a member is about to be chosen: who is first by what was known and is
//! not by what is known now moves back, and the next one is looked at.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::common::{CommonLevel, EXCHANGE, Member};
use super::flow::CREDIT;
use crate::units::Weight;

/// How many binary digits of virtual time are below the nanosecond: fine enough that the heaviest
/// member's nanosecond still counts.
const FINE: u32 = 20;

/// CPU time divided by a weight, in nanoseconds with [`FINE`] binary digits behind them.
pub(super) type Virtual = u128;

/// CPU time as virtual time of a member: the less it weighs, the more it counts.
pub(super) fn stretch(used: Duration, weight: Weight) -> Virtual {
    (used.as_nanos() << FINE) / u128::from(weight.get())
}

/// Members of one level. Each keeps its [`Seat`].
#[derive(Debug)]
pub(super) struct Level<K> {
    present: BTreeSet<(Virtual, K)>,
    /// Those of them of which something waits.
    ready: BTreeSet<(Virtual, K)>,
    clock: Virtual,
    /// What of the clock the other queues were told, in whole nanoseconds.
    told: u64,
    /// The most virtual time any member had: where the clock goes when nobody is left.
    horizon: Virtual,
    common: Arc<CommonLevel>,
}

/// Where a member stands in its level.
#[derive(Clone, Debug, Default)]
pub(super) struct Seat {
    /// Its virtual time: what all queues have told, and what this one has not told.
    pub(super) at: Virtual,
    /// What all have told, in whole nanoseconds, when last looked at.
    seen: u64,
    /// When all were last told what it was charged here.
    told_at: Duration,
    member: Arc<Member>,
    pub(super) is_present: bool,
    is_ready: bool,
}

impl Seat {
    /// The seat of a member who was given so much by all queues.
    pub(super) fn new(member: Arc<Member>) -> Self {
        let seen = member.at.load(Ordering::Relaxed);
        Self {
            at: fine(seen),
            seen,
            told_at: Duration::ZERO,
            member,
            is_present: false,
            is_ready: false,
        }
    }
}

fn fine(whole: u64) -> Virtual {
    u128::from(whole) << FINE
}

fn whole(at: Virtual) -> u64 {
    u64::try_from(at >> FINE).unwrap_or(u64::MAX)
}

impl<K: Copy + Ord> Level<K> {
    pub(super) fn new(common: Arc<CommonLevel>) -> Self {
        let clock = common.clock.load(Ordering::Relaxed);
        Self {
            present: BTreeSet::new(),
            ready: BTreeSet::new(),
            clock: fine(clock),
            told: clock,
            horizon: 0,
            common,
        }
    }

    /// Has a member of this weight take part of which nothing waits here. Where nothing waits in any
    /// queue, no earlier than the clock; or by [`CREDIT`] earlier where it has not been gone from here,
    /// since then it may be owed what others were given while all of it was being answered.
    pub(super) fn arrive(&mut self, (key, weight): (K, Weight), seat: &mut Seat) {
        self.absorb(key, seat);
        let told = self.common.clock.load(Ordering::Relaxed);
        self.clock = self.clock.max(fine(told));
        let credit = CREDIT.saturating_mul(self.common.n_cores);
        let credit = if seat.is_present { stretch(credit, weight) } else { 0 };
        let floor = self.clock.saturating_sub(credit);
        if seat.at < floor && seat.member.n_ready.load(Ordering::Relaxed) == 0 {
            // Two queues to which it comes at the same time must not add up what it slept through.
            let from = whole(floor);
            seat.seen = seat.member.at.fetch_max(from, Ordering::Relaxed).max(from);
            self.move_to(key, seat, floor.max(fine(seat.seen)));
        }
        self.enter(key, seat);
    }

    /// Has a member take part where it stands.
    fn enter(&mut self, key: K, seat: &mut Seat) {
        self.horizon = self.horizon.max(seat.at);
        if seat.is_present {
            return;
        }
        if self.present.is_empty() {
            self.common.n_queues.fetch_add(1, Ordering::Relaxed);
        }
        seat.is_present = true;
        self.present.insert((seat.at, key));
    }

    /// Lets a member go. When it is the last one of all queues, everybody's debts are forgiven.
    pub(super) fn depart(&mut self, key: K, seat: &mut Seat) {
        self.set_ready(key, seat, false);
        self.tell(key, seat, 0);
        if !seat.is_present {
            return;
        }
        self.present.remove(&(seat.at, key));
        seat.is_present = false;
        if self.present.is_empty() {
            let common = &self.common;
            let horizon = whole(self.horizon);
            let horizon = common.horizon.fetch_max(horizon, Ordering::Relaxed).max(horizon);
            // Another queue may be entered just now: then what is forgiven is a debt of an exchange.
            if common.n_queues.fetch_sub(1, Ordering::Relaxed) == 1 {
                common.clock.fetch_max(horizon, Ordering::Relaxed);
                self.clock = self.clock.max(self.horizon);
            }
        }
    }

    /// Says whether something of a member waits.
    pub(super) fn set_ready(&mut self, key: K, seat: &mut Seat, is_ready: bool) {
        match (seat.is_ready, is_ready) {
            (false, true) => {
                self.ready.insert((seat.at, key));
                seat.member.n_ready.fetch_add(1, Ordering::Relaxed);
            }
            (true, false) => {
                self.ready.remove(&(seat.at, key));
                seat.member.n_ready.fetch_sub(1, Ordering::Relaxed);
            }
            _ => {}
        }
        seat.is_ready = is_ready;
    }

    /// A member of this weight starts a slice.
    pub(super) fn start(&mut self, seat: &Seat, weight: Weight) {
        self.clock = self.clock.max(seat.at);
        if self.clock.saturating_sub(fine(self.told)) >= stretch(EXCHANGE, weight) {
            self.told = whole(self.clock);
            self.common.clock.fetch_max(self.told, Ordering::Relaxed);
        }
    }

    /// Charges a member of this weight, after taking back what was charged by estimate.
    pub(super) fn charge(
        &mut self,
        (key, weight): (K, Weight),
        seat: &mut Seat,
        back: Virtual,
        charge: Virtual,
    ) {
        let at = seat.at.saturating_sub(back).saturating_add(charge);
        self.move_to(key, seat, at);
        self.tell(key, seat, stretch(EXCHANGE, weight));
    }

    /// Tells the other queues what a member was charged here, if they were told nothing for an [`EXCHANGE`]:
    /// where there are many members, each is served little by each queue, and that adds up.
    pub(super) fn tell_in_time(&mut self, key: K, seat: &mut Seat, now: Duration) {
        if now >= seat.told_at.saturating_add(EXCHANGE) {
            seat.told_at = now;
            self.tell(key, seat, fine(1));
        }
    }

    /// Takes over what other queues have told of a member. Says whether it stands elsewhere now.
    pub(super) fn absorb(&mut self, key: K, seat: &mut Seat) -> bool {
        let told = seat.member.at.load(Ordering::Relaxed);
        if told == seat.seen {
            return false;
        }
        // What was not told yet may be less than nothing: an estimate that was told and taken back.
        let at = seat.at.saturating_add(fine(told)).saturating_sub(fine(seat.seen));
        seat.seen = told;
        self.move_to(key, seat, at);
        true
    }

    /// Who is next of those of whom something waits, by what was known of them.
    pub(super) fn next(&self) -> Option<K> {
        self.ready.first().map(|(_, key)| *key)
    }

    /// Who of those who are present was given the least, by what was known of them.
    pub(super) fn least(&self) -> Option<K> {
        self.present.first().map(|(_, key)| *key)
    }

    /// Whether nobody who is present was given less than this member.
    pub(super) fn is_least(&self, seat: &Seat) -> bool {
        self.present.first().is_none_or(|(least, _)| seat.at <= *least)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// What does not hold of this level and these seats of it, if anything.
    pub(super) fn check<'s>(&self, seats: impl Iterator<Item = (K, &'s Seat)>) -> Option<String> {
        let (mut n_present, mut n_ready) = (0, 0);
        for (key, seat) in seats {
            let place = (seat.at, key);
            if self.present.contains(&place) != seat.is_present
                || self.ready.contains(&place) != seat.is_ready
            {
                return Some("every member is listed where it stands".to_owned());
            }
            if seat.is_present && seat.at > self.horizon {
                return Some("nobody is beyond the horizon".to_owned());
            }
            n_present += usize::from(seat.is_present);
            n_ready += usize::from(seat.is_ready);
        }
        let holds = n_present == self.present.len() && n_ready == self.ready.len();
        (!holds).then(|| "nobody else is listed".to_owned())
    }

    /// Tells the other queues what a member was charged here, once it comes to so much.
    fn tell(&mut self, key: K, seat: &mut Seat, least: Virtual) {
        let (at, seen) = (seat.at, fine(seat.seen));
        if at.abs_diff(seen) < least {
            return;
        }
        if at >= seen {
            let more = whole(at - seen);
            let before = seat.member.at.fetch_add(more, Ordering::Relaxed);
            let at = fine(before.saturating_add(more)).saturating_add(at - seen - fine(more));
            seat.seen = before.saturating_add(more);
            self.move_to(key, seat, at);
        } else {
            let less = whole(seen - at);
            let take = |told: u64| Some(told.saturating_sub(less));
            let told = seat.member.at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
            let before = told.unwrap_or_else(|told| told);
            let rest = seen - at - fine(less);
            seat.seen = before.saturating_sub(less);
            self.move_to(key, seat, fine(seat.seen).saturating_sub(rest));
        }
    }

    fn move_to(&mut self, key: K, seat: &mut Seat, at: Virtual) {
        if at != seat.at {
            if seat.is_present {
                self.present.remove(&(seat.at, key));
                self.present.insert((at, key));
            }
            if seat.is_ready {
                self.ready.remove(&(seat.at, key));
                self.ready.insert((at, key));
            }
            seat.at = at;
        }
        self.horizon = self.horizon.max(at);
    }
}
