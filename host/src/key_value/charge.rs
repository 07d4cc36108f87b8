//! Whom the work of writing is charged to.
//! Does not do it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whom the CPU time is charged to that writes take.
#[derive(Clone)]
pub struct WriteCharge(Arc<dyn Fn(Duration) + Send + Sync>);

impl WriteCharge {
    /// Calls `charge` with CPU time that was used.
    #[must_use]
    pub fn to(charge: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        Self(Arc::new(charge))
    }

    /// Nobody: the host's own work.
    #[must_use]
    pub fn to_nobody() -> Self {
        Self::to(|_| ())
    }

    pub(super) fn with(&self, used: Duration) {
        (self.0)(used);
    }
}

impl fmt::Debug for WriteCharge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WriteCharge").finish_non_exhaustive()
    }
}

/// The time, in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
