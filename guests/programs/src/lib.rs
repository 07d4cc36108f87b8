//! What the guest programs share: reading a request and answering it on the plain `wasip2` bindings.
//!
//! It does not use `steerage-sdk`, so that a fault in the SDK cannot hide a fault in the host.
//! Guests panic when the host breaks its contract: a trap is what the tests then see.

use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::{OutputStream, StreamError};

/// The path without the query. Guests look at how it ends, since the route they are deployed at may
/// put something before it.
pub fn path(request: &IncomingRequest) -> String {
    let target = request.path_with_query().unwrap_or_default();
    target.split('?').next().unwrap_or_default().to_owned()
}

/// The value of `name` in the query, undecoded.
pub fn query(request: &IncomingRequest, name: &str) -> Option<String> {
    let target = request.path_with_query()?;
    let (_, query) = target.split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

/// The number `name` in the query, or `default`.
pub fn number(request: &IncomingRequest, name: &str, default: u64) -> u64 {
    query(request, name).and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// A response whose head has been sent and whose body is being written.
pub struct Answer {
    stream: Option<OutputStream>,
    body: OutgoingBody,
}

impl Answer {
    /// Sends the head.
    pub fn start(out: ResponseOutparam, status: u16, headers: &[(&str, &str)]) -> Self {
        let fields = Fields::new();
        for (name, value) in headers {
            fields.append(name, value.as_bytes()).expect("a valid header");
        }
        let response = OutgoingResponse::new(fields);
        response.set_status_code(status).expect("a valid status");
        let body = response.body().expect("the first body");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("the first stream");
        Self { stream: Some(stream), body }
    }

    /// Sends these bytes now; `false` when the caller has gone.
    pub fn send(&self, bytes: &[u8]) -> bool {
        let stream = self.stream.as_ref().expect("an open body");
        for chunk in bytes.chunks(4096) {
            match stream.blocking_write_and_flush(chunk) {
                Ok(()) => {}
                Err(StreamError::Closed | StreamError::LastOperationFailed(_)) => return false,
            }
        }
        true
    }

    /// The open stream, for a splice.
    pub fn stream(&self) -> &OutputStream {
        self.stream.as_ref().expect("an open body")
    }

    /// Ends the body.
    pub fn finish(self, trailers: Option<Fields>) {
        drop(self.stream);
        _ = OutgoingBody::finish(self.body, trailers);
    }
}

/// Answers with this text and nothing else.
pub fn reply(out: ResponseOutparam, status: u16, text: &str) {
    let answer = Answer::start(out, status, &[("content-type", "text/plain")]);
    answer.send(text.as_bytes());
    answer.finish(None);
}

/// Exports a function of a request and an out-parameter as the `wasi:http` 0.2 handler.
#[macro_export]
macro_rules! serve {
    ($handle:path) => {
        struct Served;
        impl ::wasip2::exports::http::incoming_handler::Guest for Served {
            fn handle(
                request: ::wasip2::http::types::IncomingRequest,
                out: ::wasip2::http::types::ResponseOutparam,
            ) {
                $handle(request, out)
            }
        }
        ::wasip2::http::proxy::export!(Served);
    };
}
