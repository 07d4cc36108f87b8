//! Work that the host does for a guest costs no fuel. It ends the guest's slice all the same, counts
//! against its time, and holds up nobody: for every function that a guest can import, called again
//! and again with the worst there is to ask for.

use std::time::{Duration, Instant};

use serde_json::Value;
use steerage_guests as guests;

use crate::harness::{Host, wat};

/// Longest that a call may last past its timeout, and that a neighbour may wait, on a machine that
/// does much else. What is to be noticed lasted for minutes.
pub(crate) const SLACK: Duration = Duration::from_secs(15);

/// A preview 1 program that calls a function with these arguments for ever. Its memory holds, from
/// 64 KiB on, nothing but line ends, and at 1 KiB the buffers that `buffers` says.
fn calls_for_ever(function: &str, types: &str, arguments: &str) -> Vec<u8> {
    wat(&format!(
        r#"(module
            (import "wasi_snapshot_preview1" "{function}" (func $f (param {types}) (result i32)))
            (memory (export "memory") 600)
            ;; One buffer of 15 MiB at 1024, and 262,144 of one byte each from 20 MiB on.
            (data (i32.const 1024) "\00\00\01\00\00\00\f0\00")
            (func (export "_start") (local $at i32)
                (memory.fill (i32.const 65536) (i32.const 10) (i32.const 16777216))
                (local.set $at (i32.const 20971520))
                (loop $more
                    (i32.store (local.get $at) (i32.const 65536))
                    (local.set $at (i32.add (local.get $at) (i32.const 8)))
                    (br_if $more (i32.lt_u (local.get $at) (i32.const 23068672))))
                (loop $again
                    (drop (call $f {arguments}))
                    (br $again))))"#
    ))
}

/// Every function of preview 1 that a program may call again, with the worst arguments.
const PREVIEW1: [(&str, &str, &str); 47] = [
    ("args_get", "i32 i32", "0 512"),
    ("args_sizes_get", "i32 i32", "0 4"),
    ("environ_get", "i32 i32", "25165824 26214400"),
    ("environ_sizes_get", "i32 i32", "0 4"),
    ("clock_res_get", "i32 i32", "1 0"),
    ("clock_time_get", "i32 i64 i32", "1 0 0"),
    ("fd_advise", "i32 i64 i64 i32", "1 0 0 0"),
    ("fd_allocate", "i32 i64 i64", "1 0 1000000000"),
    ("fd_close", "i32", "77"),
    ("fd_datasync", "i32", "2"),
    ("fd_fdstat_get", "i32 i32", "1 0"),
    ("fd_fdstat_set_flags", "i32 i32", "2 4"),
    ("fd_fdstat_set_rights", "i32 i64 i64", "1 0 0"),
    ("fd_filestat_get", "i32 i32", "1 0"),
    ("fd_filestat_set_size", "i32 i64", "1 1000000000"),
    ("fd_filestat_set_times", "i32 i64 i64 i32", "1 0 0 0"),
    ("fd_pread", "i32 i32 i32 i64 i32", "0 20971520 262144 0 0"),
    ("fd_prestat_get", "i32 i32", "3 0"),
    ("fd_prestat_dir_name", "i32 i32 i32", "3 65536 16777216"),
    ("fd_pwrite", "i32 i32 i32 i64 i32", "2 20971520 262144 0 0"),
    ("fd_read", "i32 i32 i32 i32", "0 20971520 262144 0"),
    ("fd_read", "i32 i32 i32 i32", "0 1024 1 0"),
    ("fd_readdir", "i32 i32 i32 i64 i32", "3 65536 16777216 0 0"),
    ("fd_renumber", "i32 i32", "2 2"),
    ("fd_seek", "i32 i64 i32 i32", "1 0 0 0"),
    ("fd_sync", "i32", "2"),
    ("fd_tell", "i32 i32", "1 0"),
    ("fd_write", "i32 i32 i32 i32", "2 1024 1 0"),
    ("fd_write", "i32 i32 i32 i32", "2 20971520 262144 0"),
    ("path_create_directory", "i32 i32 i32", "3 65536 16000000"),
    ("path_filestat_get", "i32 i32 i32 i32 i32", "3 0 65536 1000000 0"),
    ("path_filestat_set_times", "i32 i32 i32 i32 i64 i64 i32", "3 0 65536 1000000 0 0 0"),
    ("path_link", "i32 i32 i32 i32 i32 i32 i32", "3 0 65536 500000 3 65536 500000"),
    ("path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32", "3 0 65536 1000000 0 0 0 0 0"),
    ("path_readlink", "i32 i32 i32 i32 i32 i32", "3 65536 1000000 25165824 1000000 0"),
    ("path_remove_directory", "i32 i32 i32", "3 65536 1000000"),
    ("path_rename", "i32 i32 i32 i32 i32 i32", "3 65536 500000 3 65536 500000"),
    ("path_symlink", "i32 i32 i32 i32 i32", "65536 500000 3 65536 500000"),
    ("path_unlink_file", "i32 i32 i32", "3 65536 1000000"),
    ("poll_oneoff", "i32 i32 i32 i32", "25165824 33554432 1024 0"),
    ("poll_oneoff", "i32 i32 i32 i32", "25165824 33554432 50000 0"),
    ("random_get", "i32 i32", "65536 65536"),
    ("sched_yield", "", ""),
    ("sock_accept", "i32 i32 i32", "3 0 0"),
    ("sock_recv", "i32 i32 i32 i32 i32 i32", "3 20971520 262144 0 0 4"),
    ("sock_send", "i32 i32 i32 i32 i32", "3 20971520 262144 0 0"),
    ("sock_shutdown", "i32 i32", "3 0"),
];

fn program(function: &str, types: &str, arguments: &str) -> Vec<u8> {
    let types = types.split_whitespace();
    let arguments = types.clone().zip(arguments.split_whitespace());
    let arguments: String =
        arguments.map(|(kind, value)| format!("({kind}.const {value}) ")).collect();
    calls_for_ever(function, &types.collect::<Vec<_>>().join(" "), &arguments)
}

/// Asks a neighbour as long as the call runs, which must end in time, and not by an answer.
async fn ends_in_time(host: &Host, app: &str, timeout: Duration) {
    asked_ends_in_time(host, app, &format!("/{app}"), "", timeout).await;
}

/// The same of a call of this path with a query.
pub(crate) async fn asked_ends_in_time(
    host: &Host,
    app: &str,
    path: &str,
    query: &str,
    timeout: Duration,
) {
    let began_at = Instant::now();
    let target = format!("{path}{query}");
    let mut call = std::pin::pin!(host.get(&target));
    loop {
        let neighbour = async {
            let asked_at = Instant::now();
            assert_eq!(host.get("/hello").await.status, 200, "beside {target}");
            assert!(asked_at.elapsed() < SLACK, "{:?} beside {target}", asked_at.elapsed());
        };
        tokio::select! {
            reply = &mut call => {
                // Some arguments are answered by a trap, which is as good.
                assert!(matches!(reply.status.as_u16(), 500 | 502 | 504), "{target}: {}", reply.text());
                break;
            }
            () = neighbour => {}
        }
    }
    let lasted = began_at.elapsed();
    assert!(lasted < timeout + SLACK, "{target} lasted {lasted:?}");
    let settled: Value = host.call_of(app, path).await;
    let lasted = settled["duration_us"].as_f64().unwrap_or_default() / 1e6;
    assert!(lasted < (timeout + SLACK).as_secs_f64(), "{settled}");
}

const LIMITS: &str = "[limits]\ntimeout = \"300ms\"\nfuel = \"100000B\"\nmemory = \"64MiB\"";

#[tokio::test]
async fn no_function_of_preview_1_holds_a_thread() {
    let host = Host::with(&["--threads", "1"]);
    host.serve("hello", &std::fs::read(guests::HELLO).unwrap(), "").await;
    for (n, (function, types, arguments)) in PREVIEW1.into_iter().enumerate() {
        let app = format!("f{n}-{}", function.replace('_', "-"));
        host.serve(&app, &program(function, types, arguments), LIMITS).await;
        ends_in_time(&host, &app, Duration::from_millis(300)).await;
        host.admin("DELETE", &format!("/v1/apps/{app}"), "").await;
    }
}

/// A component that runs as a program and calls a function of WASI 0.2 for ever. `imports` brings in
/// the instances, `lower` makes core functions of theirs, `with` hands them to the program, whose
/// own imports are `uses` and whose loop is `body`, with `before` before it.
fn component(
    imports: &str,
    lower: &str,
    with: &str,
    uses: &str,
    before: &str,
    body: &str,
) -> Vec<u8> {
    wat(&format!(
        r#"(component
            {imports}
            (core module $libc
                (memory (export "memory") 300)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1048576)))
            (core instance $libc (instantiate $libc))
            (alias core export $libc "memory" (core memory $memory))
            (alias core export $libc "realloc" (core func $realloc))
            {lower}
            (core module $program
                (import "libc" "memory" (memory 300))
                {uses}
                (func (export "run") (result i32) (local $n i32)
                    {before}
                    (loop $again {body} (br $again))
                    (unreachable)))
            (core instance $program (instantiate $program
                (with "libc" (instance $libc))
                (with "host" (instance {with}))))
            (func $run (result (result)) (canon lift (core func $program "run")))
            (instance $cli (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $cli)))"#
    ))
}

fn random_bytes(n: u32) -> Vec<u8> {
    component(
        r#"(import "wasi:random/random@0.2.0" (instance $random
            (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))"#,
        r#"(core func $f (canon lower (func $random "get-random-bytes")
            (memory $memory) (realloc $realloc)))"#,
        r#"(export "f" (func $f))"#,
        r#"(import "host" "f" (func $f (param i64 i32)))"#,
        "",
        &format!("(call $f (i64.const {n}) (i32.const 0))"),
    )
}

fn prints(n: u32) -> Vec<u8> {
    component(
        r#"(import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
        (alias export $error "error" (type $failure))
        (import "wasi:io/streams@0.2.0" (instance $streams
            (alias outer 1 $failure (type $failure'))
            (export "error" (type $e (eq $failure')))
            (export "output-stream" (type $out (sub resource)))
            (type $why' (variant (case "last-operation-failed" (own $e)) (case "closed")))
            (export "stream-error" (type $why (eq $why')))
            (export "[method]output-stream.write"
                (func (param "self" (borrow $out)) (param "contents" (list u8))
                    (result (result (error $why)))))))
        (alias export $streams "output-stream" (type $stream))
        (import "wasi:cli/stderr@0.2.0" (instance $stderr
            (alias outer 1 $stream (type $stream'))
            (export "output-stream" (type $o (eq $stream')))
            (export "get-stderr" (func (result (own $o))))))"#,
        r#"(core func $get (canon lower (func $stderr "get-stderr")))
        (core func $f (canon lower (func $streams "[method]output-stream.write")
            (memory $memory)))"#,
        r#"(export "get" (func $get)) (export "f" (func $f))"#,
        r#"(import "host" "get" (func $get (result i32)))
        (import "host" "f" (func $f (param i32 i32 i32 i32)))"#,
        "(memory.fill (i32.const 65536) (i32.const 10) (i32.const 16777216))
        (local.set $n (call $get))",
        &format!("(call $f (local.get $n) (i32.const 65536) (i32.const {n}) (i32.const 0))"),
    )
}

fn waits_for(n: u32) -> Vec<u8> {
    component(
        r#"(import "wasi:io/poll@0.2.0" (instance $poll
            (export "pollable" (type $p (sub resource)))
            (export "poll" (func (param "in" (list (borrow $p))) (result (list u32))))))
        (alias export $poll "pollable" (type $pollable))
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
            (alias outer 1 $pollable (type $pollable'))
            (export "pollable" (type $q (eq $pollable')))
            (export "subscribe-duration" (func (param "when" u64) (result (own $q))))))"#,
        r#"(core func $subscribe (canon lower (func $clock "subscribe-duration")))
        (core func $f (canon lower (func $poll "poll") (memory $memory) (realloc $realloc)))"#,
        r#"(export "subscribe" (func $subscribe)) (export "f" (func $f))"#,
        r#"(import "host" "subscribe" (func $subscribe (param i64) (result i32)))
        (import "host" "f" (func $f (param i32 i32 i32)))"#,
        // One pollable for all places: what is handed over is the list.
        &format!(
            "(i32.store (i32.const 65536) (call $subscribe (i64.const 0)))
            (loop $fill
                (i32.store (i32.add (i32.const 65536) (i32.mul (local.get $n) (i32.const 4)))
                    (i32.load (i32.const 65536)))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br_if $fill (i32.lt_u (local.get $n) (i32.const {n}))))"
        ),
        &format!("(call $f (i32.const 65536) (i32.const {n}) (i32.const 0))"),
    )
}

/// Two components in one, of which one hands the other a text of four megabytes, which has to be
/// written anew since they write text in different ways.
fn transcodes() -> Vec<u8> {
    wat(r#"(component
        (component $callee
            (core module $m
                (memory (export "memory") 300)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
                (func (export "take") (param i32 i32)))
            (core instance $i (instantiate $m))
            (alias core export $i "memory" (core memory $memory))
            (alias core export $i "realloc" (core func $realloc))
            (func (export "take") (param "text" string)
                (canon lift (core func $i "take") (memory $memory) (realloc $realloc)
                    string-encoding=utf16)))
        (component $caller
            (import "take" (func $take (param "text" string)))
            (core module $libc (memory (export "memory") 300))
            (core instance $libc (instantiate $libc))
            (alias core export $libc "memory" (core memory $memory))
            (core func $f (canon lower (func $take) (memory $memory)))
            (core module $program
                (import "libc" "memory" (memory 300))
                (import "host" "f" (func $f (param i32 i32)))
                (func (export "run") (result i32)
                    (loop $again (call $f (i32.const 65536) (i32.const 4000000)) (br $again))
                    (unreachable)))
            (core instance $program (instantiate $program
                (with "libc" (instance $libc))
                (with "host" (instance (export "f" (func $f))))))
            (func (export "run") (result (result)) (canon lift (core func $program "run"))))
        (instance $callee (instantiate $callee))
        (instance $caller (instantiate $caller (with "take" (func $callee "take"))))
        (instance $cli (export "run" (func $caller "run")))
        (export "wasi:cli/run@0.2.0" (instance $cli)))"#)
}

#[tokio::test]
async fn no_function_of_0_2_holds_a_thread() {
    let host = Host::with(&["--threads", "1"]);
    host.serve("hello", &std::fs::read(guests::HELLO).unwrap(), "").await;
    let programs = [
        ("random", random_bytes(65_536)),
        ("more-random", random_bytes(1_000_000)),
        ("lines", prints(65_536)),
        ("more-lines", prints(15_000_000)),
        ("events", waits_for(1024)),
        ("more-events", waits_for(200_000)),
        ("text", transcodes()),
    ];
    for (app, wasm) in programs {
        host.serve(app, &wasm, LIMITS).await;
        ends_in_time(&host, app, Duration::from_millis(300)).await;
    }
}

#[tokio::test]
async fn the_host_ends_in_time_whatever_guests_ask_of_it() {
    let mut host = Host::with(&["--drain-timeout", "1s"]);
    let programs = [
        ("lines", program("fd_write", "i32 i32 i32 i32", "2 1024 1 0")),
        ("random", program("random_get", "i32 i32", "65536 65536")),
        ("events", program("poll_oneoff", "i32 i32 i32 i32", "25165824 33554432 1024 0")),
    ];
    let limits = "[limits]\ntimeout = \"10m\"\nfuel = \"100000B\"\nmemory = \"64MiB\"";
    let mut calls = Vec::new();
    for (app, wasm) in programs {
        host.serve(app, &wasm, limits).await;
        calls.extend((0..3).map(|_| {
            let request = http::Request::get(host.url(&format!("/{app}")));
            tokio::spawn(host.stream(request.body(Default::default()).unwrap()))
        }));
    }
    host.until("running calls", || async {
        (host.metric("pool_slots_used").await >= 9.0).then_some(())
    })
    .await;
    host.ends_in_time();
    for call in calls {
        call.abort();
    }
}
