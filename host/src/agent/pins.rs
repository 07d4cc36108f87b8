//! Components that stay while they are copied, whatever becomes of the deployments that need them.
//! Removes nothing: it remembers what would have been removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use steerage_core::id::Digest;

/// Components that are being copied, and are not removed meanwhile.
#[derive(Debug, Default)]
pub(super) struct Pins(Mutex<Pinned>);

#[derive(Debug, Default)]
struct Pinned {
    /// How many copies each is wanted for.
    counts: BTreeMap<Digest, u32>,
    /// Those that would have been removed.
    unwanted: BTreeSet<Digest>,
}

impl Pins {
    /// Whether a component has to stay for now.
    pub(super) fn hold(&self, digest: &Digest) -> bool {
        let mut pinned = self.pinned();
        let is_held = pinned.counts.contains_key(digest);
        if is_held {
            pinned.unwanted.insert(*digest);
        }
        is_held
    }

    pub(super) fn pin<'d>(&self, digests: impl Iterator<Item = &'d Digest>) {
        let mut pinned = self.pinned();
        for digest in digests {
            *pinned.counts.entry(*digest).or_default() += 1;
        }
    }

    /// Lets go of components; returns those that would have been removed meanwhile.
    pub(super) fn unpin(&self, digests: &[Digest]) -> Vec<Digest> {
        let mut pinned = self.pinned();
        let mut unwanted = Vec::new();
        for digest in digests {
            let Some(count) = pinned.counts.get_mut(digest) else { continue };
            *count -= 1;
            if *count == 0 {
                pinned.counts.remove(digest);
                unwanted.extend(pinned.unwanted.take(digest));
            }
        }
        unwanted
    }

    fn pinned(&self) -> MutexGuard<'_, Pinned> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_stays_until_the_last_copy_is_done() {
        let pins = Pins::default();
        let [one, two] = [1, 2].map(|byte| Digest::from_bytes([byte; 32]));
        pins.pin([one, two].iter());
        pins.pin([one].iter());
        assert!(pins.hold(&one));
        assert_eq!(pins.unpin(&[one]), []);
        assert!(pins.hold(&one));
        assert_eq!(pins.unpin(&[one, two]), [one], "nobody wanted to remove the second");
        assert!(!pins.hold(&one) && !pins.hold(&two));
    }
}
