//! A body that a guest of 0.2 writes: of its response, or of a request to somebody else.
//! Does not bound its whole length, and does not know who reads it.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;

use crate::body::{self, Append, Reader, Writer};

/// What a body is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum BodyOf {
    /// A request to somebody else.
    Request,
    /// The response.
    Response,
}

/// A body that a guest writes.
pub(in crate::sandbox) struct OutgoingBody {
    writer: Writer,
    length: Length,
    is_stream_taken: bool,
}

/// How long a body is said to be, and by what.
#[derive(Clone, Copy)]
struct Length {
    of: BodyOf,
    announced: Option<u64>,
}

/// The stream through which a body is written. Clones write to the same body.
#[derive(Clone)]
pub(in crate::sandbox) struct BodyOutput {
    writer: Writer,
    length: Length,
}

impl BodyOf {
    /// Such a body has so many bytes, and was announced with others.
    fn wrong_size(self, n_bytes: u64) -> ErrorCode {
        match self {
            Self::Request => ErrorCode::HttpRequestBodySize(Some(n_bytes)),
            Self::Response => ErrorCode::HttpResponseBodySize(Some(n_bytes)),
        }
    }
}

impl OutgoingBody {
    /// A body of so many bytes, if that was announced, and the end to read it from.
    pub(in crate::sandbox) fn new(of: BodyOf, announced: Option<u64>) -> (Self, Reader) {
        let (writer, reader) = body::channel();
        let length = Length { of, announced };
        (Self { writer, length, is_stream_taken: false }, reader)
    }

    /// The stream to write it through, once.
    pub(in crate::sandbox) fn take_stream(&mut self) -> Option<BodyOutput> {
        if self.is_stream_taken {
            return None;
        }
        self.is_stream_taken = true;
        Some(BodyOutput { writer: self.writer.clone(), length: self.length })
    }

    /// The guest says that there is more, and that it will not come: whoever reads the body must not
    /// take what there is for the whole.
    pub(in crate::sandbox) fn abort(self) {
        self.writer.abort();
    }

    /// The guest says that this is all of it.
    ///
    /// # Errors
    /// It is not as long as was announced.
    pub(in crate::sandbox) fn finish(self, trailers: Option<HeaderMap>) -> Result<(), ErrorCode> {
        let n_written = self.writer.n_written();
        if self.length.announced.is_some_and(|announced| announced != n_written) {
            self.writer.abort();
            return Err(self.length.of.wrong_size(n_written));
        }
        self.writer.finish(trailers);
        Ok(())
    }
}

impl Drop for OutgoingBody {
    /// A body that goes with its guest. Whoever reads a response asks how its guest ended; whoever reads
    /// a request only sees the end.
    fn drop(&mut self) {
        match self.length.of {
            BodyOf::Response => self.writer.finish(None),
            BodyOf::Request => self.writer.abort(),
        }
    }
}

impl BodyOutput {
    /// Copies bytes into the body, if there is room for them.
    ///
    /// # Errors
    /// As of [`OutputStream::write`].
    pub(in crate::sandbox) fn append(&self, bytes: &[u8]) -> StreamResult<Append> {
        let appended = self.writer.append(bytes).map_err(|_| StreamError::Closed)?;
        if let Append::Done { n_written, .. } = appended {
            self.judge(n_written)?;
        }
        Ok(appended)
    }

    /// Copies bytes into the body, for which there must be room.
    ///
    /// # Errors
    /// As of [`OutputStream::write`].
    pub(in crate::sandbox) fn append_all(&self, bytes: &[u8]) -> StreamResult<()> {
        match self.append(bytes)? {
            Append::Done { .. } => Ok(()),
            Append::NoRoom(room) => Err(too_much(bytes.len(), room)),
        }
    }

    /// Copies bytes into the body, whether there is room for them or not: in a replay a guest is told how much
    /// room there was in the first run.
    ///
    /// # Errors
    /// As of [`OutputStream::write`].
    pub(in crate::sandbox) fn append_any(&self, bytes: &[u8]) -> StreamResult<()> {
        let piece = Bytes::copy_from_slice(bytes);
        let n_written = self.writer.write(piece).map_err(|_| StreamError::Closed)?;
        self.judge(n_written)
    }

    /// What is too much goes out with the rest: whoever reads the body says how long it is.
    fn judge(&self, n_written: u64) -> StreamResult<()> {
        if self.length.announced.is_some_and(|announced| n_written > announced) {
            let error = self.length.of.wrong_size(n_written);
            return Err(StreamError::LastOperationFailed(error.into()));
        }
        Ok(())
    }

    fn must_wait(&self) -> bool {
        self.writer.room() == Ok(0)
    }
}

fn too_much(asked: usize, room: usize) -> StreamError {
    StreamError::trap(&format!("a write of {asked} bytes, where check-write allows {room}"))
}

impl OutputStream for BodyOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let (asked, room) = (bytes.len(), self.check_write()?);
        if asked > room {
            return Err(too_much(asked, room));
        }
        let n_written = self.writer.write(bytes).map_err(|_| StreamError::Closed)?;
        self.judge(n_written)
    }

    /// What is written is on its way already.
    fn flush(&mut self) -> StreamResult<()> {
        self.check_write().map(drop)
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.writer.room().map_err(|_| StreamError::Closed)
    }

    // What `async_trait` would make of it, but that what is written is on its way already.
    fn blocking_write_and_flush<'s, 'f>(&'s mut self, mut bytes: Bytes) -> Written<'f>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            loop {
                let room = self.write_ready().await?;
                let piece = bytes.split_to(room.min(bytes.len()));
                self.write(piece)?;
                if bytes.is_empty() {
                    break;
                }
            }
            self.ready().await;
            Ok(())
        })
    }
}

impl Pollable for BodyOutput {
    // What `async_trait` would make of it, but that nothing is boxed where there is no need to wait.
    fn ready<'s, 'f>(&'s mut self) -> Waited<'f>
    where
        's: 'f,
        Self: 'f,
    {
        if self.must_wait() {
            return Box::pin(poll_fn(|context| self.writer.poll_room(context)));
        }
        Box::pin(Done)
    }
}

/// What a stream returns that has somebody wait.
pub(super) type Waited<'f> = Pin<Box<dyn Future<Output = ()> + Send + 'f>>;
type Written<'f> = Pin<Box<dyn Future<Output = StreamResult<()>> + Send + 'f>>;

/// Nothing to wait for. Has no size, so that boxing it allocates nothing.
struct Done;

impl Future for Done {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
