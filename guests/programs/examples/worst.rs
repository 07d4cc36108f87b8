//! The worst that a `wasi:http` 0.2 service can ask of its host, again and again, until it is ended.
//!
//! `?what=` says what; `?n=` and `?size=` how many and how large.

use guest_programs::{Answer, number, query};
use wasip2::cli::environment;
use wasip2::clocks::monotonic_clock;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingRequest, OutgoingResponse,
    RequestOptions, ResponseOutparam, Scheme,
};
use wasip2::io::poll::poll;
use wasip2::io::streams::StreamError;

guest_programs::serve!(worst);

fn worst(request: IncomingRequest, out: ResponseOutparam) {
    let n = number(&request, "n", 100_000) as usize;
    let size = number(&request, "size", 60_000) as usize;
    let what = query(&request, "what").unwrap_or_default();
    let text = "x".repeat(size);
    let fields = many_lines(size);
    let n_entries = if what == "list" { n } else { 0 };
    let list: Vec<(String, Vec<u8>)> =
        (0..n_entries).map(|n| (format!("a{n}"), vec![b'x'; 8])).collect();
    match &*what {
        "tiny" => return tiny(out, size),
        "zeroes" => return zeroes(out),
        "asks" => return asks(&request, n, size),
        "trailers" => return Answer::start(out, 200, &[]).finish(Some(fields)),
        _ => {}
    }
    loop {
        match &*what {
            "long" => drop(Fields::new().append("line", text.as_bytes())),
            "fill" => drop(many_lines(size)),
            "name" => drop((fields.delete(&text), fields.get(&text), fields.has(&text))),
            "set" => drop(Fields::new().set("line", &vec![b"x".to_vec(); size])),
            "delete" => drop((fields.append("gone", b"x"), fields.delete("gone"))),
            "entries" => drop(fields.entries()),
            "clone" => drop(fields.clone().append("more", b"x")),
            "list" => drop(Fields::from_list(&list)),
            "headers" => drop(request.headers().entries()),
            "path" => drop(path(&text)),
            "method" => drop(request_of(|it| it.set_method(&Method::Other(text.clone())))),
            "authority" => drop(request_of(|it| it.set_authority(Some(&text)))),
            "requests" => drop((0..400).map(|_| request_of(|_| Ok(()))).collect::<Vec<_>>()),
            "bodies" => body(&text),
            "timers" => timers(n.min(900)),
            "environment" => drop(environment::get_environment()),
            _ => panic!("nothing is called {what}"),
        }
    }
}

/// As many lines as headers may have, each of which counts for some 100 bytes.
fn many_lines(size: usize) -> Fields {
    let fields = Fields::new();
    for n in 0..size.min(60_000) / 100 {
        fields.append(&format!("line-{n}"), &[b'x'; 16]).expect("a valid header");
    }
    fields
}

fn request_of(set: impl Fn(&OutgoingRequest) -> Result<(), ()>) -> OutgoingRequest {
    let request = OutgoingRequest::new(Fields::new());
    _ = set(&request);
    drop(RequestOptions::new());
    request
}

fn path(text: &str) -> Option<String> {
    let request = request_of(|it| it.set_path_with_query(Some(&format!("/{text}"))));
    request.path_with_query()
}

/// A response that nobody takes, with a body that has as much as fits.
fn body(text: &str) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("a body");
    let stream = body.write().expect("a stream");
    let room = stream.check_write().unwrap_or(0).min(text.len() as u64) as usize;
    _ = stream.write(&text.as_bytes()[..room]);
    drop(stream);
    _ = OutgoingBody::finish(body, None);
}

/// Waits for as many timers as there may be, all of them over.
fn timers(n: usize) {
    let timers: Vec<_> = (0..n).map(|_| monotonic_clock::subscribe_duration(0)).collect();
    poll(&timers.iter().collect::<Vec<_>>());
}

/// Sends that many requests at once, each with large headers and a body that has begun, and waits.
fn asks(request: &IncomingRequest, n: usize, size: usize) {
    let to = query(request, "to").unwrap_or_default();
    let mut asked = Vec::new();
    for _ in 0..n {
        let request = OutgoingRequest::new(many_lines(size));
        _ = request.set_scheme(Some(&Scheme::Http));
        _ = request.set_path_with_query(Some("/"));
        _ = request.set_authority(Some(&to));
        let body = request.body().expect("a body");
        let stream = body.write().expect("a stream");
        let answer = outgoing_handler::handle(request, None).expect("a request");
        _ = stream.check_write().is_ok_and(|room| room > 0 && stream.write(b"x").is_ok());
        asked.push((answer, stream, body));
    }
    monotonic_clock::subscribe_duration(3_600_000_000_000).block();
}

/// Writes so many bytes at a time, as fast as they are taken.
fn tiny(out: ResponseOutparam, size: usize) {
    let answer = Answer::start(out, 200, &[]);
    let chunk = vec![b'x'; size];
    while !matches!(answer.stream().write(&chunk), Err(StreamError::Closed)) {
        if answer.stream().check_write().is_ok_and(|room| room < size as u64) {
            answer.stream().subscribe().block();
        }
    }
}

fn zeroes(out: ResponseOutparam) {
    let answer = Answer::start(out, 200, &[]);
    loop {
        match answer.stream().check_write() {
            Ok(0) => answer.stream().subscribe().block(),
            Ok(room) => _ = answer.stream().write_zeroes(room),
            Err(_) => return,
        }
    }
}
