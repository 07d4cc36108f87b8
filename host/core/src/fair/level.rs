//! One level of start-time fair queueing: members in the order of their virtual times.
//! Does not know what its members are, what of them waits, or how long they stay.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::units::Weight;

/// Virtual time per nanosecond of CPU time at weight 1: fine enough that the heaviest member's
/// nanosecond still counts.
const UNIT: u128 = 1 << 20;

/// CPU time divided by a weight, in [`UNIT`]ths of a nanosecond.
pub(super) type Virtual = u128;

/// CPU time as virtual time of a member: the less it weighs, the more it counts.
pub(super) fn stretch(used: Duration, weight: Weight) -> Virtual {
    used.as_nanos().saturating_mul(UNIT) / u128::from(weight.get())
}

/// Members of one level. Each keeps its [`Seat`].
#[derive(Debug)]
pub(super) struct Level<K> {
    present: BTreeSet<(Virtual, K)>,
    /// Those of them of which something waits.
    ready: BTreeSet<(Virtual, K)>,
    clock: Virtual,
    /// The most virtual time any member had: where the clock goes when nobody is left.
    horizon: Virtual,
}

/// Where a member stands in its level.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seat {
    pub(super) at: Virtual,
    pub(super) is_present: bool,
    is_ready: bool,
}

impl<K> Default for Level<K> {
    fn default() -> Self {
        Self { present: BTreeSet::new(), ready: BTreeSet::new(), clock: 0, horizon: 0 }
    }
}

impl<K: Copy + Ord> Level<K> {
    /// Has a member take part of which nothing waits, no earlier than the clock; or by its credit earlier
    /// where it has been here all the time, since then it is owed what others were given meanwhile.
    pub(super) fn arrive(&mut self, key: K, credit: Virtual, seat: &mut Seat) {
        let credit = if seat.is_present { credit } else { 0 };
        let at = seat.at.max(self.clock.saturating_sub(credit));
        self.move_to(key, seat, at);
        if !seat.is_present {
            seat.is_present = true;
            self.present.insert((at, key));
        }
    }

    /// Lets a member go. When it is the last one, everybody's debts are forgiven.
    pub(super) fn depart(&mut self, key: K, seat: &mut Seat) {
        self.set_ready(key, seat, false);
        self.present.remove(&(seat.at, key));
        seat.is_present = false;
        if self.present.is_empty() {
            self.clock = self.horizon;
        }
    }

    /// Says whether something of a member waits.
    pub(super) fn set_ready(&mut self, key: K, seat: &mut Seat, is_ready: bool) {
        match (seat.is_ready, is_ready) {
            (false, true) => drop(self.ready.insert((seat.at, key))),
            (true, false) => drop(self.ready.remove(&(seat.at, key))),
            _ => {}
        }
        seat.is_ready = is_ready;
    }

    /// A member starts a slice.
    pub(super) fn start(&mut self, seat: &Seat) {
        self.clock = self.clock.max(seat.at);
    }

    /// Charges a member, after taking back what was charged by estimate.
    pub(super) fn charge(&mut self, key: K, seat: &mut Seat, back: Virtual, charge: Virtual) {
        let at = seat.at.saturating_sub(back).saturating_add(charge);
        self.move_to(key, seat, at);
    }

    /// Who is next of those of whom something waits.
    pub(super) fn next(&self) -> Option<K> {
        self.ready.first().map(|(_, key)| *key)
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

    fn move_to(&mut self, key: K, seat: &mut Seat, at: Virtual) {
        if at == seat.at {
            self.horizon = self.horizon.max(at);
            return;
        }
        if seat.is_present {
            self.present.remove(&(seat.at, key));
            self.present.insert((at, key));
        }
        if seat.is_ready {
            self.ready.remove(&(seat.at, key));
            self.ready.insert((at, key));
        }
        seat.at = at;
        self.horizon = self.horizon.max(at);
    }
}
