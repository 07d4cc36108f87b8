//! The leanest service there is: one fixed answer, straight on the bindings.
//!
//! It is what the SDK's hello is measured against, so it shares no code with the other guests and
//! has no `unwrap`: the first one brings 60 KB of panic messages along.

use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Hello;

impl wasip2::exports::http::incoming_handler::Guest for Hello {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let headers = Fields::new();
        _ = headers.append("content-type", b"text/plain; charset=utf-8");
        let response = OutgoingResponse::new(headers);
        let Ok(body) = response.body() else { return };
        ResponseOutparam::set(out, Ok(response));
        let Ok(stream) = body.write() else { return };
        _ = stream.blocking_write_and_flush(b"Hello, world!\n");
        drop(stream);
        _ = OutgoingBody::finish(body, None);
    }
}

wasip2::http::proxy::export!(Hello);
