//! Tells a collector what guests print and what events tell, as log records. A line is put into a bounded queue by the
//! call that prints it, which never waits; events have a bounded queue of their own, so that no app's lines push them
//! out.
//! Does not limit how many lines an app prints, nor which events there are: `telemetry` does.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use prost::Message as _;
use steerage_core::otlp::{BatchCounts, RULES};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc};

use super::delivery::{CollectorDriver, Delivery, DeliveryHandle, LastExport};
use super::log_message::{ExportLogs, ResourceLogs, ScopeLogs};
use super::log_record::{GuestLine, event_message};
use super::message::ResourceMessage;
use super::meter::BatchMeter;
use super::news::ExportedThings;
use super::records::{RecordDriver, RecordSource};
use super::resource::{SCHEMA, resource, scope};
use super::settings::OtlpSettings;
use crate::telemetry::events::{Event, Events};
use crate::telemetry::logs::{LineSink, PrintedLine};

/// Lines that wait to be sent at most: by the OpenTelemetry specification.
const WAITING: usize = 2048;
/// Bytes that they may take.
const WAITING_BYTES: usize = 4 << 20;
const RECORDS: ExportedThings = ExportedThings {
    name: "log records",
    advice: ", or leave them out with OTEL_LOGS_EXPORTER=none",
    counted: "otlp_log_records_dropped_total",
};

/// Takes lines.
#[derive(Debug)]
pub struct LogExporter {
    lines: mpsc::Sender<Box<GuestLine>>,
    n_bytes: Arc<AtomicUsize>,
    handle: DeliveryHandle,
}

/// Sends them, and events.
#[derive(Debug)]
pub struct LogDriver(RecordDriver<LogSource>);

#[derive(Debug)]
struct LogSource {
    /// Events that were told before this was there.
    earlier: VecDeque<Event>,
    events: broadcast::Receiver<Event>,
    lines: mpsc::Receiver<Box<GuestLine>>,
    /// Bytes of those lines.
    n_bytes: Arc<AtomicUsize>,
    meter: Arc<BatchMeter>,
}

impl LogExporter {
    /// What takes lines and what sends them; nothing where nobody wants logs.
    ///
    /// # Errors
    /// TLS cannot be set up, or the file of authorities cannot be used.
    pub fn new(
        settings: &OtlpSettings,
        host: &str,
        events: &Arc<Events>,
    ) -> io::Result<Option<(Self, LogDriver)>> {
        let Some(endpoint) = &settings.logs else { return Ok(None) };
        let (handle, delivery) = Delivery::new(endpoint, RULES, RECORDS, events)?;
        let (lines, waiting) = mpsc::channel(WAITING);
        let n_bytes = Arc::<AtomicUsize>::default();
        let (earlier, coming) = events.follow_all();
        let source = LogSource {
            earlier: earlier.into(),
            events: coming,
            lines: waiting,
            n_bytes: n_bytes.clone(),
            meter: handle.meter.clone(),
        };
        let driver = RecordDriver::new(delivery, source, resource(settings, host), encode);
        Ok(Some((Self { lines, n_bytes, handle }, LogDriver(driver))))
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

    /// Whether it found a place.
    fn put(&self, printed: &PrintedLine<'_>) -> bool {
        let n_bytes = GuestLine::n_bytes_of(printed);
        let n_before = self.n_bytes.fetch_add(n_bytes, Ordering::Relaxed);
        let has_room = n_before.saturating_add(n_bytes) <= WAITING_BYTES;
        // The place comes first: without one nothing is copied.
        let place = self.lines.try_reserve().ok().filter(|_| has_room);
        let Some(place) = place else {
            self.n_bytes.fetch_sub(n_bytes, Ordering::Relaxed);
            return false;
        };
        place.send(Box::new(GuestLine::of(printed)));
        true
    }
}

impl LineSink for LogExporter {
    fn take(&self, printed: &PrintedLine<'_>) {
        if !self.put(printed) {
            self.handle.meter.leave_out(1);
        }
    }
}

impl CollectorDriver for LogDriver {
    async fn run(&mut self) {
        self.0.run().await;
    }
}

impl LogSource {
    fn message(&self, line: GuestLine) -> Bytes {
        self.n_bytes.fetch_sub(line.n_bytes(), Ordering::Relaxed);
        line.into_message()
    }

    fn try_event(&mut self) -> Option<Event> {
        if let Some(event) = self.earlier.pop_front() {
            return Some(event);
        }
        loop {
            match self.events.try_recv() {
                Ok(event) => return Some(event),
                Err(TryRecvError::Lagged(n_events)) => self.meter.leave_out(n_events),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }
}

impl RecordSource for LogSource {
    fn try_next(&mut self) -> Option<Vec<Bytes>> {
        if let Some(event) = self.try_event() {
            return Some(vec![event_message(event)]);
        }
        let line = self.lines.try_recv().ok()?;
        Some(vec![self.message(*line)])
    }

    async fn next(&mut self) -> Option<Vec<Bytes>> {
        if let Some(event) = self.earlier.pop_front() {
            return Some(vec![event_message(event)]);
        }
        tokio::select! {
            event = coming(&mut self.events, &self.meter) => Some(vec![event_message(event)]),
            line = self.lines.recv() => line.map(|line| vec![self.message(*line)]),
        }
    }

    fn is_empty(&self) -> bool {
        self.earlier.is_empty() && self.events.is_empty() && self.lines.is_empty()
    }
}

/// Waits for an event. May be dropped while it waits.
async fn coming(events: &mut broadcast::Receiver<Event>, meter: &BatchMeter) -> Event {
    loop {
        match events.recv().await {
            Ok(event) => return event,
            Err(RecvError::Lagged(n_events)) => meter.leave_out(n_events),
            // Nobody tells any more.
            Err(RecvError::Closed) => pending().await,
        }
    }
}

fn encode(resource: &ResourceMessage, batch: &[Bytes]) -> Bytes {
    let scope_logs = ScopeLogs { scope: Some(scope()), log_records: batch.to_vec() };
    let resource_logs = ResourceLogs {
        resource: Some(resource.clone()),
        scope_logs: vec![scope_logs],
        schema_url: SCHEMA.to_owned(),
    };
    Bytes::from(ExportLogs { resource_logs: vec![resource_logs] }.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use steerage_core::id::{AppName, CallId, Generation};
    use steerage_core::otlp::DropReason;
    use steerage_core::units::Bytes as Size;

    use super::super::settings::{OtlpProtocol, Signal, SignalEndpoint};
    use super::*;
    use crate::call::CallIds;
    use crate::telemetry::Telemetry;
    use crate::telemetry::logs::{LineOrigin, LogLine, Stream};

    fn app(number: usize) -> AppName {
        format!("app-{number}").parse().unwrap()
    }

    fn line(n_bytes: usize) -> LogLine {
        LogLine {
            at: 0,
            generation: Generation::FIRST,
            call: CallId::from_u128(1),
            stream: Stream::Stdout,
            text: "x".repeat(n_bytes),
        }
    }

    /// Where nobody sends what it takes.
    fn exporter(events: &Arc<Events>) -> (LogExporter, LogDriver) {
        let url = Signal::Logs.below("http://127.0.0.1:9", OtlpProtocol::Http).unwrap();
        let logs = Some(SignalEndpoint::at(url));
        let settings = OtlpSettings { logs, ..OtlpSettings::default() };
        LogExporter::new(&settings, "host", events).unwrap().unwrap()
    }

    #[tokio::test]
    async fn lines_that_wait_are_bounded_in_number_and_bytes_and_the_others_are_counted() {
        let app = app(1);
        for (n_bytes, most) in [(10, WAITING), (16 << 10, WAITING_BYTES / (16 << 10))] {
            let (exporter, _driver) = exporter(&Arc::default());
            let line = line(n_bytes);
            let printed = PrintedLine { app: &app, at: Duration::ZERO, line: &line, span: None };
            (0..3_000).for_each(|_| exporter.take(&printed));
            let n_left_out = exporter.counts().dropped[DropReason::QueueFull as usize];
            let n_kept = usize::try_from(3_000 - n_left_out).unwrap();
            assert!((most * 9 / 10..=most).contains(&n_kept), "{n_kept} of {n_bytes} bytes");
            let taken = exporter.n_bytes.load(Ordering::Relaxed);
            assert_eq!(taken, n_kept * GuestLine::n_bytes_of(&printed));
        }
    }

    #[tokio::test]
    async fn events_come_before_lines_and_those_that_found_no_place_are_counted() {
        let events = Arc::<Events>::default();
        let tell = |number: usize| events.push(Event::now("told", number.to_string()));
        tell(0);
        let (earlier, coming) = events.follow_all();
        (1..=300).for_each(tell);
        let (lines, waiting) = mpsc::channel(1);
        let (app, line) = (app(1), line(10));
        let printed = PrintedLine { app: &app, at: Duration::ZERO, line: &line, span: None };
        lines.try_send(Box::new(GuestLine::of(&printed))).unwrap();
        let n_bytes = Arc::new(AtomicUsize::new(GuestLine::n_bytes_of(&printed)));
        let meter = Arc::<BatchMeter>::default();
        let mut source = LogSource {
            earlier: earlier.into(),
            events: coming,
            lines: waiting,
            n_bytes: n_bytes.clone(),
            meter: meter.clone(),
        };
        let mut n_events = 0;
        while n_bytes.load(Ordering::Relaxed) > 0 {
            n_events += source.try_next().map_or(0, |records| records.len() as u64);
        }
        // The line is one of them.
        assert_eq!((n_events - 1) + meter.n_left_out(), 301);
        assert_eq!((n_events - 1, source.is_empty()), (257, true));
    }

    /// Not how long it may take, which no test can say: what it takes is printed.
    #[tokio::test]
    async fn a_line_is_given_to_who_wants_lines_and_costs_this() {
        const APPS: usize = 40;
        const LINES: usize = 50;
        let events = Arc::<Events>::default();
        let print = |telemetry: &Telemetry| {
            let logs: Vec<_> = (0..APPS).map(|number| telemetry.logs.app(&app(number))).collect();
            let call = CallIds::without_span(CallId::from_u128(1));
            let origin = LineOrigin { generation: Generation::FIRST, call, stream: Stream::Stdout };
            let text = "x".repeat(100);
            // Each app's first line is another matter.
            logs.iter().for_each(|log| assert!(log.push(&origin, &text)));
            let began_at = Instant::now();
            for log in &logs {
                (1..LINES).for_each(|_| assert!(log.push(&origin, &text)));
            }
            began_at.elapsed() / u32::try_from(APPS * (LINES - 1)).unwrap()
        };
        let telemetry = || Telemetry::new(Size::mebi(64), events.clone(), false);
        let without = print(&telemetry());
        let (exporter, _driver) = exporter(&events);
        let (exporter, with) = (Arc::new(exporter), telemetry());
        with.logs.give_to(exporter.clone());
        let with = print(&with);
        assert_eq!(exporter.lines.max_capacity() - exporter.lines.capacity(), APPS * LINES);
        eprintln!("a line takes {without:?}, and {with:?} where a collector hears of it");
    }
}
