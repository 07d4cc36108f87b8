//! A collector is told the metrics that `/metrics` shows, and how long calls took by the conventions of
//! OpenTelemetry; and one that is dead or slow holds up nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use tokio::net::TcpSocket;
use tokio::sync::watch;

use super::points::{Point, points};
use super::{Collector, LONG, PARENT, UNSAMPLED, WELL, events, get_below, grpc_collector};
use crate::harness::{Host, prints, says, wat};

const TRAPS: &str = r#"(module (memory (export "memory") 1) (func (export "_start") unreachable))"#;

impl Collector {
    /// What each request with metrics told.
    fn told(&self) -> Vec<Vec<Point>> {
        let got = self.got.lock().unwrap();
        let of_metrics = got.iter().filter(|(_, path, _)| path.ends_with("/metrics"));
        of_metrics.map(|(_, _, body)| points(body)).collect()
    }
}

/// What a line of `/metrics` says: name, labels, number.
fn read(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (sample, number) = line.rsplit_once(' ').unwrap();
    let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
    let each = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
    let labels = each.map(|label| {
        let (name, value) = label.split_once('=').unwrap();
        (name.to_owned(), value.trim_matches('"').to_owned())
    });
    (name.to_owned(), labels.collect(), number.parse().unwrap())
}

fn labels(point: &Point) -> BTreeMap<String, String> {
    let label = |(name, value): (&String, &Value)| {
        let name = if name == "steerage.app" { "app" } else { name };
        (name.to_owned(), value.as_str().unwrap().to_owned())
    };
    point.attributes.iter().map(label).collect()
}

pub(super) async fn points_dropped(host: &Host, reason: &str) -> f64 {
    host.metric(&format!("otlp_points_dropped_total{{reason=\"{reason}\"}}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_metrics_show_a_collector_is_told_and_how_long_calls_took() {
    let collector = Collector::start(Some(WELL)).await;
    let env = [
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &*format!("{}/own/metrics", collector.url)),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=general"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "api-key=own"),
        ("OTEL_SERVICE_NAME", "shop"),
        // So that there is only the one at the end.
        ("OTEL_METRIC_EXPORT_INTERVAL", "86400000"),
    ];
    let mut host = Host::with_env(&["--watch", "never"], &env);
    host.serve("fine", &says("fine"), "").await;
    host.serve("bad", &prints("Status: 503\\n\\nno"), "").await;
    host.serve("traps", &wat(TRAPS), "").await;
    host.serve("idle", &says("idle"), "").await;
    for (app, n_calls) in [("fine", 3), ("bad", 2), ("traps", 1)] {
        for _ in 0..n_calls {
            host.get(&format!("/{app}")).await;
        }
    }
    for method in ["POST", "BREW"] {
        let request = Request::builder().method(method).uri(host.url("/fine"));
        host.send(request.body(Full::default()).unwrap()).await;
    }
    // A call is counted a moment after its last byte was sent.
    host.until("all calls", || async {
        let all = host.metric("guest_calls_total{app=\"fine\",cause=\"answered\"}").await;
        (all == 5.0).then_some(())
    })
    .await;
    let shown = host.admin("GET", "/metrics", "").await.text();
    host.signal("TERM");
    host.wait();
    let told = collector.told();
    assert_eq!((told.len(), collector.n_requests()), (1, 1), "one request, and no spans");
    let told = &told[0];
    let got = collector.got.lock().unwrap();
    assert_eq!((&*got[0].1, &got[0].0["api-key"]), ("/own/metrics", &"own".parse().unwrap()));

    is_told(&shown, told);
    are_sound(told);
    tells_how_long_calls_took(&shown, told);
}

/// All that stays as it is while a host ends is there with the same number, and all else is there.
fn is_told(shown: &str, told: &[Point]) {
    let stays = [
        "http_server_",
        "guest_",
        "instances_",
        "requests_shed",
        "call_wait",
        "capsules_",
        "outbound_",
    ];
    let mut n_same = 0;
    for line in shown.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels_shown, number) = read(line);
        let is_idle = labels_shown.get("app").is_some_and(|app| app == "idle");
        let is_told_in_detail = name.starts_with("http_server_request_duration_seconds");
        if is_idle || is_told_in_detail || name.ends_with("_bucket") {
            continue;
        }
        let bare = ["_total", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end));
        let named = |point: &&Point| point.name == name || Some(&*point.name) == bare;
        let mut found = told.iter().filter(named).filter(|point| labels(point) == labels_shown);
        let point = found.next().unwrap_or_else(|| panic!("{line} is not told"));
        assert!(found.next().is_none(), "{line} is told twice");
        let is_same = stays.iter().any(|stays| name.starts_with(stays));
        if is_same && !name.contains("connections") && !name.contains("in_use") {
            #[expect(clippy::cast_precision_loss, reason = "few calls")]
            let told = if name.ends_with("_count") { point.count as f64 } else { point.number };
            assert_eq!(told, number, "{line}");
            n_same += 1;
        }
    }
    assert!(n_same > 40, "{n_same}");
}

fn are_sound(told: &[Point]) {
    assert!(!told.iter().any(|point| point.text("steerage.app") == "idle"), "it was never called");
    let host_start = told.iter().find(|point| point.name == "disk_evicted").unwrap().start;
    for point in told {
        assert_eq!(point.service, "shop");
        assert_eq!(point.is_cumulative, point.kind != "gauge", "{point:?}");
        assert!(point.start <= point.time && point.time > 0, "{point:?}");
        // Nobody had to do without series of its own, so all count since the host began.
        assert!(point.kind == "gauge" || point.start >= host_start, "{point:?}");
        assert!(!point.attributes.contains_key("otel.metric.overflow"), "{point:?}");
    }
    let unit = |name: &str| told.iter().find(|point| point.name == name).unwrap().unit.clone();
    assert_eq!(
        (unit("guest_cpu_seconds"), unit("guest_memory_peak_bytes")),
        ("s".into(), "By".into())
    );
}

fn tells_how_long_calls_took(shown: &str, told: &[Point]) {
    let durations: Vec<_> =
        told.iter().filter(|point| point.name == "http.server.request.duration").collect();
    let kinds: BTreeSet<_> = durations
        .iter()
        .map(|point| {
            assert_eq!((point.kind, &*point.unit), ("histogram", "s"));
            assert_eq!(point.buckets.iter().sum::<u64>(), point.count);
            assert_eq!(point.buckets.len(), point.bounds.len() + 1);
            let status = point.attributes["http.response.status_code"].as_i64().unwrap();
            let [app, method, error] =
                ["steerage.app", "http.request.method", "error.type"].map(|name| point.text(name));
            (app, method, status, error, point.count)
        })
        .collect();
    let expected = [
        ("bad", "GET", 503, "503", 2),
        ("fine", "GET", 200, "", 3),
        ("fine", "POST", 200, "", 1),
        ("fine", "_OTHER", 200, "", 1),
        ("traps", "GET", 500, "trapped", 1),
    ];
    assert_eq!(kinds, BTreeSet::from(expected));
    for app in ["fine", "bad", "traps"] {
        let name = format!("http_server_request_duration_seconds_sum{{app=\"{app}\"}}");
        let line = shown.lines().find(|line| line.starts_with(&name)).unwrap();
        let of_app = durations.iter().filter(|point| point.text("steerage.app") == app);
        let sum: f64 = of_app.map(|point| point.number).sum();
        assert!((sum - read(line).2).abs() < 1e-6, "{line}: {sum}");
    }
}

/// Those of a call that is told as a span, and no others: whoever looks for one finds it.
#[tokio::test(flavor = "multi_thread")]
async fn how_long_calls_took_is_told_with_examples_of_which_there_are_spans() {
    let collector = Collector::start(Some(WELL)).await;
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url),
        ("OTEL_METRIC_EXPORT_INTERVAL", "86400000"),
        ("OTEL_LOGS_EXPORTER", "none"),
    ];
    let mut host = Host::with_env(&["--watch", "never"], &env);
    for app in ["sampled", "unsampled"] {
        host.serve(app, &says("fine"), LONG).await;
    }
    for _ in 0..20 {
        get_below(&host, "/sampled", PARENT).await;
        get_below(&host, "/unsampled", UNSAMPLED).await;
    }
    let spans = collector.at_end_of(&mut host);
    let told = collector.told();
    let durations: Vec<_> = told
        .iter()
        .flatten()
        .filter(|point| point.name == "http.server.request.duration")
        .collect();
    let [unsampled, sampled] = ["unsampled", "sampled"]
        .map(|app| durations.iter().find(|point| point.text("steerage.app") == app).unwrap());
    assert_eq!((unsampled.count, unsampled.exemplars.len()), (20, 0), "{unsampled:#?}");
    assert_eq!(sampled.count, 20);
    let mut of_buckets = BTreeSet::new();
    for exemplar in &sampled.exemplars {
        let bucket = sampled.bounds.iter().filter(|bound| **bound < exemplar.value).count();
        assert!(of_buckets.insert(bucket), "two of one bucket: {sampled:#?}");
        let span = spans.iter().find(|span| span.id == exemplar.span).unwrap();
        assert_eq!((&exemplar.trace, exemplar.time), (&span.trace, span.end));
        let took = Duration::from_nanos(span.end - span.start).as_secs_f64();
        assert!((took - exemplar.value).abs() < 1e-9, "{exemplar:?} {span:?}");
        assert!((sampled.start..=sampled.time).contains(&exemplar.time), "{sampled:#?}");
    }
    assert!(!of_buckets.is_empty(), "{sampled:#?}");
    assert!(of_buckets.iter().all(|bucket| sampled.buckets[*bucket] > 0), "{sampled:#?}");
}

/// What each message tells that a collector took by gRPC.
fn by_grpc(got: &Arc<Mutex<Vec<Request<Bytes>>>>) -> Vec<Vec<Point>> {
    let got = got.lock().unwrap();
    got.iter()
        .map(|request| {
            let path = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
            assert_eq!(request.uri().path(), path);
            points(&request.body()[5..])
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn by_grpc_sums_grow_from_one_start_on_whatever_was_not_taken_meanwhile() {
    let (say, status) = watch::channel(0);
    let (url, got) = grpc_collector(status).await;
    let flags = ["--otlp-metrics-protocol", "grpc", "--otlp-metric-export-interval", "100"];
    let flags = [&flags[..], &["--otlp-metrics-endpoint", &url]].concat();
    let host = Host::with(&flags);
    host.serve("fine", &says("fine"), "").await;
    let answered = || {
        let is_of_fine =
            |point: &Point| point.name == "guest_calls" && point.text("steerage.app") == "fine";
        let all = by_grpc(&got).into_iter().flatten();
        all.filter(is_of_fine).map(|point| (point.number, point.start)).collect::<Vec<_>>()
    };
    for n_calls in [1.0, 2.0, 3.0] {
        assert_eq!(host.get("/fine").await.status, 200);
        host.until("what it told", || async {
            answered().last().is_some_and(|last| last.0 == n_calls).then_some(())
        })
        .await;
        if n_calls == 2.0 {
            // It says that this will never be taken.
            say.send_replace(3);
            let refused = || async { (points_dropped(&host, "refused").await > 0.0).then_some(()) };
            host.until("a refusal", refused).await;
            say.send_replace(0);
        }
    }
    let sent = host.metric("otlp_points_sent_total").await;
    assert!(sent > 0.0);
    let all = answered();
    assert!(all.is_sorted_by(|one, other| one.0 <= other.0), "{all:?}");
    let starts: BTreeSet<_> = all.iter().map(|(_, start)| start).collect();
    assert_eq!(starts.len(), 1, "{all:?}");
    let told = events(&host, "collector_failing").await;
    let message = told[0]["message"].as_str().unwrap();
    assert!(message.contains("all metrics") && message.contains("gRPC status 3"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_of_metrics_that_never_answers_or_is_not_there_holds_up_nothing() {
    let silent = Collector::start(None).await;
    // It is bound and does not listen, so nobody else takes its port.
    let dead = TcpSocket::new_v4().unwrap();
    dead.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = format!("http://{}", dead.local_addr().unwrap());
    for (url, reason) in [(&silent.url, "unanswered"), (&nobody, "given_up")] {
        // A request may take longer than all of one time.
        let flags = ["--otlp-metrics-endpoint", url, "--otlp-metrics-timeout", "600s"];
        let often = ["--otlp-metric-export-interval", "100", "--otlp-metric-export-timeout", "300"];
        let mut host = Host::with(&[&flags[..], &often].concat());
        host.serve("fine", &says("fine"), "").await;
        host.until("a loss", || async {
            assert_eq!(host.get("/fine").await.status, 200);
            (points_dropped(&host, reason).await > 0.0).then_some(())
        })
        .await;
        assert_eq!(host.metric("otlp_points_sent_total").await, 0.0);
        let told = host.until("an event", || async {
            Some(events(&host, "collector_failing").await).filter(|told| !told.is_empty())
        });
        let message = told.await[0]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("does not take all metrics"), "{message}");
        let told_at = std::time::Instant::now();
        host.ends_in_time();
        assert!(told_at.elapsed() < Duration::from_secs(9), "{:?}", told_at.elapsed());
    }
}
