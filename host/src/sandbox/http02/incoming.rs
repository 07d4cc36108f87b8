//! A body that a guest of 0.2 reads: of its request, or of a response of somebody else. Its pieces go to
//! the guest as they came, without a channel between the body and its stream.
//! Does not bound its length, and does not know where it comes from.

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body as _;
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi_http::{Error, WasiBody};

use super::body::Waited;

/// Pieces of a body that are passed over in one look for its trailers.
const FRAMES: usize = 16;

/// A body that a guest reads.
pub(in crate::sandbox) struct IncomingBody {
    /// What nobody has read of it, unless its stream has that.
    unread: Option<Unread>,
    is_stream_taken: bool,
}

/// What is left of a body.
enum Unread {
    /// It may go on.
    Open(WasiBody),
    /// It has ended, with these trailers, or broken off.
    Over(Option<HeaderMap>),
}

/// The stream through which a body is read. A child of the body, which is therefore there when this is
/// dropped.
pub(in crate::sandbox) struct BodyInput {
    unread: Unread,
    /// What was taken from the body and not by the guest.
    piece: Bytes,
    /// Why the body broke off, until the guest is told.
    error: Option<Error>,
    /// The number of the body.
    parent: u32,
}

/// The trailers of a body that nobody reads any more.
pub(in crate::sandbox) enum FutureTrailers {
    /// What is left of the body is passed over.
    Waiting(WasiBody),
    Ready(Trailers),
    Taken,
}

/// Trailers, if there were any, or why the body broke off.
type Trailers = Result<Option<HeaderMap>, Error>;

impl IncomingBody {
    /// A body that may have no end yet.
    pub(in crate::sandbox) fn new(body: WasiBody) -> Self {
        Self { unread: Some(Unread::Open(body)), is_stream_taken: false }
    }

    /// A body that has nothing in it.
    pub(in crate::sandbox) fn empty() -> Self {
        Self { unread: Some(Unread::Over(None)), is_stream_taken: false }
    }

    /// The stream to read it through, once; `number` is the body's own.
    pub(in crate::sandbox) fn take_stream(&mut self, number: u32) -> Option<BodyInput> {
        let unread = if self.is_stream_taken { None } else { self.unread.take() }?;
        self.is_stream_taken = true;
        Some(BodyInput { unread, piece: Bytes::new(), error: None, parent: number })
    }

    /// Takes back what its stream has left.
    pub(in crate::sandbox) fn take_back(&mut self, stream: BodyInput) {
        self.unread = Some(stream.unread);
    }

    /// The trailers, which may be yet to come.
    pub(in crate::sandbox) fn into_trailers(self) -> FutureTrailers {
        match self.unread {
            Some(Unread::Open(body)) => FutureTrailers::Waiting(body),
            Some(Unread::Over(trailers)) => FutureTrailers::Ready(Ok(trailers)),
            None => FutureTrailers::Ready(Ok(None)),
        }
    }
}

impl FutureTrailers {
    /// Whether something has come, or was taken before.
    pub(in crate::sandbox) fn is_there(&mut self) -> bool {
        self.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// What has come: `None` where nothing has yet, and an error where it was taken before.
    pub(in crate::sandbox) fn take(&mut self) -> Option<Result<Trailers, ()>> {
        // Whoever is to be woken says so when it waits.
        if self.poll_ready(&mut Context::from_waker(Waker::noop())).is_pending() {
            return None;
        }
        match mem::replace(self, Self::Taken) {
            Self::Ready(come) => Some(Ok(come)),
            Self::Taken | Self::Waiting(_) => Some(Err(())),
        }
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // What lies before the trailers is thrown away, and may come as fast as that: a guest's slice ends
        // between two looks only.
        for _ in 0..FRAMES {
            let Self::Waiting(body) = self else { return Poll::Ready(()) };
            let come = match std::task::ready!(Pin::new(body).poll_frame(context)) {
                None => Ok(None),
                Some(Err(error)) => Err(error),
                Some(Ok(frame)) => match frame.into_trailers() {
                    Ok(trailers) => Ok(Some(trailers)),
                    Err(_) => continue,
                },
            };
            *self = Self::Ready(come);
        }
        if matches!(self, Self::Waiting(_)) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl Pollable for FutureTrailers {
    fn ready<'s, 'f>(&'s mut self) -> Waited<'f>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(poll_fn(|context| self.poll_ready(context)))
    }
}

impl BodyInput {
    /// The number of its body, which is to be given back what is left.
    pub(in crate::sandbox) fn parent(&self) -> u32 {
        self.parent
    }

    /// Bytes that it holds itself.
    pub(in crate::sandbox) fn n_held(&self) -> usize {
        self.piece.len()
    }

    /// At most `most` bytes, once there are any. `most` may be 0.
    fn poll_read(&mut self, context: &mut Context<'_>, most: usize) -> Poll<StreamResult<Bytes>> {
        loop {
            if !self.piece.is_empty() {
                let n_read = most.min(self.piece.len());
                return Poll::Ready(Ok(self.piece.split_to(n_read)));
            }
            if let Some(error) = self.error.take() {
                return Poll::Ready(Err(StreamError::LastOperationFailed(error.into())));
            }
            if let Unread::Over(_) = self.unread {
                return Poll::Ready(Err(StreamError::Closed));
            }
            std::task::ready!(self.poll_piece(context));
        }
    }

    /// Takes what comes next of the body.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Unread::Open(body) = &mut self.unread else { return Poll::Ready(()) };
        match std::task::ready!(Pin::new(body).poll_frame(context)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(piece) => self.piece = piece,
                Err(frame) => self.unread = Unread::Over(frame.into_trailers().ok()),
            },
            Some(Err(error)) => {
                self.error = Some(error);
                self.unread = Unread::Over(None);
            }
            None => self.unread = Unread::Over(None),
        }
        Poll::Ready(())
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.piece.is_empty() && self.error.is_none() {
            let Unread::Open(_) = self.unread else { break };
            std::task::ready!(self.poll_piece(context));
        }
        Poll::Ready(())
    }
}

impl InputStream for BodyInput {
    fn read(&mut self, most: usize) -> StreamResult<Bytes> {
        // Whoever is to be woken says so when it waits.
        match self.poll_read(&mut Context::from_waker(Waker::noop()), most) {
            Poll::Ready(read) => read,
            Poll::Pending => Ok(Bytes::new()),
        }
    }

    // What `async_trait` would make of it, but that it waits in one place.
    fn blocking_read<'s, 'f>(&'s mut self, most: usize) -> Read<'f>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(poll_fn(move |context| self.poll_read(context, most)))
    }
}

impl Pollable for BodyInput {
    fn ready<'s, 'f>(&'s mut self) -> Waited<'f>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(poll_fn(|context| self.poll_ready(context)))
    }
}

type Read<'f> = Pin<Box<dyn Future<Output = StreamResult<Bytes>> + Send + 'f>>;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    #[test]
    fn one_look_for_trailers_passes_over_a_few_pieces_and_several_over_all() {
        let n_told = Arc::new(AtomicUsize::new(0));
        let told = n_told.clone();
        let frames = stream::iter((0..100).map(move |number| {
            told.fetch_add(1, Ordering::Relaxed);
            Ok(match number {
                99 => Frame::trailers(HeaderMap::new()),
                _ => Frame::data(Bytes::from_static(b"x")),
            })
        }));
        let body = StreamBody::new(frames).boxed_unsync();
        let mut trailers = FutureTrailers::Waiting(body);
        assert!(trailers.take().is_none());
        assert_eq!(n_told.load(Ordering::Relaxed), FRAMES);
        let n_more = (0..).find(|_| trailers.take().is_some()).unwrap();
        assert_eq!(n_more, 100 / FRAMES - 1);
        assert!(matches!(trailers.take(), Some(Err(()))));
    }
}
