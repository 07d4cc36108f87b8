//! Tells a collector the metrics of this host, as often as was said and once more when the host ends.
//! Does not read them: it is given whom to ask. Does not decide what is done about a collector that does not take
//! them: `core::otlp` does.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use steerage_core::id::AppName;
use steerage_core::otlp::{BatchAnswer, BatchCounts, BatchRules, DropReason, RULES};
use tokio::time::Instant;

use super::collect::Collection;
use super::delivery::{CollectorDriver, Delivery, DeliveryHandle, LastExport};
use super::exemplars::{CallExemplar, CallExemplars};
use super::message::ResourceMessage;
use super::metric_message::{ExportMetrics, ResourceMetrics, ScopeMetrics};
use super::news::ExportedThings;
use super::point_requests::PointRequest;
use super::resource::{SCHEMA, resource, scope};
use super::settings::OtlpSettings;
use crate::telemetry::events::{Event, Events, Severity};
use crate::telemetry::metrics::{HttpKind, Readings};

const POINTS: ExportedThings = ExportedThings {
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
    exemplars: Arc<CallExemplars>,
    handle: DeliveryHandle,
}

/// Sends them.
#[derive(Debug)]
pub struct MetricDriver {
    /// Each batch is one request, and counts as its points.
    delivery: Delivery,
    source: Source,
    resource: ResourceMessage,
    events: Arc<Events>,
    collection: Arc<Mutex<Collection>>,
    interval: u64,
    export_timeout: Duration,
    /// When metrics are sent next.
    due_at: u64,
}

impl MetricExporter {
    /// What says whom to ask, and what sends; nothing where nobody wants metrics.
    ///
    /// # Errors
    /// TLS cannot be set up, or the file of authorities cannot be used.
    pub fn new(
        settings: &OtlpSettings,
        host: &str,
        events: &Arc<Events>,
    ) -> io::Result<Option<(Self, MetricDriver)>> {
        let Some(endpoint) = &settings.metrics else { return Ok(None) };
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let try_for = milliseconds(settings.export_timeout);
        let rules = BatchRules { at_once: 1, wait: 0, try_for, ..RULES };
        let (handle, delivery) = Delivery::new(endpoint, rules, POINTS, events)?;
        let (source, exemplars) = (Source::default(), Arc::new(CallExemplars::new()));
        let collection = Collection::start(exemplars.clone());
        let interval = milliseconds(settings.interval);
        let driver = MetricDriver {
            delivery,
            source: source.clone(),
            resource: resource(settings, host),
            events: events.clone(),
            collection: Arc::new(Mutex::new(collection)),
            interval,
            export_timeout: settings.export_timeout,
            due_at: interval,
        };
        Ok(Some((Self { source, exemplars, handle }, driver)))
    }

    /// Metrics are asked for here from now on.
    pub fn read_from(&self, readings: Arc<dyn Readings>) {
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = Some(readings);
    }

    /// Such a call is an example of how long calls take, the next time that this is told.
    pub fn show(&self, app: &AppName, kind: HttpKind, exemplar: CallExemplar) {
        self.exemplars.note(app, kind, exemplar);
    }

    /// Sends them once more, and nothing after that.
    #[must_use]
    pub fn end(&self) -> LastExport {
        self.handle.end()
    }

    /// What was told and lost.
    #[must_use]
    pub fn counts(&self) -> BatchCounts {
        self.handle.counts()
    }
}

impl CollectorDriver for MetricDriver {
    async fn run(&mut self) {
        self.delivery.resume();
        let until = self.until();
        self.deliver(until).await;
        loop {
            self.delivery.tell();
            let clock = self.delivery.clock();
            // A collector that wants to be left alone gets newer ones later.
            let due = clock.until(self.due_at.max(self.delivery.not_before()));
            // The end may have been asked for before this failed.
            if !self.delivery.is_ending() {
                tokio::select! {
                    () = tokio::time::sleep(due) => {}
                    () = self.delivery.until_end() => {}
                }
            }
            let now = clock.now();
            // What is late is not made up for.
            self.due_at = now - now % self.interval.max(1) + self.interval;
            // What is asked for on the way is told once more, since it shall say what is so at the end.
            let is_last = self.delivery.is_ending();
            let is_told = self.export().await;
            if is_last {
                // Whoever was asked holds what this is part of.
                self.source.lock().unwrap_or_else(PoisonError::into_inner).take();
                self.delivery.finish(is_told);
                return;
            }
        }
    }
}

impl MetricDriver {
    /// Until when all requests may take that begin now.
    fn until(&self) -> Instant {
        Instant::now() + self.export_timeout
    }

    /// Sends what the metrics say now; whether all of it was taken.
    async fn export(&mut self) -> bool {
        let source = self.source.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(source) = source else { return true };
        let until = self.until();
        let collection = self.collection.clone();
        // So many apps may be asked that others would wait for this thread.
        let collected = tokio::task::spawn_blocking(move || {
            collection.lock().unwrap_or_else(PoisonError::into_inner).collect(&source)
        });
        let requests = match collected.await {
            Ok(Ok((requests, left_out))) => {
                for name in left_out {
                    self.tell_fault(&format!(
                        "the metric {name} is not told to a collector: its unit is not known"
                    ));
                }
                requests
            }
            Ok(Err(_)) => {
                self.tell_fault("metrics cannot be told to a collector: they cannot be read");
                return false;
            }
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The host ends.
                Err(_) => return false,
            },
        };
        let n_before = self.delivery.n_lost();
        let mut left = VecDeque::from(requests);
        while let Some(request) = left.pop_front() {
            let message = self.encode(request.metrics);
            self.delivery.add_request(message, request.n_points);
            if !self.deliver(until).await {
                break;
            }
        }
        let n_left = left.iter().map(|request: &PointRequest| request.n_points).sum();
        let is_ending = self.delivery.is_ending();
        let reason = if is_ending { DropReason::HostEnded } else { DropReason::GivenUp };
        self.delivery.lose(reason, n_left);
        self.delivery.tell();
        self.delivery.n_lost() == n_before
    }

    /// Sends the request at hand until something came of it, or that time is over; whether the collector may take
    /// another one.
    async fn deliver(&mut self, until: Instant) -> bool {
        let mut goes_on = true;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let one = |request: &[Bytes]| request.first().cloned().unwrap_or_default();
            if let Some(answer) = self.delivery.send_due(left, one).await {
                goes_on = matches!(answer, BatchAnswer::Taken { .. } | BatchAnswer::Refused);
            }
            if Instant::now() >= until {
                goes_on = false;
                self.delivery.give_up();
            }
            self.delivery.tell();
            if self.delivery.n_held() == 0 {
                return goes_on;
            }
            let Some(due) = self.delivery.until_due() else { continue };
            tokio::select! {
                () = due => {}
                () = tokio::time::sleep_until(until) => {}
                () = self.delivery.until_end() => {}
            }
        }
    }

    /// Tells it once, however often it happens.
    fn tell_fault(&self, what: &str) {
        let advice = Some("this is a fault of steerage: report it with its version".to_owned());
        let event = Event::now("host_fault", what.to_owned());
        if self.events.push_once(Event { severity: Severity::Error, advice, ..event }) {
            tracing::error!("{what}");
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
}
