//! A body, whichever way it goes.
//!
//! It does not limit what is read: the host does, by the manifest's `request_body`.

use std::{
    borrow::Cow,
    fmt,
    io::{self, Read, Write as _},
};

use http::HeaderMap;
use wasip2::{
    http::types::{Fields, IncomingBody, OutgoingBody},
    io::streams::{InputStream, StreamError},
};

use crate::{Error, Result, Sink, convert, sink};

/// How much is asked of the host at a time when a body is read or passed on.
const READ_BYTES: u64 = 64 * 1024;

/// The body of a request or a response.
///
/// Made from text or bytes it is held whole. One that came with a request or a response is still on
/// its way: it is an [`io::Read`], read chunk by chunk as it arrives. [`Body::stream`] makes one
/// that is written while it is sent. Passing a received body on (as the body of a response or of an
/// outbound request) moves it inside the host: its bytes never enter the instance.
///
/// ```no_run
/// use std::io::Read as _;
/// use steerage_sdk::{Body, Response, Result, handler};
///
/// #[handler]
/// fn count(mut body: Body) -> Result {
///     let (mut n_bytes, mut chunk) = (0, [0; 4096]);
///     loop {
///         match body.read(&mut chunk)? {
///             0 => break,
///             n => n_bytes += n,
///         }
///     }
///     Ok(Response::new(format!("{n_bytes} bytes\n").into()))
/// }
/// ```
#[derive(Default)]
pub struct Body(Kind);

type Writer = Box<dyn FnOnce(&mut Sink) -> io::Result<()>>;

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Static(&'static [u8]),
    /// Bytes, and how many of them have been read.
    Bytes(Vec<u8>, usize),
    Incoming(Incoming),
    Stream(Writer),
}

/// A body on its way in. The stream is a child of the body and must be dropped first: hence the
/// order of the fields.
struct Incoming {
    stream: Option<InputStream>,
    body: IncomingBody,
}

impl Body {
    /// A body without bytes.
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// A body that `write` makes while it is being sent, after the head has gone out.
    ///
    /// When `write` fails the response is cut, since its status can no longer be changed, and the
    /// reason is logged, unless it is that the reader has gone.
    ///
    /// ```
    /// use std::io::Write as _;
    /// use steerage_sdk::{Body, Response, handler};
    ///
    /// #[handler]
    /// fn squares() -> Response {
    ///     Response::new(Body::stream(|sink| {
    ///         for n in 0..1000 {
    ///             writeln!(sink, "{}", n * n)?;
    ///         }
    ///         Ok(())
    ///     }))
    /// }
    /// # assert!(squares().into_body().text().unwrap().ends_with("998001\n"));
    /// ```
    pub fn stream(write: impl FnOnce(&mut Sink) -> io::Result<()> + 'static) -> Self {
        Self(Kind::Stream(Box::new(write)))
    }

    pub(crate) fn incoming(body: IncomingBody) -> Self {
        Self(Kind::Incoming(Incoming { stream: None, body }))
    }

    /// All of it.
    ///
    /// # Errors
    ///
    /// When the sender stops midway, or sends more than the host lets in.
    pub fn bytes(mut self) -> Result<Vec<u8>> {
        if let Kind::Bytes(bytes, 0) = self.0 {
            return Ok(bytes);
        }
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// All of it, as text.
    ///
    /// # Errors
    ///
    /// As [`Body::bytes`], and 400 when it is not UTF-8.
    pub fn text(self) -> Result<String> {
        String::from_utf8(self.bytes()?).map_err(|_| Error::bad_request("the body is not UTF-8"))
    }

    /// The headers that came after the body, once it has been read. What was left unread is thrown
    /// away.
    ///
    /// # Errors
    ///
    /// When the sender stops before them.
    pub fn trailers(self) -> Result<Option<HeaderMap>> {
        let Kind::Incoming(incoming) = self.0 else { return Ok(None) };
        Ok(incoming.trailers()?.map(|fields| convert::header_map(&fields)))
    }

    /// Sends it and ends it.
    pub(crate) fn send(self, outgoing: OutgoingBody) -> io::Result<()> {
        match self.0 {
            Kind::Empty => sink::finish(outgoing, None),
            Kind::Static(bytes) => sink::write_bytes(outgoing, bytes).map_err(sink::into_io),
            Kind::Bytes(bytes, n_read) => {
                let unread = bytes.get(n_read..).unwrap_or_default();
                sink::write_bytes(outgoing, unread).map_err(sink::into_io)
            }
            Kind::Incoming(incoming) => incoming.pass_on(outgoing),
            Kind::Stream(write) => sink::write(outgoing, write),
        }
    }
}

impl Incoming {
    fn stream(&mut self) -> io::Result<&InputStream> {
        if self.stream.is_none() {
            self.stream = Some(self.body.stream().map_err(|()| io::ErrorKind::BrokenPipe)?);
        }
        self.stream.as_ref().ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }

    /// At most `limit` bytes; none at the end.
    fn read(&mut self, limit: u64) -> io::Result<Vec<u8>> {
        match self.stream()?.blocking_read(limit) {
            Ok(bytes) => Ok(bytes),
            Err(StreamError::Closed) => Ok(Vec::new()),
            Err(error) => Err(sink::into_io(error)),
        }
    }

    /// Moves it within the host.
    fn pass_on(mut self, outgoing: OutgoingBody) -> io::Result<()> {
        let output = outgoing.write().map_err(|()| io::ErrorKind::BrokenPipe)?;
        loop {
            match output.blocking_splice(self.stream()?, READ_BYTES) {
                Ok(_) => {}
                // Either end may have closed; only the one that reads makes this a failure.
                Err(StreamError::Closed) => {
                    output.check_write().map_err(sink::into_io)?;
                    break;
                }
                Err(error) => return Err(sink::into_io(error)),
            }
        }
        drop(output);
        sink::finish(outgoing, self.trailers()?)
    }

    fn trailers(self) -> io::Result<Option<Fields>> {
        drop(self.stream);
        let future = IncomingBody::finish(self.body);
        future.subscribe().block();
        match future.get() {
            Some(Ok(Ok(trailers))) => Ok(trailers),
            // Naming the reason would bring the names of all of them along.
            Some(Ok(Err(_))) => Err(io::ErrorKind::UnexpectedEof.into()),
            // It is ready, and this is the first time it is asked.
            Some(Err(())) | None => Ok(None),
        }
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Kind::Stream(_) = self.0 {
            self.make()?;
        }
        match &mut self.0 {
            Kind::Empty | Kind::Stream(_) => Ok(0),
            Kind::Static(bytes) => bytes.read(buffer),
            Kind::Bytes(bytes, n_read) => {
                let n = bytes.get(*n_read..).unwrap_or_default().read(buffer)?;
                *n_read += n;
                Ok(n)
            }
            Kind::Incoming(incoming) => {
                let limit = u64::try_from(buffer.len()).unwrap_or(READ_BYTES).min(READ_BYTES);
                if limit == 0 {
                    return Ok(0);
                }
                incoming.read(limit)?.as_slice().read(buffer)
            }
        }
    }

    fn read_to_end(&mut self, all: &mut Vec<u8>) -> io::Result<usize> {
        let length_before = all.len();
        if let Kind::Stream(_) = self.0 {
            self.make()?;
        }
        match &mut self.0 {
            Kind::Empty | Kind::Stream(_) => {}
            Kind::Static(bytes) => all.extend_from_slice(std::mem::take(bytes)),
            Kind::Bytes(bytes, n_read) => {
                all.extend_from_slice(bytes.get(*n_read..).unwrap_or_default());
                *n_read = bytes.len();
            }
            Kind::Incoming(incoming) => loop {
                let chunk = incoming.read(READ_BYTES)?;
                if chunk.is_empty() {
                    break;
                }
                all.extend_from_slice(&chunk);
            },
        }
        Ok(all.len() - length_before)
    }
}

impl Body {
    /// Runs a stream's writer into memory: whoever reads a stream here wants its bytes.
    fn make(&mut self) -> io::Result<()> {
        if let Kind::Stream(write) = std::mem::take(&mut self.0) {
            let mut sink = Sink::memory();
            write(&mut sink)?;
            sink.flush()?;
            self.0 = Kind::Bytes(sink.into_memory(), 0);
        }
        Ok(())
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Empty => "Body(empty)",
            Kind::Static(_) | Kind::Bytes(..) => "Body(bytes)",
            Kind::Incoming(_) => "Body(incoming)",
            Kind::Stream(_) => "Body(stream)",
        })
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self(Kind::Static(text.as_bytes()))
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Kind::Static(bytes))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self(Kind::Bytes(text.into_bytes(), 0))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Kind::Bytes(bytes, 0))
    }
}

impl From<Cow<'static, str>> for Body {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_in_pieces_and_the_rest_at_once() {
        for mut body in [Body::from("abcdef"), Body::from("abcdef".to_owned()), streamed("abcdef")]
        {
            let mut piece = [0; 2];
            assert_eq!(body.read(&mut piece).unwrap(), 2);
            assert_eq!((&piece, body.bytes().unwrap().as_slice()), (b"ab", b"cdef".as_slice()));
        }
    }

    #[test]
    fn text_must_be_utf8() {
        assert_eq!(Body::from(vec![0xff]).text().unwrap_err().status(), 400);
        assert_eq!(Body::empty().text().unwrap(), "");
    }

    #[test]
    fn a_stream_that_fails_has_no_bytes() {
        let body = Body::stream(|sink| {
            sink.write_all(b"half")?;
            Err(io::Error::other("and no more"))
        });
        assert_eq!(body.bytes().unwrap_err().to_string(), "and no more");
    }

    fn streamed(text: &'static str) -> Body {
        Body::stream(move |sink| text.bytes().try_for_each(|byte| sink.write_all(&[byte])))
    }
}
