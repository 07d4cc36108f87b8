//! What is found out about the handles that guests of one component keep: of which type the one under
//! each number is, which only dropping it tells.
//! Does not drop any.

use std::sync::atomic::{AtomicU8, Ordering};

use super::helper::MOST_HANDLES;
use super::live::Lost;

/// What was found out so far. Guests of one component keep much the same from call to call.
pub(in crate::sandbox) struct Learned {
    /// For each number, which of the types the handle under it was last found to have.
    types: [AtomicU8; MOST_HANDLES as usize],
}

impl Default for Learned {
    fn default() -> Self {
        Self { types: [const { AtomicU8::new(0) }; _] }
    }
}

impl Learned {
    /// Which of the types a handle of this number is taken to have.
    pub(super) fn type_of(&self, handle: u32) -> usize {
        self.of(handle).map_or(0, |ty| usize::from(ty.load(Ordering::Relaxed)))
    }

    /// Draws the lesson from a loss.
    pub(super) fn note(&self, lost: &Lost) {
        let Lost::WrongType { handle, ty, n_types, .. } = lost else { return };
        let next = (ty + 1).checked_rem(*n_types).and_then(|next| u8::try_from(next).ok());
        let Some(known) = self.of(*handle) else { return };
        // Another may have found it out meanwhile; to try one twice does no harm.
        if usize::from(known.load(Ordering::Relaxed)) == *ty {
            known.store(next.unwrap_or(0), Ordering::Relaxed);
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
            let why = String::new();
            learned.note(&Lost::WrongType { handle: 3, ty: tried, n_types: 3, why });
            assert_eq!(learned.type_of(3), next, "after {tried}");
        }
        assert_eq!(learned.type_of(1), 0);
    }
}
