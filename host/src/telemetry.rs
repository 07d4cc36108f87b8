//! What the host knows and tells: metrics, log lines of guests, events.
//! Does not decide anything from what it knows, nor whose goes where it is too much: `core::telemetry` does.

pub mod access;
pub mod busiest;
pub mod calls;
pub mod capsules;
pub mod destinations;
pub mod events;
pub mod hidden;
pub mod logs;
pub mod metrics;
pub mod problems;
pub mod profiles;

use std::collections::BTreeMap;
use std::sync::Arc;

use steerage_core::id::AppName;
use steerage_core::telemetry::{KeptOfApp, TelemetryUse, longest_quiet};
use steerage_core::units::Bytes;

use self::busiest::Busiest;
use self::calls::AllCalls;
use self::events::Events;
use self::logs::Logs;
use self::metrics::AppMeters;
use self::problems::Problems;
use self::profiles::Profiles;
use crate::shared::Sum;

/// What of the bound may not be known at a moment: threads keep what they added lately to themselves.
const UNCERTAIN: u64 = 1 << 20;

/// What is known of all apps, within one bound.
#[derive(Debug)]
pub struct Telemetry {
    /// What guests printed.
    pub logs: Logs,
    /// The last calls.
    pub calls: AllCalls,
    /// The counters.
    pub meters: AppMeters,
    /// What is wrong with them, and with the host.
    pub problems: Problems,
    /// Which of them used most of the cores lately.
    pub busiest: Busiest,
    /// Where their guests spend CPU time.
    pub profiles: Arc<Profiles>,
    events: Arc<Events>,
    most: Bytes,
    /// Bytes of log lines and last calls.
    kept: Arc<Sum>,
    /// Bytes of counters, and of what is added up for history.
    counters: Arc<Sum>,
}

impl Telemetry {
    /// Nothing yet, of at most so many bytes with the `events`; `is_history_kept` where somebody takes what
    /// is added up of calls.
    #[must_use]
    pub fn new(most: Bytes, events: Arc<Events>, is_history_kept: bool) -> Self {
        let sum = || Arc::new(Sum::new(UNCERTAIN.min(most.get() / 64)));
        let (kept, counters) = (sum(), sum());
        Self {
            logs: Logs::new(kept.clone()),
            calls: AllCalls::new(kept.clone(), is_history_kept.then(|| counters.clone())),
            meters: AppMeters::new(counters.clone(), most),
            problems: Problems::new(events.clone()),
            busiest: Busiest::default(),
            profiles: Arc::default(),
            events,
            most,
            kept,
            counters,
        }
    }

    /// Bytes that all of it takes.
    #[must_use]
    pub fn n_bytes(&self) -> Bytes {
        let TelemetryUse { kept, fixed } = self.used();
        Bytes::new(kept.saturating_add(fixed))
    }

    /// Gives up log lines and last calls where all apps together have more than may be kept: of those to
    /// which nothing has happened for the longest time. To be called now and then.
    pub fn shrink(&self) {
        let excess = self.used().excess(self.most.get());
        if excess == 0 {
            return;
        }
        let mut apps: BTreeMap<AppName, KeptOfApp> = BTreeMap::new();
        self.logs.weigh(|app, kept| add(&mut apps, app, kept));
        self.calls.weigh(|app, kept| add(&mut apps, app, kept));
        let (names, kept): (Vec<_>, Vec<_>) = apps.into_iter().unzip();
        for place in longest_quiet(&kept, excess) {
            if let Some(app) = names.get(place) {
                self.logs.forget(app);
                self.calls.forget(app);
            }
        }
    }

    /// Forgets an app that was removed. Calls of it that run keep what they have to their end.
    pub fn remove(&self, app: &AppName) {
        self.logs.remove(app);
        self.calls.remove(app);
    }

    fn used(&self) -> TelemetryUse {
        let fixed = self.counters.get().saturating_add(self.events.n_bytes() as u64);
        TelemetryUse { kept: self.kept.get(), fixed }
    }
}

fn add(apps: &mut BTreeMap<AppName, KeptOfApp>, app: &AppName, kept: KeptOfApp) {
    let all = apps.entry(app.clone()).or_insert(KeptOfApp { last_at: 0, bytes: 0 });
    all.last_at = all.last_at.max(kept.last_at);
    all.bytes = all.bytes.saturating_add(kept.bytes);
}

/// An error with its causes, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
