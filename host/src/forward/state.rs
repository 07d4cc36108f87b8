//! What is known of whether a host is there, in one byte: the evidence of `core::liveness`.
//! Every call looks at it for every host that may take it. Does not judge it.

use std::sync::atomic::{AtomicU8, Ordering};

use steerage_core::liveness::{Evidence, Eyes, LeaseState, Probe, Run};

/// One byte: what it answered in bits 0 and 1, what the store says of its lease in 2 and 3, whether another
/// run of it answered in 4, and whether most hosts are refused by it in 5.
///
/// Probes, calls, views of the store and the planner change it in any order and at any time, each by one
/// exchange of the whole byte: whoever reads sees all four as they were at one moment, and no change undoes
/// another one. Nothing else is published by it: a reader that sees a change may still
/// see the reason or the clock from before, so no order is asked for.
#[derive(Debug)]
pub(super) struct KnownState(AtomicU8);

const PROBES: [Probe; 4] = [Probe::Refused, Probe::Impossible, Probe::Silent, Probe::Answers];
const LEASES: [LeaseState; 3] = [LeaseState::Ended, LeaseState::Unknown, LeaseState::Held];
const LEASE: u8 = 2;
const OTHER_RUN: u8 = 1 << 4;
const MOST_REFUSED: u8 = 1 << 5;

impl KnownState {
    pub(super) fn new(evidence: Evidence) -> Self {
        Self(AtomicU8::new(pack(evidence)))
    }

    pub(super) fn read(&self) -> Evidence {
        unpack(self.0.load(Ordering::Relaxed))
    }

    /// Changes it; returns what it was.
    pub(super) fn change(&self, change: impl Fn(&mut Evidence)) -> Evidence {
        let changed = |bits| {
            let mut evidence = unpack(bits);
            change(&mut evidence);
            // Most of the time it says what is known already, and then nobody writes.
            Some(pack(evidence)).filter(|after| *after != bits)
        };
        let changed = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed);
        unpack(changed.unwrap_or_else(|same| same))
    }
}

fn pack(evidence: Evidence) -> u8 {
    let Evidence { lease, probe, run, eyes } = evidence;
    let other = if run == Run::Other { OTHER_RUN } else { 0 };
    let most = if eyes == Eyes::Most { MOST_REFUSED } else { 0 };
    probe as u8 | (lease as u8) << LEASE | other | most
}

fn unpack(bits: u8) -> Evidence {
    // Nothing else is ever written, and `Silent` and `Unknown` say nothing of anybody.
    let probe = PROBES.get(usize::from(bits & 3)).copied().unwrap_or(Probe::Silent);
    let lease = LEASES.get(usize::from(bits >> LEASE & 3)).copied();
    Evidence {
        lease: lease.unwrap_or(LeaseState::Unknown),
        probe,
        run: if bits & OTHER_RUN == 0 { Run::Same } else { Run::Other },
        eyes: if bits & MOST_REFUSED == 0 { Eyes::Own } else { Eyes::Most },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = Evidence> {
        let runs = [Run::Other, Run::Same];
        let eyes = [Eyes::Most, Eyes::Own];
        LEASES.into_iter().flat_map(move |lease| {
            PROBES.into_iter().flat_map(move |probe| {
                runs.into_iter().flat_map(move |run| {
                    eyes.into_iter().map(move |eyes| Evidence { lease, probe, run, eyes })
                })
            })
        })
    }

    #[test]
    fn everything_that_can_be_known_fits_and_comes_back() {
        assert_eq!(all().count(), 48);
        for evidence in all() {
            assert_eq!(KnownState::new(evidence).read(), evidence);
        }
    }

    #[test]
    fn one_change_leaves_what_others_have_changed() {
        for (before, after) in all().flat_map(|one| all().map(move |other| (one, other))) {
            let state = KnownState::new(before);
            assert_eq!(state.change(|known| known.lease = after.lease), before);
            state.change(|known| known.run = after.run);
            state.change(|known| (known.probe, known.eyes) = (after.probe, after.eyes));
            assert_eq!(state.change(|_| {}), after);
        }
    }
}
