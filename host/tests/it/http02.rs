//! What a guest of `wasi:http` 0.2 sees of heads, and what becomes of the bodies it writes.

use expect_test::expect;
use http::Request;
use http_body_util::Full;
use steerage_guests as guests;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::harness::Host;
use crate::outbound::LOOPBACK;

async fn serving(more: &str) -> Host {
    let host = Host::with(&LOOPBACK);
    host.serve("heads", &std::fs::read(guests::HEADS).unwrap(), more).await;
    host
}

#[tokio::test]
pub(crate) async fn the_head_of_a_request_is_what_the_client_sent() {
    let host = serving("").await;
    let request = Request::builder()
        .method("REPORT")
        .uri(host.url("/heads?what=request"))
        .header("host", "shop.example")
        .header("x-many", "one")
        .header("x-a1", "first")
        .header("x-many", "two")
        .header("x-a2", "second")
        .header("x-a1", "")
        .header("X-MANY", "th\u{e9}ee".as_bytes());
    let reply = host.send(request.body(Full::default()).unwrap()).await;
    expect![[r#"
        method Method::Other("REPORT")
        scheme Some(Scheme::Http)
        authority Some("shop.example")
        path Some("/heads?what=request")
        x-many one | two | théee
        host false connection false
        set immutable
        append immutable
        delete immutable
        set in a copy done
        copy other, first one | two | théee, again one | two | théee
        body true true
          x-a1: first
          x-a1: 
          x-a2: second
        after one | two | théee
    "#]]
    .assert_eq(&reply.text());
}

#[tokio::test]
async fn a_request_says_its_head_to_each_call_of_an_instance() {
    let host = serving("[instance]\nreuse = 100").await;
    for n in 0..5 {
        let request = Request::get(host.url("/heads?what=request")).header("x-many", n);
        let reply = host.send(request.body(Full::default()).unwrap()).await;
        assert!(reply.text().contains(&format!("x-many {n}\n")), "{}", reply.text());
    }
}

#[tokio::test]
async fn fields_are_what_a_guest_made_of_them() {
    let host = serving("").await;
    expect![[r#"
        append: done
        append more: done
        set of two: done
        set again: done
        set to nothing: done
        append anew: done
        a name with a blank: invalid syntax
        a value with a line end: invalid syntax
        a host: forbidden
        a transfer coding: forbidden
        a length of no digits: invalid syntax
        a length: done
        another length: invalid syntax
        delete: done
        delete what is not there: done
        has x-a true x-z false x z false
        get 5 []
          x-b: 5
          x-a: 6
    "#]]
    .assert_eq(&host.get("/heads?what=fields").await.text());
}

#[tokio::test]
async fn fields_hold_any_bytes_and_no_more_than_they_may() {
    let host = serving("").await;
    expect![[r#"
        a name of 70,000 bytes: invalid syntax
        no name: invalid syntax
        a name that is no ASCII: invalid syntax
        a value with a zero: invalid syntax
        a list with a host: forbidden
        a list with a line end: invalid syntax
        a list with a blank: invalid syntax
        a list with one name twice: done
        bytes: done
        a name of 1,000 bytes: done
        long true
        get [[255, 9, 128, 32, 34]]
          x-bytes: \xff\t\x80 \"
          xxxxxxxxx: 
        copies ["", "1 | 2 | 4", "3"]
    "#]]
    .assert_eq(&host.get("/heads?what=bounds").await.text());
    for by in ["lines", "values", "value"] {
        let reply = host.get(&format!("/heads?what=full&by={by}")).await;
        assert_eq!(reply.cause(), "trapped", "{by}: {}", reply.text());
    }
}

#[tokio::test]
async fn a_response_says_of_itself_what_the_guest_set() {
    let host = serving("").await;
    expect![[r#"
        status 200 Err(()) Ok(()) 404
        length 3, set immutable
        second body true
        second stream true
        end after two bytes Err(ErrorCode::HttpResponseBodySize(Some(2)))
    "#]]
    .assert_eq(&host.get("/heads?what=response").await.text());
}

#[tokio::test]
async fn a_body_in_many_pieces_is_whole() {
    let host = serving("").await;
    let pieces = [(1, 0), (1, 1), (40, 100), (400, 10), (15, 4095), (16, 4096), (100, 4096)];
    for (n, size) in pieces.into_iter().chain([(3, 20_000), (7, 100_000), (20_000, 7)]) {
        let reply = host.get(&format!("/heads?what=pieces&n={n}&size={size}")).await;
        let expected: String =
            (0..n).map(|piece: usize| (piece % 10).to_string().repeat(size)).collect();
        assert!(reply.text() == expected, "{n} of {size}");
    }
}

#[tokio::test]
async fn a_body_that_its_guest_leaves_behind_ends_with_the_guest() {
    let host = serving("").await;
    let reply = host.get("/heads?what=held").await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, "all there is"));
}

/// A server would take the part for the whole, as many take a stream for a file.
#[tokio::test]
async fn a_request_whose_guest_fails_is_broken_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let host = serving(&format!("allowed_outbound_hosts = [\"http://{to}\"]")).await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"half of it\r\n") {
            assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        // The end of the connection may be a reset.
        drop(stream.read_to_end(&mut rest).await);
        String::from_utf8(rest).unwrap()
    });
    let reply = host.get(&format!("/heads?what=upload&to={to}")).await;
    assert_eq!(reply.cause(), "trapped", "{}", reply.text());
    assert_eq!(server.await.unwrap(), "", "a last chunk would say that it is whole");
}

async fn sending(to: &str) -> Host {
    let host = Host::with(&LOOPBACK);
    let allowed = format!("allowed_outbound_hosts = [\"http://{to}\"]");
    host.serve("sends", &std::fs::read(guests::SENDS).unwrap(), &allowed).await;
    host
}

/// Answers the first request with this; returns the request as it came, and the address to ask.
async fn answering(answer: &'static [u8]) -> (JoinHandle<Vec<u8>>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = Vec::new();
        let is_whole = |read: &[u8]| {
            let head = read.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            head.is_some_and(|head| !read.starts_with(b"PUT") || read.len() == head + 7)
        };
        while !is_whole(&read) {
            assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0);
        }
        stream.write_all(answer).await.unwrap();
        read
    });
    (server, to)
}

#[tokio::test]
async fn a_request_says_of_itself_what_the_guest_set() {
    let host = sending("127.0.0.1:1").await;
    expect![[r#"
        Method::Get None None None
        refused true
        Method::Get None None None
        None
        Method::Other("REPORT") Some(Scheme::Other("ftp")) Some("a:81") Some("/p?q=r")
        Method::Other("REPORT") Some(Scheme::Https) None None
        options None Some(1) Some(18446744073709551615) None
    "#]]
    .assert_eq(&host.get("/sends?what=words").await.text());
}

#[tokio::test]
pub(crate) async fn a_request_and_its_answer_are_whole() {
    let answer = b"HTTP/1.1 203 Fine\r\nconnection: keep-alive\r\nkeep-alive: timeout=1\r\n\
        x-many: 1\r\nX-Many: \xfe\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
        3\r\none\r\n4\r\n two\r\n0\r\nx-sum: 7\r\n\r\n";
    let (server, to) = answering(answer).await;
    let host = sending(&to).await;
    let reply = host.get(&format!("/sends?what=whole&to={to}")).await;
    expect![[r#"
        request immutable true
        second body true
        again true
        status 203
          trailer: x-sum
          x-many: 1
          x-many: \xfe
        response immutable true
        second body true
        body one two
          x-sum: 7
        trailers immutable true
        after true
    "#]]
    .assert_eq(&reply.text());
    let asked = server.await.unwrap().escape_ascii().to_string().replace(&to, "TO");
    expect![[
        r#"PUT /?q=r HTTP/1.1\r\nhost: TO\r\nx-own: \xff\t1\r\ncontent-length: 3\r\n\r\nabc"#
    ]]
    .assert_eq(&asked);
}

#[tokio::test]
async fn a_request_that_says_no_path_asks_for_the_root() {
    let (server, to) = answering(b"HTTP/1.1 204 None\r\n\r\n").await;
    let host = sending(&to).await;
    let reply = host.get(&format!("/sends?what=bare&to={to}")).await;
    assert_eq!(reply.text(), "status 204\n");
    let asked = String::from_utf8(server.await.unwrap()).unwrap();
    assert!(asked.starts_with("GET / HTTP/1.1\r\n"), "{asked}");
}

#[tokio::test]
async fn what_a_guest_was_asked_with_may_be_sent_on_as_it_is() {
    let (server, to) = answering(b"HTTP/1.1 200 Fine\r\ncontent-length: 0\r\n\r\n").await;
    let host = sending(&to).await;
    let request = Request::get(host.url(&format!("/sends?what=passed&to={to}")))
        .header("x-own", b"\xff 1".as_slice())
        .header("connection", "close");
    let reply = host.send(request.body(Full::default()).unwrap()).await;
    assert_eq!(reply.text(), "status 200\n");
    let asked = server.await.unwrap().escape_ascii().to_string();
    assert!(asked.contains(r"x-own: \xff 1\r\n") && !asked.contains("connection"), "{asked}");
    assert!(asked.contains(&format!("host: {to}")), "{asked}");
}

#[tokio::test]
async fn what_cannot_be_sent_says_why() {
    let host = sending("127.0.0.1:1").await;
    expect![[r#"
        nowhere ErrorCode::HttpRequestUriInvalid
        ftp ErrorCode::HttpProtocolError
        a length and no body ErrorCode::HttpRequestBodySize(Some(0))
        connect ErrorCode::HttpRequestMethodInvalid
    "#]]
    .assert_eq(&host.get("/sends?what=refused&to=127.0.0.1:1").await.text());
}

#[tokio::test]
async fn an_answer_that_breaks_off_has_a_code() {
    let answer = b"HTTP/1.1 200 Fine\r\ncontent-length: 9\r\n\r\npart";
    let (server, to) = answering(answer).await;
    let host = sending(&to).await;
    let reply = host.get(&format!("/sends?what=broken&to={to}")).await;
    assert_eq!(reply.text(), "broken Some(ErrorCode::HttpProtocolError)\n");
    server.await.unwrap();
}

#[tokio::test]
async fn an_answer_that_its_guest_lets_go_of_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        let (mut waits, mut others) = (None, Vec::new());
        let asked = async || {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = Vec::new();
            while !read.ends_with(b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0);
            }
            (stream, read)
        };
        while waits.is_none() || others.is_empty() {
            let (stream, read) = asked().await;
            if read.starts_with(b"GET /waits") { waits = Some(stream) } else { others.push(stream) }
        }
        let answer = b"HTTP/1.1 204 None\r\nconnection: close\r\n\r\n";
        let mut second = others.remove(0);
        second.write_all(answer).await.unwrap();
        drop(second);
        // It ends while its guest goes on.
        let mut rest = Vec::new();
        drop(waits.unwrap().read_to_end(&mut rest).await);
        // What is not read when a connection is closed has its answer thrown away.
        let (mut third, _) = asked().await;
        third.write_all(answer).await.unwrap();
    });
    let host = sending(&to).await;
    let reply = host.get(&format!("/sends?what=dropped&to={to}")).await;
    assert_eq!(reply.text(), "status 204\n");
    server.await.unwrap();
}
