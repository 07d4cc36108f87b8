//! What an app's outbound requests came to, by destination: the table that its requests write and operators
//! read. Does not decide which destinations are kept apart: `core::destinations` does.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use steerage_core::destinations::{CountedAs, DestinationTable, RequestOver};
use steerage_core::telemetry::KeptOfApp;

use crate::shared::{Locked, Sum};

/// The destinations of one app. Takes nothing but its own few words until the app sends a request.
#[derive(Debug, Default)]
pub struct Destinations {
    table: Locked<Option<Box<DestinationTable>>>,
    /// Bytes kept of all apps.
    n_bytes_of_all: Arc<Sum>,
}

impl Destinations {
    /// None yet; what is kept is added to `n_bytes`.
    pub(super) fn new(n_bytes: Arc<Sum>) -> Self {
        Self { table: Locked::default(), n_bytes_of_all: n_bytes }
    }

    /// A request to a destination is under way.
    pub fn begin(&self, name: &str) -> CountedAs {
        let now = now();
        self.change(|table| table.begin(name, now))
    }

    /// A request is over, that was begun, and then counted so.
    pub fn record(&self, name: &str, begun: Option<CountedAs>, over: &RequestOver) {
        self.change(|table| table.record(name, begun, over));
    }

    /// What is known of all destinations; `None` where the app has never sent a request.
    #[must_use]
    pub fn read(&self) -> Option<DestinationTable> {
        self.table.lock().as_deref().cloned()
    }

    pub(super) fn kept(&self) -> Option<KeptOfApp> {
        let table = self.table.lock();
        table.as_ref().map(|table| KeptOfApp { last_at: table.last_at(), bytes: table.n_bytes() })
    }

    pub(super) fn forget(&self) {
        let forgotten = self.table.lock().take();
        let n_bytes = forgotten.map_or(0, |table| table.n_bytes());
        self.n_bytes_of_all.subtract(n_bytes);
    }

    fn change<T>(&self, change: impl FnOnce(&mut DestinationTable) -> T) -> T {
        let mut table = self.table.lock();
        let before = table.as_ref().map_or(0, |table| table.n_bytes());
        let table = table.get_or_insert_default();
        let changed = change(table);
        let after = table.n_bytes();
        if after > before {
            self.n_bytes_of_all.add(after - before);
        } else {
            self.n_bytes_of_all.subtract(before - after);
        }
        changed
    }
}

impl Drop for Destinations {
    fn drop(&mut self) {
        self.forget();
    }
}

/// Milliseconds since the epoch.
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use steerage_core::destinations::RequestEnd;

    use super::*;

    #[test]
    fn what_is_kept_is_weighed_and_given_back() {
        let n_bytes = Arc::new(Sum::new(0));
        let destinations = Destinations::new(n_bytes.clone());
        assert!(destinations.read().is_none() && destinations.kept().is_none());
        assert_eq!(n_bytes.get(), 0);
        for number in 0..100 {
            let name = format!("h{number}:80");
            let begun = Some(destinations.begin(&name));
            let over = RequestOver {
                end: RequestEnd::Answered,
                why: "",
                status: 200,
                took: Duration::ZERO,
                waited: Duration::ZERO,
                at: number,
            };
            destinations.record(&name, begun, &over);
        }
        let kept = destinations.kept().unwrap();
        assert_eq!(kept.bytes, n_bytes.get());
        assert!(kept.bytes < 20_000, "{} bytes", kept.bytes);
        destinations.forget();
        assert_eq!(n_bytes.get(), 0);
        // A request that was under way then is counted all the same.
        destinations.begin("late:80");
        drop(destinations);
        assert_eq!(n_bytes.get(), 0);
    }
}
