//! A guest's stdout and stderr as log lines of its app.
//! Does not limit rates or keep lines: the app's log does. Once that takes no more, the rest of a
//! write costs a look for line ends, so that printing does not hold a thread for long.

use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use steerage_core::id::{CallId, Generation};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::pace;
use crate::call::CallIds;
use crate::telemetry::logs::{AppLog, LineOrigin, Stream};

/// A line longer than this is cut into several.
const LONGEST_LINE: usize = 16 << 10;
/// Most bytes taken in one write.
const WRITE_BUDGET: usize = 64 << 10;

/// What one instance prints, and during which call.
#[derive(Debug)]
pub struct Stdio {
    log: Arc<AppLog>,
    generation: Generation,
    call: CallIds,
    /// Made when the instance first asks for a stream: most calls print nothing.
    streams: Option<Arc<Streams>>,
}

/// Both output streams of one instance.
#[derive(Debug)]
struct Streams {
    log: Arc<AppLog>,
    generation: Generation,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    call: CallIds,
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Stdio {
    /// The streams of an instance that serves `call` first.
    #[must_use]
    pub fn new(log: Arc<AppLog>, generation: Generation, call: CallIds) -> Self {
        Self { log, generation, call, streams: None }
    }

    /// The call that is served.
    #[must_use]
    pub fn call(&self) -> CallId {
        self.call.call
    }

    /// From now on, lines belong to `call`.
    pub fn start_call(&mut self, call: CallIds) {
        self.call = call;
        if let Some(streams) = &self.streams {
            streams.state().call = call;
        }
    }

    /// Logs what is left of lines without an end.
    pub fn finish_call(&self) {
        if let Some(streams) = &self.streams {
            streams.finish_call();
        }
    }

    /// What waits for the end of its line, and for which call.
    #[cfg(test)]
    pub(super) fn told(&self) -> String {
        let streams = self.streams.as_ref().map(|streams| format!("{:?}", streams.state()));
        format!("{:?} {streams:?}", self.call)
    }

    /// A line of the host's own, among those that the guest prints as errors.
    pub(super) fn note(&mut self, text: &str) {
        self.stream(Stream::Stderr).streams.write(Stream::Stderr, format!("{text}\n").as_bytes());
    }

    /// One of the two streams, to give to the guest.
    pub fn stream(&mut self, stream: Stream) -> LogStream {
        let streams = self.streams.get_or_insert_with(|| {
            let state = Mutex::new(State { call: self.call, out: Vec::new(), err: Vec::new() });
            Arc::new(Streams { log: self.log.clone(), generation: self.generation, state })
        });
        LogStream { streams: streams.clone(), stream }
    }
}

impl Streams {
    fn finish_call(&self) {
        let mut state = self.state();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let line = mem::take(state.buffer(stream));
            if !line.is_empty() {
                self.push(&self.origin(state.call, stream), &line);
            }
        }
    }

    fn write(&self, stream: Stream, mut bytes: &[u8]) {
        let mut state = self.state();
        let from = self.origin(state.call, stream);
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            let buffer = state.buffer(stream);
            let is_taken = if buffer.is_empty() {
                self.push(&from, line)
            } else {
                buffer.extend_from_slice(line);
                let whole = mem::take(buffer);
                self.push(&from, &whole)
            };
            bytes = rest.get(1..).unwrap_or_default();
            if !is_taken {
                bytes = self.skip(&from, bytes);
            }
        }
        let buffer = state.buffer(stream);
        buffer.extend_from_slice(bytes);
        if buffer.len() > LONGEST_LINE {
            let whole = mem::take(buffer);
            self.push(&from, &whole);
        }
    }

    /// Counts the whole lines among the bytes as dropped; gives back what is left after them.
    fn skip<'b>(&self, from: &LineOrigin, bytes: &'b [u8]) -> &'b [u8] {
        let n_lines = bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum();
        if n_lines == 0 {
            return bytes;
        }
        self.log.skip(from, n_lines);
        let start = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        bytes.get(start..).unwrap_or_default()
    }

    fn push(&self, from: &LineOrigin, line: &[u8]) -> bool {
        let text = String::from_utf8_lossy(line);
        self.log.push(from, text.trim_end_matches('\r'))
    }

    fn origin(&self, call: CallIds, stream: Stream) -> LineOrigin {
        LineOrigin { generation: self.generation, call, stream }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn buffer(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Stdout => &mut self.out,
            Stream::Stderr => &mut self.err,
        }
    }
}

/// One output stream of a guest.
#[derive(Clone, Debug)]
pub struct LogStream {
    streams: Arc<Streams>,
    stream: Stream,
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {
        // A guest may write megabytes in one host call, which are written in pieces.
        pace::rest().await;
    }
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > WRITE_BUDGET {
            let n = bytes.len();
            let text = format!("a write of {n} bytes, where check-write allows {WRITE_BUDGET}");
            return Err(StreamError::trap(&text));
        }
        self.streams.write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BUDGET)
    }
}

impl AsyncWrite for LogStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let bytes = bytes.get(..WRITE_BUDGET).unwrap_or(bytes);
        self.streams.write(self.stream, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
