//! What a handler can return, and how it is sent.
//!
//! A plain text is sent without a [`Response`] in between: most of the small services there are pay
//! for a header map only if they have headers.

use std::io;

use http::StatusCode;
use wasip2::http::types::{Fields, OutgoingResponse, ResponseOutparam};

use crate::{Error, Response, Result, convert, sink};

/// The content type of a text.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

/// The one answer the host waits for.
#[derive(Debug)]
pub struct Responder {
    out: ResponseOutparam,
}

/// A value a handler can return.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    note = "it returns text, bytes, a `StatusCode`, a `Response`, or a `Result` of one of these"
)]
pub trait Reply {
    /// Sends it, head and body.
    fn send(self, responder: Responder);
}

impl Responder {
    pub(crate) fn new(out: ResponseOutparam) -> Self {
        Self { out }
    }

    /// Sends a body that is there whole, of this content type unless that is empty.
    pub fn send_bytes(self, status: u16, content_type: &str, bytes: &[u8]) {
        let fields = Fields::new();
        if !content_type.is_empty() {
            // A content type the host refuses is left out; the body is still worth sending.
            _ = fields.append("content-type", content_type.as_bytes());
        }
        let response = OutgoingResponse::new(fields);
        _ = response.set_status_code(status);
        // The first body of a response is always there.
        let Ok(body) = response.body() else { return };
        ResponseOutparam::set(self.out, Ok(response));
        // It fails when the caller has gone, whom nothing can be told.
        drop(sink::write_bytes(body, bytes));
    }

    /// Sends a response.
    pub fn send(self, response: Response) {
        let (head, body) = response.into_parts();
        let outgoing = OutgoingResponse::new(convert::fields(&head.headers));
        _ = outgoing.set_status_code(head.status.as_u16());
        let Ok(outgoing_body) = outgoing.body() else { return };
        ResponseOutparam::set(self.out, Ok(outgoing));
        match body.send(outgoing_body) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                eprintln!("error: the response was cut: {error}");
            }
            _ => {}
        }
    }
}

impl Reply for () {
    fn send(self, responder: Responder) {
        responder.send_bytes(StatusCode::NO_CONTENT.as_u16(), "", &[]);
    }
}

impl Reply for StatusCode {
    fn send(self, responder: Responder) {
        responder.send_bytes(self.as_u16(), "", &[]);
    }
}

impl Reply for &'static str {
    fn send(self, responder: Responder) {
        responder.send_bytes(200, TEXT, self.as_bytes());
    }
}

impl Reply for String {
    fn send(self, responder: Responder) {
        responder.send_bytes(200, TEXT, self.as_bytes());
    }
}

impl Reply for &'static [u8] {
    fn send(self, responder: Responder) {
        responder.send_bytes(200, "application/octet-stream", self);
    }
}

impl Reply for Vec<u8> {
    fn send(self, responder: Responder) {
        responder.send_bytes(200, "application/octet-stream", &self);
    }
}

impl Reply for Response {
    fn send(self, responder: Responder) {
        responder.send(self);
    }
}

impl Reply for Error {
    fn send(self, responder: Responder) {
        responder.send(self.into_response());
    }
}

impl<T: Reply, E: Into<Error>> Reply for Result<T, E> {
    fn send(self, responder: Responder) {
        match self {
            Ok(reply) => reply.send(responder),
            Err(error) => error.into().send(responder),
        }
    }
}
