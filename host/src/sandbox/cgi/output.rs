//! A program's stdout as an HTTP response: the head of RFC 3875 section 6, then the body as it comes.
//! Does not know the program; bytes come in by `OutputStream`, the response leaves by a channel.

use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi_http::Error;

use super::head::Incomplete;
use crate::body::Produced;
use crate::call::ResponseSender;
use crate::sandbox::BODY_CHUNK;
use crate::sandbox::pace;

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
    Head { incomplete: Incomplete, head: ResponseSender },
    /// The head has been sent on.
    Body { chunks: mpsc::Sender<Bytes> },
    /// Nothing more is taken.
    Closed,
}

impl Output {
    /// An output whose response goes to `head`.
    #[must_use]
    pub fn new(head: ResponseSender) -> Self {
        let state = State::Head { incomplete: Incomplete::default(), head };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The program has ended: what it wrote must be a whole head by now.
    ///
    /// # Errors
    /// Says in one line why what it wrote is no response.
    pub fn finish(&self) -> Result<(), String> {
        let mut state = self.state();
        match mem::replace(&mut *state, State::Closed) {
            State::Head { incomplete, .. } if incomplete.len() == 0 => {
                Err("the program ended without writing anything to stdout".to_owned())
            }
            State::Head { incomplete, .. } => Err(format!(
                "the program wrote {} bytes and no blank line, so no CGI header ended",
                incomplete.len()
            )),
            State::Body { .. } | State::Closed => Ok(()),
        }
    }

    fn write(&self, bytes: Bytes) -> StreamResult<()> {
        let mut state = self.state();
        let (next, result) = match mem::replace(&mut *state, State::Closed) {
            State::Head { incomplete, head } => read_head(incomplete, head, &bytes)?,
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

/// Takes bytes while the head is incomplete. After an invalid head nothing is taken any more, since
/// nothing of it could be sent.
fn read_head(
    mut incomplete: Incomplete,
    head: ResponseSender,
    written: &Bytes,
) -> StreamResult<(State, StreamResult<()>)> {
    let (response, rest) = match incomplete.push(written) {
        Ok(Some(read)) => read,
        Ok(None) => return Ok((State::Head { incomplete, head }, Ok(()))),
        Err(reason) => {
            head.refuse(reason);
            return Err(StreamError::Closed);
        }
    };
    let (chunks, taken) = mpsc::channel(CHUNKS_AHEAD);
    let body = Chunks { taken }.map_err(|never: std::convert::Infallible| match never {});
    let body = body.map_err(|error: Error| error).boxed_unsync();
    head.send(Ok(response.map(|()| Produced::Boxed(body))));
    if !rest.is_empty() && chunks.try_send(rest).is_err() {
        return Err(StreamError::Closed);
    }
    Ok((State::Body { chunks }, Ok(())))
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
        pace::rest().await;
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
        let call = crate::call::Call::unrecorded(1);
        let output = Output::new(ResponseSender::new(call.clone()));
        let mut pieces = written.iter().map(|text| Bytes::from(text.as_bytes().to_vec()));
        let is_taken = pieces.all(|piece| output.write(piece).is_ok());
        let finished = output.finish();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = match (call.ended(), finished) {
            (Some((outcome, _)), _) => {
                assert!(!is_taken && call.must_stop(), "a program goes on without a head");
                Err(outcome.to_string())
            }
            (None, Err(reason)) => Err(reason),
            (None, Ok(())) => runtime.block_on(async {
                let response = call.answered().await.unwrap().unwrap();
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
    fn what_a_program_writes_is_its_response() {
        check(&["Status: 404 Not Found\r\n", "X: y\r\n\r", "\nno", "pe"], Ok((404, "nope")));
        check(&["\nbody only"], Ok((200, "body only")));
    }

    #[test]
    fn what_is_no_head_is_no_answer() {
        check(&[], Err("without writing anything"));
        check(&["hello"], Err("wrote 5 bytes and no blank line"));
        check(&["hello\n\n"], Err("`hello` is not NAME: VALUE"));
        check(&["Status: abc\n\n", "more"], Err("no status of three digits"));
    }
}
