//! Taking away code and instances that nobody calls.
//! Does not decide which code goes for want of room: `core::mapped` does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Loader;
use crate::catalog::{App, LoadedDeployment};

/// Shortest and longest time between two looks for code that is not called.
const EVICT_EVERY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(60));

impl Loader {
    /// Gives up all instances that wait for another call.
    pub fn drop_idle(&self) {
        for deployed in self.inner.mapped.all().iter().flat_map(|app| code_of(app)) {
            deployed.prepared.drop_idle(Duration::ZERO);
        }
    }

    /// Takes away, again and again, the code and the instances that nobody has called lately, and of
    /// the instances of apps that are called those that are not needed any more. Never ends.
    pub async fn evict_idle(self) {
        let (shortest, longest) = EVICT_EVERY;
        let every = (self.inner.idle / 4).clamp(shortest, longest);
        let mut ticks = tokio::time::interval(every);
        loop {
            ticks.tick().await;
            let now = self.clock(Instant::now());
            let idle = u64::try_from(self.inner.idle.as_millis()).unwrap_or(u64::MAX);
            let (unmapped, left) = self.inner.mapped.unmap_idle(now.saturating_sub(idle));
            self.drop_in_background(unmapped);
            // What came last is taken first, so who is not needed waits from one look to the next.
            for deployed in left.iter().flat_map(|app| code_of(app)) {
                deployed.prepared.drop_idle(every);
            }
        }
    }
}

/// The mapped code of an app, with that of a canary.
fn code_of(app: &App) -> impl Iterator<Item = Arc<LoadedDeployment>> + use<> {
    let canary = app.canary().map(|canary| canary.deployed.clone());
    app.deployed().into_iter().chain(canary)
}
