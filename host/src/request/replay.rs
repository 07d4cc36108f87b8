//! A request that is passed on to another host, and perhaps to a further one when that breaks: what
//! of it can be sent again, and the answer as far as it can be held back until it is whole.
//! Does not choose hosts.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, Version};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming as IncomingBody;
use steerage_core::outcome::{Outcome, Refusal};

use super::Accepted;
use super::forwarded::Hop;
use super::head::{self, Caller};
use super::inbound::Inbound;
use crate::forward::{self, BodyError, InFlight, SendError};

/// Longest body, of a request or of an answer, that is held to be sent again or to be whole.
const HELD: u64 = 64 << 10;
/// How long an answer is held whose length is not known: a small one is whole by then, unless its host
/// is very busy, and one that streams for long can wait so much once.
const HELD_FOR: Duration = Duration::from_millis(50);

/// How long a client may take for a body that is held: as long as an app has by default.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// A request on its way to another host.
pub(super) struct ReplayableRequest {
    accepted: Accepted<()>,
    hop: Hop,
    body: Content,
    is_idempotent: bool,
}

enum Content {
    Held(Bytes),
    Coming(Arc<Coming>),
}

/// A body that is read as it is sent. It stays ours, so that it can be used where nothing was read.
struct Coming {
    body: Mutex<Inbound>,
    was_read: AtomicBool,
    /// Whether the client broke it off.
    is_broken: AtomicBool,
}

/// Why a small body could not be read.
pub(super) enum Unread {
    /// The client broke it off.
    Broken,
    /// It did not come within [`READ_WITHIN`].
    InTime,
}

impl From<Unread> for Outcome {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Broken => Self::ClientGone,
            Unread::InTime => {
                let detail = format!("the request body did not come within {READ_WITHIN:?}");
                Self::Refused(Refusal::BadRequest { detail })
            }
        }
    }
}

/// What came back.
pub(super) enum Attempt {
    /// An answer; its body may still be coming.
    Answered(Response<ReplayBody>),
    /// Nothing, and the request can be sent once more.
    Again(SendError),
    /// Nothing, and it cannot: who knows what it has done.
    Lost(SendError),
}

/// An answer's body.
pub(super) enum ReplayBody {
    Whole(Full<Bytes>),
    /// What has come already, and what is coming.
    Coming(Vec<Frame<Bytes>>, IncomingBody, InFlight),
}

impl ReplayableRequest {
    /// Takes a request as it came. A small body is read now, so that it can be sent twice.
    pub(super) async fn read(accepted: Accepted, peer: &Caller) -> Result<Self, Unread> {
        let Accepted { id, is_late, started_at, host, is_completed, request } = accepted;
        let (parts, body) = request.into_parts();
        let is_idempotent = parts.method.is_idempotent();
        let is_small = body.is_end_stream() || body.size_hint().exact().is_some_and(|n| n <= HELD);
        let body = if is_small {
            Content::Held(read_within(READ_WITHIN, body).await?)
        } else {
            Content::Coming(Arc::new(Coming {
                body: Mutex::new(body),
                was_read: AtomicBool::new(false),
                is_broken: AtomicBool::new(false),
            }))
        };
        let mut request = Request::from_parts(parts, ());
        complete(&mut request);
        let hop = Hop::new(request.headers_mut(), peer, id);
        Ok(Self {
            accepted: Accepted { id, is_late, started_at, host, is_completed, request },
            hop,
            body,
            is_idempotent,
        })
    }

    /// Sends it.
    pub(super) async fn send(&self, to: &Arc<forward::Peer>) -> Attempt {
        let sent = to.send(self.copy()).await;
        let (response, in_flight) = match sent {
            Ok(answered) => answered,
            Err(broken) => return self.broken(broken),
        };
        let is_long = response.body().size_hint().lower() > HELD;
        if is_long || !self.is_idempotent {
            let coming = |body| ReplayBody::Coming(Vec::new(), body, in_flight);
            return Attempt::Answered(response.map(coming));
        }
        let (parts, body) = response.into_parts();
        match hold(body, in_flight).await {
            Ok(reading) => Attempt::Answered(Response::from_parts(parts, reading)),
            Err(error) => {
                let (host, address) = (to.name.clone(), to.address);
                let why = format!("its answer broke off: {error}");
                self.broken(SendError { host, address, why, unsent: None })
            }
        }
    }

    fn broken(&self, broken: SendError) -> Attempt {
        let is_unread = match &self.body {
            Content::Held(_) => true,
            Content::Coming(coming) => !coming.was_read.load(Ordering::Acquire),
        };
        if is_unread && (self.is_idempotent || broken.unsent.is_some()) {
            Attempt::Again(broken)
        } else {
            Attempt::Lost(broken)
        }
    }

    /// Whether it may be sent once more after a refusal; `has_begun` where a guest may have done something
    /// before that.
    pub(super) fn may_repeat(&self, has_begun: bool) -> bool {
        self.is_whole() && (self.is_idempotent || !has_begun)
    }

    /// Whether nothing of a body is gone that cannot come again.
    fn is_whole(&self) -> bool {
        match &self.body {
            Content::Held(_) => true,
            Content::Coming(coming) => !coming.was_read.load(Ordering::Acquire),
        }
    }

    /// Whether the client broke its body off.
    pub(super) fn is_broken(&self) -> bool {
        match &self.body {
            Content::Held(_) => false,
            Content::Coming(coming) => coming.is_broken.load(Ordering::Acquire),
        }
    }

    /// The request again, to be served here.
    pub(super) fn open(self) -> Accepted {
        let Accepted { id, is_late, started_at, host, is_completed, request } = self.accepted;
        let body = match self.body {
            Content::Held(bytes) => Inbound::Held(Full::new(bytes)),
            Content::Coming(coming) => {
                let mut kept = coming.body.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::replace(&mut *kept, Inbound::Held(Full::default()))
            }
        };
        let request = request.map(|()| body);
        Accepted { id, is_late, started_at, host, is_completed, request }
    }

    pub(super) fn id(&self) -> steerage_core::id::CallId {
        self.accepted.id
    }

    fn copy(&self) -> Request<forward::Body> {
        let body = match &self.body {
            Content::Held(bytes) => {
                Full::new(bytes.clone()).map_err(|never| match never {}).boxed_unsync()
            }
            Content::Coming(coming) => SharedBody(coming.clone()).boxed_unsync(),
        };
        let head = &self.accepted.request;
        let mut copy = Request::new(body);
        *copy.method_mut() = head.method().clone();
        *copy.uri_mut() = head.uri().clone();
        *copy.headers_mut() = head.headers().clone();
        self.hop.tell(copy.headers_mut(), self.accepted.started_at.elapsed());
        *copy.version_mut() = Version::HTTP_2;
        copy
    }
}

/// Reads a whole body. While this waits, nothing else ends a client that sends a byte now and then.
async fn read_within<B: http_body::Body>(limit: Duration, body: B) -> Result<Bytes, Unread> {
    match tokio::time::timeout(limit, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(_)) => Err(Unread::Broken),
        Err(_) => Err(Unread::InTime),
    }
}

/// Holds an answer back until it is whole, so that it can be asked for again while nobody has seen a
/// part of it; not for long, and not much of it.
async fn hold(mut body: IncomingBody, in_flight: InFlight) -> Result<ReplayBody, hyper::Error> {
    let until = tokio::time::Instant::now() + HELD_FOR;
    let (mut held, mut n_bytes) = (Vec::new(), 0);
    while n_bytes <= HELD {
        match tokio::time::timeout_at(until, body.frame()).await {
            Err(_) => break,
            Ok(None) => {
                let data =
                    held.into_iter().filter_map(|frame: Frame<Bytes>| frame.into_data().ok());
                return Ok(ReplayBody::Whole(Full::new(joined(data.collect()))));
            }
            Ok(Some(frame)) => {
                let frame = frame?;
                let is_data = frame.is_data();
                n_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                held.push(frame);
                if !is_data {
                    break;
                }
            }
        }
    }
    Ok(ReplayBody::Coming(held, body, in_flight))
}

fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    match (pieces.len(), pieces.pop()) {
        (1, Some(only)) => only,
        (_, None) => Bytes::new(),
        (_, Some(last)) => {
            pieces.push(last);
            pieces.concat().into()
        }
    }
}

/// HTTP/2 needs the whole address of what is asked for.
fn complete(request: &mut Request<()>) {
    head::complete_uri(request, false);
    if head::content_length(request.headers()) == Some(0) && request.method() == Method::GET {
        request.headers_mut().remove(http::header::CONTENT_LENGTH);
    }
}

/// A body on its way out that stays with the request.
struct SharedBody(Arc<Coming>);

impl http_body::Body for SharedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut body = self.0.body.lock().unwrap_or_else(PoisonError::into_inner);
        let frame = std::task::ready!(Pin::new(&mut *body).poll_frame(context));
        self.0.was_read.store(true, Ordering::Release);
        if matches!(frame, Some(Err(_))) {
            self.0.is_broken.store(true, Ordering::Release);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.body.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.body.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::StreamBody;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_a_byte_a_second_is_given_up() {
        let bytes = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"x"))), ()))
        });
        let body = StreamBody::new(Box::pin(bytes));
        let started_at = tokio::time::Instant::now();
        assert!(matches!(read_within(READ_WITHIN, body).await, Err(Unread::InTime)));
        assert_eq!(started_at.elapsed(), READ_WITHIN);
        let whole = read_within(READ_WITHIN, Full::new(Bytes::from_static(b"whole"))).await;
        assert!(whole.is_ok_and(|whole| whole == "whole"));
    }
}
