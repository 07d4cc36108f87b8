//! One reading of each request: the host that it is routed by is the host that its guest is told, in
//! every world; and no client speaks for the host, whatever it calls its headers.

use http::Request;
use http_body_util::Full;
use steerage_guests as guests;

use crate::harness::{Host, manifest, raw};

fn read(path: &str) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// A 0.2 service, a 0.3 service and a CGI program, each below its name, on every host.
async fn worlds(flags: &[&str]) -> Host {
    let host = Host::with(flags);
    for (name, wasm) in [("p2", guests::ECHO), ("p3", guests::P3_ECHO), ("cgi", guests::CGI_ECHO)] {
        host.serve(name, &read(wasm), "").await;
    }
    host
}

/// What a guest was told, as lines, in lower case.
async fn told(host: &Host, request: &str) -> String {
    let reply = raw(&host.listen, request.as_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 200") || reply.starts_with("HTTP/1.0 200"), "{reply}");
    reply.to_lowercase()
}

fn lines<'r>(reply: &'r str, start: &str) -> Vec<&'r str> {
    reply.lines().filter(|line| line.starts_with(start)).collect()
}

#[tokio::test]
async fn the_routed_host_is_the_host_that_is_told() {
    let host = worlds(&[]).await;
    for (target, header) in
        [("http://A.test:81", "b.test"), ("http://a.test.:81", "evil@c"), ("", "A.TEST:81")]
    {
        let head = format!("HTTP/1.1\r\nhost: {header}\r\nconnection: close\r\n\r\n");
        let p2 = told(&host, &format!("GET {target}/p2/x {head}")).await;
        assert_eq!(lines(&p2, "authority "), ["authority a.test:81"], "{p2}");
        assert_eq!(lines(&p2, "x-forwarded-host: "), ["x-forwarded-host: a.test:81"], "{p2}");
        let p3 = told(&host, &format!("GET {target}/p3/x {head}")).await;
        assert!(p3.contains("x-echo-uri: http://a.test:81/p3/x"), "{p3}");
        let cgi = told(&host, &format!("GET {target}/cgi/x {head}")).await;
        for line in [
            "http_host=a.test:81",
            "server_name=a.test",
            "http_x_forwarded_host=a.test:81",
            "request_uri=/cgi/x",
        ] {
            assert_eq!(lines(&cgi, line.split('=').next().unwrap()), [line], "{cgi}");
        }
    }
}

#[tokio::test]
async fn two_hosts_in_one_request_are_refused() {
    let host = worlds(&[]).await;
    let request = |header: &str| {
        let request = Request::get(format!("http://{}/p2", host.listen)).header("host", header);
        request.body(Full::default()).unwrap()
    };
    // The client speaks HTTP/2 with the authority of the address.
    let reply = host.send_http2(request("b.test")).await;
    assert_eq!((reply.status.as_u16(), reply.cause().as_str()), (400, "bad_request"));
    let same = host.listen.to_uppercase();
    assert_eq!(host.send_http2(request(&same)).await.status, 200);
    for head in ["host: a\r\nhost: b", "host: a, b", "host: a b", "host: u@a", "host: a:99999"] {
        let request = format!("GET /p2 HTTP/1.1\r\n{head}\r\nconnection: close\r\n\r\n");
        let reply = raw(&host.listen, request.as_bytes()).await;
        assert!(reply.starts_with("HTTP/1.1 400"), "{head}: {reply}");
    }
}

#[tokio::test]
async fn health_checks_of_http_1_0_are_answered_in_every_world() {
    let host = worlds(&[]).await;
    for head in ["GET /APP HTTP/1.0\r\n\r\n", "GET /APP HTTP/1.0\r\nhost:\r\n\r\n"] {
        let p2 = told(&host, &head.replace("APP", "p2")).await;
        assert!(p2.contains(&format!("authority {}", host.listen)), "{p2}");
        let p3 = told(&host, &head.replace("APP", "p3")).await;
        assert!(p3.contains(&format!("x-echo-uri: http://{}/p3", host.listen)), "{p3}");
        let cgi = told(&host, &head.replace("APP", "cgi")).await;
        assert!(cgi.contains("server_name=127.0.0.1\n"), "{cgi}");
    }
    assert_eq!(host.last_call("p2").await["cause"], "answered");
}

#[tokio::test]
async fn a_client_speaks_for_nobody_in_any_world() {
    let host = worlds(&[]).await;
    let said = "X_Forwarded_For: evil\r\nX-Forwarded_For: evil\r\nX.Forwarded.For: evil\r\n\
        X_Steerage_Route: evil\r\nX_Request_Id: evil\r\nForwarded: for=evil\r\nX-Real-IP: evil\r\n\
        X-Forwarded-Port: evil\r\nX-Forwarded-Prefix: evil\r\nX-Original-URL: /evil\r\n\
        X-Rewrite-URL: /evil\r\nProxy: http://evil\r\nX-Forwarded-Proto: evil\r\n\
        X-Forwarded-Host: evil\r\nProxy-Authorization: evil\r\nX-Hop: evil\r\nConnection: close, x-hop\r\nX-Own: mine\r\n";
    for app in ["p2", "cgi"] {
        let request = format!("GET /{app}/x HTTP/1.1\r\nhost: a\r\n{said}\r\n");
        let told = told(&host, &request).await;
        assert!(told.contains("mine") && !told.contains("evil"), "{app}: {told}");
        for name in ["x-forwarded-for: ", "http_x_forwarded_for="] {
            let all = lines(&told, name);
            assert!(all.iter().all(|line| line.ends_with("127.0.0.1")) && all.len() < 2, "{told}");
        }
    }
}

#[tokio::test]
async fn a_cgi_program_gets_each_variable_once_and_paths_decoded() {
    let host = worlds(&[]).await;
    let request = "GET /cgi/a%20b/caf%C3%A9%00?q=%20 HTTP/1.1\r\nhost: a\r\ncookie: a=1\r\n\
        cookie: b=2\r\nx-one: 1\r\nx-one: 2\r\nconnection: close\r\n\r\n";
    let reply = raw(&host.listen, request.as_bytes()).await;
    let body = reply.split_once("\r\n\r\n").unwrap().1;
    for line in [
        "SCRIPT_NAME=/cgi",
        "PATH_INFO=/a b/caf\u{e9}%00",
        "QUERY_STRING=q=%20",
        "REQUEST_URI=/cgi/a%20b/caf%C3%A9%00?q=%20",
        "HTTP_COOKIE=a=1; b=2",
        "HTTP_X_ONE=1, 2",
    ] {
        assert_eq!(lines(body, line.split('=').next().unwrap()), [line], "{body}");
    }
    let names: Vec<&str> = body.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    let distinct: std::collections::BTreeSet<&&str> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "a name stands twice: {body}");
}

#[tokio::test]
async fn a_manifest_does_not_name_what_requests_set() {
    let host = Host::start();
    for name in ["REQUEST_METHOD", "HTTP_HOST", "REMOTE_USER", "HTTPS"] {
        let text = manifest("cgi", "/cgi/...", &format!("[env]\nFINE = \"1\"\n{name} = \"x\""));
        let reply = host.try_deploy(&read(guests::CGI_ECHO), &text).await;
        let found = (reply.status.as_u16(), reply.cause());
        assert_eq!(found, (400, "bad_manifest".to_owned()), "{name}: {}", reply.text());
        assert!(reply.text().contains(&format!("env.{name}")), "{}", reply.text());
    }
}

#[tokio::test]
async fn a_method_has_32_bytes_at_most() {
    let host = worlds(&[]).await;
    for (length, status) in [(32, "200"), (33, "400"), (60_000, "400")] {
        let method = "M".repeat(length);
        let request = format!("{method} /p2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let reply = raw(&host.listen, request.as_bytes()).await;
        assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{length}: {reply}");
    }
}

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// What a balancer adds to a request whose client said something as well.
fn balanced(app: &str) -> String {
    format!(
        "GET /{app}/x HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\
         x-forwarded-for: 6.6.6.6, 1.2.3.4\r\nx-forwarded-proto: https\r\n\
         x-request-id: from-the-balancer\r\ntraceparent: {TRACE}\r\ntracestate: a=1\r\n\r\n"
    )
}

#[tokio::test]
async fn a_trusted_proxy_says_whom_a_request_comes_from() {
    let host = worlds(&["--trusted-proxies", "10.0.0.0/8, 127.0.0.1"]).await;
    let p2 = told(&host, &balanced("p2")).await;
    for line in [
        "x-forwarded-for: 1.2.3.4, 127.0.0.1",
        "x-forwarded-proto: https",
        "x-forwarded-host: shop.test",
        "scheme https",
        "x-request-id: from-the-balancer",
        &format!("traceparent: {TRACE}"),
        "tracestate: a=1",
    ] {
        let name = line.split([':', ' ']).next().unwrap();
        assert!(lines(&p2, name).contains(&line), "no {line}: {p2}");
    }
    let p3 = told(&host, &balanced("p3")).await;
    assert!(p3.contains("x-echo-uri: https://shop.test/p3/x"), "{p3}");
    assert!(p3.contains("\nx-request-id: from-the-balancer"), "the proxy is not told its id: {p3}");
    let cgi = told(&host, &balanced("cgi")).await;
    for line in ["remote_addr=1.2.3.4", "https=on", "server_port=443", "server_name=shop.test"] {
        assert_eq!(lines(&cgi, line.split('=').next().unwrap()), [line], "{cgi}");
    }
    assert!(!cgi.contains("6.6.6.6"), "the client's word is passed on: {cgi}");
    // An id that we can carry is the call's own, so that both logs have it.
    let id = "0af7651916cd43dd8448eb211c80319c";
    let request = Request::get(host.url("/p2/id")).header("x-request-id", id);
    let reply = host.send(request.body(Full::default()).unwrap()).await;
    assert_eq!(reply.header("x-request-id"), id);
    assert_eq!(host.call_of("p2", "/p2/id").await["id"], id);
}

#[tokio::test]
async fn who_is_not_trusted_is_the_client() {
    let host = worlds(&["--trusted-proxies", "10.0.0.0/8"]).await;
    let p2 = told(&host, &balanced("p2")).await;
    assert_eq!(lines(&p2, "x-forwarded-for: "), ["x-forwarded-for: 127.0.0.1"], "{p2}");
    assert_eq!(lines(&p2, "x-forwarded-proto: "), ["x-forwarded-proto: http"], "{p2}");
    assert!(!p2.contains("from-the-balancer") && !p2.contains("1.2.3.4"), "{p2}");
    // A trace may begin anywhere: what is valid is carried on, with the span that was its parent.
    assert_eq!(lines(&p2, "traceparent: "), [format!("traceparent: {TRACE}")], "{p2}");
}

#[test]
fn networks_that_are_none_are_told_at_the_start() {
    let said = crate::harness::run(&["host", "--trusted-proxies", "10.0.0.1/8,x"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(
        said.stderr.contains("--trusted-proxies") && said.stderr.contains("10.0.0.1/8"),
        "{said:?}"
    );
}
