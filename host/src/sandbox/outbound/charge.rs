//! Whom the work on outbound connections is charged to.
//! Does not do the work.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crate::meter;

/// Whom the work on connections is charged to.
#[derive(Clone)]
pub struct ConnectionCharge(Arc<dyn Fn(Duration) + Send + Sync>);

impl ConnectionCharge {
    /// Calls `charge` with CPU time that was used.
    #[must_use]
    pub fn to(charge: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        Self(Arc::new(charge))
    }

    /// Charges CPU time that was used.
    pub(in crate::sandbox) fn with(&self, used: Duration) {
        (self.0)(used);
    }

    /// Does work and charges it.
    pub(super) async fn of<T>(self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            meter::begin();
            let polled = work.as_mut().poll(context);
            (self.0)(meter::end());
            polled
        })
        .await
    }
}

impl fmt::Debug for ConnectionCharge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConnectionCharge").finish_non_exhaustive()
    }
}
