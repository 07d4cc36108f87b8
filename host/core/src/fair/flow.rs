//! One app in the line: what of it waits and runs, and what its slices are taken to cost.
//! Does not know where it stands among others: its [`Seat`] does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::TenantKey;
use super::common::{FlowEntry, Owner};
use super::level::Seat;
use crate::units::Weight;

/// What a slice is taken to cost before the first one of its flow was measured.
pub const FIRST_ESTIMATE: Duration = Duration::from_micros(50);
/// A flow whose slices take longer than this is not run where others' requests are read.
pub const LONGEST_HERE: Duration = Duration::from_micros(250);
/// How long a flow counts as present after its last slice: many times what a caller nearby needs to
/// ask again.
pub const LINGER: Duration = Duration::from_millis(5);
/// How far behind the clock a member may be that asks again while it lingers, as CPU time of each core. Twice
/// what the longest slice takes, of which each core may begin one at the same time: while they run, who asks
/// on few connections is answered and asks again many times, and would lose each time what the slices have
/// cost the others. Simulated on two cores, such an app got 35 % of what it gets alone beside one that
/// loops, where it is entitled to half, and gets that with this (`laws::two_workers`).
pub const CREDIT: Duration = Duration::from_millis(4);
/// How slowly an estimate follows slices that take longer: one that was held up by chance must not
/// cost its flow much, one of many milliseconds must show at once.
const ESTIMATE_RISE: u32 = 4;
/// How slowly it follows slices that take less.
const ESTIMATE_FALL: u32 = 8;

#[derive(Debug)]
pub(super) struct Flow<T> {
    pub(super) entry: Arc<FlowEntry>,
    /// Which version of the entry's owner is below.
    pub(super) version: u32,
    pub(super) tenant: TenantKey,
    pub(super) weight: Weight,
    pub(super) seat: Seat,
    /// What waits, and since when.
    pub(super) waiting: VecDeque<(Duration, T)>,
    pub(super) n_running: usize,
    pub(super) estimate: Duration,
    pub(super) lingers_until: Duration,
    /// Whether `Fair::lingering` has it.
    pub(super) is_lingering: bool,
    /// Whether it is known also while it is not present.
    pub(super) is_kept: bool,
}

impl<T> Flow<T> {
    pub(super) fn new(
        (entry, version): (Arc<FlowEntry>, u32),
        owner: Owner,
        estimate: Duration,
    ) -> Self {
        Self {
            entry,
            version,
            tenant: owner.tenant.key,
            weight: owner.weight,
            seat: Seat::new(owner.member),
            waiting: VecDeque::new(),
            n_running: 0,
            estimate,
            lingers_until: Duration::ZERO,
            is_lingering: false,
            is_kept: false,
        }
    }

    pub(super) fn is_short(&self) -> bool {
        self.estimate <= LONGEST_HERE
    }

    /// Whether nobody needs to know it any more, once it is not present.
    pub(super) fn is_forgotten(&self) -> bool {
        !self.is_kept && !self.is_lingering && self.is_idle()
    }

    /// Whether nothing of it runs or waits.
    pub(super) fn is_idle(&self) -> bool {
        self.n_running == 0 && self.waiting.is_empty()
    }
}

/// The next estimate of what a slice takes, after one that took `used`.
#[must_use]
pub fn learn(estimate: Duration, used: Duration) -> Duration {
    match estimate.checked_sub(used) {
        Some(excess) => estimate.saturating_sub(excess / ESTIMATE_FALL),
        None => estimate.saturating_add((used.saturating_sub(estimate)) / ESTIMATE_RISE),
    }
}
