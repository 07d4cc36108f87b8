//! Tells a collector the metrics of this host, as often as was said and once more when the host ends.
//! Does not read them: it is given whom to ask. Does not decide what is done about a collector that does not take
//! them: `core::otlp` does.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::pending;
use prost::Message as _;
use steerage_core::otlp::{BatchAnswer, BatchCounts, BatchRules, Batches, DropReason, RULES};
use tokio::sync::mpsc;

use super::collect::Collection;
use super::message::ResourceMessage;
use super::meter::BatchMeter;
use super::metric_message::{ExportMetrics, ResourceMetrics, ScopeMetrics};
use super::news::{self, ToldThings};
use super::point_requests::PointRequest;
use super::resource::{SCHEMA, resource, scope};
use super::send::CollectorSender;
use super::settings::OtlpSettings;
use crate::clock::RunClock;
use crate::telemetry::events::Events;
use crate::telemetry::metrics::Readings;

const POINTS: ToldThings = ToldThings {
    name: "metrics",
    advice: ", or tell it less often with OTEL_METRIC_EXPORT_INTERVAL",
    counted: "otlp_points_dropped_total, where the next ones that arrive tell the same sums",
};

/// Whom to ask for the metrics, once somebody is there.
type Source = Arc<Mutex<Option<Arc<dyn Readings>>>>;

/// Metrics are told.
#[derive(Debug)]
pub struct MetricExporter {
    source: Source,
    /// Who asks that all be sent.
    ends: mpsc::Sender<SyncSender<bool>>,
    meter: Arc<BatchMeter>,
}

/// Sends them.
#[derive(Debug)]
pub struct MetricDriver {
    /// Each is one request, and counts as its points.
    batches: Batches<Bytes>,
    source: Source,
    ends: mpsc::Receiver<SyncSender<bool>>,
    meter: Arc<BatchMeter>,
    sender: CollectorSender,
    resource: ResourceMessage,
    events: Arc<Events>,
    clock: RunClock,
    collection: Arc<Mutex<Collection>>,
    interval: u64,
    export_timeout: u64,
    /// When metrics are sent next.
    due_at: u64,
    /// Why points were lost last, if any were.
    why: String,
    /// Who waits for the end.
    ending: Option<SyncSender<bool>>,
}

/// The end of what is sent, which was asked for.
#[derive(Debug)]
pub struct LastExport(Option<Receiver<bool>>);

impl LastExport {
    /// Waits until then, and tells whether the collector took all. To be called on a thread that may wait.
    #[must_use]
    pub fn wait(self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        self.0.is_some_and(|taken| taken.recv_timeout(left).unwrap_or(false))
    }
}

impl MetricExporter {
    /// What says whom to ask, and what sends; nothing where nobody wants metrics.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(
        settings: &OtlpSettings,
        host: &str,
        events: &Arc<Events>,
    ) -> io::Result<Option<(Self, MetricDriver)>> {
        let Some(door) = &settings.metrics else { return Ok(None) };
        let (end, ends) = mpsc::channel(1);
        let (meter, source) = (Arc::<BatchMeter>::default(), Source::default());
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let export_timeout = milliseconds(settings.export_timeout);
        let rules = BatchRules { at_once: 1, wait: 0, try_for: export_timeout, ..RULES };
        let interval = milliseconds(settings.interval);
        let driver = MetricDriver {
            batches: Batches::new(rules),
            source: source.clone(),
            ends,
            meter: meter.clone(),
            sender: CollectorSender::new(door)?,
            resource: resource(settings, host),
            events: events.clone(),
            clock: RunClock::start(),
            collection: Arc::new(Mutex::new(Collection::start())),
            interval,
            export_timeout,
            due_at: interval,
            why: String::new(),
            ending: None,
        };
        Ok(Some((Self { source, ends: end, meter }, driver)))
    }

    /// Metrics are asked for here from now on.
    pub fn read_from(&self, readings: Arc<dyn Readings>) {
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = Some(readings);
    }

    /// Sends them once more, and nothing after that.
    #[must_use]
    pub fn end(&self) -> LastExport {
        let (done, is_done) = sync_channel(1);
        LastExport(self.ends.try_send(done).is_ok().then_some(is_done))
    }

    /// What was told and lost.
    #[must_use]
    pub fn counts(&self) -> BatchCounts {
        self.meter.reading()
    }
}

impl MetricDriver {
    /// Sends metrics until somebody asks for the end. It can be begun again when it has failed: what was on its
    /// way then may have arrived.
    pub async fn run(&mut self) {
        self.batches.done(self.clock.now(), BatchAnswer::InDoubt, 0);
        self.deliver().await;
        loop {
            self.tell();
            // A collector that wants to be left alone gets newer ones later.
            let due = self.clock.until(self.due_at.max(self.batches.not_before()));
            tokio::select! {
                () = tokio::time::sleep(due), if self.ending.is_none() => {}
                end = self.ends.recv(), if self.ending.is_none() => self.begin_end(end),
                // It was asked for before this failed.
                () = async {}, if self.ending.is_some() => {}
            }
            let now = self.clock.now();
            // What is late is not made up for.
            self.due_at = now - now % self.interval.max(1) + self.interval;
            // What is asked for on the way is told once more, since it shall say what is so at the end.
            let is_last = self.ending.is_some();
            let is_told = self.export().await;
            if let Some(done) = self.ending.take_if(|_| is_last) {
                // Whoever was asked holds what this is part of.
                self.source.lock().unwrap_or_else(PoisonError::into_inner).take();
                // Whoever waits may have given up.
                done.try_send(is_told).ok();
                return;
            }
        }
    }

    fn begin_end(&mut self, end: Option<SyncSender<bool>>) {
        self.batches.end();
        self.ending = Some(end.unwrap_or_else(|| sync_channel(1).0));
    }

    /// Sends what the metrics say now; whether all of it was taken.
    async fn export(&mut self) -> bool {
        let source = self.source.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(source) = source else { return true };
        let collection = self.collection.clone();
        // So many apps may be asked that others would wait for this thread.
        let collected = tokio::task::spawn_blocking(move || {
            collection.lock().unwrap_or_else(PoisonError::into_inner).collect(&source)
        });
        let requests = match collected.await {
            Ok(Ok(requests)) => requests,
            Ok(Err(error)) => {
                tracing::error!(%error, "metrics cannot be told: this is a fault of steerage");
                return false;
            }
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The host ends.
                Err(_) => return false,
            },
        };
        let until = self.clock.now().saturating_add(self.export_timeout);
        let n_before = self.n_lost();
        let mut left = VecDeque::from(requests);
        while let Some(request) = left.pop_front() {
            let message = self.encode(request.metrics);
            self.batches.add_as(self.clock.now(), message, request.n_points);
            let goes_on = self.deliver().await;
            if !goes_on || self.clock.now() >= until {
                break;
            }
        }
        let n_left = left.iter().map(|request: &PointRequest| request.n_points).sum();
        let reason =
            if self.ending.is_some() { DropReason::HostEnded } else { DropReason::GivenUp };
        self.batches.lose(self.clock.now(), reason, n_left);
        self.tell();
        self.n_lost() == n_before
    }

    /// Sends the request at hand until something came of it; whether the collector may take another one.
    async fn deliver(&mut self) -> bool {
        let mut goes_on = true;
        loop {
            if let Some(request) = self.batches.next(self.clock.now()) {
                // Operators are told so unless it comes to an answer.
                self.why = "what sends metrics here has failed".to_owned();
                let message = request.first().cloned().unwrap_or_default();
                let (answer, said) = self.sender.send(message).await;
                self.batches.done(self.clock.now(), answer, fastrand::u64(..));
                self.why = said;
                goes_on = matches!(answer, BatchAnswer::Taken { .. } | BatchAnswer::Refused);
            }
            self.tell();
            if self.batches.n_held() == 0 {
                return goes_on;
            }
            let left = self.batches.next_at().map(|at| self.clock.until(at));
            let wait = async move {
                match left {
                    Some(left) => tokio::time::sleep(left).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = wait => {}
                end = self.ends.recv(), if self.ending.is_none() => self.begin_end(end),
            }
        }
    }

    fn encode(&self, metrics: Vec<Bytes>) -> Bytes {
        let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics }];
        let resource_metrics = ResourceMetrics {
            resource: Some(self.resource.clone()),
            scope_metrics,
            schema_url: SCHEMA.to_owned(),
        };
        let message = ExportMetrics { resource_metrics: vec![resource_metrics] };
        Bytes::from(message.encode_to_vec())
    }

    fn n_lost(&self) -> u64 {
        self.batches.counts().dropped.iter().sum()
    }

    /// Whoever sees a loss in the metrics finds the event.
    fn tell(&mut self) {
        let news = self.batches.news(self.clock.now());
        let counts = self.batches.counts();
        let authority = self.sender.authority();
        news::tell(&self.events, POINTS, &authority, (news, counts, &self.why));
        self.meter.set(counts);
    }
}
