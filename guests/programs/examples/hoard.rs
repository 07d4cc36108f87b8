//! Makes the host hold memory that the guest's own limit does not count, until it is refused.
//!
//! `?n=` holds that many and answers; `?size=` is how many bytes each has. `?what=` is `fields`,
//! `bodies` that are written and never sent, `words` of requests that are never sent, or `error`: one
//! error code with a text of that size instead of an answer.

use guest_programs::{number, query, reply};
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, OutgoingRequest, OutgoingResponse, ResponseOutparam,
};

guest_programs::serve!(hoard);

fn hoard(request: IncomingRequest, out: ResponseOutparam) {
    let most = number(&request, "n", u64::MAX);
    let size = number(&request, "size", 256) as usize;
    let what = query(&request, "what").unwrap_or_default();
    if what == "error" {
        let said = ErrorCode::InternalError(Some("\u{1}".repeat(size)));
        return ResponseOutparam::set(out, Err(said));
    }
    let n = match &*what {
        "bodies" => hold(most, || body(size)),
        "words" => hold(most, || words(size)),
        _ => hold(most, || fields(size)),
    };
    reply(out, 200, &format!("{n} held\n"));
}

fn hold<T>(most: u64, make: impl Fn() -> T) -> usize {
    let mut held = Vec::new();
    while (held.len() as u64) < most {
        held.push(make());
    }
    held.len()
}

fn fields(size: usize) -> Fields {
    let fields = Fields::new();
    fields.append("held", &vec![b'x'; size]).expect("a valid header");
    fields
}

/// A response whose body has as much as fits, and nobody who will take it.
fn body(size: usize) -> OutgoingResponse {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("a body");
    let stream = body.write().expect("a stream");
    let chunk = vec![b'x'; size];
    while stream.check_write().is_ok_and(|room| room >= size as u64) {
        stream.write(&chunk).expect("room for it");
    }
    drop(stream);
    drop(body);
    response
}

fn words(size: usize) -> OutgoingRequest {
    let request = OutgoingRequest::new(Fields::new());
    let path = format!("/{}", "x".repeat(size));
    request.set_path_with_query(Some(&path)).expect("a valid path");
    request
}
