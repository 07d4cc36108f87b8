//! The capsules of one app: what its failing calls left, so that they can be run again.
//! Does not know what is in one, nor how many are kept: `core::capsule` says that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use steerage_core::capsule::{CapsuleFate, FailureKind, RetainedCapsules};
use steerage_core::id::{CallId, CallIdPrefix};

use crate::shared::{Locked, Sum};

/// What stands around a capsule in memory.
const OVERHEAD: u64 = 200;

/// What an app has of them.
#[derive(Debug, Default)]
struct SealedCapsules {
    kept: RetainedCapsules<Arc<[u8]>>,
    /// Calls whose capsules could not be made. Trying costs as much as making one, so a few of a kind are tried. They
    /// take no place of a capsule: clients choose how large a request is.
    tried: RetainedCapsules<()>,
}

/// The capsules of one app. Takes nothing but its own few words until a call leaves one.
#[derive(Debug)]
pub struct Capsules {
    retained: Locked<Option<Box<SealedCapsules>>>,
    began_at: Instant,
    /// Bytes kept of all apps.
    n_bytes_of_all: Arc<Sum>,
}

impl Capsules {
    /// None yet; what is kept is added to `n_bytes`.
    pub(super) fn new(n_bytes: Arc<Sum>) -> Self {
        Self { retained: Locked::default(), began_at: Instant::now(), n_bytes_of_all: n_bytes }
    }

    /// Keeps the capsule of a call where there is room for one of its kind: only then is it made.
    ///
    /// # Errors
    /// What making it says.
    pub fn keep<E>(
        &self,
        kind: FailureKind,
        call: CallId,
        now: Instant,
        make: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<CapsuleFate, E> {
        let now = now.saturating_duration_since(self.began_at);
        if !self.has_room(&kind, now) {
            return Ok(CapsuleFate::QuotaReached);
        }
        // Without the lock: it takes a good part of a millisecond. Others may be as fast.
        let made = make();
        let capsule: Arc<[u8]> = match made {
            Ok(capsule) => capsule.into(),
            Err(error) => {
                self.retained.lock().get_or_insert_default().tried.insert(kind, call, (), now);
                return Err(error);
            }
        };
        self.n_bytes_of_all.add(n_bytes(&capsule));
        let gone = {
            let mut retained = self.retained.lock();
            retained.get_or_insert_default().kept.insert(kind, call, capsule.clone(), now)
        };
        self.n_bytes_of_all.subtract(gone.iter().map(n_bytes).sum());
        let is_kept = !gone.iter().any(|gone| Arc::ptr_eq(gone, &capsule));
        Ok(if is_kept { CapsuleFate::Kept } else { CapsuleFate::QuotaReached })
    }

    /// Those of calls whose ids begin so.
    #[must_use]
    pub fn find(&self, id: CallIdPrefix) -> Vec<Arc<[u8]>> {
        let retained = self.retained.lock();
        let all = retained.iter().flat_map(|retained| retained.kept.all());
        let found = all.filter(|(call, _)| id.begins(*call));
        found.map(|(_, capsule)| capsule.clone()).collect()
    }

    /// Bytes that they take.
    pub(super) fn n_bytes(&self) -> u64 {
        let retained = self.retained.lock();
        retained
            .iter()
            .flat_map(|retained| retained.kept.all())
            .map(|(_, capsule)| n_bytes(capsule))
            .sum()
    }

    pub(super) fn forget(&self) {
        let forgotten = self.retained.lock().take();
        let all = forgotten.iter().flat_map(|retained| retained.kept.all());
        self.n_bytes_of_all.subtract(all.map(|(_, capsule)| n_bytes(capsule)).sum());
    }

    fn has_room(&self, kind: &FailureKind, now: Duration) -> bool {
        self.retained.lock().as_ref().is_none_or(|retained| {
            retained.kept.has_room(kind, now) && retained.tried.has_room(kind, now)
        })
    }
}

impl Drop for Capsules {
    fn drop(&mut self) {
        self.forget();
    }
}

fn n_bytes(capsule: &Arc<[u8]>) -> u64 {
    capsule.len() as u64 + OVERHEAD
}

#[cfg(test)]
mod tests {
    use steerage_core::capsule::{KEPT_FOR, MOST_OF_A_KIND};

    use super::*;

    #[test]
    fn a_few_of_a_kind_are_made_and_weighed_and_given_back() {
        let n_bytes = Arc::new(Sum::new(0));
        let capsules = Capsules::new(n_bytes.clone());
        let kind = || FailureKind { generation: 1, cause: "trapped", place: 7 };
        let (now, mut n_made) = (Instant::now(), 0);
        for number in 0..10_u128 {
            let fate = capsules.keep(kind(), CallId::from_u128(number << 120), now, || {
                n_made += 1;
                Ok::<_, ()>(vec![0; 1000])
            });
            let expected = if number < 4 { CapsuleFate::Kept } else { CapsuleFate::QuotaReached };
            assert_eq!(fate, Ok(expected), "{number}");
        }
        assert_eq!((n_made, capsules.n_bytes()), (MOST_OF_A_KIND, 4 * (1000 + OVERHEAD)));
        assert_eq!(n_bytes.get(), capsules.n_bytes());
        assert_eq!(capsules.find("0300".parse().unwrap()).len(), 1);
        assert!(capsules.find("0400".parse().unwrap()).is_empty());
        let other = FailureKind { cause: "out_of_fuel", ..kind() };
        let mut n_tried = 0;
        for number in 0..10_u128 {
            let failed = capsules.keep(other.clone(), CallId::from_u128(number), now, || {
                n_tried += 1;
                Err("too large")
            });
            let expected =
                if number < 4 { Err("too large") } else { Ok(CapsuleFate::QuotaReached) };
            assert_eq!(failed, expected, "{number}");
        }
        // It is not tried again and again, and nobody finds what was not made.
        assert_eq!((n_tried, capsules.find("0000".parse().unwrap()).len()), (MOST_OF_A_KIND, 1));
        assert_eq!(n_bytes.get(), capsules.n_bytes());
        // However many kinds of them there are, and however late: what was kept stays.
        let later = now + 10 * KEPT_FOR;
        for place in 0..100 {
            let kind = FailureKind { place, ..kind() };
            capsules.keep(kind, CallId::from_u128(0), later, || Err::<Vec<u8>, _>(())).ok();
        }
        assert_eq!(capsules.find("0300".parse().unwrap()).len(), 1);
        drop(capsules);
        assert_eq!(n_bytes.get(), 0);
    }
}
