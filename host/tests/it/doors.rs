//! Connections of every door: ports that are taken, clients that send little, take little or leave, and
//! those who keep connections that others need.

use std::convert::Infallible;
use std::io::Read as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use steerage_guests as guests;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Host, PATIENCE, manifest, says, steerage};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

async fn slow(flags: &[&str], limits: &str) -> Host {
    let host = Host::with(flags);
    let wasm = std::fs::read(guests::SLOW).unwrap();
    host.deploy(&wasm, &manifest("slow", "/...", limits)).await;
    host
}

async fn hello(flags: &[&str]) -> Host {
    let host = Host::with(flags);
    host.deploy(&says("hello"), &manifest("hello", "/...", "")).await;
    host
}

async fn connect(address: &str) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// Reads until the other side closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let reading = stream.read_to_end(&mut read);
    drop(tokio::time::timeout(PATIENCE * 2, reading).await.expect("the host keeps the connection"));
    String::from_utf8_lossy(&read).into_owned()
}

/// Asks once on a connection that is kept, and reads the answer, whose body ends so.
async fn ask(stream: &mut TcpStream, end: &str) -> String {
    stream.write_all(GET).await.unwrap();
    let mut read = Vec::new();
    // With a length when the guest was over at once, in pieces otherwise.
    let whole = [end.to_owned(), format!("{end}\r\n0\r\n\r\n")];
    let is_whole = |read: &[u8]| {
        let is_chunked = String::from_utf8_lossy(read).contains("transfer-encoding");
        read.ends_with(whole[usize::from(is_chunked)].as_bytes())
    };
    while !is_whole(&read) {
        let mut piece = [0; 1024];
        let n_read =
            tokio::time::timeout(PATIENCE, stream.read(&mut piece)).await.unwrap().unwrap();
        assert!(n_read > 0, "closed after {:?}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&piece[..n_read]);
    }
    String::from_utf8(read).unwrap()
}

/// Starts a host that must refuse to start, and returns what it says.
async fn refused(flags: &[&str]) -> String {
    let data = tempfile::tempdir().unwrap();
    let mut child = steerage()
        .args(["host", "--data"])
        .arg(data.path())
        .args(flags)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started_at = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started_at.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{flags:?}: the host starts");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(!status.success());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    said
}

#[tokio::test]
async fn a_port_that_a_host_has_is_refused_to_another_and_says_whose_it_is() {
    let host = hello(&[]).await;
    let port = |address: &str| address.rsplit(':').next().unwrap().to_owned();
    let everywhere = format!("0.0.0.0:{}", port(&host.listen));
    let holder = format!("taken by steerage (process {})", host.pid());
    for (listen, admin, flag) in [
        (host.listen.as_str(), "127.0.0.1:0", "--listen"),
        (&everywhere, "127.0.0.1:0", "--listen"),
        (&host.admin, "127.0.0.1:0", "--listen"),
        ("127.0.0.1:0", &host.admin, "--admin"),
        ("127.0.0.1:0", &host.listen, "--admin"),
    ] {
        let said = refused(&["--listen", listen, "--admin", admin]).await;
        assert!(said.contains(&holder) && said.contains(flag), "{listen} {admin}: {said}");
    }
    for _ in 0..20 {
        assert_eq!(host.get("/").await.text(), "hello");
    }
}

#[tokio::test]
async fn a_connection_that_was_used_may_be_idle_longer_than_a_head_may_take() {
    let host = hello(&["--head-timeout", "500ms", "--idle-timeout", "3s"]).await;
    let mut stream = connect(&host.listen).await;
    for _ in 0..2 {
        ask(&mut stream, "hello").await;
        let before = Instant::now();
        // Longer than a head may take, shorter than it may be idle.
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert!(before.elapsed() < Duration::from_millis(2800), "the machine is too slow to tell");
    }
    ask(&mut stream, "hello").await;
    let idle_at = Instant::now();
    assert_eq!(rest(&mut stream).await, "");
    assert!(idle_at.elapsed() > Duration::from_millis(2500), "{:?}", idle_at.elapsed());
    // Then a head that is begun must come in its time.
    let mut stream = connect(&host.listen).await;
    ask(&mut stream, "hello").await;
    stream.write_all(b"GET / HT").await.unwrap();
    let begun_at = Instant::now();
    rest(&mut stream).await;
    assert!(begun_at.elapsed() > Duration::from_millis(400), "{:?}", begun_at.elapsed());
}

/// CPU time that a process has used, in ticks of 10 ms.
fn ticks(host: &Host) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", host.pid())).unwrap();
    let words: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    words[11].parse::<u64>().unwrap() + words[12].parse::<u64>().unwrap()
}

#[tokio::test]
async fn connections_that_sent_a_byte_or_two_cost_nothing() {
    let host = hello(&["--head-timeout", "60s"]).await;
    let mut streams = Vec::new();
    for n in 0..400 {
        let mut stream = connect(&host.listen).await;
        stream.write_all(if n % 2 == 0 { b"P" } else { b"PR" }).await.unwrap();
        streams.push(stream);
    }
    assert_eq!(host.get("/").await.text(), "hello");
    let before = ticks(&host);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let used = ticks(&host) - before;
    assert!(used < 20, "{used} ticks of 200");
}

#[tokio::test]
async fn silent_strangers_at_the_operators_door_leave_it_and_others_open() {
    let host = hello(&["--head-timeout", "2s"]).await;
    let mut streams = Vec::new();
    for n in 0..300 {
        let mut stream = connect(&host.admin).await;
        if n % 2 == 0 {
            // Those that were ended already do not take it.
            drop(stream.write_all(b"GET /v1/apps HTTP/1.1\r\nhost: loc").await);
        }
        streams.push(stream);
    }
    assert_eq!(host.admin("GET", "/readyz", "").await.status, 200);
    assert_eq!(host.get("/").await.text(), "hello");
    for stream in &mut streams {
        rest(stream).await;
    }
}

#[tokio::test]
async fn whoever_fills_the_room_and_asks_for_nothing_gives_way() {
    let host =
        hello(&["--connections", "20", "--head-timeout", "10m", "--idle-timeout", "10m"]).await;
    let mut kept = Vec::new();
    for _ in 0..60 {
        kept.push(connect(&host.listen).await);
    }
    for _ in 0..5 {
        assert!(ask(&mut connect(&host.listen).await, "hello").await.starts_with("HTTP/1.1 200"));
    }
    // And so do those that have asked and are idle.
    let mut kept = Vec::new();
    for _ in 0..30 {
        let mut stream = connect(&host.listen).await;
        ask(&mut stream, "hello").await;
        kept.push(stream);
    }
    // The youngest are still there.
    ask(kept.last_mut().unwrap(), "hello").await;
}

#[tokio::test]
async fn a_client_that_closes_its_half_gets_its_answer() {
    let host = slow(&["--head-timeout", "30s"], "").await;
    for request in [
        "GET /?ms=400 HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /?ms=400 HTTP/1.0\r\nhost: a\r\n\r\n",
        "GET /?ms=1 HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST /?ms=400 HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody",
        "POST /?ms=400 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        "GET /drip?n=3&ms=200 HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        let mut stream = connect(&host.listen).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.contains(" 200 OK\r\n"), "{request:?}: {answer:?}");
        if request.contains("drip") {
            assert!(answer.contains("chunk 3"), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_client_that_has_gone_stops_its_guest_before_the_calls_time_is_over() {
    let host = slow(&["--head-timeout", "1s"], "[limits]\ntimeout = \"10m\"").await;
    let mut stream = connect(&host.listen).await;
    stream.write_all(b"GET /?ms=500000 HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    host.until("running call", || async {
        (host.metric("http_server_active_requests{app=\"slow\"}").await >= 1.0).then_some(())
    })
    .await;
    drop(stream);
    assert_eq!(host.last_call("slow").await["cause"], "client_gone");
}

/// Sends all of a request before it reads anything, as many clients do.
async fn upload(stream: &mut TcpStream, head: &str, body: &[u8], is_chunked: bool) -> String {
    let length = if is_chunked {
        "transfer-encoding: chunked".to_owned()
    } else {
        format!("content-length: {}", body.len())
    };
    let head = format!("POST {head} HTTP/1.1\r\nhost: a\r\n{length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    if is_chunked {
        for piece in body.chunks(1 << 16) {
            stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await.unwrap();
            stream.write_all(piece).await.unwrap();
            stream.write_all(b"\r\n").await.unwrap();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
    } else {
        stream.write_all(body).await.unwrap();
    }
    let mut start = [0; 12];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut start)).await.unwrap().unwrap();
    String::from_utf8(start.to_vec()).unwrap()
}

#[tokio::test]
async fn an_upload_that_nobody_reads_gets_its_answer() {
    let host = Host::start();
    host.deploy(&says("early"), &manifest("early", "/early/...", "")).await;
    let body = vec![b'x'; 12 << 20];
    // Nobody's path; an app that does not read; a body that is larger than the app allows.
    for (path, length, status) in
        [("/none", 10, "404"), ("/early/", 8, "200"), ("/early/", 12, "413")]
    {
        for is_chunked in [false, true] {
            if is_chunked && status == "413" {
                // Its length is not known before somebody reads it, and this app does not.
                continue;
            }
            let mut stream = connect(&host.listen).await;
            let body = &body[..length << 20];
            let start = upload(&mut stream, path, body, is_chunked).await;
            assert_eq!(start, format!("HTTP/1.1 {status}"), "{path} {is_chunked}");
        }
        let request = Request::post(host.url(path)).body(Full::from(body[..length << 20].to_vec()));
        let reply = host.send_http2(request.unwrap()).await;
        assert_eq!(reply.status.as_str(), status, "{path} over HTTP/2");
    }
    // The connection is kept.
    let mut stream = connect(&host.listen).await;
    upload(&mut stream, "/none", &body, false).await;
    stream
        .write_all(b"GET /early/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(rest(&mut stream).await.contains("early"));
    // Who waits to be told to go on is not asked for what nobody reads.
    let mut stream = connect(&host.listen).await;
    let head =
        "POST /none HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[tokio::test]
async fn an_upload_over_http2_is_taken_whole_whatever_it_expects() {
    // Clients say `Expect` over HTTP/2 as well and wait for nothing; curl takes a stream that is reset
    // in the middle of its upload for a failure, though the whole answer is there.
    let host = Host::start();
    let stream = TokioIo::new(connect(&host.listen).await);
    let (mut sender, connection) =
        http2::Builder::new(TokioExecutor::new()).handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let n_taken = Arc::new(AtomicUsize::new(0));
    let count = n_taken.clone();
    let pieces = futures_util::stream::iter((0..128).map(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; 1 << 16])))
    }));
    let request = Request::post(host.url("/none")).header("expect", "100-continue");
    let response =
        sender.send_request(request.body(StreamBody::new(pieces)).unwrap()).await.unwrap();
    assert_eq!(response.status(), 404);
    host.until("the end of the upload", || async {
        (n_taken.load(Ordering::Relaxed) == 128).then_some(())
    })
    .await;
}

/// A connection of HTTP/2 whose streams may be sent so many bytes.
async fn http2(
    host: &Host,
    window: u32,
) -> (http2::SendRequest<Full<Bytes>>, tokio::task::JoinHandle<hyper::Result<()>>) {
    let stream = TokioIo::new(connect(&host.listen).await);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window);
    let (sender, connection) = builder.handshake(stream).await.unwrap();
    (sender, tokio::spawn(connection))
}

#[tokio::test]
async fn an_answer_that_is_never_taken_is_given_up_though_pings_are_answered() {
    let host = Host::with(&["--idle-timeout", "1s"]);
    let text = "x".repeat(50_000);
    host.deploy(&says(&text), &manifest("large", "/...", "")).await;
    for window in [0, 1, 20_000] {
        let (mut sender, connection) = http2(&host, window).await;
        let path = format!("/{window}");
        let request = Request::get(host.url(&path)).body(Full::default()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        // The body is held and not read.
        assert_eq!(host.call_of("large", &path).await["cause"], "client_gone");
        drop(tokio::time::timeout(PATIENCE, connection).await.expect("the connection is kept"));
        assert!(response.into_body().collect().await.is_err());
    }
}

#[tokio::test]
async fn of_those_that_leave_many_answers_untaken_one_is_ended_at_once() {
    let host = Host::with(&["--idle-timeout", "10m", "--memory-budget", "256MiB"]);
    host.deploy(&says("hello"), &manifest("hello", "/hello/...", "")).await;
    host.deploy(&says(&"x".repeat(30_000)), &manifest("large", "/...", "")).await;
    let (mut answers, mut connections) = (Vec::new(), Vec::new());
    // 24 MB where 16 MiB may be.
    for _ in 0..4 {
        let (mut sender, connection) = http2(&host, 0).await;
        connections.push(connection);
        for _ in 0..200 {
            let request = Request::get(host.url("/")).body(Full::default()).unwrap();
            match sender.send_request(request).await {
                Ok(response) => answers.push(response),
                Err(_) => break,
            }
        }
    }
    let ended = futures_util::future::select_all(connections);
    drop(tokio::time::timeout(PATIENCE, ended).await.expect("all connections are kept"));
    assert_eq!(host.get("/hello/").await.text(), "hello");
}

#[tokio::test]
async fn an_idle_connection_of_http_2_is_ended_in_order() {
    let host = hello(&["--idle-timeout", "3s"]).await;
    let (mut sender, connection) = http2(&host, 1 << 16).await;
    let request = || Request::get(host.url("/")).body(Full::<Bytes>::default()).unwrap();
    let reply = sender.send_request(request()).await.unwrap();
    assert_eq!(reply.into_body().collect().await.unwrap().to_bytes(), "hello");
    let ended = tokio::time::timeout(PATIENCE, connection).await.expect("the connection is kept");
    assert!(ended.unwrap().is_ok(), "an idle connection was broken off");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_noticed_before_the_call_is_over() {
    let host = Host::with(&["--head-timeout", "10m"]);
    let limits = "[limits]\ntimeout = \"10m\"";
    host.deploy(&crate::harness::reader(), &manifest("reader", "/...", limits)).await;
    let mut stream = connect(&host.listen).await;
    let start = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nsome";
    stream.write_all(start).await.unwrap();
    stream.shutdown().await.unwrap();
    rest(&mut stream).await;
    host.last_call("reader").await;
}

#[tokio::test]
async fn what_stands_around_a_host_is_told_before_it_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let issue = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (one, other) = (issue(), issue());
    let (certificate, key) =
        (write("cert.pem", &one.cert.pem()), write("key.pem", &one.signing_key.serialize_pem()));
    let other_key = write("other.pem", &other.signing_key.serialize_pem());
    let (empty, token) = (write("empty", "\n"), write("token", "0123456789abcdef0123456789abcdef"));
    let tls = |key: &str| format!("tls_cert = {certificate:?}\ntls_key = {key:?}\n");
    for (text, said) in [
        (
            "listen = \"127.0.0.1:18080\"\nadmin = \"127.0.0.1:18080\"\n".to_owned(),
            "admin: is 127.0.0.1:18080",
        ),
        (
            "listen = \"0.0.0.0:18080\"\nadmin = \"127.0.0.1:18080\"\n".to_owned(),
            "admin: is 127.0.0.1:18080",
        ),
        (tls(&other_key), "tls_key: the TLS key"),
        (tls(&certificate), "tls_key: cannot use the TLS key"),
        (tls("/nowhere/key.pem"), "tls_key: cannot read the TLS key"),
        (format!("token_file = {empty:?}\n"), "token_file: the token file"),
        ("admin = \"0.0.0.0:18081\"\n".to_owned(), "can be reached from other machines"),
    ] {
        let file = write("host.toml", &text);
        let checked = crate::harness::run(&["host", "check", &file]);
        assert_eq!(checked.code, 4, "{text}: {checked:?}");
        assert!(checked.stderr.contains(said), "{text}: {checked:?}");
        let mut flags = vec!["--config", file.as_str()];
        if !text.contains("listen") {
            flags.extend(["--listen", "127.0.0.1:0"]);
        }
        let started = refused(&flags).await;
        let why = said.rsplit(": ").next().unwrap();
        assert!(started.contains(why), "{text}: {started}");
    }
    let file = write("host.toml", &format!("{}token_file = {token:?}\n", tls(&key)));
    crate::harness::run(&["host", "check", &file]).done();
    // And of what runs here now.
    let host = Host::start();
    let data = host.data.to_str().unwrap();
    let words =
        ["doctor", "-o", "json", "--config", &file, "--data", data, "--listen", &host.listen];
    let report = crate::harness::run(&words).json();
    let check = |subject: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks
            .iter()
            .find(|check| check["subject"] == subject)
            .unwrap_or_else(|| panic!("{report}"))
    };
    assert_eq!(check("certificate for callers")["verdict"], "ok");
    assert_eq!(check("token of operators")["verdict"], "ok");
    assert_eq!(check("data folder")["verdict"], "warn");
    let holder = format!("is taken by steerage (process {})", host.pid());
    assert!(check("addresses")["found"].as_str().unwrap().ends_with(&holder), "{report}");
}

#[tokio::test]
async fn out_of_files_operators_are_let_in_and_it_is_said_once() {
    let mut host = Host::under("ulimit -n 120", &["--head-timeout", "10m"]);
    let mut kept = Vec::new();
    for _ in 0..300 {
        kept.push(connect(&host.listen).await);
    }
    assert_eq!(host.admin("GET", "/healthz", "").await.status, 200);
    // The kernel takes connections before the host does, which may be busy.
    let n_connections = host
        .until("as many connections as there are files for", || async {
            let info = host.admin("GET", "/v1/host", "").await.json();
            info["connections"].as_u64().filter(|n_connections| *n_connections >= 20)
        })
        .await;
    assert!(n_connections <= 60, "{n_connections}");
    host.signal("TERM");
    let log = host.wait_for_log();
    let lines = log.lines().filter(|line| line.contains("WARN")).count();
    assert!(log.contains("fewer connections than --connections says"), "{log}");
    assert!(lines <= 3, "{log}");
}
