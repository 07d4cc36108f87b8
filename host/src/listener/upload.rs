//! A request's body on its way in. When nobody reads it to its end, the rest is read and thrown
//! away, up to a bound: many clients look at an answer only after they have sent all they had, and a
//! connection that is closed on them before loses it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::{Request, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::runtime::Handle;

use super::connection::{Connection, Uploading};

/// Most bytes that are read for nobody.
const MOST: u64 = 64 << 20;
/// Longest time that reading them may take.
const LONGEST: Duration = Duration::from_secs(30);
/// Longest wait for the next of them.
const PATIENCE: Duration = Duration::from_secs(5);

/// A request's body.
#[derive(Debug)]
pub struct Upload {
    body: Option<Incoming>,
    /// There until the body has come to its end. In a box: the future of every call holds this, and
    /// most requests have no body.
    coming: Option<Box<Coming>>,
}

#[derive(Debug)]
struct Coming {
    /// Where the rest is read; the body may be dropped on another thread.
    runtime: Handle,
    /// Whether the client sends nothing before it is told to go on, which reading tells it.
    waits: bool,
    uploading: Uploading,
}

impl Upload {
    /// Takes the body of a request that came on this connection.
    pub(super) fn of(request: Request<Incoming>, connection: &Arc<Connection>) -> Request<Self> {
        // Over HTTP/2 clients do not wait, and many take a stream that is reset for a failure.
        let waits = request.version() < Version::HTTP_2 && request.headers().contains_key(EXPECT);
        request.map(|body| {
            // Most requests have none.
            let coming = (!body.is_end_stream()).then(|| {
                let (runtime, uploading) = (Handle::current(), connection.upload());
                Box::new(Coming { runtime, waits, uploading })
            });
            Self { body: Some(body), coming }
        })
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        if let Some(coming) = &mut this.coming {
            coming.waits = false;
        }
        let polled = Pin::new(&mut *body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) || body.is_end_stream() {
            this.coming = None;
        } else if let Some(coming) = &mut this.coming {
            coming.uploading.want(polled.is_pending());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let (Some(body), Some(coming)) = (self.body.take(), self.coming.take())
            && !coming.waits
        {
            let runtime = coming.runtime.clone();
            drop(runtime.spawn(async move {
                drop(tokio::time::timeout(LONGEST, discard(body, MOST)).await);
                drop(coming);
            }));
        }
    }
}

/// Reads a body until it ends, breaks, pauses for too long or was long enough.
async fn discard<B: Body<Data = Bytes> + Unpin>(mut body: B, most: u64) {
    let mut n_read = 0;
    while n_read <= most
        && let Ok(Some(Ok(frame))) = tokio::time::timeout(PATIENCE, body.frame()).await
    {
        n_read += frame.data_ref().map_or(0, Bytes::len) as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::stream;
    use http_body_util::StreamBody;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_nobody_reads_is_bounded_in_bytes_and_in_pauses() {
        let n_sent = Cell::new(0);
        let endless = stream::repeat_with(|| {
            n_sent.set(n_sent.get() + 1);
            Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from_static(&[0; 100])))
        });
        discard(StreamBody::new(endless), 1000).await;
        assert_eq!(n_sent.get(), 11);
        let silent = stream::pending::<Result<Frame<Bytes>, std::convert::Infallible>>();
        let before = Instant::now();
        discard(StreamBody::new(silent), 1000).await;
        assert_eq!(before.elapsed(), PATIENCE);
    }
}
