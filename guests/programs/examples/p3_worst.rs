//! The worst that a `wasi:http` 0.3 service can ask of its host, again and again.
//!
//! `?what=` says what; `?n=` and `?size=` how many and how large. What is held is held until the call
//! ends, and the answer tells how many there were; what is done again and again never ends.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

use wasip3::{
    cli::{environment, stderr, stdin},
    clocks::monotonic_clock,
    http::client,
    http::types::{ErrorCode, Fields, Request, RequestOptions, Response, Scheme, Trailers},
    random::{insecure, random},
    spawn_local,
    wit_bindgen::{FutureReader, StreamReader, StreamWriter, yield_async, yield_blocking},
    wit_future, wit_stream,
};

struct Worst;

const HOUR: u64 = 3_600_000_000_000;

type Held = Pin<Box<dyn Future<Output = ()>>>;
type End = FutureReader<Result<Option<Trailers>, ErrorCode>>;

impl wasip3::exports::http::handler::Guest for Worst {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let query = request.get_path_with_query().unwrap_or_default();
        let query = query.split_once('?').map_or("", |(_, query)| query);
        let said = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
        };
        let number = |name, default| said(name).and_then(|it| it.parse().ok()).unwrap_or(default);
        let (n, size) = (number("n", 100_000_000), number("size", 65_536));
        let what = said("what").unwrap_or_default();
        match &*what {
            "streams" => Ok(held(n, wit_stream::new::<u8>)),
            "futures" => Ok(held(n, || wit_future::new(no_trailers))),
            "inputs" => Ok(held(n, stdin::read_via_stream)),
            "requests" => Ok(held(n, || a_request(size))),
            "responses" => Ok(held(n, || a_response(size))),
            "bodies" => Ok(held(n, || a_response(size).consume())),
            "timers" => waits(n, HOUR).await,
            "gone" => sends(n).await,
            "asks" => asks(n, size, &said("to").unwrap_or_default()).await,
            "tiny" => Ok(writes(size, None)),
            "trailers" => Ok(writes(1, Some(many_lines(size)))),
            "read" => reads(request, size).await,
            _ => again(&what, n, size).await,
        }
    }
}

/// Makes that many and answers with their number; they live as long as the body is written.
fn held<T: 'static>(n: usize, make: impl Fn() -> T) -> Response {
    let held: Vec<T> = (0..n).map(|_| make()).collect();
    let text = format!("{} held\n", held.len());
    let (mut writer, body) = wit_stream::new::<u8>();
    spawn_local(async move {
        writer.write_all(text.into_bytes()).await;
        drop(held);
    });
    Response::new(Fields::new(), Some(body), ended()).0
}

fn no_trailers() -> Result<Option<Trailers>, ErrorCode> {
    Ok(None)
}

/// The future of a body without trailers.
fn ended() -> End {
    let (writer, reader) = wit_future::new(no_trailers);
    drop(writer);
    reader
}

fn a_request(size: usize) -> Request {
    let request = Request::new(many_lines(size), None, ended(), Some(RequestOptions::new())).0;
    _ = request.set_path_with_query(Some(&format!("/{}", "x".repeat(size))));
    request
}

/// A response with a body that has as much as fits, and nobody who takes it.
fn a_response(size: usize) -> Unsent {
    let (mut writer, reader) = wit_stream::new::<u8>();
    let response = Response::new(many_lines(1), Some(reader), ended()).0;
    let mut write: Held = Box::pin(async move {
        writer.write_all(vec![b'x'; size]).await;
    });
    _ = poll_once(&mut write);
    Unsent { response, _write: write }
}

struct Unsent {
    response: Response,
    _write: Held,
}

type Consumed = (StreamReader<u8>, End, Held);

impl Unsent {
    fn consume(self) -> Consumed {
        let (writer, result) = wit_future::new(|| Ok(()));
        drop(writer);
        let (stream, end) = Response::consume_body(self.response, result);
        (stream, end, self._write)
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

fn poll_once(future: &mut Held) -> Poll<()> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    future.as_mut().poll(&mut context)
}

/// Waits for that many timers at once.
async fn waits(n: usize, nanoseconds: u64) -> Result<Response, ErrorCode> {
    let wait = || Box::pin(monotonic_clock::wait_for(nanoseconds)) as Held;
    let mut waits: Vec<Held> = (0..n).map(|_| wait()).collect();
    poll_fn(|context| {
        waits.retain_mut(|wait| wait.as_mut().poll(context).is_pending());
        if waits.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    Ok(held(0, || ()))
}

/// Asks for that much at once of a server that may not be asked, and never waits for the answers.
async fn sends(n: usize) -> Result<Response, ErrorCode> {
    loop {
        let mut asked = Vec::new();
        for _ in 0..n.min(500) {
            let request = Request::new(Fields::new(), None, ended(), None).0;
            let mut send = Box::pin(async move { drop(client::send(request).await) }) as Held;
            _ = poll_once(&mut send);
            asked.push(send);
        }
        drop(asked);
    }
}

/// Sends that many requests at once, each with large headers and a body that has begun, and waits.
async fn asks(n: usize, size: usize, to: &str) -> Result<Response, ErrorCode> {
    let mut asked = Vec::new();
    for _ in 0..n {
        let (mut writer, body) = wit_stream::new::<u8>();
        let request = Request::new(many_lines(size), Some(body), ended(), None).0;
        _ = request.set_scheme(Some(&Scheme::Http));
        _ = request.set_path_with_query(Some("/"));
        _ = request.set_authority(Some(to));
        let mut send = Box::pin(async move { drop(client::send(request).await) }) as Held;
        let mut write = Box::pin(async move {
            writer.write_all(vec![b'x']).await;
            poll_fn(|_| Poll::Pending).await
        }) as Held;
        _ = poll_once(&mut send);
        _ = poll_once(&mut write);
        asked.push((send, write));
    }
    poll_fn(|context| {
        for (send, write) in &mut asked {
            _ = (send.as_mut().poll(context), write.as_mut().poll(context));
        }
        Poll::Pending
    })
    .await
}

/// Answers with a body of endless small writes, and trailers.
fn writes(size: usize, trailers: Option<Fields>) -> Response {
    let (mut writer, body) = wit_stream::new::<u8>();
    let (end, ended) = wit_future::new(no_trailers);
    spawn_local(async move {
        if trailers.is_none() {
            while writer.write_all(vec![b'x'; size]).await.is_empty() {}
        }
        drop(writer);
        _ = end.write(Ok(trailers)).await;
    });
    Response::new(Fields::new(), Some(body), ended).0
}

/// Reads its own request's body so many bytes at a time, and gives each read up once.
async fn reads(request: Request, size: usize) -> Result<Response, ErrorCode> {
    let (writer, result) = wit_future::new(|| Ok(()));
    drop(writer);
    let (mut body, _end) = Request::consume_body(request, result);
    loop {
        let mut read = Box::pin(body.read(Vec::with_capacity(size)));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        if read.as_mut().poll(&mut context).is_pending() {
            _ = read.as_mut().cancel();
        }
    }
}

async fn again(what: &str, n: usize, size: usize) -> Result<Response, ErrorCode> {
    let fields = many_lines(size);
    let lines = Lines::new();
    let (mut writer, mut reader) = wit_stream::new::<u8>();
    let n_entries = if what == "list" { n } else { 0 };
    let list: Vec<(String, Vec<u8>)> =
        (0..n_entries).map(|n| (format!("a{n}"), vec![b'x'; 8])).collect();
    let text = "x".repeat(size);
    loop {
        match what {
            "random" => drop(random::get_random_bytes(size as u64)),
            "insecure" => drop(insecure::get_insecure_random_bytes(size as u64)),
            "environment" => drop(environment::get_environment()),
            "now" => _ = monotonic_clock::now(),
            "copy" => drop(fields.copy_all()),
            "clone" => _ = fields.clone().append("more", b"x"),
            "list" => drop(Fields::from_list(&list)),
            "set" => drop(fields.set("line-0", &vec![text.as_bytes().to_vec(); 8])),
            "append" => drop(fields.append(&text, text.as_bytes())),
            "get" => drop((fields.get(&text), fields.has(&text))),
            "path" => drop(a_request(size)),
            "lines" => lines.print(size).await,
            "pipe" => pipe(&mut writer, &mut reader, size).await,
            "drops" => drop((wit_stream::new::<u8>(), wit_future::new(no_trailers))),
            "yield" => yield_async().await,
            "block" => _ = yield_blocking(),
            "moment" => drop(waits(n.min(9_000), 20_000_000).await),
            "cancel" => _ = poll_once(&mut (Box::pin(monotonic_clock::wait_for(HOUR)) as Held)),
            "spawn" => spawns(n.min(1_000)).await,
            _ => panic!("nothing is called {what}"),
        }
    }
}

async fn spawns(n: usize) {
    let left = std::rc::Rc::new(Cell::new(n));
    for _ in 0..n {
        let left = left.clone();
        spawn_local(async move {
            monotonic_clock::wait_for(0).await;
            left.set(left.get() - 1);
        });
    }
    while left.get() > 0 {
        yield_async().await;
    }
}

/// Writes and reads at the same time.
async fn pipe(writer: &mut StreamWriter<u8>, reader: &mut StreamReader<u8>, size: usize) {
    let mut write = Box::pin(writer.write(vec![b'x'; size]));
    let mut read = Box::pin(reader.read(Vec::with_capacity(size)));
    let (mut is_written, mut is_read) = (false, false);
    poll_fn(|context| {
        is_written = is_written || write.as_mut().poll(context).is_ready();
        is_read = is_read || read.as_mut().poll(context).is_ready();
        if is_written && is_read { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Standard error, as a stream that stays open.
struct Lines(std::cell::RefCell<StreamWriter<u8>>);

impl Lines {
    fn new() -> Self {
        let (writer, reader) = wit_stream::new::<u8>();
        // Its result never comes.
        std::mem::forget(stderr::write_via_stream(reader));
        Self(writer.into())
    }

    async fn print(&self, size: usize) {
        self.0.borrow_mut().write_all(vec![b'\n'; size]).await;
    }
}

wasip3::http::service::export!(Worst);
