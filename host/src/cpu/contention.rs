//! Whether more than one app has asked lately. While it is one, nobody needs to be charged.
//! Takes no lock: it is asked for every call.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use steerage_core::fair::{FlowKey, LINGER};
use steerage_core::units::nanoseconds;

/// Who asks.
#[derive(Debug, Default)]
pub(super) struct Contention {
    /// The number of the app that asked last; 0 before the first.
    latest: AtomicU32,
    is_contended: AtomicBool,
    /// Until when it is, in nanoseconds.
    contended_until: AtomicU64,
}

impl Contention {
    /// Notes that an app asks; says whether others have lately. Looks at the time only where that
    /// matters.
    pub(super) fn note(&self, key: FlowKey, now: impl Fn() -> Duration) -> bool {
        let is_same = self.latest.load(Ordering::Relaxed) == key.number();
        if is_same && !self.is_contended() {
            return false;
        }
        let now = now();
        let is_contended = if is_same {
            now < Duration::from_nanos(self.contended_until.load(Ordering::Relaxed))
        } else {
            self.contended_until.store(nanoseconds(now + LINGER), Ordering::Relaxed);
            self.latest.swap(key.number(), Ordering::Relaxed) != 0
        };
        self.is_contended.store(is_contended, Ordering::Relaxed);
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
}
