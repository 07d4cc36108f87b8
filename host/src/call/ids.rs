//! By which ids a call is known: what it prints and what is told of it carries them.
//! Makes none.

use steerage_core::id::CallId;
use steerage_core::trace::TraceParent;

/// The ids of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallIds {
    /// Its own.
    pub call: CallId,
    /// Those of its span, where spans are exported.
    pub span: Option<TraceParent>,
}

impl CallIds {
    /// Those of an instance that serves no call yet.
    pub const NONE: Self = Self::without_span(CallId::from_u128(0));

    /// Those of a call that is no span.
    #[must_use]
    pub const fn without_span(call: CallId) -> Self {
        Self { call, span: None }
    }
}
