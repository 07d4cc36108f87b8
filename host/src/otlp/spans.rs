//! Tells a collector about calls, as spans. A call that is over puts what it is into a bounded queue and never waits.
//! Does not decide which calls are kept: `core::otlp` does.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use steerage_core::otlp::{BatchCounts, RULES, Sampler};
use tokio::sync::mpsc;

use super::delivery::{CollectorDriver, Delivery, DeliveryHandle, LastExport};
use super::message::{ExportTraces, ResourceMessage, ResourceSpans, ScopeSpans};
use super::news::ExportedThings;
use super::records::{RecordDriver, RecordSource};
use super::resource::{SCHEMA, resource, scope};
use super::settings::OtlpSettings;
use super::span::CallSpan;
use crate::telemetry::events::Events;

/// Calls that wait to be told at most: by the OpenTelemetry specification.
const WAITING: usize = 2048;
const SPANS: ExportedThings = ExportedThings {
    name: "spans",
    advice: ", or sample less with OTEL_TRACES_SAMPLER",
    counted: "otlp_spans_dropped_total",
};

/// Takes calls that are over.
#[derive(Debug)]
pub struct SpanExporter {
    sampler: Sampler,
    spans: mpsc::Sender<Box<CallSpan>>,
    handle: DeliveryHandle,
}

/// Sends them.
#[derive(Debug)]
pub struct SpanDriver(RecordDriver<SpanSource>);

#[derive(Debug)]
struct SpanSource(mpsc::Receiver<Box<CallSpan>>);

impl SpanExporter {
    /// What takes calls and what sends them; nothing where nobody wants traces.
    ///
    /// # Errors
    /// TLS cannot be set up, or the file of authorities cannot be used.
    pub fn new(
        settings: &OtlpSettings,
        host: &str,
        events: &Arc<Events>,
    ) -> io::Result<Option<(Self, SpanDriver)>> {
        let endpoint = settings.traces.as_ref().filter(|_| !settings.sampler.is_off());
        let Some(endpoint) = endpoint else { return Ok(None) };
        let (handle, delivery) = Delivery::new(endpoint, RULES, SPANS, events)?;
        let (spans, waiting) = mpsc::channel(WAITING);
        let resource = resource(settings, host);
        let driver = RecordDriver::new(delivery, SpanSource(waiting), resource, encode);
        Ok(Some((Self { sampler: settings.sampler, spans, handle }, SpanDriver(driver))))
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
            self.handle.meter.leave_out(n_spans);
        }
    }

    /// Sends what is left.
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

impl CollectorDriver for SpanDriver {
    async fn run(&mut self) {
        self.0.run().await;
    }
}

impl RecordSource for SpanSource {
    fn try_next(&mut self) -> Option<Vec<Bytes>> {
        self.0.try_recv().ok().map(|call| messages(&call))
    }

    async fn next(&mut self) -> Option<Vec<Bytes>> {
        self.0.recv().await.map(|call| messages(&call))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn messages(call: &CallSpan) -> Vec<Bytes> {
    let messages = call.messages(|| fastrand::u64(1..));
    messages.iter().map(|message| Bytes::from(message.encode_to_vec())).collect()
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
    use std::time::Duration;

    use http::{HeaderValue, Method};
    use steerage_core::id::{CallId, Generation};
    use steerage_core::otlp::DropReason;
    use steerage_core::spent::TimeSpent;
    use steerage_core::trace::CallTrace;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::super::settings::{OtlpProtocol, Signal, SignalEndpoint};
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
        let traces = Some(SignalEndpoint::at(url));
        let settings = OtlpSettings { traces, ..OtlpSettings::default() };
        let events = Arc::<Events>::default();
        let started = SpanExporter::new(&settings, "host", &events).unwrap();
        let (exporter, mut driver) = started.unwrap();
        // So that a batch goes at once.
        let ended = exporter.end();
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
        exporter.handle.meter.leave_out(3);
        exporter.tell(call());
        let takes = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_u8().await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            stream
        };
        let both = async { tokio::join!(driver.run(), takes) };
        let _answered = tokio::time::timeout(Duration::from_secs(60), both).await.unwrap();
        assert!(!ended.wait(std::time::Instant::now()), "one was lost on the way");
        // Once more, with nothing on its way.
        tokio::time::timeout(Duration::from_secs(60), driver.run()).await.unwrap();
        let counts = exporter.counts();
        assert_eq!(counts.sent, 1);
        assert_eq!(counts.dropped[DropReason::Unanswered as usize], 1);
        assert_eq!(counts.dropped[DropReason::QueueFull as usize], 3, "each is counted once");
        let told = events.recent(None, 10);
        let why = "what sends spans here has failed";
        assert!(told.len() == 1 && told[0].message.contains(why), "{told:?}");
    }
}
