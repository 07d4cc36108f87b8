//! Core modules that SDKs leave with a description of their interfaces are served as the components that
//! they were meant to become.

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::harness::{Host, manifest};

/// A library whose exported function `wasi:cli/run` prints an answer by preview 1, as what Rust builds for
/// `wasm32-wasip1` does.
const MODULE: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write"
        (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 8)
    (global $free (mut i32) (i32.const 65536))
    (data (i32.const 0) "\10\00\00\00\20\00\00\00")
    (data (i32.const 16) "content-type: text/plain\n\nserved")
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (global.get $free)
        (global.set $free (i32.add (global.get $free)
            (i32.and (i32.add (local.get 3) (i32.const 15)) (i32.const -16)))))
    (func (export "wasi:cli/run@0.2.0#run") (result i32)
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (i32.const 0)))"#;
const WIT: &str = "package wasi:cli@0.2.0;
    interface run { run: func() -> result; }
    world program { export run; }";

/// A module, with the section that tells what it is to become.
fn half_made(text: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("program.wit", WIT).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = wat::parse_str(text).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}

#[tokio::test]
async fn a_module_that_was_meant_to_become_a_component_is_served_as_one() {
    let host = Host::start();
    let told = host.deploy(&half_made(MODULE), &manifest("made", "/made", "")).await;
    for _ in 0..3 {
        let reply = host.get("/made").await;
        assert_eq!((reply.status.as_u16(), &*reply.text()), (200, "served"), "{told}");
    }
}

#[tokio::test]
async fn one_that_none_can_be_made_of_is_refused_with_the_reason() {
    let host = Host::start();
    let module = half_made(&MODULE.replace("wasi:cli/run@0.2.0#run", "wasi:cli/run@0.2.0#ran"));
    let reply = host.try_deploy(&module, &manifest("unmade", "/unmade", "")).await;
    assert_eq!(reply.status, 422, "{}", reply.text());
    let text = reply.text();
    assert!(text.contains("made for a component; the module cannot be made into"), "{text}");
    assert!(text.contains("wasi:cli/run@0.2.0"), "{text}");
}
