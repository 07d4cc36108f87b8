//! Opens what tells those outside: the access log, which is opened again when an operator asks, the spans and
//! metrics that a collector gets, and the receivers of problems.
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
use crate::otlp::{CollectorExporters, MetricExporter, SpanExporter};
use crate::reload::Reload;
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
        let exporter = SpanExporter::new(&settings.otlp, &host, events);
        let spans = exporter.map_err(unusable)?.map(|(exporter, driver)| {
            drive(control, ("spans", events), driver, |driver| async move {
                driver.lock().await.run().await;
            });
            Arc::new(exporter)
        });
        let exporter = MetricExporter::new(&settings.otlp, &host, events);
        let metrics = exporter.map_err(unusable)?.map(|(exporter, driver)| {
            drive(control, ("metrics", events), driver, |driver| async move {
                driver.lock().await.run().await;
            });
            Arc::new(exporter)
        });
        let notifier = problems::notifier(settings)?;
        Ok(Self { access_log, collector: CollectorExporters { spans, metrics }, notifier })
    }

    /// Waits until what was told is written and sent, for so long at most each.
    pub(super) fn flush(&self, within: Duration) {
        let (until, seconds) = (Instant::now() + within, within.as_secs_f64());
        // Both at the same time.
        let metrics = self.collector.metrics.as_ref().map(|metrics| metrics.end());
        if let Some(spans) = &self.collector.spans
            && !spans.flush(within)
        {
            tracing::warn!(seconds, "the collector did not take all spans before this host ended");
        }
        if let Some(metrics) = metrics
            && !metrics.wait(until)
        {
            tracing::warn!(seconds, "the collector did not take the last metrics of this host");
        }
        if let Some(access_log) = &self.access_log {
            access_log.flush(within);
        }
    }
}

/// Runs what sends to a collector, and begins it again where it panics: what it had to send is still there.
fn drive<D, F>(
    control: &Runtime,
    (name, events): (&'static str, &Arc<Events>),
    driver: D,
    run: impl Fn(Arc<Mutex<D>>) -> F + Send + Sync + 'static,
) where
    D: Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (driver, events) = (Arc::new(Mutex::new(driver)), events.clone());
    control.spawn(async move {
        member::supervise(name, &events, || run(driver.clone())).await;
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
