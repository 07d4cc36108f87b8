//! The sides of a call: what must be gone before it is recorded. Others hold the call longer, to tell it
//! something or to be told, and do not matter to that.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Call;

/// One side of a call: its guest's, or its client's, whoever has that now. Clones are sides as well.
#[derive(Debug)]
pub struct CallSide(Arc<Call>);

impl CallSide {
    /// The side that `call` was made with.
    pub(super) fn first(call: Arc<Call>) -> Self {
        Self(call)
    }

    /// The call, to be held for longer than this side of it.
    #[must_use]
    pub fn call(&self) -> &Arc<Call> {
        &self.0
    }
}

impl Clone for CallSide {
    fn clone(&self) -> Self {
        // As for an `Arc`: who clones has a side already, so the count cannot be 0 meanwhile.
        self.0.n_sides.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl Drop for CallSide {
    fn drop(&mut self) {
        // Whoever is last sees all that the other sides have done before.
        if self.0.n_sides.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.record.record(&self.0);
        }
    }
}

impl Deref for CallSide {
    type Target = Call;

    fn deref(&self) -> &Call {
        &self.0
    }
}
