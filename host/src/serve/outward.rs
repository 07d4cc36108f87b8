//! Opens what tells those outside: the access log, which is opened again when an operator asks, the spans, metrics
//! and log records that a collector gets, and the receivers of problems.
//! Writes and sends nothing.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::Mutex;

use super::{StartError, problems};
use crate::config::Settings;
use crate::kernel;
use crate::member;
use crate::notify::Notifier;
use crate::otlp::{CollectorDriver, CollectorExporters, LogExporter, MetricExporter, SpanExporter};
use crate::reload::Reload;
use crate::telemetry::Telemetry;
use crate::telemetry::access::AccessLog;
use crate::telemetry::events::Events;

/// For so long one wait lasts. Nothing is done when nobody has asked by then.
const HOUR: Duration = Duration::from_secs(3600);

/// Where calls are told, if anywhere, and problems.
#[derive(Clone, Debug)]
pub(super) struct Outward {
    pub(super) access_log: Option<Arc<AccessLog>>,
    pub(super) collector: CollectorExporters,
    pub(super) notifier: Arc<Notifier>,
}

impl Outward {
    /// What the settings want.
    pub(super) fn start(
        settings: &Settings,
        events: &Arc<Events>,
        reload: &Reload,
        control: &Runtime,
    ) -> Result<Self, StartError> {
        let access_log = access_log(settings, events, reload, control)?;
        let fleet = settings.fleet.as_ref();
        let host = fleet.map_or_else(kernel::machine_name, |fleet| fleet.name.to_string());
        let otlp = &settings.otlp;
        let spans = SpanExporter::new(otlp, &host, events).map_err(unusable)?;
        let metrics = MetricExporter::new(otlp, &host, events).map_err(unusable)?;
        let logs = LogExporter::new(otlp, &host, events).map_err(unusable)?;
        let collector = CollectorExporters {
            spans: spans.map(|(exporter, driver)| {
                drive(control, ("spans", events), driver);
                Arc::new(exporter)
            }),
            metrics: metrics.map(|(exporter, driver)| {
                drive(control, ("metrics", events), driver);
                Arc::new(exporter)
            }),
            logs: logs.map(|(exporter, driver)| {
                drive(control, ("log records", events), driver);
                Arc::new(exporter)
            }),
        };
        let notifier = problems::notifier(settings)?;
        Ok(Self { access_log, collector, notifier })
    }

    /// From now on what guests print is told, where anybody wants that.
    pub(super) fn tell_lines_of(&self, telemetry: &Telemetry) {
        if let Some(logs) = &self.collector.logs {
            telemetry.logs.give_to(logs.clone());
        }
    }

    /// Waits until what was told is written and sent, for so long at most each.
    pub(super) fn flush(&self, within: Duration) {
        let (until, seconds) = (Instant::now() + within, within.as_secs_f64());
        let CollectorExporters { spans, metrics, logs } = &self.collector;
        // All at the same time.
        let ends = [
            ("all spans before this host ended", spans.as_ref().map(|spans| spans.end())),
            ("the last metrics of this host", metrics.as_ref().map(|metrics| metrics.end())),
            ("all log records before this host ended", logs.as_ref().map(|logs| logs.end())),
        ];
        for (what, end) in ends {
            if let Some(end) = end
                && !end.wait(until)
            {
                tracing::warn!(seconds, "the collector did not take {what}");
            }
        }
        if let Some(access_log) = &self.access_log {
            access_log.flush(within);
        }
    }
}

/// Runs what sends to a collector, and begins it again where it panics: what it had to send is still there.
fn drive(
    control: &Runtime,
    (name, events): (&'static str, &Arc<Events>),
    driver: impl CollectorDriver,
) {
    let (driver, events) = (Arc::new(Mutex::new(driver)), events.clone());
    control.spawn(async move {
        let run = || {
            let driver = driver.clone();
            async move { driver.lock().await.run().await }
        };
        member::supervise(name, &events, run).await;
    });
}

/// What an operator said of a collector cannot be used.
fn unusable(error: io::Error) -> StartError {
    StartError::Outward { why: error.to_string() }
}

fn access_log(
    settings: &Settings,
    events: &Arc<Events>,
    reload: &Reload,
    control: &Runtime,
) -> Result<Option<Arc<AccessLog>>, StartError> {
    let Some(target) = settings.access_log.clone() else { return Ok(None) };
    let opened = AccessLog::start(target.clone(), events.clone());
    let log = opened.map_err(|error| {
        let why = format!("cannot write the access log to {}: {error}", target.shown());
        StartError::Outward { why }
    })?;
    let log = Arc::new(log);
    let (reopened, mut asked) = (log.clone(), reload.subscribe());
    control.spawn(async move {
        loop {
            let log = reopened.clone();
            if asked.next(HOUR).await {
                // Its disk may stand still.
                drop(tokio::task::spawn_blocking(move || log.reopen()).await);
            }
        }
    });
    Ok(Some(log))
}
