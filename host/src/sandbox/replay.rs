//! A request that is given to a guest and can be had back as long as nothing of its body was taken and
//! nothing was answered. Does not decide when that is worth the copy of its head.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use http::Request;
use http_body::{Body, Frame, SizeHint};

use super::instance::GuestRequest;
use crate::call::{LentSender, ResponseSender};

/// What is needed to ask again.
pub(super) struct Replay<B> {
    head: Request<()>,
    body: SharedBody<B>,
    sender: LentSender,
    rest: Rest,
}

struct Rest {
    https: bool,
    place: super::cgi::environment::Origin,
    deadline: tokio::time::Instant,
}

/// The body of a request that may be asked for again.
pub(super) struct SharedBody<B> {
    body: Arc<Mutex<Pin<Box<B>>>>,
    is_used: Arc<AtomicBool>,
}

/// A request for a guest, and what is needed to ask for the same again.
pub(super) fn replayable<B>(
    guest_request: GuestRequest<B>,
) -> (Box<GuestRequest<SharedBody<B>>>, Replay<B>) {
    let GuestRequest { request, host_headers, https, place, deadline, head, .. } = guest_request;
    let (mut parts, body) = request.into_parts();
    if let Some(host_headers) = host_headers {
        host_headers.set(&mut parts.headers);
    }
    let is_used = Arc::default();
    let body = SharedBody { body: Arc::new(Mutex::new(Box::pin(body))), is_used };
    let (head_of_guest, sender) = head.lend();
    let head = Request::from_parts(parts.clone(), ());
    let replay = Replay { head, body: body.clone(), sender, rest: Rest { https, place, deadline } };
    (replay.rest.guest_request(Request::from_parts(parts, body), head_of_guest), replay)
}

impl<B> Replay<B> {
    /// The same request, unless a part of the body was taken or an answer was given.
    pub(super) fn back(self) -> Option<Box<GuestRequest<SharedBody<B>>>> {
        if self.body.is_used.load(Ordering::Acquire) {
            return None;
        }
        let sender = self.sender.back()?;
        Some(self.rest.guest_request(self.head.map(|()| self.body), sender))
    }
}

impl Rest {
    fn guest_request<B>(
        &self,
        request: Request<SharedBody<B>>,
        head: ResponseSender,
    ) -> Box<GuestRequest<SharedBody<B>>> {
        let (https, place, deadline) = (self.https, self.place.clone(), self.deadline);
        Box::new(GuestRequest {
            request,
            host_headers: None,
            https,
            place,
            deadline,
            head,
            tape: None,
        })
    }
}

impl<B> SharedBody<B> {
    /// The lock is never waited for: one guest at a time has the body.
    fn body(&self) -> MutexGuard<'_, Pin<Box<B>>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Clone for SharedBody<B> {
    fn clone(&self) -> Self {
        Self { body: self.body.clone(), is_used: self.is_used.clone() }
    }
}

impl<B: Body> Body for SharedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = self.body().as_mut().poll_frame(context);
        if polled.is_ready() {
            self.is_used.store(true, Ordering::Release);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body().size_hint()
    }
}
