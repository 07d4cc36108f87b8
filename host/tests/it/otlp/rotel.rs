//! A real collector, `rotel`, takes spans, metrics and log records and reads them as they are meant.
//! Does not look into them itself: what it prints is what counts.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::Full;
use steerage_guests as guests;
use tokio::net::TcpListener;

use super::metrics::points_dropped;
use super::{PARENT, dropped, says_dropped};
use crate::harness::{Host, says};
use crate::outbound::{LOOPBACK, target_after};
use crate::watchdog::{self, Watched};

/// So often it is started at most.
const MOST_STARTS: usize = 10;

/// `rotel`, a collector in Rust, that prints what it takes; gone when this is dropped.
struct Rotel {
    child: Child,
    _watched: Arc<Watched>,
    folder: tempfile::TempDir,
    /// Where it takes gRPC, and where HTTP.
    urls: [String; 2],
}

impl Drop for Rotel {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Rotel {
    /// Starts one that prints `traces`, `metrics` or `logs`; `None` where it is not there.
    async fn start(what: &str) -> Option<Self> {
        let program = program();
        if !program.exists() {
            eprintln!("SKIPPED: no {}; `make collector-setup` brings it", program.display());
            return None;
        }
        // It does not tell which ports the kernel gave it. So it is given two that are free, and somebody else may
        // take one before it does.
        for _ in 0..MOST_STARTS {
            if let Some(started) = Self::start_on(free_ports().await, what).await {
                return Some(started);
            }
        }
        panic!("a port of rotel was taken by somebody else {MOST_STARTS} times");
    }

    /// Starts one on these; `None` where somebody else has taken one of them.
    async fn start_on(ports: [String; 2], what: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(program())
            .args(["start", "--exporter", "blackhole", "--debug-log", what, "--pid-file", "pid"])
            .args(["--debug-log-verbosity", "detailed"])
            .args(["--otlp-grpc-endpoint", &ports[0], "--otlp-http-endpoint", &ports[1]])
            .current_dir(folder.path())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let watched = watchdog::watch(&child, "a rotel");
        let urls = [&ports[0], &ports[1]].map(|port| format!("http://{port}"));
        let mut started = Self { child, _watched: watched, folder, urls };
        // It says so once it has both ports. Before, whoever takes a connection there may be somebody else.
        while !started.printed().contains("Starting Rotel") {
            if let Some(ended) = started.child.try_wait().unwrap() {
                let printed = started.printed();
                assert!(printed.contains("Address already in use"), "rotel: {ended}: {printed}");
                return None;
            }
            tokio::task::yield_now().await;
        }
        for port in &ports {
            while tokio::net::TcpStream::connect(port).await.is_err() {
                if let Some(ended) = started.child.try_wait().unwrap() {
                    panic!("rotel ended ({ended}): {}", started.printed());
                }
                tokio::task::yield_now().await;
            }
        }
        Some(started)
    }

    /// What it says of something that it took, once all of this is there. It has taken nothing else.
    async fn prints(&self, host: &Host, all: &[&str]) -> String {
        let printed = host.until("what it printed", || async {
            let printed = self.printed();
            all.iter().all(|said| printed.contains(said)).then_some(printed)
        });
        printed.await
    }

    fn printed(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

fn program() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned();
    target.join("tools/rotel/rotel-agent")
}

/// Two ports that nobody has now.
async fn free_ports() -> [String; 2] {
    let [one, other] = [
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    ];
    [one, other].map(|held| held.local_addr().unwrap().to_string())
}

/// Who has a port keeps it, and rotel is started on another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_somebody_else_has_is_given_up() {
    let Some(rotel) = Rotel::start("traces").await else { return };
    let taken = rotel.urls.each_ref().map(|url| url.trim_start_matches("http://").to_owned());
    assert!(Rotel::start_on(taken, "traces").await.is_none());
}

/// How it is spoken to, and at which of its URLs.
const PROTOCOLS: [(&str, usize); 2] = [("grpc", 0), ("http/protobuf", 1)];
const REASONS: [&str; 5] = ["queue_full", "refused", "given_up", "unanswered", "host_ended"];

/// What a host is told to speak so.
fn env<'u>(rotel: &'u Rotel, (protocol, place): (&'u str, usize)) -> [(&'u str, &'u str); 2] {
    [("OTEL_EXPORTER_OTLP_ENDPOINT", &rotel.urls[place]), ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_collector_takes_all_spans_and_reads_them_as_they_are_meant() {
    let port = target_after(Duration::ZERO).await;
    let may = format!("allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]");
    for spoken in PROTOCOLS {
        // One for each: what the other one printed would hide what this one does not.
        let Some(rotel) = Rotel::start("traces").await else { return };
        let host = Host::with_env(&LOOPBACK, &env(&rotel, spoken));
        host.serve("asks", &std::fs::read(guests::OUT).unwrap(), &may).await;
        let request = Request::get(host.url(&format!("/asks?url=http://127.0.0.1:{port}/")));
        let request = request.header("traceparent", PARENT).body(Full::default()).unwrap();
        assert_eq!(host.send(request).await.status, 200);
        host.until("both spans", || async {
            (host.metric("otlp_spans_sent_total").await == 2.0).then_some(())
        })
        .await;
        for reason in REASONS {
            assert_eq!(dropped(&host, reason).await, 0.0, "{reason}");
        }
        let said = [
            "GET /asks",
            "steerage.waited_us",
            "0af7651916cd43dd8448eb211c80319c",
            "b7ad6b7169203331",
            "service.name",
            "steerage.fuel",
        ];
        rotel.prints(&host, &said).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_collector_takes_all_metrics_and_reads_them_as_they_are_meant() {
    for spoken in PROTOCOLS {
        let Some(rotel) = Rotel::start("metrics").await else { return };
        let env = [&env(&rotel, spoken)[..], &[("OTEL_METRIC_EXPORT_INTERVAL", "200")]].concat();
        let host = Host::with_env(&[], &env);
        host.serve("counted", &says("fine"), "").await;
        assert_eq!(host.get("/counted").await.status, 200);
        let said = [
            "counted",
            "http.server.request.duration",
            "guest_cpu_seconds",
            "http.request.method",
            "instantiate_duration_seconds",
            "steerage.app",
            "cause",
        ];
        rotel.prints(&host, &said).await;
        host.until("its answer", || async {
            (host.metric("otlp_points_sent_total").await > 0.0).then_some(())
        })
        .await;
        for reason in REASONS {
            assert_eq!(points_dropped(&host, reason).await, 0.0, "{reason}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_collector_takes_all_log_records_and_reads_them_as_they_are_meant() {
    for spoken in PROTOCOLS {
        let Some(rotel) = Rotel::start("logs").await else { return };
        let host = Host::with_env(&[], &env(&rotel, spoken));
        host.serve("logger", &std::fs::read(guests::LOGGER).unwrap(), "").await;
        let request = Request::get(host.url("/logger?n=1")).header("traceparent", PARENT);
        assert_eq!(host.send(request.body(Full::default()).unwrap()).await.status, 200);
        let said = [
            "out 1",
            "err 1",
            "log.iostream",
            "stderr",
            "0af7651916cd43dd8448eb211c80319c",
            "steerage.call_id",
            "deployed",
            "INFO",
        ];
        rotel.prints(&host, &said).await;
        host.until("its answer", || async {
            (host.metric("otlp_log_records_sent_total").await >= 4.0).then_some(())
        })
        .await;
        for reason in REASONS {
            assert_eq!(says_dropped(&host, "log_records", reason).await, 0.0, "{reason}");
        }
    }
}
