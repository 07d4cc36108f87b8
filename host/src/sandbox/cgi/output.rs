//! A program's stdout as an HTTP response: the head of RFC 3875 section 6, then the body as it comes.
//! Does not know the program; bytes come in by `OutputStream`, the response leaves by a channel.

use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi_http::Error;

use crate::sandbox::BODY_CHUNK;
use crate::sandbox::http::HeadSender;

/// A head larger than this is not a head.
const LARGEST_HEAD: usize = 64 << 10;
/// Chunks of body held for a slow client before the program has to wait.
const CHUNKS_AHEAD: usize = 2;

/// The program's stdout.
#[derive(Clone, Debug)]
pub struct Output {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
enum State {
    /// The blank line has not come yet.
    Head { read: BytesMut, head: HeadSender },
    /// The head has been sent on.
    Body { chunks: mpsc::Sender<Bytes> },
    /// Nothing more is taken.
    Closed,
}

impl Output {
    /// An output whose response goes to `head`.
    #[must_use]
    pub fn new(head: HeadSender) -> Self {
        let state = State::Head { read: BytesMut::new(), head };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The program has ended: what it wrote must be a whole head by now.
    ///
    /// # Errors
    /// Says in one line why what it wrote is no response.
    pub fn finish(&self) -> Result<(), String> {
        let mut state = self.state();
        match mem::replace(&mut *state, State::Closed) {
            State::Head { read, .. } if read.is_empty() => {
                Err("the program ended without writing anything to stdout".to_owned())
            }
            State::Head { read, .. } => Err(format!(
                "the program wrote {} bytes and no blank line, so no CGI header ended",
                read.len()
            )),
            State::Body { .. } | State::Closed => Ok(()),
        }
    }

    fn write(&self, bytes: Bytes) -> StreamResult<()> {
        let mut state = self.state();
        let (next, result) = match mem::replace(&mut *state, State::Closed) {
            State::Head { read, head } => read_head(read, head, &bytes)?,
            // Two chunks may wait for a slow client: what a program may have the host hold.
            State::Body { .. } if bytes.len() > BODY_CHUNK => {
                let size = bytes.len();
                let most = format!("{size} bytes written at once, {BODY_CHUNK} may be");
                return Err(StreamError::trap(&most));
            }
            State::Body { chunks } => match chunks.try_send(bytes) {
                Ok(()) => (State::Body { chunks }, Ok(())),
                Err(_) => return Err(StreamError::Closed),
            },
            State::Closed => return Err(StreamError::Closed),
        };
        *state = next;
        result
    }

    /// `None` when nothing will ever be taken again.
    fn room(&self) -> Option<usize> {
        match &*self.state() {
            State::Head { .. } => Some(BODY_CHUNK),
            State::Body { chunks } if chunks.is_closed() => None,
            State::Body { chunks } if chunks.capacity() == 0 => Some(0),
            State::Body { .. } => Some(BODY_CHUNK),
            State::Closed => None,
        }
    }

    fn waits_for(&self) -> Option<mpsc::Sender<Bytes>> {
        match &*self.state() {
            State::Body { chunks } => Some(chunks.clone()),
            State::Head { .. } | State::Closed => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes bytes while the head is incomplete. An invalid head traps the program: nothing it writes
/// after that could be sent.
fn read_head(
    mut read: BytesMut,
    head: HeadSender,
    bytes: &Bytes,
) -> StreamResult<(State, StreamResult<()>)> {
    read.extend_from_slice(bytes);
    let Some((length, skip)) = end_of_head(&read) else {
        if read.len() > LARGEST_HEAD {
            let size = read.len();
            return Err(StreamError::trap(&format!("{size} bytes of CGI header without an end")));
        }
        return Ok((State::Head { read, head }, Ok(())));
    };
    let text = read.split_to(length);
    let response = match parse_head(&text) {
        Ok(response) => response,
        Err(reason) => return Err(StreamError::trap(&format!("invalid CGI header: {reason}"))),
    };
    let rest = read.split_off(skip).freeze();
    let (chunks, taken) = mpsc::channel(CHUNKS_AHEAD);
    let body = Chunks { taken }.map_err(|never: std::convert::Infallible| match never {});
    let body = body.map_err(|error: Error| error).boxed_unsync();
    head.send(Ok(response.map(|()| body)));
    if !rest.is_empty() && chunks.try_send(rest).is_err() {
        return Err(StreamError::Closed);
    }
    Ok((State::Body { chunks }, Ok(())))
}

/// Where the head ends and how long the blank line is. Both line ends are in use.
fn end_of_head(read: &[u8]) -> Option<(usize, usize)> {
    let mut start = 0;
    loop {
        let line_end = start + read.get(start..)?.iter().position(|byte| *byte == b'\n')?;
        match read.get(start..line_end)? {
            b"" => return Some((start, 1)),
            b"\r" => return Some((start, 2)),
            _ => start = line_end + 1,
        }
    }
}

fn parse_head(text: &[u8]) -> Result<Response<()>, String> {
    let mut status = None;
    let mut response = Response::new(());
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let shown = String::from_utf8_lossy(line);
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return Err(format!("`{shown}` is not NAME: VALUE"));
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"status") {
            let code = value.get(..3).and_then(|code| StatusCode::from_bytes(code).ok());
            status = Some(code.ok_or_else(|| format!("`{shown}` has no status of three digits"))?);
            continue;
        }
        let name = HeaderName::from_bytes(name).map_err(|_| format!("`{shown}` has a bad name"))?;
        if wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS.contains(&name) {
            continue;
        }
        let value =
            HeaderValue::from_bytes(value).map_err(|_| format!("`{shown}` has a bad value"))?;
        response.headers_mut().append(name, value);
    }
    let redirects = response.headers().contains_key(header::LOCATION);
    let default = if redirects { StatusCode::FOUND } else { StatusCode::OK };
    *response.status_mut() = status.unwrap_or(default);
    Ok(response)
}

struct Chunks {
    taken: mpsc::Receiver<Bytes>,
}

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.taken.poll_recv(context).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    /// Only preview 3 programs ask for this one, and those are not served the CGI way.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Unsupported)
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        if let Some(chunks) = self.waits_for() {
            // An error means the client has gone; the next write will say so.
            drop(chunks.reserve().await);
        }
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        Self::write(self, bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.room().ok_or(StreamError::Closed)
    }
}

struct Unsupported;

impl AsyncWrite for Unsupported {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        _bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(written: &[&str], expect: Result<(u16, &str), &str>) {
        let call = Arc::new(crate::call::Call::new(steerage_core::id::CallId::from_u128(1)));
        let (head, response) = HeadSender::new(call);
        let output = Output::new(head);
        let mut trapped = None;
        for text in written {
            if let Err(error) = output.write(Bytes::from(text.as_bytes().to_vec())) {
                trapped = Some(error.to_string());
            }
        }
        let finished = output.finish();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = match (trapped, finished) {
            (Some(reason), _) => Err(reason),
            (None, Err(reason)) => Err(reason),
            (None, Ok(())) => runtime.block_on(async {
                let response = response.await.unwrap().unwrap();
                let status = response.status().as_u16();
                let body = response.into_body().collect().await.unwrap().to_bytes();
                Ok((status, String::from_utf8(body.to_vec()).unwrap()))
            }),
        };
        match (found, expect) {
            (Ok((status, body)), Ok(expect)) => assert_eq!((status, body.as_str()), expect),
            (Err(found), Err(expect)) => assert!(found.contains(expect), "{found}"),
            (found, expect) => panic!("{found:?} instead of {expect:?}"),
        }
    }

    #[test]
    fn a_head_may_come_in_pieces_and_with_either_line_end() {
        check(&["Content-Type: text/plain\n\nhi"], Ok((200, "hi")));
        check(&["Status: 404 Not Found\r\n", "X: y\r\n\r", "\nno", "pe"], Ok((404, "nope")));
        check(&["Location: /else\n\n"], Ok((302, "")));
        check(&["\nbody only"], Ok((200, "body only")));
    }

    #[test]
    fn what_is_no_head_is_refused_with_the_reason() {
        check(&[], Err("without writing anything"));
        check(&["hello"], Err("wrote 5 bytes and no blank line"));
        check(&["hello\n\n"], Err("`hello` is not NAME: VALUE"));
        check(&["Status: abc\n\n"], Err("no status of three digits"));
    }
}
