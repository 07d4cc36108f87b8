//! The sides of a call: what must be gone before it is recorded. Others hold the call longer, to tell it
//! something or to be told, and do not matter to that.

use std::ops::Deref;
use std::sync::Arc;

use super::state::Call;

/// One side of a call: its guest's, or its client's, whoever has that now. Clones are sides as well.
#[derive(Debug)]
pub struct CallSide(Arc<Call>);

impl CallSide {
    /// A side of this call.
    #[must_use]
    pub fn of(call: Arc<Call>) -> Self {
        call.add_side();
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
        Self::of(self.0.clone())
    }
}

impl Drop for CallSide {
    fn drop(&mut self) {
        self.0.drop_side();
    }
}

impl Deref for CallSide {
    type Target = Call;

    fn deref(&self) -> &Call {
        &self.0
    }
}
