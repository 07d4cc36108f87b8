//! What is found out about the handles that guests of one component keep: of which type the one under
//! each number is, which only dropping it tells.
//! Does not drop any.

use std::sync::atomic::{AtomicU8, Ordering};

use super::helper::MOST_HANDLES;

/// Stands for a number whose handle nobody has tried to drop.
const UNTRIED: u8 = u8::MAX;

/// What was found out so far. Guests of one component keep much the same from call to call.
pub(in crate::sandbox) struct Learned {
    /// For each number, which of the types the handle under it was last found to have.
    types: [AtomicU8; MOST_HANDLES as usize],
    /// What was found out last: guests that keep many handles keep many of one type.
    latest: AtomicU8,
}

impl Default for Learned {
    fn default() -> Self {
        Self { types: [const { AtomicU8::new(UNTRIED) }; _], latest: AtomicU8::new(0) }
    }
}

impl Learned {
    /// Which of the types a handle of this number is taken to have.
    pub(super) fn type_of(&self, handle: u32) -> usize {
        let known = self.of(handle).map_or(UNTRIED, |ty| ty.load(Ordering::Relaxed));
        let latest = || self.latest.load(Ordering::Relaxed);
        usize::from(if known == UNTRIED { latest() } else { known })
    }

    /// A handle of this number had not this one of the types.
    pub(super) fn note_wrong(&self, handle: u32, ty: usize, n_types: usize) {
        let next = (ty + 1).checked_rem(n_types).and_then(|next| u8::try_from(next).ok());
        let Some(known) = self.of(handle) else { return };
        // Another may have found it out meanwhile; to try one twice does no harm.
        if self.type_of(handle) == ty {
            let next = next.unwrap_or(0);
            known.store(next, Ordering::Relaxed);
            self.latest.store(next, Ordering::Relaxed);
        }
    }

    fn of(&self, handle: u32) -> Option<&AtomicU8> {
        self.types.get(handle.checked_sub(1)? as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_was_wrong_is_not_tried_again_before_the_others() {
        let learned = Learned::default();
        for (tried, next) in [(0, 1), (1, 2), (0, 2), (2, 0)] {
            learned.note_wrong(3, tried, 3);
            assert_eq!(learned.type_of(3), next, "after {tried}");
        }
        learned.note_wrong(3, 0, 3);
        assert_eq!((learned.type_of(3), learned.type_of(1)), (1, 1), "as the latest");
    }
}
