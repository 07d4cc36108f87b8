//! What a guest says of parts of its call by `wasi:otel` hangs below the span of the call, and in no other trace;
//! however much it says, so much is kept.

use std::time::Duration;

use steerage_guests as guests;

use super::decode::Span;
use super::{Collector, LONG, ONLY_SPANS, PARENT, UNSAMPLED, WELL, get_below};
use crate::harness::{Host, manifest};
use crate::outbound::{LOOPBACK, target_after};

async fn a_host(collector: &Collector, more: &str) -> Host {
    let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url)];
    let host = Host::with_env(&[&ONLY_SPANS[..], &LOOPBACK].concat(), &env);
    let spans = std::fs::read(guests::SPANS).unwrap();
    host.deploy(&spans, &manifest("spans", "/spans/...", &format!("{more}\n{LONG}"))).await;
    host
}

fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found.next().unwrap_or_else(|| panic!("no span {name:?}: {spans:#?}"));
    assert!(found.next().is_none(), "two spans {name:?}: {spans:#?}");
    span
}

#[tokio::test(flavor = "multi_thread")]
pub(crate) async fn the_spans_of_a_guest_hang_below_that_of_its_call_and_its_requests_below_them() {
    let collector = Collector::start(Some(WELL)).await;
    let port = target_after(Duration::ZERO).await;
    let outbound = format!("allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]");
    let mut host = a_host(&collector, &outbound).await;
    let told = get_below(&host, &format!("/spans/a?what=nested&to=127.0.0.1:{port}"), PARENT).await;
    let all = collector.at_end_of(&mut host);
    let call = named(&all, "GET /spans/...");
    assert_eq!(told, format!("{} {} true\n", call.trace, call.id), "the guest was told so");
    assert_eq!(call.trace, "0af7651916cd43dd8448eb211c80319c");
    let (first, second, asked) = (named(&all, "first"), named(&all, "second"), named(&all, "GET"));
    assert!(all.len() == 4 && all.iter().all(|span| span.trace == call.trace), "{all:#?}");
    assert_eq!((&first.parent, &second.parent), (&call.id, &first.id), "{all:#?}");
    assert_eq!(asked.parent, second.id, "the request hangs where the guest was: {all:#?}");
    assert_eq!((first.status, second.status, &*second.message), (1, 2, "no stock"), "{all:#?}");
    for span in [first, second] {
        assert!(call.start <= span.start && span.start <= span.end, "{all:#?}");
        assert_eq!((span.kind, span.flags, span.n_links_dropped), (1, 0x101, 1), "{span:#?}");
        assert_eq!(span.attributes["items"], 3, "{span:#?}");
        assert_eq!(span.attributes["otel.scope.name"], "shop", "{span:#?}");
        assert_eq!(span.attributes["steerage.app"], "spans", "no guest says that: {span:#?}");
        assert_eq!(span.attributes["steerage.call_id"], call.attributes["steerage.call_id"]);
        let [(event, said)] = &*span.events else { panic!("one event: {span:#?}") };
        assert_eq!((&**event, &said["hit"]), ("looked", &true.into()), "{span:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_writes_into_no_other_trace_and_no_more_than_there_is_room_for() {
    let collector = Collector::start(Some(WELL)).await;
    let mut host = a_host(&collector, "").await;
    for query in ["what=other", "what=many&n=2000", "what=many&n=5&size=20000"] {
        get_below(&host, &format!("/spans/{query}?{query}"), PARENT).await;
    }
    let all = collector.at_end_of(&mut host);
    let mut calls = Vec::new();
    for query in ["what=other", "what=many&n=2000", "what=many&n=5&size=20000"] {
        let is_call = |span: &&Span| {
            span.kind == 2 && span.attributes["url.path"] == format!("/spans/{query}")
        };
        let call = all.iter().find(is_call).unwrap_or_else(|| panic!("{query}: {all:#?}"));
        let n_below = all.iter().filter(|span| span.parent == call.id).count();
        calls.push((n_below, call.attributes["steerage.guest_spans_left_out"].as_u64().unwrap()));
    }
    // One of 20,000 bytes fits into 32 KiB.
    assert_eq!(calls, [(0, 1), (64, 1936), (1, 4)]);
    assert!(all.iter().all(|span| span.trace == "0af7651916cd43dd8448eb211c80319c"), "{all:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_made_before_it_failed_is_told_and_of_a_call_that_is_not_kept_nothing() {
    let collector = Collector::start(Some(WELL)).await;
    let mut host = a_host(&collector, "").await;
    let told = get_below(&host, "/spans/a?what=nested", UNSAMPLED).await;
    assert!(told.ends_with(" false\n"), "a guest spares itself the work: {told}");
    host.get("/spans/b?what=fails").await;
    let all = collector.at_end_of(&mut host);
    let (call, before) = (named(&all, "GET /spans/..."), named(&all, "before"));
    assert!(all.len() == 2 && call.status == 2 && before.parent == call.id, "{all:#?}");

    // Where nobody collects, a guest is told of a span that is not recorded.
    let host = Host::start();
    host.serve("spans", &std::fs::read(guests::SPANS).unwrap(), "").await;
    let reply = host.get("/spans/c?what=nested").await;
    let id = reply.header("x-request-id").to_owned();
    let told = reply.text();
    assert!(told.starts_with(&id) && told.ends_with(" false\n"), "{id}: {told}");
}
