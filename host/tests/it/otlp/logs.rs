//! What guests print and what events tell becomes log records at a collector: with the call and the span that they belong
//! to; and a collector that does not take them slows no call, and hears of its own losses once.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Request;
use http_body_util::Full;
use steerage_guests as guests;
use tokio::sync::watch;

use super::records::{LogRecord, records};
use super::{
    Collector, LONG, PARENT, UNSAMPLED, WELL, failing, get_below, grpc_collector, says_dropped,
};
use crate::harness::{Host, wat};

const TRAPS: &str = r#"(module (memory (export "memory") 1) (func (export "_start") unreachable))"#;
/// For tests that count what else comes.
const ONLY_LOGS: [&str; 4] = ["--otlp-metrics-exporter", "none", "--otlp-traces-exporter", "none"];

impl Collector {
    fn records(&self) -> Vec<LogRecord> {
        let got = self.got.lock().unwrap();
        let of_logs = got.iter().filter(|(_, path, _)| path.ends_with("/logs"));
        of_logs.flat_map(|(_, _, body)| records(body)).collect()
    }
}

fn logger() -> Vec<u8> {
    std::fs::read(guests::LOGGER).unwrap()
}

async fn dropped(host: &Host, reason: &str) -> f64 {
    says_dropped(host, "log_records", reason).await
}

async fn sent(host: &Host) -> f64 {
    host.metric("otlp_log_records_sent_total").await
}

/// Those of an app's lines.
fn lines_of<'r>(all: &'r [LogRecord], app: &str) -> Vec<&'r LogRecord> {
    let is_of = |record: &&LogRecord| record.attributes.get("steerage.app") == Some(&app.into());
    all.iter().filter(|record| record.event.is_empty()).filter(is_of).collect()
}

fn event<'r>(all: &'r [LogRecord], name: &str) -> &'r LogRecord {
    let found: Vec<_> = all.iter().filter(|record| record.event == name).collect();
    let [event] = found[..] else { panic!("one event {name}: {all:#?}") };
    event
}

fn is_recent(record: &LogRecord) {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let age = since_epoch.abs_diff(Duration::from_nanos(record.time));
    assert!(age < Duration::from_secs(600), "{age:?} ago: {record:#?}");
    assert!(record.observed >= record.time, "{record:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_and_events_are_log_records_with_their_call_and_its_span() {
    let collector = Collector::start(Some(WELL)).await;
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &format!("{}/own/logs", collector.url)),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=general"),
        ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "api-key=own"),
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_SERVICE_NAME", "shop"),
    ];
    let mut host = Host::with_env(&["--watch", "never"], &env);
    for app in ["sampled", "unsampled"] {
        host.serve(app, &logger(), LONG).await;
    }
    host.serve("traps", &wat(TRAPS), "").await;
    get_below(&host, "/sampled?n=2", PARENT).await;
    get_below(&host, "/unsampled?n=1", UNSAMPLED).await;
    let trapped = host.get("/traps").await;
    assert_eq!(trapped.status, 500);
    let spans = collector.at_end_of(&mut host);
    let all = collector.records();

    let sampled = lines_of(&all, "sampled");
    let said: Vec<_> = sampled
        .iter()
        .map(|line| (line.attributes["log.iostream"].as_str().unwrap(), line.body.trim()))
        .collect();
    let expected =
        [("stdout", "out 1"), ("stderr", "err 1"), ("stdout", "out 2"), ("stderr", "err 2")];
    assert_eq!(said, expected, "{all:#?}");
    assert!(sampled.is_sorted_by_key(|line| line.time), "{sampled:#?}");
    let span = super::of(&spans, "sampled");
    for line in &sampled {
        assert_eq!((&line.trace, &line.span, line.flags), (&span.trace, &span.id, 1));
        assert_eq!(line.attributes["steerage.call_id"], span.attributes["steerage.call_id"]);
        assert_eq!(line.attributes["steerage.generation"], 1);
        assert_eq!((line.severity, line.severity_text.as_str()), (0, ""), "nobody knows it");
        assert_eq!((&line.resource["service.name"], &*line.scope), (&"shop".into(), "steerage"));
        is_recent(line);
    }
    // Of a call that nobody samples nobody knows yet whether it fails: its flags say that it is not sampled.
    let [of_unsampled, _] = lines_of(&all, "unsampled")[..] else { panic!("two lines: {all:#?}") };
    assert_eq!((&of_unsampled.trace, of_unsampled.flags), (&span.trace, 0));
    assert!(of_unsampled.span != span.id && of_unsampled.span.len() == 16, "{of_unsampled:#?}");

    let (failed, of_failed) = (event(&all, "trapped"), super::of(&spans, "traps"));
    assert_eq!((&failed.trace, &failed.span), (&of_failed.trace, &of_failed.id));
    assert_eq!((failed.severity, failed.severity_text.as_str()), (13, "WARN"));
    assert_eq!(failed.attributes["steerage.app"], "traps");
    assert_eq!(failed.attributes["steerage.call_id"], trapped.header("x-request-id"));
    assert_eq!(failed.attributes["steerage.evidence.path"], "/traps");
    assert!(failed.body.contains("unreachable"), "{failed:#?}");
    is_recent(failed);
    // From before anybody was told of events to the end of the host.
    assert_eq!(event(&all, "started").severity, 9, "{all:#?}");
    assert_eq!(event(&all, "stopping").severity, 9, "{all:#?}");
    let got = collector.got.lock().unwrap();
    let (headers, _, _) = got.iter().find(|(_, path, _)| path == "/own/logs").unwrap();
    assert_eq!(headers["api-key"], "own");
    let (headers, _, _) = got.iter().find(|(_, path, _)| path == "/v1/traces").unwrap();
    assert_eq!(headers["api-key"], "general");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_grpc_and_without_spans_log_records_arrive_as_well() {
    let (_say, status) = watch::channel(0);
    let (url, got) = grpc_collector(status).await;
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_METRICS_EXPORTER", "none"),
    ];
    let mut host = Host::with_env(&[], &env);
    host.serve("logger", &logger(), "").await;
    get_below(&host, "/logger?n=1", PARENT).await;
    host.signal("TERM");
    host.wait();
    let got = got.lock().unwrap();
    let path = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    assert!(got.iter().all(|request| request.uri().path() == path), "{got:?}");
    let all: Vec<_> = got.iter().flat_map(|request| records(&request.body()[5..])).collect();
    let lines = lines_of(&all, "logger");
    assert_eq!(lines.len(), 2, "{all:#?}");
    for line in lines {
        assert_eq!((&*line.trace, &*line.span, line.flags), ("", "", 0), "there is no such span");
    }
}

/// Each of its lines is some 16 KB.
async fn print_much(host: &Host) {
    let reply = host.get("/logger?n=40&width=16000").await;
    assert_eq!(reply.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_slows_no_call_and_lost_log_records_are_counted() {
    let collector = Collector::start(None).await;
    let flags = ["--otlp-endpoint", &collector.url, "--otlp-timeout", "600000"];
    let mut host = Host::with(&[&flags[..], &ONLY_LOGS].concat());
    host.serve("logger", &logger(), "").await;
    host.until("a loss", || async {
        print_much(&host).await;
        (dropped(&host, "queue_full").await > 0.0).then_some(())
    })
    .await;
    // The first batch is on its way all the time, and what waits is bounded in bytes.
    assert_eq!((collector.n_requests(), sent(&host).await), (1, 0.0));
    let n_bytes = collector.got.lock().unwrap()[0].2.len();
    assert!(n_bytes <= (1 << 20) + (64 << 10), "{n_bytes}");
    collector.answers.send_replace(Some(WELL));
    let n_lost = dropped(&host, "queue_full").await;
    host.until("what waited", || async {
        (sent(&host).await >= 250.0 && sent(&host).await == collector.records().len() as f64)
            .then_some(())
    })
    .await;
    assert_eq!(dropped(&host, "queue_full").await, n_lost, "there is room again");
    let told = failing(&host).await;
    let message = told[0]["message"].as_str().unwrap();
    assert!(told.len() == 1 && message.contains("all log records"), "{told:?}");
    host.signal("TERM");
    host.ends_in_time();
}

/// What tells of the loss is a log record itself, and lost like the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_loss_is_told_once_though_what_tells_of_it_is_lost_as_well() {
    let collector = Collector::start(Some((400, None, b"no"))).await;
    let host = Host::with(&[&["--otlp-endpoint", &collector.url], &ONLY_LOGS[..]].concat());
    host.serve("logger", &logger(), "").await;
    let n_told = || {
        let all = collector.records();
        all.iter().filter(|record| record.event == "collector_failing").count()
    };
    host.until("the word on it", || async { (n_told() > 0).then_some(()) }).await;
    for n_lines in 1..=2 {
        assert_eq!(host.get("/logger?n=1").await.status, 200);
        host.until("the line", || async {
            (lines_of(&collector.records(), "logger").len() == 2 * n_lines).then_some(())
        })
        .await;
    }
    let n_records = collector.records().len() as f64;
    host.until("the count", || async {
        (dropped(&host, "refused").await == n_records).then_some(())
    })
    .await;
    assert_eq!((n_told(), sent(&host).await), (1, 0.0));
    let told = failing(&host).await;
    assert_eq!((told.len(), &told[0]["count"]), (1, &1.into()), "{told:?}");
}

/// A request to it may take ten minutes, and so may one for each of the other signals.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_holds_up_no_call_and_no_end() {
    let collector = Collector::start(None).await;
    let often = ["--otlp-metric-export-interval", "100", "--otlp-metric-export-timeout", "600s"];
    let flags = ["--otlp-endpoint", &collector.url, "--otlp-timeout", "600s"];
    let mut host = Host::with(&[&flags[..], &often].concat());
    host.serve("logger", &logger(), LONG).await;
    host.until("a request of each signal", || async {
        let request = Request::get(host.url("/logger?n=1")).header("traceparent", PARENT);
        assert_eq!(host.send(request.body(Full::default()).unwrap()).await.status, 200);
        let got = collector.got.lock().unwrap();
        let has = |end: &str| got.iter().any(|(_, path, _)| path.ends_with(end));
        ["/traces", "/metrics", "/logs"].into_iter().all(has).then_some(())
    })
    .await;
    let told_at = std::time::Instant::now();
    host.signal("TERM");
    host.wait();
    assert!(told_at.elapsed() < Duration::from_secs(9), "{:?}", told_at.elapsed());
}
