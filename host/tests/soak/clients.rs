//! Callers: those that wait for their answers, and those that a host must survive.
//! They do not care how a hostile call ends: the host's own counts say that.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// What a hostile app's clients do, again and again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Client {
    /// Asks and reads the answer.
    Asks,
    /// Sends a body without end, as fast as the host takes it.
    Floods,
    /// The same a byte at a time.
    Drips,
    /// Asks and reads nothing.
    Stares,
    /// Asks and reads a little now and then.
    Sips,
    /// Asks and goes away.
    Leaves,
    /// The same with many streams of one HTTP/2 connection.
    Resets,
}

/// How long the clients that stand still do so before they try again.
const STAND: Duration = Duration::from_millis(1500);

impl Client {
    /// Goes on until then.
    pub(crate) async fn run(self, address: String, path: String, until: Instant) {
        while Instant::now() < until {
            // Whatever the host does with such a client, it comes back.
            let ended = match self {
                Self::Asks => asks(&address, &path, until).await.map_err(io::Error::other),
                Self::Floods => floods(&address, &path).await,
                Self::Drips => drips(&address, &path).await,
                Self::Stares => stares(&address, &path).await,
                Self::Sips => sips(&address, &path, until).await,
                Self::Leaves => leaves(&address, &path).await,
                Self::Resets => resets(&address, &path).await.map_err(io::Error::other),
            };
            drop(ended);
        }
    }
}

pub(crate) async fn connect(address: &str) -> http1::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.expect("the host listens");
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", "soak").body(Full::default()).unwrap()
}

pub(crate) async fn ask(
    sender: &mut http1::SendRequest<Full<Bytes>>,
    path: &str,
) -> Result<(u16, Bytes), hyper::Error> {
    sender.ready().await?;
    let response = sender.send_request(request(path)).await?;
    let status = response.status().as_u16();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

async fn asks(address: &str, path: &str, until: Instant) -> Result<(), hyper::Error> {
    let mut sender = connect(address).await;
    while Instant::now() < until {
        ask(&mut sender, path).await?;
    }
    Ok(())
}

async fn open(address: &str, head: &str, path: &str, rest: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(format!("{head} {path} HTTP/1.1\r\nhost: soak\r\n{rest}\r\n").as_bytes())
        .await?;
    Ok(stream)
}

async fn floods(address: &str, path: &str) -> io::Result<()> {
    let mut stream = open(address, "POST", path, "transfer-encoding: chunked\r\n").await?;
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    loop {
        stream.write_all(chunk.as_bytes()).await?;
    }
}

async fn drips(address: &str, path: &str) -> io::Result<()> {
    let stream = open(address, "POST", path, "transfer-encoding: chunked\r\n").await?;
    let (mut read, mut write) = stream.into_split();
    let mut answer = [0; 1];
    // Until the host says something, whatever it is.
    while timeout(Duration::from_millis(50), read.read(&mut answer)).await.is_err() {
        write.write_all(b"1\r\nx\r\n").await?;
    }
    Ok(())
}

async fn stares(address: &str, path: &str) -> io::Result<()> {
    let _stream = open(address, "GET", path, "").await?;
    sleep(STAND).await;
    Ok(())
}

async fn sips(address: &str, path: &str, until: Instant) -> io::Result<()> {
    let mut stream = open(address, "GET", path, "").await?;
    let mut sip = [0; 4096];
    while Instant::now() < until && stream.read(&mut sip).await? > 0 {
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn leaves(address: &str, path: &str) -> io::Result<()> {
    let mut stream = open(address, "GET", path, "").await?;
    // Most leave while the guest works on the answer, some before it began.
    drop(timeout(Duration::from_millis(10), stream.read(&mut [0; 1])).await);
    Ok(())
}

async fn resets(address: &str, path: &str) -> Result<(), hyper::Error> {
    let stream = TcpStream::connect(address).await.expect("the host listens");
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    for _ in 0..20 {
        sender.ready().await?;
        let url = format!("http://soak{path}");
        let call = sender.send_request(Request::get(url).body(Full::<Bytes>::default()).unwrap());
        drop(timeout(Duration::from_millis(5), call).await);
    }
    drop(sender);
    drop(connection.await);
    Ok(())
}

/// Makes this many calls on one connection; says how many had which status.
pub(crate) async fn calls(address: String, path: &str, n_calls: u64) -> BTreeMap<u16, u64> {
    let mut sender = connect(&address).await;
    let mut statuses = BTreeMap::new();
    for _ in 0..n_calls {
        *statuses.entry(ask(&mut sender, path).await.unwrap().0).or_default() += 1;
    }
    statuses
}

/// A client that behaves: one call after the other on one connection, each of which is answered.
#[derive(Debug)]
pub(crate) struct Steady {
    address: String,
    path: String,
    until: Instant,
}

/// The answers a steady client had.
#[derive(Debug)]
pub(crate) struct Answers {
    by_second: Vec<u64>,
    longest: Duration,
}

impl Steady {
    pub(crate) fn new(address: &str, path: &str, until: Instant) -> Self {
        Self { address: address.to_owned(), path: path.to_owned(), until }
    }

    pub(crate) async fn run(self) -> Answers {
        let mut sender = connect(&self.address).await;
        let began_at = Instant::now();
        let round = self.until - began_at + Duration::from_millis(500);
        let n_seconds = usize::try_from(round.as_secs()).unwrap();
        let mut answers = Answers { by_second: vec![0; n_seconds], longest: Duration::ZERO };
        while Instant::now() < self.until {
            let asked_at = Instant::now();
            let (status, body) = ask(&mut sender, &self.path).await.expect("an answer");
            assert_eq!(status, 200, "{}: {}", self.path, String::from_utf8_lossy(&body));
            answers.longest = answers.longest.max(asked_at.elapsed());
            let second = usize::try_from(began_at.elapsed().as_secs()).unwrap();
            answers.by_second[second.min(n_seconds - 1)] += 1;
        }
        answers
    }
}

impl Answers {
    pub(crate) fn total(&self) -> u64 {
        self.by_second.iter().sum()
    }

    /// In any two seconds in a row: a machine that is busy with other builds may hold up one.
    pub(crate) fn least(&self) -> u64 {
        self.by_second.windows(2).map(|pair| pair.iter().sum()).min().unwrap_or(0)
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} answers a second, the longest in {:?}", self.by_second, self.longest)
    }
}
