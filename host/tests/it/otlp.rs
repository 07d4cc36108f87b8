//! Calls become spans at a collector, what the host counts metrics, and lines and events log records: which, where they
//! hang and what they say; and what a collector does slows no call, and what it never gets is counted.

mod decode;
pub(crate) mod guest_spans;
mod logs;
mod metrics;
mod points;
mod records;
mod rotel;
mod strange;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use steerage_guests as guests;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

use self::decode::{Span, spans};
use crate::harness::{Host, manifest, prints, says, wat};
use crate::outbound::{LOOPBACK, target_after};

/// What a collector answers: a status, how many seconds it wants to be left alone, and a body.
pub(crate) type Answer = (u16, Option<u64>, &'static [u8]);

pub(crate) const WELL: Answer = (200, None, b"");
/// For tests that count what else comes.
const ONLY_SPANS: [&str; 4] = ["--otlp-metrics-exporter", "none", "--otlp-logs-exporter", "none"];
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// No call of an app is slow that promises no more, however slow the machine of a test is.
const LONG: &str = "[objective]\nlatency = \"60s at p99\"";
const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// A collector that keeps what it gets, and answers what a test wants, when it wants.
pub(crate) struct Collector {
    pub(crate) url: String,
    got: Arc<Mutex<Vec<(HeaderMap, String, Bytes)>>>,
    answers: watch::Sender<Option<Answer>>,
}

impl Collector {
    pub(crate) async fn start(answer: Option<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let got: Arc<Mutex<Vec<(HeaderMap, String, Bytes)>>> = Arc::default();
        let (answers, answer) = watch::channel(answer);
        let kept = got.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, answer) = (kept.clone(), answer.clone());
                let serve = service_fn(move |request: Request<Incoming>| {
                    let (kept, mut answer) = (kept.clone(), answer.clone());
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes();
                        let path = head.uri.path().to_owned();
                        kept.lock().unwrap().push((head.headers, path, body));
                        let answer = answer.wait_for(Option::is_some).await.map(|answer| *answer);
                        let (status, after, body) =
                            answer.ok().flatten().unwrap_or((500, None, b""));
                        let mut reply = Response::builder().status(status);
                        if let Some(after) = after {
                            reply = reply.header("retry-after", after);
                        }
                        Ok::<_, hyper::Error>(reply.body(Full::new(Bytes::from(body))).unwrap())
                    }
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), serve));
            }
        });
        Self { url, got, answers }
    }

    fn spans(&self) -> Vec<Span> {
        let got = self.got.lock().unwrap();
        let of_traces = got.iter().filter(|(_, path, _)| path.ends_with("/traces"));
        of_traces.flat_map(|(_, _, body)| spans(body)).collect()
    }

    fn n_requests(&self) -> usize {
        self.got.lock().unwrap().len()
    }

    /// What it got of this host, which ends.
    fn at_end_of(&self, host: &mut Host) -> Vec<Span> {
        host.signal("TERM");
        host.wait();
        self.spans()
    }
}

fn of<'s>(spans: &'s [Span], app: &str) -> &'s Span {
    let mut found =
        spans.iter().filter(|span| span.attributes.get("steerage.app") == Some(&app.into()));
    let span = found.next().unwrap_or_else(|| panic!("no span of {app}: {spans:#?}"));
    assert!(found.next().is_none(), "two spans of {app}: {spans:#?}");
    span
}

fn says_that(span: &Span, expected: &[(&str, Value)]) {
    for (name, value) in expected {
        assert_eq!(span.attributes.get(*name), Some(value), "{name}: {span:#?}");
    }
}

/// The phases of a call add up to its time, which was just now.
fn is_sound(span: &Span) {
    let phases = span.attributes.iter().filter(|(name, _)| name.starts_with("steerage.time."));
    let sum: i64 = phases.map(|(_, us)| us.as_i64().unwrap()).sum();
    let took_us = i64::try_from((span.end - span.start) / 1000).unwrap();
    // Each phase is cut to whole microseconds, and the processor's clock is another one.
    let may_differ = took_us / 10 + 1000;
    assert!(sum <= took_us + may_differ && sum + may_differ >= took_us, "{span:#?}");
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let age = since_epoch.abs_diff(Duration::from_nanos(span.end));
    assert!(age < Duration::from_secs(600), "{age:?} ago: {span:#?}");
}

async fn get_below(host: &Host, path: &str, parent: &str) -> String {
    let request = Request::get(host.url(path)).header("traceparent", parent);
    let reply = host.send(request.body(Full::default()).unwrap()).await;
    assert_eq!(reply.status, 200);
    reply.text()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_a_span_below_its_callers_and_its_guest_is_told_so() {
    let collector = Collector::start(Some(WELL)).await;
    let base = format!("{}/otlp/", collector.url);
    let mut host = Host::with_env(
        &["--trusted-proxies", "10.0.0.0/8"],
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &base),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20secret,x=y"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_SERVICE_NAME", "shop"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.name=other"),
            ("OTEL_TRACES_SAMPLER", ""),
        ],
    );
    let echo = std::fs::read(guests::ECHO).unwrap();
    for app in ["below", "root", "unsampled"] {
        host.deploy(&echo, &manifest(app, &format!("/{app}/..."), LONG)).await;
    }
    let told = get_below(&host, "/below/a?secret=1", PARENT).await;
    let reply = host.get_from("shop.example.com:8080", "/root/b").await;
    let (root_told, root_id) = (reply.text(), reply.header("x-request-id").to_owned());
    get_below(&host, "/unsampled/c", UNSAMPLED).await;
    let all = collector.at_end_of(&mut host);
    let [below, root] = ["below", "root"].map(|app| of(&all, app));
    assert_eq!(all.len(), 2, "what its caller does not sample is not kept: {all:#?}");

    assert_eq!(below.trace, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!((below.parent.as_str(), below.flags), ("b7ad6b7169203331", 0x301));
    let own = format!("00-{}-{}-01", below.trace, below.id);
    assert!(told.contains(&own) && !told.contains("b7ad6b7169203331"), "{own}: {told}");
    assert_eq!((below.name.as_str(), below.kind, below.status), ("GET /below/...", 2, 0));
    says_that(
        below,
        &[
            ("http.request.method", "GET".into()),
            ("http.route", "/below/...".into()),
            ("url.path", "/below/a".into()),
            ("url.scheme", "http".into()),
            ("http.response.status_code", 200.into()),
            ("client.address", "127.0.0.1".into()),
            ("network.protocol.version", "1.1".into()),
            ("steerage.generation", 1.into()),
        ],
    );
    assert!(!format!("{below:?}").contains("secret"), "a query is told: {below:#?}");
    assert!(!below.attributes.contains_key("error.type"), "{below:#?}");
    for name in ["steerage.fuel", "steerage.memory_peak_bytes", "steerage.cpu_us"] {
        assert!(below.attributes[name].as_i64().unwrap() > 0, "{name}: {below:#?}");
    }
    is_sound(below);

    // Where nobody asked the trace is the call's own, and so is its id.
    assert_eq!((root.trace.as_str(), root.parent.as_str(), root.flags), (&*root_id, "", 0x101));
    assert!(root_told.contains(&format!("00-{root_id}-{}-01", root.id)), "{root_told}");
    says_that(
        root,
        &[
            ("steerage.call_id", root_id.into()),
            ("server.address", "shop.example.com".into()),
            ("server.port", 8080.into()),
        ],
    );
    for (name, value) in [
        ("service.name", "shop"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("deployment.environment.name", "test"),
    ] {
        assert_eq!(root.resource[name], value, "{root:#?}");
    }
    assert!(root.resource.contains_key("host.name") && root.scope == "steerage", "{root:#?}");
    let got = collector.got.lock().unwrap();
    let (headers, _, _) = got.iter().find(|(_, path, _)| path == "/otlp/v1/traces").unwrap();
    for (name, value) in
        [("api-key", "a secret"), ("x", "y"), ("content-type", "application/x-protobuf")]
    {
        assert_eq!(headers[name], value);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_and_what_was_slow_is_kept_whatever_the_ratio_says() {
    let collector = Collector::start(Some(WELL)).await;
    let url = format!("{}/v1/traces", collector.url);
    let flags = ["--otlp-traces-endpoint", &url, "--otlp-sampler", "traceidratio"];
    let flags = [&flags[..], &["--otlp-sampler-arg", "0", "--watch", "never"]].concat();
    let mut host = Host::with(&[&flags[..], &LOOPBACK].concat());
    host.serve("fine", &says("fine"), LONG).await;
    host.serve("bad", &prints("Status: 503\\n\\nno"), "").await;
    let traps = r#"(module (memory (export "memory") 1) (func (export "_start") unreachable))"#;
    host.serve("traps", &wat(traps), "").await;
    let port = target_after(Duration::from_millis(300)).await;
    let out = std::fs::read(guests::OUT).unwrap();
    let may = format!("allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]");
    // The same call is slow to one who promises more.
    host.serve("patient", &out, &format!("{may}\n{LONG}")).await;
    let promises = format!("{may}\n[objective]\nlatency = \"200ms at p99\"");
    host.serve("slow", &out, &promises).await;
    for _ in 0..5 {
        get_below(&host, "/fine", PARENT).await;
    }
    let refused = host.get("/bad").await;
    assert_eq!((refused.status.as_u16(), host.get("/traps").await.status.as_u16()), (503, 500));
    for app in ["patient", "slow"] {
        let reply = host.get(&format!("/{app}?url=http://127.0.0.1:{port}/")).await;
        assert!(reply.text().contains("reached"), "{}", reply.text());
    }
    let all = collector.at_end_of(&mut host);
    let apps: BTreeSet<_> =
        all.iter().filter_map(|span| span.attributes.get("steerage.app")?.as_str()).collect();
    assert_eq!(apps, BTreeSet::from(["bad", "slow", "traps"]), "{all:#?}");

    let bad = of(&all, "bad");
    assert_eq!((bad.status, bad.message.as_str(), bad.flags), (2, "", 0x100));
    says_that(
        bad,
        &[
            ("error.type", "503".into()),
            ("http.response.status_code", 503.into()),
            ("steerage.call_id", refused.header("x-request-id").into()),
        ],
    );
    let traps = of(&all, "traps");
    assert!(traps.status == 2 && traps.message.contains("unreachable"), "{traps:#?}");
    says_that(traps, &[("error.type", "trapped".into())]);

    let slow = of(&all, "slow");
    assert_eq!(slow.status, 0, "{slow:#?}");
    let below: Vec<_> = all.iter().filter(|span| span.parent == slow.id).collect();
    let [asked] = below[..] else { panic!("one request: {all:#?}") };
    assert_eq!((asked.kind, asked.name.as_str(), asked.status), (3, "GET", 0));
    assert_eq!(asked.trace, slow.trace);
    assert!(slow.start <= asked.start && asked.end <= slow.end, "{slow:#?} {asked:#?}");
    assert!(asked.end - asked.start >= 290_000_000, "{asked:#?}");
    assert!(asked.attributes["steerage.waited_us"].as_i64().unwrap() >= 290_000, "{asked:#?}");
    says_that(
        asked,
        &[
            ("http.request.method", "GET".into()),
            ("server.address", "127.0.0.1".into()),
            ("server.port", port.into()),
            ("http.response.status_code", 200.into()),
        ],
    );
}

async fn events(host: &Host, kind: &str) -> Vec<Value> {
    let told = host.admin("GET", "/v1/events", "").await.json();
    let all = told["events"].as_array().unwrap();
    all.iter().filter(|event| event["kind"] == kind).cloned().collect()
}

/// The events of a collector that fails, of which there is one at least.
async fn failing(host: &Host) -> Vec<Value> {
    let told = host.until("an event", || async {
        Some(events(host, "collector_failing").await).filter(|told| !told.is_empty())
    });
    told.await
}

async fn dropped(host: &Host, reason: &str) -> f64 {
    says_dropped(host, "spans", reason).await
}

/// How many of these it says it has lost for this reason.
async fn says_dropped(host: &Host, things: &str, reason: &str) -> f64 {
    host.metric(&format!("otlp_{things}_dropped_total{{reason=\"{reason}\"}}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_slows_no_call_and_what_is_lost_is_counted() {
    const CALLS: u32 = 4_000;
    let collector = Collector::start(None).await;
    let flags = ["--otlp-endpoint", &collector.url, "--otlp-timeout", "600000"];
    let mut host = Host::with(&[&flags[..], &ONLY_SPANS].concat());
    host.serve("fine", &says("fine"), "").await;
    for _ in 0..CALLS {
        assert_eq!(host.get("/fine").await.status, 200);
    }
    // The first batch is on its way all the time, and no other one is begun.
    let n_held: usize = collector.spans().len();
    assert_eq!(collector.n_requests(), 1);
    assert!((1..=512).contains(&n_held), "{n_held}");
    let expected = f64::from(CALLS) - n_held as f64 - 2048.0;
    host.until("the count", || async {
        (dropped(&host, "queue_full").await == expected).then_some(())
    })
    .await;
    assert_eq!(host.metric("otlp_spans_sent_total").await, 0.0);
    collector.answers.send_replace(Some(WELL));
    host.until("what waited", || async {
        let sent = host.metric("otlp_spans_sent_total").await;
        (sent == n_held as f64 + 2048.0).then_some(())
    })
    .await;
    let told = failing(&host).await;
    assert_eq!((told.len(), &told[0]["count"]), (1, &1.into()), "{told:?}");
    let ids: BTreeSet<_> = collector.spans().into_iter().map(|span| span.id).collect();
    assert_eq!(ids.len(), n_held + 2048, "none is there twice");
    host.signal("TERM");
    host.ends_in_time();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_slows_no_call_and_holds_up_no_end() {
    // It is bound and does not listen, so nobody else takes its port.
    let dead = TcpSocket::new_v4().unwrap();
    dead.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = format!("http://{}", dead.local_addr().unwrap());
    let mut host = Host::with(&[&["--otlp-endpoint", &nobody], &ONLY_SPANS[..]].concat());
    host.serve("fine", &says("fine"), "").await;
    // The queue is emptied only a batch a minute, when one is given up.
    host.until("a loss", || async {
        for _ in 0..100 {
            assert_eq!(host.get("/fine").await.status, 200);
        }
        (dropped(&host, "queue_full").await > 0.0).then_some(())
    })
    .await;
    let told = failing(&host).await;
    let message = told[0]["message"].as_str().unwrap();
    assert!(told.len() == 1 && message.contains("refused"), "{told:?}");
    host.signal("TERM");
    host.ends_in_time();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_taken_later_is_sent_again_and_what_is_refused_is_not() {
    let collector = Collector::start(Some((503, Some(1), b"full"))).await;
    let host = Host::with(&[&["--otlp-endpoint", &collector.url], &ONLY_SPANS[..]].concat());
    host.serve("fine", &says("fine"), "").await;
    assert_eq!(host.get("/fine").await.status, 200);
    host.until("two tries", || async { (collector.n_requests() >= 2).then_some(()) }).await;
    // One rejected of those it takes, as `partial_success { rejected_spans: 1, error_message: "no" }`.
    collector.answers.send_replace(Some((200, None, b"\x0a\x06\x08\x01\x12\x02no")));
    host.until("the refusal", || async { (dropped(&host, "refused").await == 1.0).then_some(()) })
        .await;
    let tries = collector.spans();
    let ids: BTreeSet<_> = tries.iter().map(|span| &span.id).collect();
    assert!(ids.len() == 1 && tries.len() >= 2, "the same span each time: {tries:#?}");
    let told = failing(&host).await;
    assert!(told[0]["message"].as_str().unwrap().contains("rejects 1: no"), "{told:?}");

    collector.answers.send_replace(Some((400, Some(1), b"bad")));
    let n_before = collector.n_requests();
    assert_eq!(host.get("/fine").await.status, 200);
    host.until("the refusal", || async { (dropped(&host, "refused").await == 2.0).then_some(()) })
        .await;
    assert_eq!(collector.n_requests(), n_before + 1);
    assert_eq!(host.metric("otlp_spans_sent_total").await, 0.0);
}

/// A collector that takes gRPC and ends each call with this status; what it got, in order.
async fn grpc_collector(status: watch::Receiver<u16>) -> (String, Arc<Mutex<Vec<Request<Bytes>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let got: Arc<Mutex<Vec<Request<Bytes>>>> = Arc::default();
    let kept = got.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (kept, status) = (kept.clone(), status.clone());
            let serve = service_fn(move |request: Request<Incoming>| {
                let (kept, status) = (kept.clone(), *status.borrow());
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await?.to_bytes();
                    kept.lock().unwrap().push(Request::from_parts(head, body));
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", status.into());
                    trailers.insert("grpc-message", "said so".parse().unwrap());
                    let message = Full::new(Bytes::from_static(b"\0\0\0\0\0"));
                    let body = message.with_trailers(async move { Some(Ok(trailers)) });
                    let reply = Response::builder().header("content-type", "application/grpc");
                    Ok::<_, hyper::Error>(reply.body(body).unwrap())
                }
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), serve));
        }
    });
    (url, got)
}

#[tokio::test(flavor = "multi_thread")]
async fn by_grpc_spans_arrive_and_a_status_means_what_it_says() {
    let (say, status) = watch::channel(14);
    let (url, got) = grpc_collector(status).await;
    let env = [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_EXPORTER_OTLP_ENDPOINT", &url)];
    let host = Host::with_env(&ONLY_SPANS, &env);
    host.serve("fine", &says("fine"), "").await;
    assert_eq!(host.get("/fine").await.status, 200);
    // It is unavailable, so it is asked again.
    host.until("two tries", || async { (got.lock().unwrap().len() >= 2).then_some(()) }).await;
    say.send_replace(0);
    host.until("what it took", || async {
        (host.metric("otlp_spans_sent_total").await == 1.0).then_some(())
    })
    .await;
    say.send_replace(3);
    assert_eq!(host.get("/fine").await.status, 200);
    host.until("the refusal", || async { (dropped(&host, "refused").await == 1.0).then_some(()) })
        .await;
    let told = failing(&host).await;
    assert!(told[0]["message"].as_str().unwrap().contains("gRPC status 3: said so"), "{told:?}");
    let got = got.lock().unwrap();
    let mut ids = Vec::new();
    for request in &*got {
        let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        assert_eq!((request.uri().path(), request.version()), (path, http::Version::HTTP_2));
        for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
            assert_eq!(request.headers()[name], value);
        }
        let (prefix, message) = request.body().split_at(5);
        let length = u32::try_from(message.len()).unwrap();
        assert_eq!((prefix[0], &prefix[1..]), (0, &length.to_be_bytes()[..]));
        let spans = spans(message);
        assert_eq!((spans.len(), spans[0].name.as_str()), (1, "GET /fine/..."));
        ids.push(spans[0].id.clone());
    }
    ids.dedup();
    assert_eq!(ids.len(), 2, "the first one again and again, and then the other one once");
}
