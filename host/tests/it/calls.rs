//! Every kind of guest answers, and instances are fresh unless the manifest says otherwise.

use http_body_util::BodyExt;
use steerage_guests as guests;

use crate::harness::{Host, manifest, wat};

fn read(path: &str) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

async fn echoes(wasm: &[u8]) {
    let host = Host::start();
    host.deploy(wasm, &manifest("echo", "/...", "")).await;
    let body = "x".repeat(300_000);
    let reply = host.post("/body", body.clone()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.text(), body);
    let call = host.last_call("echo").await;
    assert_eq!(call["cause"], "answered");
    assert_eq!(call["status"], 200);
    assert_eq!(call["response_bytes"], 300_000);
    assert!(call["fuel"].as_u64().unwrap() > 0);
    assert!(call["memory_bytes"].as_u64().unwrap() >= 65_536);
}

#[tokio::test]
pub(crate) async fn a_component_of_wasi_http_0_2_answers() {
    echoes(&read(guests::ECHO)).await;
}

#[tokio::test]
pub(crate) async fn a_component_of_wasi_http_0_3_answers() {
    echoes(&read(guests::P3_ECHO)).await;
}

#[tokio::test]
async fn a_component_of_the_last_candidate_of_wasi_0_3_answers() {
    echoes(&steerage::sandbox::released::as_candidate(&read(guests::P3_ECHO)).unwrap()).await;
}

#[tokio::test]
pub(crate) async fn a_core_module_answers_the_cgi_way() {
    let host = Host::start();
    host.serve("cgi", &read(guests::CGI_ECHO), "[env]\nGREETING = \"hello\"").await;
    let reply = host.post("/cgi/below/it?a=b", "the body").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let text = reply.text();
    for line in [
        "REQUEST_METHOD=POST",
        "SCRIPT_NAME=/cgi",
        "PATH_INFO=/below/it",
        "QUERY_STRING=a=b",
        "CONTENT_LENGTH=8",
        "GATEWAY_INTERFACE=CGI/1.1",
        "GREETING=hello",
        "the body",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
    assert!(!text.contains("HOME="), "the host's environment leaks: {text}");
}

#[tokio::test]
pub(crate) async fn a_command_component_answers_the_cgi_way() {
    let host = Host::start();
    host.serve("cgi", &read(guests::CGI_ECHO_COMPONENT), "").await;
    let reply = host.post("/cgi/below", "the body").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.text().contains("the body"), "{}", reply.text());
}

#[tokio::test]
async fn a_program_without_a_toolchain_answers() {
    let host = Host::start();
    let program = wat(r#"(module
            (import "wasi_snapshot_preview1" "fd_write"
                (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 8) "\10\00\00\00\22\00\00\00")
            (data (i32.const 16) "Status: 201 Made\nX-By: wat\n\nhello\n")
            (func (export "_start")
                (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0)))))"#);
    host.serve("wat", &program, "").await;
    let reply = host.get("/wat").await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(reply.header("x-by"), "wat");
    assert_eq!(reply.text(), "hello\n");
}

#[tokio::test]
pub(crate) async fn each_call_has_an_instance_of_its_own_unless_reuse_is_asked_for() {
    let host = Host::start();
    let counter = read(guests::COUNTER);
    host.serve("fresh", &counter, "").await;
    host.serve("reused", &counter, "[instance]\nreuse = 3").await;
    host.serve("aged", &counter, "[instance]\nreuse = 3\nmax_age = \"0s\"").await;
    let mut counts = Vec::new();
    for _ in 0..4 {
        assert_eq!(host.get("/fresh").await.text().trim(), "1");
        assert_eq!(host.get("/aged").await.text().trim(), "1");
        counts.push(host.get("/reused").await.text().trim().to_owned());
    }
    assert_eq!(counts, ["1", "2", "3", "1"]);
}

#[tokio::test]
pub(crate) async fn a_response_streams_while_the_guest_still_works() {
    let host = Host::start();
    host.deploy(&read(guests::SLOW), &manifest("slow", "/...", "")).await;
    let url = host.url("/drip?n=3&ms=50");
    let request = http::Request::get(url).body(Default::default()).unwrap();
    let mut response = host.stream(request).await.unwrap();
    let mut frames = 0;
    while let Some(frame) = response.body_mut().frame().await {
        frames += usize::from(frame.unwrap().is_data());
    }
    assert!(frames >= 3, "{frames} frames");
}

#[tokio::test]
pub(crate) async fn the_same_call_takes_the_same_fuel() {
    let host = Host::start();
    host.serve("work", &read(guests::WORK), "").await;
    let mut fuel = Vec::new();
    for n_calls in 1..=3 {
        assert_eq!(host.get("/work?n=1000").await.status, 200);
        let call = host
            .until("call", || async {
                let reply = host.admin("GET", "/v1/apps/work/calls?limit=10", "").await.json();
                let calls = reply["calls"].as_array().unwrap().clone();
                (calls.len() == n_calls).then(|| calls.last().unwrap().clone())
            })
            .await;
        fuel.push(call["fuel"].as_u64().unwrap());
    }
    assert!(fuel.iter().all(|each| *each == fuel[0]), "{fuel:?}");
}

#[tokio::test]
pub(crate) async fn the_sdk_costs_at_most_a_fifth_more_than_the_bindings() {
    let host = Host::start();
    let mut cost = Vec::new();
    for (name, path) in [("plain", guests::HELLO), ("sdk", guests::HELLO_SDK)] {
        let wasm = read(path);
        host.deploy(&wasm, &manifest(name, &format!("/{name}"), "")).await;
        let reply = host.get(&format!("/{name}")).await;
        assert_eq!(reply.status, 200);
        let call = host.last_call(name).await;
        cost.push((reply.text(), call["fuel"].as_u64().unwrap(), wasm.len() as u64));
    }
    let [(plain_text, plain_fuel, plain_bytes), (sdk_text, sdk_fuel, sdk_bytes)] = &cost[..] else {
        panic!("two services")
    };
    assert_eq!(plain_text, sdk_text, "both must be the same service");
    assert!(sdk_fuel * 10 <= plain_fuel * 12, "fuel {sdk_fuel} against {plain_fuel}");
    assert!(sdk_bytes * 10 <= plain_bytes * 12, "bytes {sdk_bytes} against {plain_bytes}");
}
