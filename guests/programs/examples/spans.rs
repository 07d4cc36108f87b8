//! Makes spans of what it does (`wasi:otel`), as `?what=` says, and answers which span the host has.
//!
//! `nested` makes one within another and asks `?to=` meanwhile; `other` one of a trace of its own; `many` as many as
//! `?n=` says, each with a name of `?size=` bytes; `fails` traps within one.

use guest_programs::{number, query, reply};
use wasip2::clocks::wall_clock;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingRequest, ResponseOutparam, Scheme};

wit_bindgen::generate!({
    inline: r#"
        package steerage:spans;

        world spans {
            import wasi:otel/tracing@0.2.0-rc.2;
        }

        package wasi:clocks@0.2.0 {
            interface wall-clock {
                record datetime { seconds: u64, nanoseconds: u32 }
                now: func() -> datetime;
                resolution: func() -> datetime;
            }
        }

        package wasi:otel@0.2.0-rc.2 {
            interface types {
                record key-value { key: string, value: string }
                record instrumentation-scope {
                    name: string,
                    version: option<string>,
                    schema-url: option<string>,
                    attributes: list<key-value>,
                }
            }

            interface tracing {
                use wasi:clocks/wall-clock@0.2.0.{datetime};
                use types.{key-value, instrumentation-scope};

                on-start: func(context: span-context);
                on-end: func(span: span-data);
                outer-span-context: func() -> span-context;
                current-span-context: func() -> span-context;

                record span-data {
                    span-context: span-context,
                    parent-span-id: string,
                    span-kind: span-kind,
                    name: string,
                    start-time: datetime,
                    end-time: datetime,
                    attributes: list<key-value>,
                    events: list<event>,
                    links: list<link>,
                    status: status,
                    instrumentation-scope: instrumentation-scope,
                    dropped-attributes: u32,
                    dropped-events: u32,
                    dropped-links: u32,
                }
                record span-context {
                    trace-id: string,
                    span-id: string,
                    trace-flags: trace-flags,
                    is-remote: bool,
                    trace-state: list<tuple<string, string>>,
                }
                flags trace-flags { sampled }
                enum span-kind { client, server, producer, consumer, internal }
                record event { name: string, time: datetime, attributes: list<key-value> }
                record link { span-context: span-context, attributes: list<key-value> }
                variant status { unset, ok, error(string) }
            }
        }
    "#,
    world: "steerage:spans/spans",
    generate_all,
});

use wasi::clocks::wall_clock::Datetime;
use wasi::otel::tracing::{
    Event, SpanContext, SpanData, SpanKind, Status, current_span_context, on_end, on_start,
    outer_span_context,
};
use wasi::otel::types::{InstrumentationScope, KeyValue};

guest_programs::serve!(spans);

fn spans(request: IncomingRequest, out: ResponseOutparam) {
    let outer = outer_span_context();
    let (trace, sampled) = (outer.trace_id.clone(), outer.trace_flags.bits() == 1);
    let text = format!("{trace} {} {sampled}\n", outer.span_id);
    assert_eq!(outer.span_id, current_span_context().span_id);
    match query(&request, "what").as_deref() {
        Some("nested") => {
            let first = begin(&trace, 1);
            let second = begin(&trace, 2);
            if let Some(to) = query(&request, "to") {
                ask(&to);
            }
            end(second, &format!("{:016x}", 1), "second", Status::Error("no stock".to_owned()));
            end(first, &outer.span_id, "first", Status::Ok);
        }
        Some("other") => end(begin(&"0a".repeat(16), 3), "", "other", Status::Unset),
        Some("many") => {
            let name = "x".repeat(number(&request, "size", 1) as usize);
            for id in 0..number(&request, "n", 1) {
                let context = begin(&trace, u64::from(id) + 1);
                end(context, &outer.span_id, &name, Status::Unset);
            }
        }
        Some("fails") => {
            end(begin(&trace, 4), &outer.span_id, "before", Status::Unset);
            panic!("within a span");
        }
        _ => (),
    }
    reply(out, 200, &text);
}

fn now() -> Datetime {
    let wall_clock::Datetime { seconds, nanoseconds } = wall_clock::now();
    Datetime { seconds, nanoseconds }
}

fn begin(trace: &str, id: u64) -> (SpanContext, Datetime) {
    let context = SpanContext {
        trace_id: trace.to_owned(),
        span_id: format!("{id:016x}"),
        trace_flags: wasi::otel::tracing::TraceFlags::SAMPLED,
        is_remote: false,
        trace_state: Vec::new(),
    };
    on_start(&context);
    (context, now())
}

fn end(
    (span_context, start_time): (SpanContext, Datetime),
    parent: &str,
    name: &str,
    status: Status,
) {
    let said = |key: &str, value: &str| KeyValue { key: key.to_owned(), value: value.to_owned() };
    on_end(&SpanData {
        span_context,
        parent_span_id: parent.to_owned(),
        span_kind: SpanKind::Internal,
        name: name.to_owned(),
        start_time,
        end_time: now(),
        attributes: vec![said("items", "3"), said("steerage.app", "\"another\"")],
        events: vec![Event {
            name: "looked".to_owned(),
            time: now(),
            attributes: vec![said("hit", "true")],
        }],
        links: Vec::new(),
        status,
        instrumentation_scope: InstrumentationScope {
            name: "shop".to_owned(),
            version: None,
            schema_url: None,
            attributes: Vec::new(),
        },
        dropped_attributes: 0,
        dropped_events: 0,
        dropped_links: 1,
    });
}

fn ask(to: &str) {
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(to)).expect("an authority");
    let asked = wasip2::http::outgoing_handler::handle(request, None).expect("a request");
    asked.subscribe().block();
    drop(asked.get());
}
