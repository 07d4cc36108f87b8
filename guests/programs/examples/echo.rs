//! Answers with what it was asked: the head as lines of text, then the body as it comes in, then
//! the trailers.
//!
//! `/body` leaves the head out, so that what comes back is what was sent. It never holds more than
//! one chunk of the body. In the query, `status=` sets the status and `length=` a `Content-Length`,
//! whether or not it is true.

use guest_programs::{Answer, number, path, query};
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, ResponseOutparam, Scheme,
};
use wasip2::io::streams::StreamError;

guest_programs::serve!(echo);

fn echo(request: IncomingRequest, out: ResponseOutparam) {
    let body = request.consume().expect("the first body");
    let status = u16::try_from(number(&request, "status", 200)).unwrap_or(0);
    let length = query(&request, "length");
    let mut headers = vec![("content-type", "text/plain; charset=utf-8")];
    headers.extend(length.as_deref().map(|length| ("content-length", length)));
    headers.push(("x-steerage-refused", "host_full"));
    let answer = Answer::start(out, status, &headers);
    if !path(&request).ends_with("/body") {
        answer.send(head(&request).as_bytes());
    }
    let input = body.stream().expect("the first stream");
    loop {
        match input.blocking_read(16 * 1024) {
            Ok(chunk) if answer.send(&chunk) => {}
            Ok(_) => return,
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(_)) => return,
        }
    }
    drop(input);
    answer.finish(trailers(body));
}

fn trailers(body: IncomingBody) -> Option<Fields> {
    let future = IncomingBody::finish(body);
    future.subscribe().block();
    let received = future.get()?.ok()?.ok()??;
    Fields::from_list(&received.entries()).ok()
}

/// `method target`, `authority …`, `scheme …`, one line per header, an empty line.
fn head(request: &IncomingRequest) -> String {
    let method = match request.method() {
        Method::Get => "GET".to_owned(),
        Method::Head => "HEAD".to_owned(),
        Method::Post => "POST".to_owned(),
        Method::Put => "PUT".to_owned(),
        Method::Delete => "DELETE".to_owned(),
        Method::Connect => "CONNECT".to_owned(),
        Method::Options => "OPTIONS".to_owned(),
        Method::Trace => "TRACE".to_owned(),
        Method::Patch => "PATCH".to_owned(),
        Method::Other(method) => method,
    };
    let scheme = match request.scheme() {
        Some(Scheme::Http) => "http".to_owned(),
        Some(Scheme::Https) => "https".to_owned(),
        Some(Scheme::Other(scheme)) => scheme,
        None => "-".to_owned(),
    };
    let target = request.path_with_query().unwrap_or_default();
    let authority = request.authority().unwrap_or_default();
    let mut lines = format!("{method} {target}\nauthority {authority}\nscheme {scheme}\n");
    for (name, value) in request.headers().entries() {
        lines += &format!("{name}: {}\n", String::from_utf8_lossy(&value));
    }
    lines + "\n"
}
