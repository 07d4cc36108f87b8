//! Tells a collector about calls and what the host counts, by OTLP. Calls put what they are into a bounded queue and
//! never wait; one task sends it, and another one metrics.
//! Does not decide which calls are kept, nor when they are sent: `core::otlp` does.

mod collect;
mod families;
mod grpc;
mod guest_span;
mod message;
mod meter;
mod metric_message;
mod news;
mod pairs;
mod point_requests;
mod points;
mod resource;
mod send;
mod settings;
mod span;
mod told_apps;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::pending;
use prost::Message as _;
use steerage_core::otlp::{BatchAnswer, BatchCounts, Batches, DropReason, RULES, Sampler};
use tokio::sync::mpsc;

use self::message::{ExportTraces, ResourceMessage, ResourceSpans, ScopeSpans};
use self::meter::BatchMeter;
use self::news::ToldThings;
pub use self::pairs::pairs;
pub use self::points::{LastExport, MetricDriver, MetricExporter};
use self::resource::{SCHEMA, resource, scope};
use self::send::CollectorSender;
pub use self::settings::{CollectorHeaders, OtlpProtocol, OtlpSettings, Signal, SignalDoor};
pub use self::span::CallSpan;
use crate::clock::RunClock;
use crate::telemetry::events::Events;

/// Calls that wait to be told at most: by the OpenTelemetry specification.
const WAITING: usize = 2048;
/// While calls come, the task that sends looks after them this often: to be woken for each would cost more than
/// all the rest. So 40,000 spans a second find a place.
const REST: Duration = Duration::from_millis(50);
const SPANS: ToldThings = ToldThings {
    name: "spans",
    advice: ", or sample less with OTEL_TRACES_SAMPLER",
    counted: "otlp_spans_dropped_total",
};

/// What a collector is told by.
#[derive(Clone, Debug, Default)]
pub struct CollectorExporters {
    /// Calls, where anybody wants to hear of them.
    pub spans: Option<Arc<SpanExporter>>,
    /// Metrics, likewise.
    pub metrics: Option<Arc<MetricExporter>>,
}

/// Takes calls that are over.
#[derive(Debug)]
pub struct SpanExporter {
    sampler: Sampler,
    spans: mpsc::Sender<Box<CallSpan>>,
    /// Who asks that all be sent.
    ends: mpsc::Sender<SyncSender<bool>>,
    meter: Arc<BatchMeter>,
}

/// Sends them.
#[derive(Debug)]
pub struct SpanDriver {
    batches: Batches<Bytes>,
    /// Spans of the call at hand that the batch had no room for.
    left: VecDeque<Bytes>,
    /// Calls came since it last rested.
    is_busy: bool,
    waiting: mpsc::Receiver<Box<CallSpan>>,
    ends: mpsc::Receiver<SyncSender<bool>>,
    meter: Arc<BatchMeter>,
    sender: CollectorSender,
    resource: ResourceMessage,
    events: Arc<Events>,
    clock: RunClock,
    /// Why a batch was lost last, if one was.
    why: String,
    /// How many of those that found no place are counted.
    n_left_out: u64,
    /// Who waits for the end, and how many were lost before that was asked for.
    ending: Option<(SyncSender<bool>, u64)>,
}

impl SpanExporter {
    /// What takes calls and what sends them; nothing where nobody wants traces.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(
        settings: &OtlpSettings,
        host: &str,
        events: &Arc<Events>,
    ) -> io::Result<Option<(Self, SpanDriver)>> {
        let door = settings.traces.as_ref().filter(|_| !settings.sampler.is_off());
        let Some(door) = door else { return Ok(None) };
        let (spans, waiting) = mpsc::channel(WAITING);
        let (end, ends) = mpsc::channel(1);
        let meter = Arc::<BatchMeter>::default();
        let driver = SpanDriver {
            batches: Batches::new(RULES),
            left: VecDeque::new(),
            is_busy: false,
            waiting,
            ends,
            meter: meter.clone(),
            sender: CollectorSender::new(door)?,
            resource: resource(settings, host),
            events: events.clone(),
            clock: RunClock::start(),
            why: String::new(),
            n_left_out: 0,
            ending: None,
        };
        Ok(Some((Self { sampler: settings.sampler, spans, ends: end, meter }, driver)))
    }

    /// Which calls are kept that neither failed nor were slow.
    #[must_use]
    pub fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    /// Tells about a call, soon. Where too many wait it is left out and counted.
    pub fn tell(&self, span: Box<CallSpan>) {
        let n_spans = span.n_spans();
        if self.spans.try_send(span).is_err() {
            self.meter.leave_out(n_spans);
        }
    }

    /// Sends what is left, for so long at most, and tells whether the collector took all of it. What is still on
    /// its way then is lost and cannot be counted any more. To be called on a thread that may wait.
    #[must_use]
    pub fn flush(&self, within: Duration) -> bool {
        let (done, is_done) = sync_channel(1);
        self.ends.try_send(done).is_ok() && is_done.recv_timeout(within).unwrap_or(false)
    }

    /// What was told and lost.
    #[must_use]
    pub fn counts(&self) -> BatchCounts {
        self.meter.reading()
    }
}

impl SpanDriver {
    /// Sends what calls tell, until nobody can tell any more or somebody asks for the end. It can be begun again
    /// when it has failed: a batch that was on its way then may have arrived.
    pub async fn run(&mut self) {
        self.batches.done(self.clock.now(), BatchAnswer::InDoubt, 0);
        self.tell_operators();
        loop {
            self.fill();
            let now = self.clock.now();
            if let Some(batch) = self.batches.next(now) {
                // Operators are told so unless it comes to an answer.
                self.why = "what sends spans here has failed".to_owned();
                let message = encode(&self.resource, batch);
                let (answer, said) = self.sender.send(message).await;
                self.batches.done(self.clock.now(), answer, fastrand::u64(..));
                self.why = said;
            }
            let n_before = std::mem::replace(&mut self.n_left_out, self.meter.n_left_out());
            let n_new = self.n_left_out - n_before;
            self.batches.lose(self.clock.now(), DropReason::QueueFull, n_new);
            // Whoever sees a loss in the metrics finds the event.
            self.tell_operators();
            self.meter.set(self.batches.counts());
            if self.is_empty()
                && let Some((done, n_lost_before)) = &self.ending
            {
                // Whoever waits may have given up.
                done.try_send(self.n_lost() == *n_lost_before).ok();
                return;
            }
            let Some(wait) = self.wait() else { continue };
            let (is_busy, has_room) = (std::mem::take(&mut self.is_busy), self.batches.room() > 0);
            tokio::select! {
                () = tokio::time::sleep(REST), if is_busy && has_room => {}
                span = self.waiting.recv(), if !is_busy && has_room => match span {
                    Some(call) => self.take(&call),
                    // Nobody can tell any more.
                    None => {
                        self.batches.end();
                        self.ending.get_or_insert_with(|| (sync_channel(1).0, 0));
                    }
                },
                end = self.ends.recv(), if self.ending.is_none() => {
                    self.batches.end();
                    self.ending = Some((end.unwrap_or_else(|| sync_channel(1).0), self.n_lost()));
                }
                () = wait => {}
            }
        }
    }

    fn take(&mut self, call: &CallSpan) {
        self.is_busy = true;
        let messages = call.messages(|| fastrand::u64(1..));
        self.left.extend(messages.iter().map(|message| Bytes::from(message.encode_to_vec())));
    }

    /// Adds to the batch what there is room for.
    fn fill(&mut self) {
        while self.batches.room() > 0 {
            if let Some(span) = self.left.pop_front() {
                self.batches.add(self.clock.now(), span);
            } else if let Ok(call) = self.waiting.try_recv() {
                self.take(&call);
            } else {
                return;
            }
        }
    }

    fn n_lost(&self) -> u64 {
        self.batches.counts().dropped.iter().sum()
    }

    fn is_empty(&self) -> bool {
        self.batches.n_held() == 0 && self.left.is_empty() && self.waiting.is_empty()
    }

    /// Until the batch is due; `None` where it is.
    fn wait(&self) -> Option<impl Future<Output = ()> + use<>> {
        let left = self.batches.next_at().map(|at| self.clock.until(at));
        (left != Some(Duration::ZERO)).then_some(async move {
            match left {
                Some(left) => tokio::time::sleep(left).await,
                None => pending().await,
            }
        })
    }

    fn tell_operators(&mut self) {
        let news = self.batches.news(self.clock.now());
        let authority = self.sender.authority();
        news::tell(&self.events, SPANS, &authority, (news, self.batches.counts(), &self.why));
    }
}

fn encode(resource: &ResourceMessage, batch: &[Bytes]) -> Bytes {
    let scope_spans = ScopeSpans { scope: Some(scope()), spans: batch.to_vec() };
    let resource_spans = ResourceSpans {
        resource: Some(resource.clone()),
        scope_spans: vec![scope_spans],
        schema_url: SCHEMA.to_owned(),
    };
    Bytes::from(ExportTraces { resource_spans: vec![resource_spans] }.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method};
    use steerage_core::id::{CallId, Generation};
    use steerage_core::spent::TimeSpent;
    use steerage_core::trace::CallTrace;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::call::Usage;

    fn call() -> Box<CallSpan> {
        Box::new(CallSpan {
            trace: CallTrace { trace: 1, parent: None, span: std::num::NonZeroU64::MIN, flags: 1 },
            call: CallId::from_u128(1),
            began_at: Duration::ZERO,
            took: Duration::ZERO,
            app: "app".parse().unwrap(),
            generation: Generation::FIRST,
            method: Method::GET,
            route: HeaderValue::from_static("/..."),
            path: "/".into(),
            host: "a".to_owned(),
            https: false,
            version: "1.1",
            client: [127, 0, 0, 1].into(),
            status: 200,
            error: None,
            failure: None,
            usage: Usage::default(),
            spent: TimeSpent::default(),
            n_bytes: (0, 0),
            outbound: Vec::new(),
            guest_spans: (Vec::new(), 0),
        })
    }

    /// As when it panics, its work is dropped where it stands and begun again.
    #[tokio::test]
    async fn a_driver_that_failed_loses_the_batch_that_was_on_its_way_and_sends_the_rest() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let url = Signal::Traces.below(&url, OtlpProtocol::Http).unwrap();
        let traces = Some(SignalDoor::at(url));
        let settings = OtlpSettings { traces, ..OtlpSettings::default() };
        let events = Arc::<Events>::default();
        let started = SpanExporter::new(&settings, "host", &events).unwrap();
        let (exporter, mut driver) = started.unwrap();
        // So that a batch goes at once.
        driver.batches.end();
        exporter.meter.leave_out(3);
        exporter.tell(call());
        let is_sent = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_u8().await.unwrap();
            stream
        };
        let _unanswered = tokio::select! {
            () = driver.run() => panic!("it ends"),
            stream = is_sent => stream,
        };
        exporter.tell(call());
        let is_taken = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_u8().await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            while exporter.counts().sent == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = driver.run() => panic!("it ends"),
            taken = tokio::time::timeout(Duration::from_secs(60), is_taken) => taken.unwrap(),
        }
        // Once more, with nothing on its way.
        tokio::time::timeout(Duration::ZERO, driver.run()).await.unwrap_err();
        let counts = driver.batches.counts();
        assert_eq!(counts.sent, 1);
        assert_eq!(counts.dropped[DropReason::Unanswered as usize], 1);
        assert_eq!(counts.dropped[DropReason::QueueFull as usize], 3, "each is counted once");
        assert_eq!(exporter.counts(), counts);
        let told = events.recent(None, 10);
        let why = "what sends spans here has failed";
        assert!(told.len() == 1 && told[0].message.contains(why), "{told:?}");
    }
}
