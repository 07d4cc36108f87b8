//! Says what it finds of its instance, and leaves traces in all of it: memory, its size, handles.
//!
//! It answers how many pages its memory has, the number of its next handle, and how many calls it has
//! counted; then it takes `?bytes=` for good and keeps `?handles=`. With `?body=kept` it neither ends
//! its answer nor lets it go.

use std::sync::atomic::{AtomicU32, Ordering};

use guest_programs::{number, query, reply};
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

guest_programs::serve!(traces);

static CALLS: AtomicU32 = AtomicU32::new(0);

fn traces(request: IncomingRequest, out: ResponseOutparam) {
    let pages = core::arch::wasm32::memory_size(0);
    let handle = Fields::new().handle();
    let calls = CALLS.fetch_add(1, Ordering::Relaxed);
    let text = format!("{pages} pages, handle {handle}, {calls} calls\n");
    let taken = vec![1_u8; number(&request, "bytes", 0) as usize];
    std::mem::forget(std::hint::black_box(taken));
    for _ in 0..number(&request, "handles", 0) {
        std::mem::forget(Fields::new());
    }
    if query(&request, "body").as_deref() != Some("kept") {
        return reply(out, 200, &text);
    }
    let response = OutgoingResponse::new(Fields::new());
    let body: OutgoingBody = response.body().expect("a body");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("a stream");
    stream.blocking_write_and_flush(text.as_bytes()).expect("a written body");
    std::mem::forget((stream, body));
}
