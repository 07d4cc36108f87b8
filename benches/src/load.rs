//! A closed-loop HTTP/1.1 load generator: as many requests in flight as connections.
//! Understands just enough HTTP to find the end of a response; a generator must cost little.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How hard to press.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) connections: usize,
    pub(crate) duration: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) n_requests: u64,
    pub(crate) elapsed: Duration,
    /// Latencies in microseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        self.n_requests as f64 / self.elapsed.as_secs_f64()
    }
}

/// Presses one server, on this thread alone.
pub(crate) fn press(address: SocketAddr, path: &str, settings: Settings) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    runtime.block_on(async {
        let started_at = Instant::now();
        let until = started_at + settings.duration;
        let mut connections = tokio::task::JoinSet::new();
        for _ in 0..settings.connections {
            connections.spawn(converse(address, request.clone(), until));
        }
        let mut latency = Histogram::new(3)?;
        while let Some(connection) = connections.join_next().await {
            latency.add(connection??)?;
        }
        Ok(Outcome { n_requests: latency.len(), elapsed: started_at.elapsed(), latency })
    })
}

async fn converse(address: SocketAddr, request: String, until: Instant) -> Result<Histogram<u64>> {
    let mut stream = TcpStream::connect(address).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    let mut latency = Histogram::new(3)?;
    let mut buffer = Vec::with_capacity(4096);
    while Instant::now() < until {
        let started_at = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        buffer.clear();
        loop {
            if stream.read_buf(&mut buffer).await? == 0 {
                bail!("the server closed the connection");
            }
            if is_whole(&buffer)? {
                break;
            }
        }
        let micros = u64::try_from(started_at.elapsed().as_micros())?;
        latency.record(micros.max(1))?;
    }
    Ok(latency)
}

/// Whether a whole response is there. Anything but 200 ends the run.
fn is_whole(buffer: &[u8]) -> Result<bool> {
    let Some(head_end) = find(buffer, b"\r\n\r\n") else { return Ok(false) };
    let (head, body) = buffer.split_at(head_end + 4);
    if !head.starts_with(b"HTTP/1.1 200") {
        bail!("not a 200: {}", String::from_utf8_lossy(buffer));
    }
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    match head.lines().find_map(|line| line.strip_prefix("content-length:")) {
        Some(length) => Ok(body.len() >= length.trim().parse()?),
        None => Ok(body.ends_with(b"0\r\n\r\n")),
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
