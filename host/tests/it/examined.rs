//! What a component may be is told at deploy, before any code is made, and by name.
//! What may be runs, and is bounded: exceptions, objects that are collected.

use crate::harness::{Host, manifest, wat};

/// Deploys what must be refused, and checks what is said.
async fn refused(wasm: &[u8], parts: &[&str]) {
    refused_with(wasm, "", parts).await;
}

async fn refused_with(wasm: &[u8], more: &str, parts: &[&str]) {
    let host = Host::start();
    let reply = host.try_deploy(wasm, &manifest("bad", "/bad", more)).await;
    assert_eq!(reply.status, 422, "{}", reply.text());
    for part in parts {
        assert!(reply.text().contains(part), "no {part:?} in {}", reply.text());
    }
}

/// A core module of preview 1 with this in it.
fn program(inside: &str) -> Vec<u8> {
    wat(&format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write"
                (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "\10\00\00\00\03\00\00\00")
            (data (i32.const 16) "\nok")
            (func $ok
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
            {inside})"#
    ))
}

/// A component that exports a service by name, with this in it. It could not be linked.
fn service(inside: &str) -> Vec<u8> {
    wat(&format!(
        r#"(component
            {inside}
            (instance $none)
            (export "wasi:http/incoming-handler@0.2.0" (instance $none)))"#
    ))
}

#[tokio::test]
async fn proposals_that_are_missing_are_named() {
    let start = r#"(func (export "_start"))"#;
    for (inside, name) in [
        ("(func (drop (i32.atomic.load (i32.const 0))))", "threads"),
        (r#"(memory $shared 1 1 shared)"#, "threads"),
        ("(memory i64 1)", "memory64"),
        ("(table i64 1 funcref)", "memory64"),
        (
            "(func (drop (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0))))",
            "relaxed SIMD",
        ),
        ("(func try catch_all end)", "legacy exceptions"),
        (
            "(func (drop (drop (i64.add128 (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0)))))",
            "wide arithmetic",
        ),
        ("(memory 1 (pagesize 1))", "custom page sizes"),
        ("(type $f (func)) (type $c (cont $f))", "stack switching"),
    ] {
        refused(&program(&format!("{inside}{start}")), &["proposal", name]).await;
    }
}

#[tokio::test]
async fn what_an_instance_may_not_take_is_named_with_its_bound() {
    let start = r#"(func (export "_start"))"#;
    let memories = "(memory 1)".repeat(8);
    refused(&program(&format!("{memories}{start}")), &["9 memories", "may have 4"]).await;
    let tables = "(table 1 funcref)".repeat(9);
    refused(&program(&format!("{tables}{start}")), &["9 tables", "may have 8"]).await;
    let large = format!("(table 70000 funcref){start}");
    refused(&program(&large), &["70000 elements", "65536"]).await;
    // Each is within the limit, and together they are not.
    let together = format!("(memory 800)(memory 800)(memory 800){start}");
    refused_with(
        &program(&together),
        "[limits]\nmemory = \"100MiB\"",
        &["of memory at start", "100MiB"],
    )
    .await;
    let modules = |n: usize| {
        let instances = "(core instance (instantiate $m))".repeat(n);
        service(&format!("(core module $m) {instances}"))
    };
    refused(&modules(41), &["41 core instances", "may have 40"]).await;
    let instances = |n: usize| {
        service(&format!(
            "(core module $m (memory 0)) {}",
            "(core instance (instantiate $m))".repeat(n)
        ))
    };
    refused(&instances(5), &["5 memories", "may have 4"]).await;
    let twice = "(core instance (instantiate $m)) (core instance (instantiate $m))";
    refused(
        &service(&format!(
            "(component $c (core module $m (memory 0)) {twice})
             (instance (instantiate $c)) (instance (instantiate $c)) (instance (instantiate $c))"
        )),
        &["6 memories", "nested components included"],
    )
    .await;
}

#[tokio::test]
async fn components_that_multiply_are_refused_at_once() {
    let mut text = "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
    for level in 1..=8 {
        let below = level - 1;
        let makes = "(instance (instantiate $c))".repeat(10);
        text.push_str(&format!(
            "(component $c{level} (alias outer 1 $c{below} (component $c)) {makes})"
        ));
    }
    refused(&service(&format!("{text} (instance (instantiate $c8))")), &["core instances"]).await;
}

#[tokio::test]
async fn imports_that_are_missing_are_listed_and_not_too_many() {
    let imports: String =
        (0..35).map(|n| format!("(import \"acme:parts/part-{n}@1.0.0\" (instance))")).collect();
    refused(&wat(&format!("(component {imports})")), &["part-0@", "part-19@", "and 15 more"]).await;
    let unknown = r#"(component (import "wasi:http/rockets@0.2.0" (instance)))"#;
    refused(&wat(unknown), &["wasi:http/rockets@0.2.0"]).await;
    // What is missing of functions alone is stood in for (`lacking`); nothing can be for code.
    let modules: String =
        (0..35).map(|n| format!("(import \"acme-part-{n}\" (core module))")).collect();
    let listed = ["acme-part-0,", "acme-part-19 ", "and 15 more"];
    refused(&wat(&format!("(component {modules})")), &listed).await;
    let function = r#"(module (import "wasi_snapshot_preview1" "fd_launch" (func))
        (func (export "_start")))"#;
    refused(&wat(function), &["wasi_snapshot_preview1.fd_launch"]).await;
}

#[tokio::test]
async fn a_module_that_is_to_become_a_component_is_told_so() {
    let half_made = r#"(module
        (import "wasi:http/types@0.2.0" "[constructor]fields" (func (result i32)))
        (func (export "wasi:http/incoming-handler@0.2.0#handle") (param i32 i32)))"#;
    refused(&wat(half_made), &["wasm32-wasip2"]).await;
}

#[tokio::test]
async fn a_start_that_takes_or_gives_something_is_refused() {
    for start in ["(param i32)", "(result i32) (i32.const 0)"] {
        let text = format!("(module (func (export \"_start\") {start}))");
        refused(&wat(&text), &["_start takes"]).await;
    }
}

#[tokio::test]
async fn exceptions_are_thrown_and_caught() {
    let catching = program(
        r#"(tag $thrown (param i32))
        (func (export "_start")
            (block $caught (result i32)
                (try_table (catch $thrown $caught)
                    (throw $thrown (i32.const 7)))
                unreachable)
            (if (i32.ne (i32.const 7)) (then unreachable))
            (call $ok))"#,
    );
    let host = Host::start();
    host.serve("catching", &catching, "").await;
    let reply = host.get("/catching/").await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, "ok"));
    let uncaught = program(r#"(tag $thrown) (func (export "_start") (throw $thrown))"#);
    host.serve("uncaught", &uncaught, "").await;
    assert_eq!(host.get("/uncaught/").await.cause(), "trapped");
    assert_eq!(host.get("/catching/").await.status, 200);
}

/// Makes a list of objects of 1 KiB each, as many as that, all reachable.
fn objects(n_objects: u32) -> Vec<u8> {
    program(&format!(
        r#"(type $bytes (array (mut i8)))
        (type $node (struct (field (ref null $node)) (field (ref $bytes))))
        (func (export "_start") (local $list (ref null $node)) (local $n i32)
            (local.set $n (i32.const {n_objects}))
            (loop $more
                (local.set $list
                    (struct.new $node (local.get $list)
                        (array.new_default $bytes (i32.const 1000))))
                (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                (br_if $more (local.get $n)))
            (call $ok))"#
    ))
}

#[tokio::test]
async fn objects_that_are_collected_count_against_the_memory_limit() {
    let host = Host::start();
    let limits = "[limits]\nmemory = \"16MiB\"\ntimeout = \"60s\"";
    host.serve("few", &objects(1000), limits).await;
    assert_eq!(host.get("/few/").await.text(), "ok");
    let peak = host.last_call("few").await["memory_bytes"].as_u64().unwrap();
    assert!((1_000_000..16 << 20).contains(&peak), "{peak}");
    host.serve("many", &objects(10_000_000), limits).await;
    let before = resident(&host);
    for _ in 0..5 {
        let reply = host.get("/many/").await;
        assert_eq!(reply.cause(), "out_of_memory", "{}", reply.text());
    }
    let grown = resident(&host).saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes");
    assert_eq!(host.get("/few/").await.text(), "ok");
}

fn resident(host: &Host) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn a_code_folder_that_others_can_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let data = tempfile::tempdir().unwrap();
    let cache = tempfile::tempdir().unwrap();
    std::fs::set_permissions(cache.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let (data, cache) = (data.path().to_str().unwrap(), cache.path().to_str().unwrap());
    let started = crate::harness::run(&[
        "host",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--data",
        data,
        "--cache",
        cache,
    ]);
    assert_ne!(started.code, 0, "{started:?}");
    assert!(started.stderr.contains("mode 0777"), "{started:?}");
}
