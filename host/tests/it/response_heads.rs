//! What guests say in the heads of their responses: what is not true, or not theirs to say, reaches
//! nobody, in whichever world it was said and wherever it would have gone.

use std::time::Duration;

use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use steerage_guests as guests;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fleet::Fleet;
use crate::harness::{Host, PATIENCE, Reply, collect, manifest, raw, reader, says, wat};

/// A CGI program that writes these texts one after the other, and works for some slices after each, so
/// that what it has written goes out before it ends.
fn streams(texts: &[&str]) -> Vec<u8> {
    writes(texts, 3_000_000)
}

/// The same, which is over in its first slice.
fn answers(text: &str) -> Vec<u8> {
    writes(&[text], 0)
}

fn writes(texts: &[&str], work: u32) -> Vec<u8> {
    let (mut data, mut code, mut at) = (String::new(), String::new(), 64);
    for text in texts {
        let bytes: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
        let length = text.len();
        data += &format!("(data (i32.const {at}) \"{bytes}\")\n");
        code += &format!("(call $say (i32.const {at}) (i32.const {length}))\n");
        at += length;
    }
    let work = if work == 0 {
        String::new()
    } else {
        format!(
            "(local.set $n (i32.const {work}))
             (loop $more
                (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                (br_if $more (local.get $n)))"
        )
    };
    wat(&format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write"
                (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 2)
            {data}
            (func $say (param $at i32) (param $length i32) (local $n i32)
                (i32.store (i32.const 0) (local.get $at))
                (i32.store (i32.const 4) (local.get $length))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                {work})
            (func (export "_start") {code}))"#
    ))
}

/// A 0.2 or CGI app under `/bad`, and one that answers `good` under `/good`.
async fn beside_good(bad: &[u8]) -> Host {
    let host = Host::start();
    host.deploy(bad, &manifest("bad", "/bad", "")).await;
    host.deploy(&says("good"), &manifest("good", "/good", "")).await;
    host
}

/// Both apps asked on one connection that is kept, as a proxy in front would.
async fn one_connection(host: &Host, method: &str) -> String {
    let both = format!(
        "{method} /bad HTTP/1.1\r\nhost: a\r\n\r\n\
         GET /good HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    );
    raw(&host.listen, both.as_bytes()).await
}

/// The event that the app's developer is told.
async fn told(host: &Host, kind: &str) -> String {
    host.until(kind, || async {
        let events = host.admin("GET", "/v1/events?app=bad&limit=50", "").await.json();
        let events = events["events"].as_array()?.clone();
        let event = events.into_iter().find(|event| event["kind"] == kind)?;
        Some(event["message"].as_str()?.to_owned())
    })
    .await
}

fn no_answer(reply: &Reply, what: &str) {
    let found = (reply.status.as_u16(), reply.cause());
    assert_eq!(found, (502, "no_answer".to_owned()), "{what}: {}", reply.text());
}

#[tokio::test]
async fn a_head_that_is_not_true_is_no_answer() {
    let invented = "Content-Length: 2\n\nhiHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for (text, detail) in [
        (invented, "its Content-Length is 2, and its body has 44 bytes"),
        ("Content-Length: 0\n\nevil", "its Content-Length is 0"),
        ("Content-Length: 100\n\n0123456789", "is 100, and its body has 10 bytes"),
        ("Content-Length: abc\n\nabc", "`abc`: expected digits"),
        ("Content-Length: +3\n\nabc", "`+3`: expected digits"),
        ("Content-Length: 3, 3\n\nabc", "`3, 3`: expected digits"),
        ("Content-Length: 3\nContent-Length: 3\n\nabc", "more than one Content-Length"),
        ("Status: 101 Switching Protocols\nUpgrade: x\n\nevil", "its status is 101"),
        ("Status: 103\nLink: x\n\n", "its status is 103"),
        ("Status: 600\n\n", "its status is 600"),
        ("Status: 1000\n\n", "`Status: 1000` has no status of three digits"),
        ("evil\n\n", "`evil` is not NAME: VALUE"),
    ] {
        let host = beside_good(&answers(text)).await;
        // On a busy machine the head of what is too long or too short may have gone out by the time
        // that shows; the answer is cut then.
        let is_about_length = text.starts_with("Content-Length: ") && !detail.starts_with('`');
        let whole = host.until("answer in one piece", || async {
            let both = one_connection(&host, "GET").await;
            assert!(!both.contains("evil"), "{text:?}: {both}");
            (!is_about_length || both.starts_with("HTTP/1.1 502")).then_some(both)
        });
        let both = whole.await;
        assert!(both.starts_with("HTTP/1.1 502"), "{text:?}: {both}");
        assert_eq!(both.matches("HTTP/1.1").count(), 2, "{text:?}: {both}");
        // In one piece or in chunks, by whether the program had ended when its answer went out.
        let is_whole = both.ends_with("good") || both.ends_with("\r\ngood\r\n0\r\n\r\n");
        assert!(is_whole, "{text:?}: {both}");
        let whole = host.until("answer in one piece over HTTP/2", || async {
            let request = Request::get(host.url("/bad")).body(Full::default()).unwrap();
            // What is cut may be cut before its head was read.
            let reply = match host.stream_http2(request).await {
                Ok(response) => collect(response).await.map_err(|error| error.to_string()),
                Err(error) => Err(format!("no head: {error}")),
            };
            assert!(is_about_length || reply.is_ok(), "{text:?}: {reply:?}");
            reply.ok()
        });
        no_answer(&whole.await, text);
        let message = told(&host, "no_answer").await;
        assert!(message.contains(detail), "{text:?}: {message}");
    }
}

#[tokio::test]
async fn services_of_both_versions_are_read_as_programs_are() {
    let host = Host::start();
    for (name, wasm) in [("p2", guests::ECHO), ("p3", guests::P3_ECHO)] {
        host.serve(name, &std::fs::read(wasm).unwrap(), "").await;
        let post = |query: &str, body: &str| {
            let request = Request::post(host.url(&format!("/{name}/{query}/body?{query}")));
            request.body(Full::from(body.to_owned())).unwrap()
        };
        // 0.3 has no status of 600 and more: its bindings leave such a one out.
        let beyond = if name == "p2" { &[600, 999][..] } else { &[] };
        for status in [101, 103, 199].iter().chain(beyond) {
            let query = format!("status={status}");
            no_answer(&host.send(post(&query, "")).await, &query);
            no_answer(&host.send_http2(post(&query, "")).await, &query);
        }
        for (query, body, length) in
            [("status=299", "four", 4), ("length=4", "four", 4), ("status=204", "", 0)]
        {
            let reply = host.send(post(query, body)).await;
            assert!(reply.status.is_success(), "{name} {query}: {}", reply.text());
            assert_eq!((reply.body.len(), reply.header("x-steerage-refused")), (length, ""));
            assert_eq!(host.send_http2(post(query, body)).await.body.len(), length, "{query}");
        }
        let lengths = ["length=2", "length=100", "length=0"];
        let n_lengths = if name == "p2" { 3 } else { 2 };
        for query in &lengths[..n_lengths] {
            let sent = [host.stream(post(query, "four")), host.stream_http2(post(query, "four"))];
            for sent in sent {
                // A head that had gone out before is kept to by breaking off.
                let Ok(response) = sent.await else { continue };
                let status = response.status().as_u16();
                let body = response.into_body().collect().await;
                let is_whole = body.is_ok_and(|body| body.to_bytes() == "four");
                assert!(status >= 500 || !is_whole, "{name} {query}: {status}");
            }
            let call = host.call_of(name, &format!("/{name}/{query}/body")).await;
            assert_ne!(call["cause"], "answered", "{name} {query}: {call}");
        }
    }
}

#[tokio::test]
async fn a_true_length_goes_through() {
    for text in ["Content-Length: 4\n\ntrue", "content-length:004\n\ntrue", "X: y\n\ntrue"] {
        let host = beside_good(&answers(text)).await;
        let both = one_connection(&host, "GET").await;
        assert!(
            both.starts_with("HTTP/1.1 200") && both.contains("\r\n\r\ntrueHTTP/1.1"),
            "{both}"
        );
        let request = Request::get(host.url("/bad")).body(Full::default()).unwrap();
        assert_eq!(host.send_http2(request).await.text(), "true");
    }
    let host = beside_good(&streams(&["Content-Length: 8\n\ntr", "ue", "true"])).await;
    let both = one_connection(&host, "GET").await;
    assert!(both.contains("\r\n\r\ntruetrueHTTP/1.1") && both.ends_with("good"), "{both}");
    assert_eq!(host.last_call("bad").await["cause"], "answered");
}

#[tokio::test]
async fn a_stream_shorter_than_announced_is_cut_and_the_apps_fault() {
    let host = beside_good(&streams(&["Content-Length: 100\n\n", "01234567890123456789"])).await;
    let both = one_connection(&host, "GET").await;
    assert!(both.contains("content-length: 100") && both.ends_with("0123456789"), "{both}");
    assert_eq!(host.last_call("bad").await["cause"], "no_answer");
    let message = told(&host, "no_answer").await;
    assert!(message.contains("is 100, and its body has 20 bytes"), "{message}");
    let request = Request::get(host.url("/bad")).body(Full::default()).unwrap();
    let response = host.stream_http2(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.into_body().collect().await.is_err(), "a part passes for the whole");
}

#[tokio::test]
async fn a_stream_longer_than_announced_is_cut_before_the_surplus() {
    // All of it at once, and after what was announced had gone.
    for texts in
        [&["Content-Length: 5\n\n", "12345evil"][..], &["Content-Length: 5\n\n", "12345", "evil"]]
    {
        let host = beside_good(&streams(texts)).await;
        let both = one_connection(&host, "GET").await;
        assert!(both.contains("content-length: 5") && !both.contains("evil"), "{both}");
        assert_eq!(host.last_call("bad").await["cause"], "no_answer", "{texts:?}");
        let message = told(&host, "no_answer").await;
        assert!(message.contains("is 5, and its body has 9 bytes"), "{message}");
        let request = Request::get(host.url("/bad")).body(Full::default()).unwrap();
        let response = host.stream_http2(request).await.unwrap();
        let ended = response.into_body().collect().await;
        assert!(ended.is_err(), "{texts:?}: {ended:?}");
    }
}

#[tokio::test]
async fn a_response_that_has_no_body_gets_none() {
    for (text, status) in [
        ("Status: 204\nContent-Length: 4\n\nevil", "204"),
        ("Status: 204\n\nevil", "204"),
        ("Status: 304\nContent-Length: 4\nETag: x\n\n", "304"),
        ("Status: 205\n\nevil", "205"),
    ] {
        for bad in [answers(text.trim_end_matches("evil")), streams(&[text])] {
            let host = beside_good(&bad).await;
            let both = one_connection(&host, "GET").await;
            assert!(both.starts_with(&format!("HTTP/1.1 {status}")), "{text:?}: {both}");
            assert!(both.ends_with("good") && !both.contains("evil"), "{text:?}: {both}");
            let first = both.split("\r\n\r\n").next().unwrap().to_owned();
            assert_eq!(first.contains("content-length"), status == "205", "{text:?}: {first}");
            let request = Request::get(host.url("/bad")).body(Full::default()).unwrap();
            let reply = host.send_http2(request).await;
            assert_eq!((reply.status.as_str(), reply.body.len()), (status, 0), "{text:?}");
            assert_eq!(host.last_call("bad").await["cause"], "answered", "{text:?}");
        }
        // HEAD tells the length of what GET sends, which is nothing.
        let host = beside_good(&answers(text)).await;
        let both = one_connection(&host, "HEAD").await;
        let (first, second) = both.split_once("\r\n\r\n").unwrap();
        assert!(first.starts_with(&format!("HTTP/1.1 {status}")), "{text:?}: {both}");
        assert!(second.starts_with("HTTP/1.1 200"), "{text:?}: {both}");
        let length = if status == "205" { "content-length: 0" } else { "" };
        let told = first.lines().find(|line| line.starts_with("content-length"));
        assert_eq!(told.unwrap_or(""), length, "{text:?}: {first}");
    }
}

#[tokio::test]
async fn head_is_answered_as_get_without_the_body() {
    let untold = "X: y\n\nfour";
    let texts = [
        (untold, answers(untold), "4"),
        ("told", answers("Content-Length: 4\n\n"), "4"),
        ("streamed", streams(&["Content-Length: 8\n\n", "four", "four"]), "8"),
        ("streamed, no length", streams(&["X: y\n\n", "four", "four"]), ""),
    ];
    for (what, bad, length) in texts {
        let host = beside_good(&bad).await;
        let said = format!("content-length: {length}");
        // On a busy machine the head of a guest that told no length may go out before the guest ends.
        let whole = host.until("answer whose length is known", || async {
            let both = one_connection(&host, "HEAD").await;
            let (first, second) = both.split_once("\r\n\r\n").unwrap();
            let are_there = first.starts_with("HTTP/1.1 200") && second.starts_with("HTTP/1.1 200");
            assert!(are_there, "{what}: {both}");
            (what != untold || first.contains(&said)).then(|| first.to_owned())
        });
        let first = whole.await;
        assert_eq!(first.contains(&said), !length.is_empty(), "{what}: {first}");
        let whole = host.until("answer whose length is known over HTTP/2", || async {
            let request = Request::head(host.url("/bad")).body(Full::default()).unwrap();
            let reply = host.send_http2(request).await;
            assert_eq!(reply.body.len(), 0, "{what}");
            (what != untold || reply.header("content-length") == length).then_some(reply)
        });
        assert_eq!(whole.await.header("content-length"), length, "{what}");
        // A guest whose body nobody asked for has done nothing wrong.
        assert_eq!(host.last_call("bad").await["cause"], "answered", "{what}");
        let missing = Request::head(host.url("/missing")).body(Full::default()).unwrap();
        let reply = host.send_http2(missing).await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (404, 0));
        assert_ne!(reply.header("content-length"), "0", "HEAD tells another length than GET");
    }
}

#[tokio::test]
async fn a_guest_speaks_neither_for_hosts_nor_for_the_connection() {
    let said = "X-Steerage-Refused: host_full\nX-Steerage-Route: /x\nConnection: close, x-own\n\
        Keep-Alive: timeout=1\nProxy-Connection: close\nTE: trailers\nX-Own: kept\n\nsaid";
    let host = beside_good(&answers(said)).await;
    let both = one_connection(&host, "GET").await;
    assert!(both.contains("x-own: kept") && both.ends_with("good"), "{both}");
    for name in ["x-steerage-", "keep-alive", "proxy-connection", "\nte: "] {
        assert!(!both.to_lowercase().contains(name), "{name}: {both}");
    }
}

#[tokio::test]
async fn what_a_guest_says_goes_through_another_host_as_through_one() {
    let Some(fleet) = Fleet::start(2).await else { return };
    let one = |name: &str| {
        manifest(
            name,
            &format!("/{name}"),
            "[replicas]\nmin = 1\nmax = 1\n[limits]\ntimeout = \"20s\"",
        )
    };
    let first = fleet.first();
    let refused = "X-Steerage-Refused: host_full\n\nexecuted";
    first.deploy(&answers(refused), &one("refused")).await;
    first.deploy(&answers("Content-Length: 2\n\ntoo long"), &one("long")).await;
    first.deploy(&answers("Status: 101\n\n"), &one("status")).await;
    first.deploy(&answers("Status: 204\n\n"), &one("none")).await;
    first.deploy(&answers("\nfour"), &one("four")).await;
    first.deploy(&streams(&["Content-Length: 100\n\n", "short"]), &one("short")).await;
    for app in ["refused", "long", "status", "none", "four", "short"] {
        fleet.ready_on(app, 1).await;
    }
    for host in &fleet.hosts {
        // Hosts hear of a deployment one after the other.
        let ask = async |method: Method, path: &str| {
            host.until("app", || async {
                let request = Request::builder().method(method.clone()).uri(host.url(path));
                let reply = host.send(request.body(Full::default()).unwrap()).await;
                (reply.status != 404).then_some(reply)
            })
            .await
        };
        let reply = ask(Method::POST, "/refused").await;
        assert_eq!((reply.text().as_str(), reply.header("x-steerage-refused")), ("executed", ""));
        no_answer(&ask(Method::GET, "/long").await, "long");
        no_answer(&ask(Method::GET, "/status").await, "status");
        let reply = ask(Method::GET, "/none").await;
        assert_eq!((reply.status.as_u16(), reply.headers.get("content-length")), (204, None));
        host.until("answer whose length is known", || async {
            let reply = ask(Method::HEAD, "/four").await;
            assert_eq!(reply.status.as_u16(), 200);
            (reply.header("content-length") == "4").then_some(())
        })
        .await;
        let request = Request::get(host.url("/short")).body(Full::default()).unwrap();
        // A guest that was over before its head went out is told of by a 502 instead.
        if let Ok(response) = host.stream(request).await
            && !response.status().is_server_error()
        {
            assert_eq!(response.status(), 200);
            assert!(response.into_body().collect().await.is_err(), "a part passes for the whole");
        }
    }
    // An upload too large to be held, broken off on the way: no host's fault, nor the app's.
    first.deploy(&reader(), &one("reader")).await;
    let place = fleet.ready_on("reader", 1).await;
    let other = fleet.hosts.iter().zip(["h1", "h2"]).find(|(_, name)| place[0] != *name).unwrap().0;
    let holder =
        fleet.hosts.iter().zip(["h1", "h2"]).find(|(_, name)| place[0] == *name).unwrap().0;
    other
        .until("route", || async { (other.get("/reader").await.status == 200).then_some(()) })
        .await;
    let mut stream = TcpStream::connect(&other.listen).await.unwrap();
    let head = "POST /reader HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nsome";
    stream.write_all(head.as_bytes()).await.unwrap();
    holder
        .until("running call", || async {
            let running = holder.metric("http_server_active_requests{app=\"reader\"}").await;
            (running >= 1.0).then_some(())
        })
        .await;
    drop(stream);
    holder
        .until("client that is gone", || async {
            let calls = holder.admin("GET", "/v1/apps/reader/calls?limit=100", "").await.json();
            let last = calls["calls"].as_array()?.last()?.clone();
            (last["method"] == "POST").then(|| assert_eq!(last["cause"], "client_gone", "{last}"))
        })
        .await;
    // Each host was asked once; a guest that is believed to have refused would be asked again.
    let mut n_calls = 0;
    for host in &fleet.hosts {
        let calls = host.admin("GET", "/v1/apps/refused/calls?limit=100", "").await.json();
        n_calls += calls["calls"].as_array().map_or(0, Vec::len);
    }
    assert_eq!(n_calls, 2);
}

#[tokio::test]
async fn an_upload_that_the_client_breaks_off_is_the_clients() {
    let host = Host::start();
    host.deploy(&reader(), &manifest("bad", "/...", "")).await;
    for start in
        ["content-length: 100\r\n\r\n0123456789", "transfer-encoding: chunked\r\n\r\n5\r\n123"]
    {
        let mut stream = TcpStream::connect(&host.listen).await.unwrap();
        let path = if start.contains("chunked") { "/chunked" } else { "/length" };
        let request = format!("POST {path} HTTP/1.1\r\nhost: a\r\n{start}");
        stream.write_all(request.as_bytes()).await.unwrap();
        host.until("running call", || async {
            let running = host.metric("http_server_active_requests{app=\"bad\"}").await;
            (running >= 1.0).then_some(())
        })
        .await;
        drop(stream);
        assert_eq!(host.call_of("bad", path).await["cause"], "client_gone", "{start:?}");
    }
    // Chunks that are none: the client is still there.
    let request =
        b"POST /malformed HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    let reply = raw(&host.listen, request).await;
    assert!(reply.starts_with("HTTP/1.1 400") && reply.contains("malformed"), "{reply}");
    let events = host.admin("GET", "/v1/events?app=bad&limit=50", "").await.json();
    let events = events["events"].as_array().unwrap();
    assert!(events.iter().all(|event| event["kind"] == "deployed"), "{events:?}");
}

#[tokio::test]
async fn a_client_that_takes_no_trailers_has_everything_else() {
    let host = Host::start();
    let wasm = std::fs::read(guests::SDK_PARTS).unwrap();
    host.deploy(&wasm, &manifest("parts", "/...", "")).await;
    let mut stream = TcpStream::connect(&host.listen).await.unwrap();
    stream.write_all(b"GET /stream?n=1000 HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut reply = Vec::new();
    let read = async {
        while !reply.ends_with(b"\r\n0\r\n\r\n") {
            assert!(stream.read_buf(&mut reply).await.unwrap() > 0, "it was cut");
        }
    };
    tokio::time::timeout(PATIENCE.max(Duration::from_secs(1)), read).await.unwrap();
    assert_eq!(host.call_of("parts", "/stream").await["cause"], "answered");
}
