//! Where a body is written to.
//!
//! It does not know what the body is or who reads it; the host applies back-pressure by making a
//! write wait.

use std::io;

use http::HeaderMap;
use wasip2::{
    http::types::{Fields, OutgoingBody},
    io::streams::{OutputStream, StreamError},
};

use crate::convert;

/// What one call of the host's combined write-and-flush takes.
const CHUNK_BYTES: usize = 4096;

/// The body being sent, as an [`io::Write`].
///
/// Small writes are gathered into chunks of 4 KiB; [`flush`](io::Write::flush) sends what there is
/// now, and the end of the body sends the rest. A write fails with
/// [`BrokenPipe`](io::ErrorKind::BrokenPipe) when the reader has gone.
#[derive(Debug)]
pub struct Sink {
    /// `None` gathers everything, for a test or for a body that is read where it was made.
    stream: Option<OutputStream>,
    buffer: Vec<u8>,
    trailers: Option<HeaderMap>,
}

impl Sink {
    pub(crate) fn memory() -> Self {
        Self { stream: None, buffer: Vec::new(), trailers: None }
    }

    pub(crate) fn into_memory(self) -> Vec<u8> {
        self.buffer
    }

    /// Sends these headers after the body, in place of any set before.
    pub fn trailers(&mut self, trailers: HeaderMap) {
        self.trailers = Some(trailers);
    }

    fn send_buffer(&mut self) -> io::Result<()> {
        if let Some(stream) = &self.stream {
            send(stream, &self.buffer).map_err(into_io)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.stream.is_some() && self.buffer.len() + bytes.len() > CHUNK_BYTES {
            self.send_buffer()?;
        }
        match &self.stream {
            Some(stream) if bytes.len() >= CHUNK_BYTES => send(stream, bytes).map_err(into_io)?,
            _ => self.buffer.extend_from_slice(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send_buffer()
    }
}

/// Writes a body with `write` and ends it. When `write` fails the body is left unended, which tells
/// the reader that it is not whole.
pub(crate) fn write(
    body: OutgoingBody,
    write: impl FnOnce(&mut Sink) -> io::Result<()>,
) -> io::Result<()> {
    let stream = body.write().map_err(|()| io::ErrorKind::BrokenPipe)?;
    let mut sink = Sink { stream: Some(stream), buffer: Vec::new(), trailers: None };
    write(&mut sink)?;
    sink.send_buffer()?;
    drop(sink.stream);
    finish(body, sink.trailers.as_ref().map(convert::fields))
}

/// Writes a body that is there whole, and ends it.
pub(crate) fn write_bytes(body: OutgoingBody, bytes: &[u8]) -> Result<(), StreamError> {
    if !bytes.is_empty() {
        let Ok(stream) = body.write() else { return Err(StreamError::Closed) };
        send(&stream, bytes)?;
    }
    // It fails when fewer bytes were sent than a content-length promised; the host has noticed.
    drop(OutgoingBody::finish(body, None));
    Ok(())
}

/// Ends a body. The host's reason for refusing is not printed: it can only be the length, and the
/// names of forty other reasons would come along.
pub(crate) fn finish(body: OutgoingBody, trailers: Option<Fields>) -> io::Result<()> {
    let wrong_length = |_| io::Error::other("its length is not what content-length says");
    OutgoingBody::finish(body, trailers).map_err(wrong_length)
}

/// Sends all of it; returns when the host has taken it.
fn send(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), StreamError> {
    if bytes.len() <= CHUNK_BYTES {
        return stream.blocking_write_and_flush(bytes);
    }
    while !bytes.is_empty() {
        let allowed = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX);
        let (chunk, rest) = bytes.split_at(allowed.min(bytes.len()));
        if chunk.is_empty() {
            stream.subscribe().block();
        } else {
            stream.write(chunk)?;
        }
        bytes = rest;
    }
    stream.blocking_flush()
}

pub(crate) fn into_io(error: StreamError) -> io::Error {
    match error {
        StreamError::Closed => io::ErrorKind::BrokenPipe.into(),
        StreamError::LastOperationFailed(error) => io::Error::other(error.to_debug_string()),
    }
}
