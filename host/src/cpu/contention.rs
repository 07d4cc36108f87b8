//! Whether more than one app has asked lately. While it is one, nobody needs to be charged.
//! Takes no lock and hardly ever writes: it is asked for every call.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use steerage_core::fair::{FlowKey, LINGER};
use steerage_core::units::nanoseconds;

use crate::shared::Shared;

/// How long it is not said again that another app has asked: [`LINGER`] may be so much shorter. Otherwise
/// every call would write what all cores read just while many apps are called.
const SAID_AGAIN: Duration = Duration::from_micros(500);

/// Who asks.
#[derive(Debug, Default)]
pub(super) struct Contention {
    /// The number of the app that asked last; 0 before the first.
    latest: Shared<AtomicU32>,
    is_contended: Shared<AtomicBool>,
    /// Until when it is, in nanoseconds.
    contended_until: Shared<AtomicU64>,
}

impl Contention {
    /// Notes that an app asks; says whether others have lately. Looks at the time only where that
    /// matters.
    pub(super) fn note(&self, key: FlowKey, now: impl Fn() -> Duration) -> bool {
        let is_same = self.latest.load(Ordering::Relaxed) == key.number();
        if is_same && !self.is_contended() {
            return false;
        }
        let (now, order) = (now(), Ordering::Relaxed);
        let until = Duration::from_nanos(self.contended_until.load(order));
        let is_contended = if is_same {
            now < until
        } else if self.is_contended() && now + (LINGER - SAID_AGAIN) < until {
            true
        } else {
            self.contended_until.write().store(nanoseconds(now + LINGER), order);
            self.latest.write().swap(key.number(), order) != 0
        };
        if self.is_contended() != is_contended {
            self.is_contended.write().store(is_contended, order);
        }
        is_contended
    }

    /// Whether more than one has asked lately, when last looked at.
    pub(super) fn is_contended(&self) -> bool {
        self.is_contended.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use steerage_core::fair::Fair;
    use steerage_core::units::Weight;

    use super::*;

    #[test]
    fn an_app_is_alone_when_the_others_have_been_gone_for_a_while() {
        let mut fair: Fair<()> = Fair::default();
        let tenant = fair.add_tenant(Weight::DEFAULT);
        let [one, other] = [(); 2].map(|()| fair.add(tenant, Weight::DEFAULT));
        let contention = Contention::default();
        let asks = |key, micros| contention.note(key, || Duration::from_micros(micros));
        assert!(!asks(one, 0));
        assert!(!asks(one, 1));
        assert!(asks(other, 2));
        assert!(asks(other, 4000));
        assert!(!asks(other, 5002));
        assert!(asks(one, 9000), "another came meanwhile");
    }

    #[test]
    fn apps_that_ask_in_turn_are_not_written_down_each_time() {
        let mut fair: Fair<()> = Fair::default();
        let tenant = fair.add_tenant(Weight::DEFAULT);
        let [one, other] = [(); 2].map(|()| fair.add(tenant, Weight::DEFAULT));
        let contention = Contention::default();
        let asks = |key, micros| contention.note(key, || Duration::from_micros(micros));
        let mut n_writes = 0;
        for micros in 0..10_000 {
            let before = contention.contended_until.load(Ordering::Relaxed);
            asks(if micros % 2 == 0 { one } else { other }, micros);
            n_writes += u32::from(contention.contended_until.load(Ordering::Relaxed) != before);
        }
        assert!(n_writes <= 25, "{n_writes} of 10000 were written");
        assert!(asks(one, 14_000), "the other came at 9999");
        assert!(!asks(one, 20_000));
    }
}
