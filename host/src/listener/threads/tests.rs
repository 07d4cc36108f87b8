//! Real sockets on several threads: where connections are served, and where requests of one connection are.

use rustls::pki_types::CertificateDer;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::thread::{self, ThreadId};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;
use crate::listener::descriptors::Descriptors;
use crate::listener::patience::ClientTimeouts;
use crate::listener::upload::Upload;
use crate::listener::{self, BoxError, Listener, Service, sockets};
use crate::shutdown::Shutdown;

const N_THREADS: usize = 4;
/// Of requests at once, and of tries until other threads were found idle.
const AT_ONCE: usize = 64;
const TRIES: usize = 1000;

/// Says which thread answers, or answers never.
struct Names {
    threads: Arc<Threads>,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    by_thread: Mutex<BTreeMap<String, usize>>,
    n_open: AtomicUsize,
}

/// A request that is being answered.
struct Open(Arc<Seen>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.n_open.fetch_sub(1, Ordering::SeqCst);
    }
}

fn name(id: ThreadId) -> String {
    format!("{id:?}")
}

impl Service for Names {
    type Peer = ();
    type Body = Full<Bytes>;

    fn meet(
        &self,
        _: SocketAddr,
        _: SocketAddr,
        _: Option<CertificateDer<'static>>,
    ) -> Result<(), BoxError> {
        Ok(())
    }

    async fn answer(&self, (): &(), request: Request<Upload>) -> Response<Self::Body> {
        self.seen.n_open.fetch_add(1, Ordering::SeqCst);
        let _open = Open(self.seen.clone());
        let name = name(thread::current().id());
        *self.seen.by_thread.lock().unwrap().entry(name.clone()).or_default() += 1;
        if request.uri().path() == "/never" {
            std::future::pending::<()>().await;
        }
        Response::new(Full::new(name.into()))
    }

    fn threads(&self) -> Option<&Arc<Threads>> {
        Some(&self.threads)
    }
}

/// A listener on so many threads, which end with it.
struct Door {
    address: SocketAddr,
    seen: Arc<Seen>,
    shutdown: Shutdown,
    /// What begins to accept on each thread.
    begin: Vec<Box<dyn FnOnce() + Send>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Door {
    fn open(n_threads: usize) -> Self {
        let mut door = Self::listen(n_threads);
        door.accept();
        door
    }

    /// One that the kernel takes connections for, and nobody accepts them yet.
    fn listen(n_threads: usize) -> Self {
        let (address, sockets) = sockets::open(([127, 0, 0, 1], 0).into(), n_threads).unwrap();
        let (threads, runtimes) = Threads::build(n_threads).unwrap();
        let (seen, shutdown) = (Arc::<Seen>::default(), Shutdown::default());
        let patience = Duration::from_secs(60);
        let settings = listener::Settings {
            n_connections: 1000,
            limits: ClientTimeouts { head: patience, idle: patience },
            head_size: 8 << 10,
            n_untaken: 1 << 20,
            ends_idle: true,
            windows: None,
            n_files_kept: 0,
            mistaken: Arc::default(),
        };
        let service = Names { threads: threads.clone(), seen: seen.clone() };
        let descriptors = Descriptors::new(1000, |_| {});
        let listener = Listener::new(service, settings, None, shutdown.clone(), descriptors);
        let started = sockets.into_iter().zip(runtimes).enumerate();
        let started = started.map(|(place, (socket, runtime))| {
            let (threads, listener) = (threads.clone(), listener.clone());
            let shutdown = shutdown.clone();
            let begin = move || {
                threads.take_place(place);
                runtime.block_on(async move {
                    let socket = tokio::net::TcpListener::from_std(socket).unwrap();
                    listener.accept(socket, shutdown.shut()).await;
                    shutdown.closed().await;
                });
            };
            Box::new(begin) as Box<dyn FnOnce() + Send>
        });
        let begin = started.collect();
        Self { address, seen, shutdown, begin, threads: Vec::new() }
    }

    fn accept(&mut self) {
        self.threads = self.begin.drain(..).map(thread::spawn).collect();
    }

    async fn http2(&self) -> http2::SendRequest<Empty<Bytes>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let executor = TokioExecutor::new();
        let (sender, connection) = http2::handshake(executor, TokioIo::new(stream)).await.unwrap();
        drop(tokio::task::spawn(connection));
        sender
    }

    /// Asks for this at once, as often as until more than one thread has begun some.
    async fn ask_until_shared(&self, sender: &http2::SendRequest<Empty<Bytes>>) {
        for _ in 0..TRIES {
            let asked = (0..AT_ONCE).map(|_| sender.clone().send_request(get("/")));
            for answer in join_all(asked).await {
                drop(answer.unwrap().collect().await.unwrap());
            }
            if self.seen.by_thread.lock().unwrap().len() > 1 {
                return;
            }
        }
        panic!("one thread has begun all: {:?}", self.seen.by_thread.lock().unwrap());
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shutdown.shut_doors();
        self.shutdown.close();
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    let uri = format!("http://here{path}");
    Request::get(uri).header("host", "here").body(Empty::new()).unwrap()
}

async fn text(answer: Response<hyper::body::Incoming>) -> String {
    String::from_utf8(answer.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// As for a host whose threads stood still for a moment when it was told to end.
#[tokio::test]
async fn what_was_asked_before_the_doors_shut_is_answered_though_nobody_had_accepted_it() {
    for is_http2 in [false, true] {
        let mut door = Door::listen(N_THREADS);
        let mut asked = Vec::new();
        for _ in 0..10 {
            // The kernel accepts the connection, and nobody else does.
            let stream = TcpStream::connect(door.address).await.unwrap();
            asked.push(tokio::task::spawn(ask(stream, is_http2)));
        }
        // The clients write what they have to, which the kernel takes at once.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        door.shutdown.shut_doors();
        door.accept();
        for answer in asked {
            let answer = answer.await.unwrap();
            assert_eq!(answer.map(|it| it.status().as_u16()).ok(), Some(200), "HTTP/2: {is_http2}");
        }
    }
}

/// Asks on a connection of its own.
async fn ask(stream: TcpStream, is_http2: bool) -> hyper::Result<Response<hyper::body::Incoming>> {
    let stream = TokioIo::new(stream);
    if is_http2 {
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        drop(tokio::task::spawn(connection));
        return sender.send_request(get("/")).await;
    }
    let (mut sender, connection) = http1::handshake(stream).await.unwrap();
    drop(tokio::task::spawn(connection));
    sender.send_request(get("/")).await
}

#[tokio::test]
async fn connections_are_spread_evenly_whatever_the_kernel_does() {
    let door = Door::open(N_THREADS);
    let mut open = Vec::new();
    for _ in 0..3 * N_THREADS {
        let stream = TcpStream::connect(door.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        drop(tokio::task::spawn(connection));
        let own = text(sender.send_request(get("/")).await.unwrap()).await;
        open.push((own, sender));
    }
    let counts: Vec<usize> = door.seen.by_thread.lock().unwrap().values().copied().collect();
    assert_eq!(counts, [3; N_THREADS]);
    // A connection stays where it is.
    for (own, sender) in &mut open {
        assert_eq!(text(sender.send_request(get("/")).await.unwrap()).await, *own);
    }
}

#[tokio::test]
async fn requests_of_one_connection_are_begun_by_threads_that_do_nothing() {
    let door = Door::open(N_THREADS);
    let sender = door.http2().await;
    // One at a time, they stay where they were read.
    for _ in 0..20 {
        drop(text(sender.clone().send_request(get("/")).await.unwrap()).await);
    }
    assert_eq!(door.seen.by_thread.lock().unwrap().len(), 1);
    door.ask_until_shared(&sender).await;
}

#[tokio::test]
async fn one_thread_begins_all_that_it_reads() {
    let door = Door::open(1);
    let sender = door.http2().await;
    let asked = (0..AT_ONCE).map(|_| sender.clone().send_request(get("/")));
    for answer in join_all(asked).await {
        drop(text(answer.unwrap()).await);
    }
    assert_eq!(door.seen.by_thread.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_request_that_is_reset_is_given_up_on_whatever_thread_it_is() {
    let door = Door::open(N_THREADS);
    let sender = door.http2().await;
    let until = async |n_open: usize| {
        while door.seen.n_open.load(Ordering::SeqCst) != n_open {
            tokio::task::yield_now().await;
        }
    };
    for n_try in 0.. {
        assert!(n_try < TRIES, "one thread has begun all");
        door.seen.by_thread.lock().unwrap().clear();
        let asked: Vec<_> = (0..AT_ONCE)
            .map(|_| tokio::task::spawn(sender.clone().send_request(get("/never"))))
            .collect();
        until(AT_ONCE).await;
        let n_threads = door.seen.by_thread.lock().unwrap().len();
        asked.iter().for_each(tokio::task::JoinHandle::abort);
        until(0).await;
        if n_threads > 1 {
            break;
        }
    }
    drop(text(sender.clone().send_request(get("/")).await.unwrap()).await);
}

#[test]
fn what_is_counted_is_counted_no_more_when_it_is_over() {
    let (threads, _runtimes) = Threads::build(2).unwrap();
    threads.take_place(0);
    threads.all[1].load.is_idle.store(true, Ordering::Relaxed);
    let counts = || {
        let of = |thread: &Thread| thread.load.n_ready.load(Ordering::Relaxed);
        [of(&threads.all[0]), of(&threads.all[1])]
    };
    let placed: Vec<_> = (0..8).map(|_| threads.for_request().split().0).collect();
    assert_eq!(counts(), [5, 3]);
    drop(placed);
    assert_eq!(counts(), [0, 0]);
    OWN.set(None);
    let (counted, _) = threads.for_request().split();
    assert!(counted.0.is_none(), "who is none of the threads keeps all");
    drop(counted);
}
