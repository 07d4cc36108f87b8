//! What is found out about the handles that guests of one component keep: of which type the one under
//! each number was last. Guests of one component keep much the same from call to call.
//! Does not take any.

use std::sync::atomic::{AtomicU8, Ordering};

use super::helper::MOST_HANDLES;

/// Stands for a number whose handle nobody has taken.
const UNKNOWN: u8 = u8::MAX;

/// What was found out so far.
pub(in crate::sandbox) struct Learned {
    /// For each number, which of the types the handle under it was last found to have.
    types: [AtomicU8; MOST_HANDLES as usize],
    /// The type of the last of all: guests that keep many handles keep many of one type.
    latest: AtomicU8,
}

impl Default for Learned {
    fn default() -> Self {
        Self { types: [const { AtomicU8::new(UNKNOWN) }; _], latest: AtomicU8::new(0) }
    }
}

impl Learned {
    /// In which order the types are tried for a handle of this number: the likeliest first.
    pub(super) fn order(&self, handle: u32, n_types: usize) -> impl Iterator<Item = usize> + use<> {
        let known = self.of(handle).map_or(UNKNOWN, |ty| ty.load(Ordering::Relaxed));
        let first = if known == UNKNOWN { self.latest.load(Ordering::Relaxed) } else { known };
        let first = usize::from(first);
        std::iter::once(first).chain((0..n_types).filter(move |ty| *ty != first))
    }

    /// A handle of this number had this one of the types.
    pub(super) fn note(&self, handle: u32, ty: usize) {
        // More types than that are tried in the order that there is.
        let Ok(ty) = u8::try_from(ty) else { return };
        if let Some(known) = self.of(handle) {
            known.store(ty, Ordering::Relaxed);
        }
        self.latest.store(ty, Ordering::Relaxed);
    }

    fn of(&self, handle: u32) -> Option<&AtomicU8> {
        self.types.get(handle.checked_sub(1)? as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_that_a_number_had_is_tried_first_and_every_other_once() {
        let learned = Learned::default();
        let order = |handle| learned.order(handle, 4).collect::<Vec<_>>();
        assert_eq!(order(1), [0, 1, 2, 3]);
        learned.note(3, 2);
        assert_eq!(order(3), [2, 0, 1, 3]);
        assert_eq!(order(1), [2, 0, 1, 3], "as the latest");
        learned.note(1, 1);
        assert_eq!((order(1), order(3)), (vec![1, 0, 2, 3], vec![2, 0, 1, 3]));
    }
}
