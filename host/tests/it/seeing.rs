//! What operators and developers see: log lines, metrics, the API's own documents.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use http_body_util::BodyExt;
use steerage_guests as guests;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::{Host, manifest, prints, reader};

/// What a status alone does not tell: a refusal of class 4xx may be the app's, and a client's fault is nobody's
/// failure.
#[tokio::test]
async fn a_call_says_whether_it_failed_through_the_app_or_the_host() {
    let host = Host::start();
    let limits = "[limits]\nconcurrency = 1\nqueue = 0\nrequest_body = \"1KiB\"";
    host.serve("web", &reader(), limits).await;
    host.serve("bad", &prints("Status: 500\\n\\nno"), "").await;
    assert_eq!(host.get("/web/good").await.status, 200);
    assert_eq!(host.post("/web/large", vec![b'x'; 5000]).await.cause(), "request_too_large");
    assert_eq!(host.get("/bad/").await.status, 500);
    // A body that does not end keeps the only place there is.
    let mut held = TcpStream::connect(&host.listen).await.unwrap();
    let head = b"POST /web/held HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n";
    held.write_all(head).await.unwrap();
    host.until("a running call", || async {
        let app = host.admin("GET", "/v1/apps/web", "").await.json();
        (app["running"] == 1).then_some(())
    })
    .await;
    assert_eq!(host.get("/web/busy").await.cause(), "app_busy");
    drop(held);
    for (app, path, cause, failed) in [
        ("web", "/web/good", "answered", false),
        ("web", "/web/large", "request_too_large", false),
        ("bad", "/bad/", "answered", true),
        ("web", "/web/busy", "app_busy", true),
        ("web", "/web/held", "client_gone", false),
    ] {
        let call = host.call_of(app, path).await;
        assert_eq!((&call["cause"], &call["failed"]), (&cause.into(), &failed.into()), "{call}");
    }
}

#[tokio::test]
pub(crate) async fn what_a_guest_prints_is_kept_with_its_call() {
    let host = Host::start();
    host.deploy(&std::fs::read(guests::LOGGER).unwrap(), &manifest("logger", "/...", "")).await;
    let reply = host.get("/?n=3").await;
    assert_eq!(reply.status, 200);
    let lines = host
        .until("lines", || async {
            let lines = host.admin("GET", "/v1/apps/logger/logs?lines=100", "").await.json();
            let lines = lines["lines"].as_array().unwrap().clone();
            (lines.len() >= 6).then_some(lines)
        })
        .await;
    let of = |stream: &str| lines.iter().filter(|line| line["stream"] == stream).count();
    assert_eq!((of("stdout"), of("stderr")), (3, 3));
    assert!(lines.iter().all(|line| line["call"] == reply.header("x-request-id")), "{lines:?}");
}

#[tokio::test]
async fn a_flood_of_lines_is_cut_and_the_cut_is_told() {
    let host = Host::start();
    host.deploy(&std::fs::read(guests::LOGGER).unwrap(), &manifest("logger", "/...", "")).await;
    assert_eq!(host.get("/?n=5000").await.status, 200);
    let dropped = host
        .until("a word on what was dropped", || async {
            // The next line after a quiet moment carries the count.
            host.get("/?n=1").await;
            let lines = host.admin("GET", "/v1/apps/logger/logs?lines=1000", "").await.json();
            let lines = lines["lines"].as_array().unwrap().clone();
            lines.into_iter().find(|line| line["text"].as_str().unwrap().contains("lines dropped"))
        })
        .await;
    assert!(dropped["text"].as_str().unwrap().contains("lines a second"), "{dropped}");
}

#[tokio::test]
async fn a_follower_sees_lines_as_they_come() {
    let host = Host::start();
    host.deploy(&std::fs::read(guests::LOGGER).unwrap(), &manifest("logger", "/...", "")).await;
    let url = format!("http://{}/v1/apps/logger/logs?follow=true", host.admin);
    let request = http::Request::get(url).body(Default::default()).unwrap();
    let mut following = host.stream(request).await.unwrap();
    host.get("/?n=1").await;
    let mut text = String::new();
    while text.matches("\"text\"").count() < 2 {
        let frame = following.body_mut().frame().await.unwrap().unwrap();
        text.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
    }
    assert!(text.contains("stdout") && text.contains("stderr"), "{text}");
}

#[tokio::test]
async fn metrics_count_calls_by_app_and_cause() {
    let host = Host::start();
    host.deploy(&std::fs::read(guests::HELLO).unwrap(), &manifest("hello", "/hello", "")).await;
    host.deploy(&std::fs::read(guests::TRAP).unwrap(), &manifest("trap", "/trap", "")).await;
    for _ in 0..3 {
        host.get("/hello").await;
    }
    host.get("/trap").await;
    host.get("/nowhere").await;
    for (line, least) in [
        ("guest_calls_total{app=\"hello\",cause=\"answered\"}", 3.0),
        ("guest_calls_total{app=\"trap\",cause=\"trapped\"}", 1.0),
        ("http_server_requests_total{app=\"trap\",status=\"5xx\"}", 1.0),
        ("http_server_request_duration_seconds_count{app=\"hello\"}", 3.0),
        ("instantiate_duration_seconds_count{app=\"hello\"}", 3.0),
        ("guest_fuel_total{app=\"hello\"}", 1.0),
        ("guest_memory_peak_bytes{app=\"hello\"}", 65_536.0),
        ("http_server_unrouted_requests_total", 1.0),
        ("pool_slots ", 16.0),
    ] {
        host.until(line, || async { (host.metric(line).await >= least).then_some(()) }).await;
    }
    assert!(host.metric("guest_cpu_seconds_total{app=\"hello\"}").await > 0.0);
    let metrics = host.admin("GET", "/metrics", "").await;
    assert!(!metrics.text().contains("/hello"), "paths are no labels");
    let open = http::Request::get(format!("http://{}/metrics", host.admin))
        .header("accept", "application/openmetrics-text")
        .body(Default::default());
    let open = host.stream(open.unwrap()).await.unwrap();
    let form = open.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(form.starts_with("application/openmetrics-text"), "{form}");
    let open = open.into_body().collect().await.unwrap().to_bytes();
    assert!(open.ends_with(b"# EOF\n"));
}

#[tokio::test]
async fn prometheus_own_checker_accepts_the_metrics() {
    let Some(promtool) = promtool() else {
        println!("skipped: promtool is not here; `make setup` brings it where apt can be used");
        return;
    };
    let host = Host::start();
    host.deploy(&std::fs::read(guests::HELLO).unwrap(), &manifest("hello", "/hello", "")).await;
    host.get("/hello").await;
    host.last_call("hello").await;
    let metrics = host.admin("GET", "/metrics", "").await.text();
    assert!(metrics.contains("le=\"+Inf\""), "{metrics}");
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let said = check.wait_with_output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    assert!(said.status.success() && text.trim().is_empty(), "{text}\n{metrics}");
}

fn promtool() -> Option<&'static Path> {
    ["/usr/bin/promtool", "/usr/local/bin/promtool"].map(Path::new).into_iter().find(|p| p.exists())
}

#[tokio::test]
async fn percentiles_and_answers_of_5xx_stand_beside_failures() {
    let host = Host::start();
    host.deploy(&prints("Status: 500\\n\\nno"), &manifest("web", "/web/...", "")).await;
    for _ in 0..5 {
        assert_eq!(host.get("/web/").await.status, 500);
    }
    let apps = host
        .until("record of the calls", || async {
            let apps = host.admin("GET", "/v1/apps", "").await.json();
            (apps["apps"][0]["calls"] == 5).then_some(apps)
        })
        .await;
    let usage = host.admin("GET", "/v1/usage", "").await.json();
    let n_counted = |app: &serde_json::Value| -> u64 {
        let counts = app["latency"]["counts"].as_array().unwrap();
        counts.iter().map(|count| count.as_u64().unwrap()).sum()
    };
    for app in [&apps["apps"][0], &usage["apps"][0]] {
        assert_eq!((n_counted(app), &app["errors"], &app["failed"]), (5, &5.into(), &0.into()));
        let at = |key: &str| app["latency"][key].as_u64().unwrap();
        assert!(at("p50_us") > 0 && at("p50_us") <= at("p95_us") && at("p95_us") <= at("p99_us"));
    }
    let shown = host.run(&["ps"]).done().stdout;
    assert!(
        ["5XX", "REFUSED", "P50", "P95", "P99"].iter().all(|name| shown.contains(name)),
        "{shown}"
    );
    // What was before its interval does not count.
    let top = ["top", "--once", "--interval", "100ms", "-o", "json"];
    let quiet = host.run(&top).done().json_lines().remove(0);
    assert_eq!(
        (n_counted(&quiet["apps"][0]), &quiet["apps"][0]["latency"]["p99_us"]),
        (0, &0.into())
    );
}

#[tokio::test]
async fn the_hosts_own_log_has_a_span_for_each_call() {
    let mut host = Host::logging(&["--log-format", "json"]);
    host.deploy(&std::fs::read(guests::HELLO).unwrap(), &manifest("hello", "/hello", "")).await;
    let reply = host.get("/hello").await;
    host.last_call("hello").await;
    host.signal("TERM");
    let log = host.wait_for_log();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ended = lines.iter().find(|line| line["fields"]["message"] == "call ended");
    let span = &ended.unwrap_or_else(|| panic!("no end of a call: {log}"))["span"];
    assert_eq!(span["name"], "call");
    assert_eq!(span["app"], "hello");
    assert_eq!(span["outcome"], "answered");
    assert_eq!(span["call_id"], reply.header("x-request-id"));
}

#[tokio::test]
async fn the_api_describes_itself() {
    let host = Host::start();
    let document = host.admin("GET", "/v1/openapi.json", "").await.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert!(document["paths"]["/v1/apps/{app}/deployments"]["post"].is_object(), "{document}");
    assert_eq!(host.admin("GET", "/healthz", "").await.status, 200);
    assert_eq!(host.admin("GET", "/readyz", "").await.status, 200);
}

#[tokio::test]
async fn operators_beyond_loopback_need_a_token() {
    let output = crate::harness::steerage()
        .args(["host", "--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0", "--data"])
        .arg(tempfile::tempdir().unwrap().path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("token"), "{said}");
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "s3cret\n").unwrap();
    let host = Host::with(&["--token-file", token.to_str().unwrap()]);
    assert_eq!(host.admin("GET", "/v1/apps", "").await.status, 401);
    assert_eq!(host.admin("GET", "/healthz", "").await.status, 200);
    let request = http::Request::get(format!("http://{}/v1/apps", host.admin))
        .header("authorization", "Bearer s3cret")
        .body(Default::default())
        .unwrap();
    assert_eq!(host.send(request).await.status, 200);
}
