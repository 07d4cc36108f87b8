//! Every guest has a test, or this file does not compile. Those that no other topic needs are
//! tested here; the others are named with the test that would miss them.

use expect_test::expect;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use steerage_guests as guests;

use crate::bodies::a_body_is_read_once_in_its_order_whichever_way as bodies;
use crate::calls::a_command_component_answers_the_cgi_way as cgi_echo_component;
use crate::calls::a_component_of_wasi_http_0_2_answers as echo;
use crate::calls::a_component_of_wasi_http_0_3_answers as p3_echo;
use crate::calls::a_core_module_answers_the_cgi_way as cgi_echo;
use crate::calls::a_response_streams_while_the_guest_still_works as slow;
use crate::calls::each_call_has_an_instance_of_its_own_unless_reuse_is_asked_for as counter;
use crate::calls::the_same_call_takes_the_same_fuel as work;
use crate::calls::the_sdk_costs_at_most_a_fifth_more_than_the_bindings as hello;
use crate::calls::the_sdk_costs_at_most_a_fifth_more_than_the_bindings as hello_sdk;
use crate::harness::{Host, Reply, manifest};
use crate::host_calls_http::no_function_of_0_3_holds_a_thread as p3_worst;
use crate::host_calls_http::no_function_of_http_0_2_holds_a_thread as worst;
use crate::http02::a_request_and_its_answer_are_whole as sends;
use crate::http02::the_head_of_a_request_is_what_the_client_sent as heads;
use crate::kv::what_is_set_by_one_interface_is_read_by_all as pairs;
use crate::lacking::what_no_host_offers_traps_with_its_name_when_it_is_called as lacking;
use crate::limits::a_guest_that_copies_in_bulk_is_stopped_in_time as copy;
use crate::limits::a_guest_that_never_yields_is_stopped_in_time_and_its_thread_is_free as spin;
use crate::limits::a_guest_that_sets_no_response_is_a_bad_gateway as noanswer;
use crate::limits::a_trap_is_told_with_its_backtrace as trap;
use crate::limits::memory_is_bounded_per_instance as hog;
use crate::limits::what_a_guest_holds_of_the_host_is_bounded as hoard;
use crate::limits::what_fails_after_the_response_began_is_cut as flood;
use crate::otlp::guest_spans::the_spans_of_a_guest_hang_below_that_of_its_call_and_its_requests_below_them as spans;
use crate::outbound::a_guest_reaches_only_what_its_manifest_allows as out;
use crate::outbound::a_guest_that_calls_itself_has_no_more_calls_than_it_may as fork;
use crate::outbound::{LOOPBACK, target};
use crate::outbound_bounds::one_call_takes_few_connections_and_its_neighbour_none_the_less as asker;
use crate::redis::a_guest_asks_a_server_that_its_manifest_allows as remembers;
use crate::replayed::calls_that_fail_by_chance_are_run_again_and_do_the_same as dice;
use crate::restored::no_trace_of_a_call_is_left as traces;
use crate::reuse::a_guest_that_takes_one_request_is_noticed as once;
use crate::secrets::a_secret_is_given_to_the_guests_of_its_app_and_shown_to_nobody as leaks;
use crate::seeing::what_a_guest_prints_is_kept_with_its_call as logger;
use crate::sockets::a_guest_connects_to_what_its_manifest_and_the_operator_opened as dials;
use crate::spin_apps::what_an_app_is_configured_with_is_found_under_all_names_of_the_interface as settings;
use crate::sql::what_is_written_by_one_interface_is_read_by_both as rows;
use a_guest_gets_nothing_it_was_not_given as probe;
use the_sdk_streams_bodies_both_ways as sdk_parts;

macro_rules! has_a_test {
    ($guest:ident) => {
        const _: fn() = $guest;
    };
}
guests::foreach_guest!(has_a_test);

#[tokio::test]
async fn a_guest_gets_nothing_it_was_not_given() {
    let host = Host::start();
    host.serve("probe", &std::fs::read(guests::PROBE).unwrap(), "[env]\nGIVEN = \"this\"").await;
    // Somebody listens there: it is the sandbox that says no.
    let port = target().await;
    let got = host.get(&format!("/probe?port={port}")).await;
    assert_eq!(got.status, 200, "{}", got.text());
    expect![[r#"
        env GIVEN=this
        file denied: entity not found
        resolve denied: access-denied
        connect denied: access-denied
    "#]]
    .assert_eq(&got.text());
}

/// The guest in which each part of the SDK has a path of its own.
async fn parts(more: &str) -> Host {
    let host = Host::start();
    let wasm = std::fs::read(guests::SDK_PARTS).unwrap();
    host.deploy(&wasm, &manifest("parts", "/...", more)).await;
    host
}

async fn streamed(host: &Host, method: Method, path: &str, body: String) -> Response<Incoming> {
    let request = Request::builder().method(method).uri(host.url(path));
    host.stream(request.body(Full::from(body)).unwrap()).await.unwrap()
}

fn check(reply: &Reply, status: u16, text: &str) {
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (status, text));
}

#[tokio::test]
async fn the_sdk_streams_bodies_both_ways() {
    let host = parts("").await;
    let text = "some text, ".repeat(50_000);
    check(&host.post("/echo", text.clone()).await, 200, &text);
    check(&host.post("/upper", text.clone()).await, 200, &text.to_uppercase());
    let upper = streamed(&host, Method::POST, "/upper", text).await;
    assert_eq!(upper.headers().get("content-length"), None, "it was collected first");
}

#[tokio::test]
async fn the_sdk_writes_trailers() {
    let host = parts("").await;
    let request = Request::get(host.url("/stream?n=1000")).version(http::Version::HTTP_2);
    let response = host.stream_http2(request.body(Full::default()).unwrap()).await.unwrap();
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-lines"], "1000");
    let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
    assert_eq!(text.lines().count(), 1_000);
    assert!(text.ends_with("line 1000\n"));
}

#[tokio::test]
async fn a_stream_that_fails_in_the_sdk_is_cut() {
    let host = parts("").await;
    let request = Request::get(host.url("/cut")).body(Full::default()).unwrap();
    // A guest that is over before anything was sent is an honest error. One that was held up may
    // have sent its head, and must not end as if the half were all.
    if let Ok(response) = host.stream(request).await
        && response.status() != 502
    {
        assert_eq!(response.status(), 200);
        assert!(response.into_body().collect().await.is_err(), "half passes for a whole");
    }
    let call = host.call_of("parts", "/cut").await;
    assert_ne!(call["cause"], "answered", "{call}");
}

#[tokio::test]
async fn the_sdk_reads_and_writes_json() {
    let host = parts("").await;
    let reply = host.post("/json", r#"{"number": 21}"#).await;
    check(&reply, 200, r#"{"number":42}"#);
    assert_eq!(reply.header("content-type"), "application/json");
    for wrong in ["", "{", r#"{"number": "many"}"#] {
        let reply = host.post("/json", wrong).await;
        assert_eq!(reply.status, 400, "{wrong:?}: {}", reply.text());
    }
}

#[tokio::test]
async fn the_router_of_the_sdk_tells_what_it_does_not_have() {
    let host = parts("").await;
    assert_eq!(host.get("/nowhere").await.status, 404);
    let wrong_method = host.get("/json").await;
    assert_eq!(wrong_method.status, 405);
    assert_eq!(wrong_method.header("allow"), "POST, OPTIONS");
}

#[tokio::test]
async fn the_sdk_reads_the_environment_of_the_manifest_only() {
    let host = parts("[env]\nCOLOUR = \"blue\"").await;
    check(&host.get("/env/COLOUR").await, 200, "blue");
    // The test's own environment has these, and so has the host's.
    for name in ["PATH", "RUST_LOG"] {
        check(&host.get(&format!("/env/{name}")).await, 404, "no such variable");
    }
}

#[tokio::test]
async fn the_sdk_sends_two_requests_at_once() {
    let port = target().await;
    let host = Host::with(&LOOPBACK);
    let wasm = std::fs::read(guests::SDK_PARTS).unwrap();
    let more = format!("allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]");
    host.deploy(&wasm, &manifest("parts", "/...", &more)).await;
    check(&host.get(&format!("/fetch?url=http://127.0.0.1:{port}/")).await, 200, "reached");
    let denied = host.get("/fetch?url=http://example.com/").await;
    assert_eq!(denied.status, 502, "{}", denied.text());
    assert_eq!(host.get("/fetch").await.status, 400);
}

#[tokio::test]
async fn errors_of_a_service_keep_its_secrets() {
    let host = parts("").await;
    check(&host.get("/refuse").await, 400, "you asked for it");
    let failed = host.get("/fail").await;
    assert_eq!(failed.status, 500);
    assert!(!failed.text().contains("secret"), "{}", failed.text());
    // Its developer sees what the caller does not.
    let line = host
        .until("the reason in the log", || async {
            let lines = host.admin("GET", "/v1/apps/parts/logs?lines=10", "").await.json();
            lines["lines"].as_array()?.iter().find(|line| line["stream"] == "stderr").cloned()
        })
        .await;
    assert!(line["text"].as_str().unwrap().contains("a secret of the service"), "{line}");
}

#[tokio::test]
async fn a_header_that_is_not_the_guests_does_not_spoil_the_response() {
    let host = parts("").await;
    let reply = host.get("/forbidden-header").await;
    check(&reply, 200, "sent all the same");
    assert_ne!(reply.header("connection"), "close");
}
