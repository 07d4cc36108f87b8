//! Asks another service: `?url=` (percent-encoded where it must be), with `?method=` or GET.
//!
//! It answers `status 200` and the body, or 502 and `error` with the name of the error code.

use guest_programs::{Answer, query, reply};
use wasip2::{
    http::{
        outgoing_handler,
        types::{
            ErrorCode, Fields, IncomingRequest, IncomingResponse, Method, OutgoingBody,
            OutgoingRequest, ResponseOutparam, Scheme,
        },
    },
    io::streams::StreamError,
};

guest_programs::serve!(out);

fn out(request: IncomingRequest, out: ResponseOutparam) {
    let Some(url) = query(&request, "url").map(|url| decode(&url)) else {
        return reply(out, 400, "?url= is missing\n");
    };
    let method = query(&request, "method").unwrap_or_default();
    match ask(&method, &url) {
        Ok(response) => pass_on(&response, out),
        Err(code) => reply(out, 502, &format!("error {}\n", name(&code))),
    }
}

fn ask(method: &str, url: &str) -> Result<IncomingResponse, ErrorCode> {
    let (scheme, rest) = url.split_once("://").ok_or(ErrorCode::HttpRequestUriInvalid)?;
    let path_at = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path_at);
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let method = match method {
        "" | "GET" => Method::Get,
        other => Method::Other(other.to_owned()),
    };
    let request = OutgoingRequest::new(Fields::new());
    let invalid = |()| ErrorCode::HttpRequestUriInvalid;
    request.set_method(&method).map_err(invalid)?;
    request.set_scheme(Some(&scheme)).map_err(invalid)?;
    request.set_authority(Some(authority)).map_err(invalid)?;
    request.set_path_with_query(Some(if path.is_empty() { "/" } else { path })).map_err(invalid)?;
    let body = request.body().expect("the first body");
    let future = outgoing_handler::handle(request, None)?;
    OutgoingBody::finish(body, None)?;
    future.subscribe().block();
    future.get().expect("it is ready").expect("it is taken once")
}

fn pass_on(response: &IncomingResponse, out: ResponseOutparam) {
    let answer = Answer::start(out, 200, &[("content-type", "text/plain")]);
    answer.send(format!("status {}\n", response.status()).as_bytes());
    let body = response.consume().expect("the first body");
    let input = body.stream().expect("the first stream");
    loop {
        match answer.stream().blocking_splice(&input, 64 * 1024) {
            Ok(_) => {}
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(_)) => return,
        }
    }
    drop(input);
    answer.finish(None);
}

/// The variant's name without what it carries.
fn name(code: &ErrorCode) -> String {
    let text = format!("{code:?}");
    let text = text.strip_prefix("ErrorCode::").unwrap_or(&text);
    text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
}

/// Percent-decoding, enough for an address inside a query.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        let escape = match (byte, tail) {
            (b'%', [high, low, ..]) => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        bytes.push(escape.unwrap_or(*byte));
        rest = if escape.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
