//! Deploys that are not over, by component: one that was refused takes its component away only where no
//! other may still need it.
//! Does not remove anything.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use steerage_core::id::Digest;

/// Deploys that are not over.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    counts: Mutex<BTreeMap<Digest, usize>>,
}

/// One of them.
pub(super) struct Flight<'f> {
    all: &'f InFlight,
    component: Digest,
}

impl InFlight {
    pub(super) fn enter(&self, component: Digest) -> Flight<'_> {
        *self.counts().entry(component).or_default() += 1;
        Flight { all: self, component }
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<Digest, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight<'_> {
    /// Ends it; whether no other deploy of the component is in flight.
    pub(super) fn leave(self) -> bool {
        let mut counts = self.all.counts();
        let n_others = counts.get(&self.component).map_or(0, |count| count.saturating_sub(1));
        if n_others == 0 {
            counts.remove(&self.component);
        } else {
            counts.insert(self.component, n_others);
        }
        n_others == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_deploy_of_a_component_may_forget_it() {
        let in_flight = InFlight::default();
        let (one, other) = (Digest::from_bytes([1; 32]), Digest::from_bytes([2; 32]));
        let (first, second) = (in_flight.enter(one), in_flight.enter(one));
        assert!(in_flight.enter(other).leave());
        assert!(!first.leave());
        assert!(second.leave());
        assert!(in_flight.counts().is_empty());
    }
}
