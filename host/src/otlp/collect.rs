//! All metrics of this host at one moment, as requests to a collector.
//! Does not send them, and does not know when that moment is.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use steerage_core::units::nanoseconds;

use super::exemplars::CallExemplars;
use super::exported_apps::ExportedApps;
use super::families::Families;
use super::point_requests::{MetricHead, MetricKind, PointRequest, PointRequests};
use crate::telemetry::metrics::form::Form;
use crate::telemetry::metrics::{self, AppReading, HostReading, Readings, ReceiverReading};

/// What was told before, which what is told next goes on from.
#[derive(Debug)]
pub(super) struct Collection {
    apps: ExportedApps,
    exemplars: Arc<CallExemplars>,
    last_at: u64,
}

/// The metrics of the host, with apps of which some are many together.
#[derive(Debug)]
struct ExportedReadings {
    apps: Vec<AppReading>,
    of: Arc<dyn Readings>,
}

impl Readings for ExportedReadings {
    fn apps(&self) -> Vec<AppReading> {
        self.apps.clone()
    }

    fn host(&self) -> HostReading {
        self.of.host()
    }

    fn receivers(&self) -> Vec<ReceiverReading> {
        self.of.receivers()
    }
}

impl Collection {
    /// Of a host that begins now, whose calls leave their examples there.
    pub(super) fn start(exemplars: Arc<CallExemplars>) -> Self {
        let now = since_epoch();
        Self { apps: ExportedApps::since(now), exemplars, last_at: now }
    }

    /// What the metrics say now, and which of them are left out since their units are not known, which is a bug.
    ///
    /// # Errors
    /// They cannot be written or read, which is a bug.
    pub(super) fn collect(
        &mut self,
        readings: &Arc<dyn Readings>,
    ) -> Result<(Vec<PointRequest>, Vec<String>), fmt::Error> {
        // A clock that is set back would have series end before they begin.
        let now = since_epoch().max(self.last_at);
        self.last_at = now;
        let mut all = readings.apps();
        // Whoever was deployed and never called has nothing to tell.
        all.retain(|app| app.running > 0 || app.waiting > 0 || app.meter.calls().0 > 0);
        self.apps.note(now, &all);
        let (apps, starts) = self.apps.readings(now, &all);
        drop(all);
        let mut requests = PointRequests::default();
        requests.begin(MetricHead {
            name: "http.server.request.duration".to_owned(),
            description: "Duration of HTTP server requests, of those that were not refused"
                .to_owned(),
            unit: "s",
            kind: MetricKind::Histogram,
        });
        for point in self.apps.durations(now, self.exemplars.take()) {
            requests.add_histogram(point);
        }
        let mut families = Families::new(&starts, now, &mut requests);
        let told = ExportedReadings { apps, of: readings.clone() };
        metrics::write(told, Form::Open, |lines| {
            families.read(std::str::from_utf8(&lines).map_err(|_no_text| fmt::Error)?)
        })?;
        let left_out = families.finish();
        Ok((requests.finish(), left_out))
    }
}

fn since_epoch() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    nanoseconds(since.unwrap_or(Duration::ZERO))
}
