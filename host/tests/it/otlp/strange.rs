//! Collectors that repeat secrets, break off, fall silent or are slow when a host ends: what is told of them, and
//! what is sent again.
//! Does not look into spans.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{Collector, ONLY_SPANS, dropped, failing};
use crate::harness::{Host, says};

/// What is written to whoever has sent something, and whether the connection is closed then.
type Says = (&'static str, bool);

/// Somebody who takes connections and whatever is sent on them; where, and how many there were.
async fn strange(says: watch::Receiver<Says>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let n_taken: Arc<AtomicUsize> = Arc::default();
    let counted = n_taken.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(answer(stream, says.clone()));
        }
    });
    (address, n_taken)
}

async fn answer(mut stream: TcpStream, says: watch::Receiver<Says>) {
    let mut sent = [0; 4096];
    while stream.read(&mut sent).await.is_ok_and(|n_bytes| n_bytes > 0) {
        let (says, closes) = *says.borrow();
        if stream.write_all(says.as_bytes()).await.is_err() || closes {
            return;
        }
    }
}

async fn until_connected(host: &Host, n_taken: &AtomicUsize, n_wanted: usize) {
    host.until("a connection", || async {
        (n_taken.load(Ordering::Relaxed) >= n_wanted).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_collector_repeats_of_path_and_headers_is_told_nobody() {
    let body = b"Cannot POST /0123456789abcdef/v1/traces: api-key=a secret value, secret value";
    let collector = Collector::start(Some((404, None, body))).await;
    let base = format!("{}/0123456789abcdef", collector.url);
    let mut host = Host::logging_with_env(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &base),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20secret%20value"),
        // Whose path is another one.
        ("OTEL_LOGS_EXPORTER", "none"),
    ]);
    host.serve("fine", &says("fine"), "").await;
    assert_eq!(host.get("/fine").await.status, 200);
    let told = failing(&host).await;
    let message = told[0]["message"].as_str().unwrap();
    assert!(message.contains("404 Not Found: Cannot POST …: api-key=…"), "{message}");
    let all = host.admin("GET", "/v1/events", "").await.text();
    host.signal("TERM");
    let log = host.wait_for_log();
    assert!(log.contains("Cannot POST"), "{log}");
    for secret in ["0123456789abcdef", "a secret value"] {
        assert!(!all.contains(secret) && !log.contains(secret), "{secret}: {all} {log}");
    }
}

/// The status says that it may be taken later, whatever becomes of the rest. Of one that was taken only the
/// whole answer says how much.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_an_end_is_later_where_its_head_says_so_and_in_doubt_where_it_says_taken()
{
    let (say, says_what) =
        watch::channel(("HTTP/1.1 503 Full\r\ncontent-length: 9\r\n\r\nfull", false));
    let (address, n_taken) = strange(says_what).await;
    let url = format!("http://{address}");
    // So long nobody waits for what is said beside a status.
    let host = Host::with(
        &[&["--otlp-endpoint", &url, "--otlp-timeout", "600s"], &ONLY_SPANS[..]].concat(),
    );
    host.serve("fine", &says("fine"), "").await;
    assert_eq!(host.get("/fine").await.status, 200);
    until_connected(&host, &n_taken, 2).await;
    assert_eq!(dropped(&host, "unanswered").await, 0.0);
    say.send_replace(("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", true));
    host.until("a doubt", || async { (dropped(&host, "unanswered").await == 1.0).then_some(()) })
        .await;
    assert_eq!(host.metric("otlp_spans_sent_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_speaks_tls_was_not_reached_and_is_tried_again() {
    let (_say, says_what) = watch::channel(("", false));
    let (address, n_taken) = strange(says_what).await;
    let url = format!("https://{address}");
    let host = Host::with(
        &[&["--otlp-endpoint", &url, "--otlp-timeout", "500"], &ONLY_SPANS[..]].concat(),
    );
    host.serve("fine", &says("fine"), "").await;
    assert_eq!(host.get("/fine").await.status, 200);
    until_connected(&host, &n_taken, 2).await;
    assert_eq!(dropped(&host, "unanswered").await, 0.0);
}

/// A request would wait for ten minutes, and so would those after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_connection_of_grpc_is_noticed_long_before_a_request_has_waited_for_long() {
    let (_say, says_what) = watch::channel(("", false));
    let (address, n_taken) = strange(says_what).await;
    let url = format!("http://{address}");
    let env = [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url)];
    let host = Host::with_env(&[&["--otlp-timeout", "600s"], &ONLY_SPANS[..]].concat(), &env);
    host.serve("fine", &says("fine"), "").await;
    assert_eq!(host.get("/fine").await.status, 200);
    host.until("a doubt", || async { (dropped(&host, "unanswered").await == 1.0).then_some(()) })
        .await;
    assert_eq!(n_taken.load(Ordering::Relaxed), 1);
    assert_eq!(host.get("/fine").await.status, 200);
    until_connected(&host, &n_taken, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_ends_before_all_is_sent_says_so_and_is_not_held_up() {
    let collector = Collector::start(None).await;
    let mut host = Host::logging_with_env(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)]);
    host.serve("fine", &says("fine"), "").await;
    assert_eq!(host.get("/fine").await.status, 200);
    let ended_at = std::time::Instant::now();
    host.signal("TERM");
    let log = host.wait_for_log();
    // The collector would have had ten seconds.
    assert!(ended_at.elapsed() < Duration::from_secs(9), "{:?}", ended_at.elapsed());
    for left in [
        "all spans before this host ended",
        "the last metrics of this host",
        "all log records before this host ended",
    ] {
        assert!(log.contains(&format!("did not take {left}")), "{left}: {log}");
    }

    let collector = Collector::start(Some(super::WELL)).await;
    let mut host = Host::logging_with_env(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)]);
    host.serve("fine", &says("fine"), "").await;
    assert_eq!(host.get("/fine").await.status, 200);
    host.signal("TERM");
    let log = host.wait_for_log();
    assert!(!log.contains("did not take"), "{log}");
    assert_eq!(collector.spans().len(), 1);
}
