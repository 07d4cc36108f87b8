//! Asks `http://127.0.0.1:PORT/` so many times at once, `?port=&n=`, with timeouts in milliseconds:
//! `connect=`, `first=` and `between=`, each left out for the host's own.
//!
//! It answers a line for each request, in order: the length of the body, or the name of the error.

use guest_programs::{Answer, number};
use wasip2::http::{
    outgoing_handler,
    types::{
        ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingRequest, OutgoingBody,
        OutgoingRequest, RequestOptions, ResponseOutparam, Scheme,
    },
};
use wasip2::io::streams::StreamError;

guest_programs::serve!(asker);

fn asker(request: IncomingRequest, out: ResponseOutparam) {
    // All are on their way before the first is waited for.
    let asked: Vec<_> = (0..number(&request, "n", 1)).map(|_| ask(&request)).collect();
    let lines: String = asked.into_iter().map(|asked| format!("{}\n", told(asked))).collect();
    let answer = Answer::start(out, 200, &[("content-type", "text/plain")]);
    answer.send(lines.as_bytes());
    answer.finish(None);
}

fn ask(asked: &IncomingRequest) -> Result<FutureIncomingResponse, ErrorCode> {
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    let authority = format!("127.0.0.1:{}", number(asked, "port", 80));
    request.set_authority(Some(&authority)).expect("an authority");
    request.set_path_with_query(Some("/")).expect("a path");
    let nanoseconds = |name| match number(asked, name, 0) {
        0 => None,
        milliseconds => Some(milliseconds * 1_000_000),
    };
    let options = RequestOptions::new();
    options.set_connect_timeout(nanoseconds("connect")).expect("a timeout");
    options.set_first_byte_timeout(nanoseconds("first")).expect("a timeout");
    options.set_between_bytes_timeout(nanoseconds("between")).expect("a timeout");
    let body = request.body().expect("the first body");
    let future = outgoing_handler::handle(request, Some(options))?;
    OutgoingBody::finish(body, None)?;
    Ok(future)
}

fn told(asked: Result<FutureIncomingResponse, ErrorCode>) -> String {
    asked.and_then(|future| length(&future)).map_or_else(|code| name(&code), |n| n.to_string())
}

/// Reads the whole body.
fn length(future: &FutureIncomingResponse) -> Result<u64, ErrorCode> {
    future.subscribe().block();
    let response = future.get().expect("it is ready").expect("it is taken once")?;
    let body = response.consume().expect("the first body");
    let input = body.stream().expect("the first stream");
    let mut n_read = 0;
    let ended = loop {
        match input.blocking_read(64 * 1024) {
            Ok(bytes) => n_read += bytes.len() as u64,
            Err(StreamError::Closed) => break Ok(()),
            Err(StreamError::LastOperationFailed(error)) => {
                let code = wasip2::http::types::http_error_code(&error);
                let said = || ErrorCode::InternalError(Some(error.to_debug_string()));
                break Err(code.unwrap_or_else(said));
            }
        }
    };
    drop(input);
    drop(IncomingBody::finish(body));
    ended.map(|()| n_read)
}

/// The variant's name without what it carries, but for what has no code of its own.
fn name(code: &ErrorCode) -> String {
    if let ErrorCode::InternalError(Some(said)) = code {
        return said.clone();
    }
    let text = format!("{code:?}");
    let text = text.strip_prefix("ErrorCode::").unwrap_or(&text);
    text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
}
