//! Says what it sees of heads, its request's and those it makes, and writes bodies in ways of its own.
//!
//! `?what=request` says its request's head and that it cannot be changed, `fields` what its own fields
//! do, `bounds` what is too long for them and what they may hold, `full` fills them, `response` what a response it makes says of itself, `pieces` answers in `?n=` pieces of `?size=`
//! bytes, and `upload` begins a request to `?to=` and traps before that is whole. `held` writes a body
//! and says nothing of its end.

use guest_programs::{Answer, number, query, reply};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, HeaderError, IncomingRequest, Method, OutgoingBody, OutgoingRequest, OutgoingResponse,
    ResponseOutparam, Scheme,
};

guest_programs::serve!(heads);

fn heads(request: IncomingRequest, out: ResponseOutparam) {
    match query(&request, "what").as_deref() {
        Some("request") => reply(out, 200, &seen(request)),
        Some("fields") => reply(out, 200, &made()),
        Some("bounds") => reply(out, 200, &bounds()),
        Some("full") => reply(out, 200, &full(&query(&request, "by").unwrap_or_default())),
        Some("response") => reply(out, 200, &answered()),
        Some("pieces") => pieces(&request, out),
        Some("held") => held(out),
        Some("upload") => upload(&query(&request, "to").expect("where to")),
        _ => reply(out, 400, "?what= is missing\n"),
    }
}

fn values(fields: &Fields, name: &str) -> String {
    let values = fields.get(name);
    let values: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value)).collect();
    values.join(" | ")
}

fn entries(fields: &Fields) -> String {
    let line = |(name, value): &(String, Vec<u8>)| {
        format!("  {name}: {}\n", String::from_utf8_lossy(value))
    };
    fields.entries().iter().map(line).collect()
}

fn told(done: Result<(), HeaderError>) -> &'static str {
    match done {
        Ok(()) => "done",
        Err(HeaderError::InvalidSyntax) => "invalid syntax",
        Err(HeaderError::Forbidden) => "forbidden",
        Err(HeaderError::Immutable) => "immutable",
    }
}

fn seen(request: IncomingRequest) -> String {
    let headers = request.headers();
    let again = request.headers();
    let copy = headers.clone();
    let mut text = format!(
        "method {:?}\nscheme {:?}\nauthority {:?}\npath {:?}\n",
        request.method(),
        request.scheme(),
        request.authority(),
        request.path_with_query()
    );
    text += &format!("x-many {}\n", values(&headers, "X-Many"));
    text += &format!("host {} connection {}\n", headers.has("host"), headers.has("connection"));
    text += &format!("set {}\n", told(headers.set("x-many", &[b"other".to_vec()])));
    text += &format!("append {}\n", told(headers.append("x-many", b"other")));
    text += &format!("delete {}\n", told(headers.delete("x-many")));
    text += &format!("set in a copy {}\n", told(copy.set("x-many", &[b"other".to_vec()])));
    text += &format!(
        "copy {}, first {}, again {}\n",
        values(&copy, "x-many"),
        values(&headers, "x-many"),
        values(&again, "x-many")
    );
    text += &format!("body {} {}\n", request.consume().is_ok(), request.consume().is_err());
    let sent: Vec<_> =
        headers.entries().into_iter().filter(|(name, _)| name.starts_with("x-a")).collect();
    text += &entries(&Fields::from_list(&sent).expect("they were headers"));
    // What it was told outlives the request.
    drop(request);
    text + &format!("after {}\n", values(&headers, "x-many"))
}

fn made() -> String {
    let fields = Fields::new();
    let mut text = String::new();
    let mut say = |what: &str, done| text += &format!("{what}: {}\n", told(done));
    say("append", fields.append("x-a", b"1"));
    say("append more", fields.append("X-A", b"2"));
    say("set of two", fields.set("x-b", &[b"3".to_vec(), b"4".to_vec()]));
    say("set again", fields.set("x-b", &[b"5".to_vec()]));
    say("set to nothing", fields.set("x-a", &[]));
    say("append anew", fields.append("x-a", b"6"));
    say("a name with a blank", fields.append("x a", b"1"));
    say("a value with a line end", fields.append("x-c", b"1\r\nx-d: 2"));
    say("a host", fields.append("host", b"elsewhere"));
    say("a transfer coding", fields.set("Transfer-Encoding", &[b"chunked".to_vec()]));
    say("a length of no digits", fields.append("content-length", b"+1"));
    say("a length", fields.append("content-length", b"1"));
    say("another length", fields.append("content-length", b"1"));
    say("delete", fields.delete("content-length"));
    say("delete what is not there", fields.delete("x-z"));
    text += &format!(
        "has x-a {} x-z {} x z {}\n",
        fields.has("X-a"),
        fields.has("x-z"),
        fields.has("x z")
    );
    text += &format!("get {} [{}]\n", values(&fields, "x-b"), values(&fields, "x-z"));
    let copy = fields.clone();
    drop(fields);
    text + &entries(&copy)
}

fn bounds() -> String {
    let fields = Fields::new();
    let mut text = String::new();
    let mut say = |what: &str, done| text += &format!("{what}: {}\n", told(done));
    say("a name of 70,000 bytes", fields.append(&"x".repeat(70_000), b"1"));
    say("no name", fields.append("", b"1"));
    say("a name that is no ASCII", fields.set("x-\u{e9}", &[]));
    say("a value with a zero", fields.append("x", b"a\0"));
    let list = |name: &str, value: &[u8]| {
        let some = ("x-some".to_owned(), b"1".to_vec());
        Fields::from_list(&[some, (name.to_owned(), value.to_vec())]).map(drop)
    };
    say("a list with a host", list("Host", b"a"));
    say("a list with a line end", list("x", b"a\nb"));
    say("a list with a blank", list("x y", b"a"));
    say("a list with one name twice", list("X-Some", b"2"));
    say("bytes", fields.append("X-Bytes", &[0xff, 9, 0x80, b' ', b'"']));
    say("a name of 1,000 bytes", fields.append(&"X".repeat(1_000), b""));
    text += &format!("long {}\n", fields.has(&"x".repeat(1_000)));
    text += &format!("get {:?}\n", fields.get("x-bytes"));
    for (name, value) in fields.entries() {
        text += &format!("  {name:.9}: {}\n", value.escape_ascii());
    }
    let first = Fields::new();
    first.append("x-a", b"1").expect("a header");
    let second = first.clone();
    second.append("x-a", b"2").expect("a header");
    let third = second.clone();
    first.delete("x-a").expect("it is there");
    third.set("x-a", &[b"3".to_vec()]).expect("a header");
    drop(second.clone());
    second.append("x-a", b"4").expect("a header");
    let all = [&first, &second, &third].map(|fields| values(fields, "x-a"));
    text + &format!("copies {all:?}\n")
}

/// Adds lines, values of one name or a value until there is no room.
fn full(by: &str) -> String {
    let fields = Fields::new();
    for n in 0..100_000_u64 {
        let name = if by == "lines" { format!("x-{n}") } else { "x".to_owned() };
        let length = if by == "value" { n as usize * 1_000 } else { 1 };
        let value = vec![b'x'; length];
        let done =
            if by == "value" { fields.set(&name, &[value]) } else { fields.append(&name, &value) };
        done.expect("a header");
    }
    "there was room for all\n".to_owned()
}

fn answered() -> String {
    let fields = Fields::new();
    fields.append("content-length", b"3").expect("a length");
    let response = OutgoingResponse::new(fields);
    let mut text = format!("status {}", response.status_code());
    text += &format!(" {:?}", response.set_status_code(1));
    text += &format!(" {:?} {}\n", response.set_status_code(404), response.status_code());
    let headers = response.headers();
    text += &format!(
        "length {}, set {}\n",
        values(&headers, "content-length"),
        told(headers.append("x", b"1"))
    );
    let body = response.body().expect("the first body");
    text += &format!("second body {}\n", response.body().is_err());
    let stream = body.write().expect("the first stream");
    text += &format!("second stream {}\n", body.write().is_err());
    stream.blocking_write_and_flush(b"ab").expect("room");
    drop(stream);
    text + &format!("end after two bytes {:?}\n", OutgoingBody::finish(body, None))
}

fn pieces(request: &IncomingRequest, out: ResponseOutparam) {
    let (n, size) = (number(request, "n", 1), number(request, "size", 1));
    let answer = Answer::start(out, 200, &[]);
    for piece in 0..n {
        let digit = b'0' + (piece % 10) as u8;
        answer.send(&vec![digit; size as usize]);
    }
    answer.finish(None);
}

fn held(out: ResponseOutparam) {
    let answer = Answer::start(out, 200, &[]);
    answer.send(b"all there is");
    std::mem::forget(answer);
}

fn upload(to: &str) {
    let request = OutgoingRequest::new(Fields::new());
    request.set_method(&Method::Post).expect("a method");
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(to)).expect("an authority");
    request.set_path_with_query(Some("/")).expect("a path");
    let body = request.body().expect("the first body");
    let stream = body.write().expect("the first stream");
    let response = outgoing_handler::handle(request, None).expect("it is sent");
    stream.blocking_write_and_flush(b"half of it").expect("room");
    // The server answers when it has seen that much, so this is not a matter of time.
    response.subscribe().block();
    panic!("in the middle of an upload");
}
