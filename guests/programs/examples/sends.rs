//! Sends requests in ways that programs do seldom, and says what came of it: `?to=` says where to.
//!
//! `?what=words` says what a request says of itself, `whole` sends one with a body and reads all of the
//! answer, `bare` one that says no path, `passed` one with the headers that it was asked with, `refused`
//! what cannot be sent, `broken` reads an answer that breaks off, and `dropped` lets go of one.

use guest_programs::{query, reply};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, HeaderError, IncomingBody, IncomingRequest,
    IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions, ResponseOutparam,
    Scheme, http_error_code,
};
use wasip2::io::streams::StreamError;

guest_programs::serve!(sends);

fn sends(request: IncomingRequest, out: ResponseOutparam) {
    let to = query(&request, "to").unwrap_or_default();
    let text = match query(&request, "what").as_deref() {
        Some("words") => words(),
        Some("whole") => whole(&to),
        Some("bare") => bare(&to),
        Some("passed") => passed(&request, &to),
        Some("refused") => refused(&to),
        Some("broken") => broken(&to),
        Some("dropped") => dropped(&to),
        _ => return reply(out, 400, "?what= is missing\n"),
    };
    reply(out, 200, &text);
}

fn said(request: &OutgoingRequest) -> String {
    format!(
        "{:?} {:?} {:?} {:?}\n",
        request.method(),
        request.scheme(),
        request.authority(),
        request.path_with_query()
    )
}

fn words() -> String {
    let request = OutgoingRequest::new(Fields::new());
    let mut text = said(&request);
    let wrong = [
        request.set_method(&Method::Other("a b".to_owned())),
        request.set_scheme(Some(&Scheme::Other("1:".to_owned()))),
        request.set_authority(Some("a b")),
        request.set_authority(Some("")),
        request.set_path_with_query(Some("x")),
        request.set_path_with_query(Some("http://elsewhere/")),
        request.set_path_with_query(Some("/a b")),
        request.set_method(&Method::Other("A".repeat(65))),
    ];
    text += &format!("refused {}\n", wrong.iter().all(Result::is_err));
    text += &said(&request);
    // Clients that cut an address into parts find no path in some.
    request.set_path_with_query(Some("")).expect("no path");
    request.set_method(&Method::Other("A".repeat(64))).expect("a long method");
    text += &format!("{:?}\n", request.path_with_query());
    request.set_method(&Method::Other("REPORT".to_owned())).expect("a method");
    request.set_scheme(Some(&Scheme::Other("ftp".to_owned()))).expect("a scheme");
    request.set_authority(Some("a:81")).expect("an authority");
    request.set_path_with_query(Some("/p?q=r")).expect("a path");
    text += &said(&request);
    request.set_scheme(Some(&Scheme::Https)).expect("a scheme");
    request.set_authority(None).expect("none");
    request.set_path_with_query(None).expect("none");
    text += &said(&request);
    let options = RequestOptions::new();
    text += &format!("options {:?}", options.connect_timeout());
    options.set_connect_timeout(Some(1)).expect("a time");
    options.set_first_byte_timeout(Some(u64::MAX)).expect("a time");
    options.set_between_bytes_timeout(Some(3)).expect("a time");
    options.set_between_bytes_timeout(None).expect("none");
    text + &format!(
        " {:?} {:?} {:?}\n",
        options.connect_timeout(),
        options.first_byte_timeout(),
        options.between_bytes_timeout()
    )
}

/// A request to there, which says nothing else of itself.
fn request(to: &str, headers: Fields) -> OutgoingRequest {
    let request = OutgoingRequest::new(headers);
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(to)).expect("an authority");
    request
}

fn come(future: &FutureIncomingResponse) -> IncomingResponse {
    // Not by what it could wait for: whoever looks again and again is told as well.
    loop {
        if let Some(come) = future.get() {
            return come.expect("it is taken once").expect("it has come");
        }
    }
}

fn lines(fields: &Fields) -> String {
    let line = |(name, value): (String, Vec<u8>)| format!("  {name}: {}\n", value.escape_ascii());
    fields.entries().into_iter().map(line).collect()
}

fn read(body: IncomingBody) -> (String, Option<Fields>) {
    let stream = body.stream().expect("the first stream");
    let mut text = String::new();
    while let Ok(piece) = stream.blocking_read(1000) {
        text += &String::from_utf8_lossy(&piece);
    }
    drop(stream);
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    let come = trailers.get().expect("they have come").expect("they were not taken");
    (text, come.expect("the body was whole"))
}

fn whole(to: &str) -> String {
    let headers = Fields::new();
    headers.append("X-Own", b"\xff\t1").expect("a header");
    headers.append("content-length", b"3").expect("a length");
    let request = request(to, headers);
    request.set_method(&Method::Put).expect("a method");
    request.set_path_with_query(Some("?q=r")).expect("a path");
    let seen = request.headers();
    let immutable = |done| matches!(done, Err(HeaderError::Immutable));
    let mut text = format!("request immutable {}\n", immutable(seen.append("x", b"1")));
    let body = request.body().expect("the first body");
    text += &format!("second body {}\n", request.body().is_err());
    let stream = body.write().expect("the first stream");
    let options = RequestOptions::new();
    options.set_first_byte_timeout(Some(10_000_000_000)).expect("a time");
    let future = outgoing_handler::handle(request, Some(options)).expect("it is sent");
    stream.blocking_write_and_flush(b"abc").expect("room");
    drop(stream);
    OutgoingBody::finish(body, None).expect("as long as was announced");
    let response = come(&future);
    text += &format!("again {}\n", matches!(future.get(), Some(Err(()))));
    drop(future);
    let seen = response.headers();
    text += &format!("status {}\n{}", response.status(), lines(&seen));
    text += &format!("response immutable {}\n", immutable(seen.delete("x-many")));
    let body = response.consume().expect("the first body");
    text += &format!("second body {}\n", response.consume().is_err());
    drop(response);
    let (read, trailers) = read(body);
    let trailers = trailers.expect("some");
    text += &format!("body {read}\n{}", lines(&trailers));
    text += &format!("trailers immutable {}\n", immutable(trailers.set("x", &[])));
    // What was seen outlives what it was of.
    text + &format!("after {}\n", seen.has("x-many"))
}

fn bare(to: &str) -> String {
    let future = outgoing_handler::handle(request(to, Fields::new()), None).expect("it is sent");
    future.subscribe().block();
    format!("status {}\n", come(&future).status())
}

fn passed(asked: &IncomingRequest, to: &str) -> String {
    let future = outgoing_handler::handle(request(to, asked.headers()), None);
    let response = come(&future.expect("it is sent"));
    format!("status {}\n", response.status())
}

fn refused(to: &str) -> String {
    let code = |request| outgoing_handler::handle(request, None).map(drop).unwrap_err();
    let nowhere = OutgoingRequest::new(Fields::new());
    let mut text = format!("nowhere {:?}\n", code(nowhere));
    let other = request(to, Fields::new());
    other.set_scheme(Some(&Scheme::Other("ftp".to_owned()))).expect("a scheme");
    text += &format!("ftp {:?}\n", code(other));
    let headers = Fields::new();
    headers.append("content-length", b"3").expect("a length");
    text += &format!("a length and no body {:?}\n", code(request(to, headers)));
    let connect = request(to, Fields::new());
    connect.set_method(&Method::Connect).expect("a method");
    let future = outgoing_handler::handle(connect, None).expect("it is sent");
    future.subscribe().block();
    let come = future.get().expect("it is ready").expect("it was not taken");
    text + &format!("connect {:?}\n", come.map(drop).unwrap_err())
}

fn broken(to: &str) -> String {
    let future = outgoing_handler::handle(request(to, Fields::new()), None).expect("it is sent");
    let body = come(&future).consume().expect("the first body");
    let stream = body.stream().expect("the first stream");
    let code: Option<ErrorCode> = loop {
        match stream.blocking_read(1000) {
            Ok(_) => {}
            Err(StreamError::Closed) => return "it was taken for whole\n".to_owned(),
            Err(StreamError::LastOperationFailed(error)) => break http_error_code(&error),
        }
    };
    format!("broken {code:?}\n")
}

fn dropped(to: &str) -> String {
    let waits = request(to, Fields::new());
    waits.set_path_with_query(Some("/waits")).expect("a path");
    let future = outgoing_handler::handle(waits, None).expect("it is sent");
    // The server answers this one when it has the other.
    let second = outgoing_handler::handle(request(to, Fields::new()), None).expect("it is sent");
    second.subscribe().block();
    drop(future);
    // Until the server has seen that end.
    let third = outgoing_handler::handle(request(to, Fields::new()), None).expect("it is sent");
    format!("status {}\n", come(&third).status())
}
