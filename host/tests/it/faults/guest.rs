//! Faults of guests: what an app does wrong itself.

use steerage_guests as guests;

use super::{a_host, call, read, tells};
use crate::harness::{prints, says, wat, works};

#[tokio::test]
async fn it_answers_500_to_everybody() {
    let host = a_host();
    host.serve("well", &says("fine"), "").await;
    host.serve("web", &prints("Status: 500\\n\\nno"), "").await;
    call(&host, "/well/{n}", 10).await;
    call(&host, "/web/{n}", 6).await;
    tells(&host, "web", &["all of the last 6 calls", "the app itself answered 500"]).await;
}

#[tokio::test]
async fn it_traps_deep_in_a_function() {
    let host = a_host();
    host.serve("web", &read(guests::TRAP), "").await;
    call(&host, "/web/{n}", 6).await;
    let parts =
        ["trapped", "this guest traps on purpose", "the guest was in trap::innermost_function"];
    tells(&host, "web", &parts).await;
}

#[tokio::test]
async fn it_panics_on_one_path() {
    let host = a_host();
    host.serve("web", &read(guests::CGI_ECHO), "").await;
    for n in 0..10 {
        call(&host, &format!("/web/{n}"), 1).await;
        call(&host, "/web/panic", 1).await;
    }
    let parts = ["10 of the last 20 calls", "trapped", "all have the path /web/panic: 10 of 10"];
    tells(&host, "web", &parts).await;
}

#[tokio::test]
async fn it_fails_for_one_method() {
    let host = a_host();
    host.serve("web", &read(guests::CGI_ECHO), "").await;
    for _ in 0..8 {
        call(&host, "/web/a", 1).await;
        host.post("/web/a?status=500", "x").await;
    }
    tells(&host, "web", &["answered 500", "all have the method POST: 8 of 8"]).await;
}

#[tokio::test]
async fn it_recurses_without_end() {
    let host = a_host();
    let wasm = wat(r#"(module (memory (export "memory") 1)
        (func $deeper (param i32) (result i32)
            (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
        (func (export "_start") (drop (call $deeper (i32.const 0)))))"#);
    host.serve("web", &wasm, "").await;
    call(&host, "/web/{n}", 6).await;
    tells(&host, "web", &["call stack exhausted", "the guest was in deeper, called by deeper"])
        .await;
}

#[tokio::test]
async fn it_prints_nothing() {
    let host = a_host();
    host.serve("web", &read(guests::CGI_ECHO), "").await;
    call(&host, "/web/silent", 6).await;
    tells(&host, "web", &["no_answer", "ended without writing anything to stdout"]).await;
}

#[tokio::test]
async fn it_never_sets_an_answer() {
    let host = a_host();
    host.serve("web", &read(guests::NOANSWER), "").await;
    call(&host, "/web/{n}", 6).await;
    tells(&host, "web", &["no_answer", "without setting a response"]).await;
}

#[tokio::test]
async fn it_prints_a_head_that_is_none() {
    let host = a_host();
    host.serve("web", &prints("this is no head at all"), "").await;
    call(&host, "/web/{n}", 6).await;
    tells(&host, "web", &["no_answer", "no blank line, so no CGI header ended"]).await;
}

#[tokio::test]
async fn it_exits_with_a_code() {
    let host = a_host();
    host.serve("web", &read(guests::CGI_ECHO), "").await;
    call(&host, "/web/{n}?exit=3", 6).await;
    tells(&host, "web", &["no_answer", "exited with status 3"]).await;
}

#[tokio::test]
async fn it_fails_one_time_in_ten() {
    let host = a_host();
    host.serve("web", &read(guests::CGI_ECHO), "").await;
    for n in 0..60 {
        let status = if n % 10 == 0 { 500 } else { 200 };
        call(&host, &format!("/web/{n}?status={status}"), 1).await;
    }
    tells(&host, "web", &["6 of the last 60 calls of web", "answered 500"]).await;
}

#[tokio::test]
async fn it_fails_for_large_requests() {
    let host = a_host();
    // It traps when it has read more than 100,000 bytes.
    let wasm = wat(r#"(module
        (import "wasi_snapshot_preview1" "fd_read"
            (func $read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 2)
        (data (i32.const 32) "\nok")
        (func (export "_start") (local $n i32)
            (i32.store (i32.const 0) (i32.const 65536))
            (i32.store (i32.const 4) (i32.const 65536))
            (loop $more
                (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))
                    (then unreachable))
                (local.set $n (i32.add (local.get $n) (i32.load (i32.const 8))))
                (if (i32.gt_u (local.get $n) (i32.const 100000)) (then unreachable))
                (br_if $more (i32.load (i32.const 8))))
            (i32.store (i32.const 16) (i32.const 32))
            (i32.store (i32.const 20) (i32.const 3))
            (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))))"#);
    host.serve("web", &wasm, "").await;
    for n in 0..8 {
        host.post(&format!("/web/{n}"), "small").await;
        host.post(&format!("/web/{n}"), vec![b'x'; 300_000]).await;
    }
    let parts = ["8 of the last 16 calls", "trapped", "all have a large request: of 292.9KiB"];
    tells(&host, "web", &parts).await;
}

#[tokio::test]
async fn it_says_the_reason_in_its_log_only() {
    let host = a_host();
    let wasm = wat(r#"(module
        (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 32) "Status: 500\n\nno")
        (data (i32.const 64) "no such column: mail\n")
        (func (export "_start")
            (i32.store (i32.const 16) (i32.const 64))
            (i32.store (i32.const 20) (i32.const 21))
            (drop (call $write (i32.const 2) (i32.const 16) (i32.const 1) (i32.const 8)))
            (i32.store (i32.const 16) (i32.const 32))
            (i32.store (i32.const 20) (i32.const 15))
            (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))))"#);
    host.serve("web", &wasm, "").await;
    call(&host, "/web/{n}", 6).await;
    tells(&host, "web", &["answered 500", "it printed: no such column: mail"]).await;
}

#[tokio::test]
async fn it_divides_by_zero() {
    let host = a_host();
    let wasm = wat(r#"(module (memory (export "memory") 1)
        (func $price (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
        (func (export "_start") (drop (call $price (i32.const 0)))))"#);
    host.serve("web", &wasm, "").await;
    call(&host, "/web/{n}", 6).await;
    tells(&host, "web", &["integer divide by zero", "the guest was in price"]).await;
}

#[tokio::test]
async fn it_reads_outside_of_its_memory() {
    let host = a_host();
    let wasm = wat(r#"(module (memory (export "memory") 1)
        (func $item (result i32) (i32.load (i32.const -4)))
        (func (export "_start") (drop (call $item))))"#);
    host.serve("web", &wasm, "").await;
    call(&host, "/web/{n}", 6).await;
    tells(&host, "web", &["out of bounds memory access", "the guest was in item"]).await;
}

#[tokio::test]
async fn it_computes_for_much_longer_than_before() {
    let host = a_host();
    host.serve("web", &works(10, "x"), "").await;
    call(&host, "/web/{n}", 12).await;
    host.serve("web", &works(60_000_000, "x"), "[limits]\nfuel = 100000000000").await;
    call(&host, "/web/{n}", 12).await;
    let told = tells(&host, "generation 2 of web takes", &["of the time of a call it "]).await;
    super::cure(&host, &told);
    call(&host, "/web/{n}", 12).await;
    super::is_well(&host).await;
}

#[tokio::test]
async fn it_fails_for_one_caller() {
    let host = a_host();
    host.serve("web", &read(guests::CGI_ECHO), "").await;
    for n in 0..8 {
        call(&host, &format!("/web/{n}"), 1).await;
        from(&host.listen, "127.0.0.9", &format!("/web/{n}?status=500")).await;
    }
    tells(&host, "web", &["answered 500", "all have the client 127.0.0.9: 8 of 8"]).await;
}

/// Calls from an address of this machine.
async fn from(to: &str, address: &str, path: &str) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(to.parse().unwrap()).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
}
