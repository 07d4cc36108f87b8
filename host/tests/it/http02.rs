//! What a guest of `wasi:http` 0.2 sees of heads, and what becomes of the bodies it writes.

use expect_test::expect;
use http::Request;
use http_body_util::Full;
use steerage_guests as guests;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

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
