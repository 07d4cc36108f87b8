//! A guest's response on its way out: the length that its head announces is the length of its body, or
//! the client is told. A body is bounded, and cut when its guest fails.
//! Does not know how guests run or end.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use steerage_core::outcome::Outcome;
use steerage_core::spent::Phase;
use steerage_core::units;

use super::head::{self, Promise};
use super::{Cut, ResponseBody, gathered};
use crate::body::Produced;
use crate::call::{CallSide, WaitedFor};
use crate::meter;

/// What a guest did that dropped its response's body before its end.
const ABANDONED: &str = "the guest abandoned its response body";

/// A guest's response body: the client's side of its call.
#[derive(Debug)]
pub struct GuestBody {
    inner: Produced,
    call: CallSide,
    /// Whether a piece is on its way to the client, whoever has not asked for the next one.
    waited_for: WaitedFor,
    limit: units::Bytes,
    /// How long the body is, by its head or by itself.
    promised: Option<u64>,
    sent: u64,
    /// Whether the client has all that it was promised.
    complete: bool,
    /// Whether nothing is to come of `inner`.
    ended: bool,
}

/// Makes a guest's response one that can be sent. The call has this side until it was.
///
/// # Errors
/// How the call ended instead. Nothing was sent yet, so the client can be told.
pub fn answer(
    response: Response<Produced>,
    is_head: bool,
    call: &CallSide,
    limit: units::Bytes,
) -> Result<Response<ResponseBody>, Outcome> {
    call.time().note_left_to_client(meter::now());
    let (mut head, mut body) = response.into_parts();
    let promise = head::read(&mut head, is_head).map_err(no_answer)?;
    if call.is_over() {
        let gathered = gathered::gather(body).map_err(|_| no_answer(ABANDONED.to_owned()))?;
        check(&promise, &gathered, limit)?;
        // What GET would have answered, of which HEAD tells the length.
        let is_told = is_head && promise.may_tell_length && promise.length.is_none();
        if is_told && gathered.is_whole && gathered.length > 0 {
            head.headers.insert(header::CONTENT_LENGTH, gathered.length.into());
        }
        body = gathered.body;
    }
    if !promise.has_body {
        if head.status == StatusCode::RESET_CONTENT {
            head.headers.insert(header::CONTENT_LENGTH, 0.into());
        }
        swallow(body, call.clone(), None);
        return Ok(Response::from_parts(head, ResponseBody::Host(Full::default())));
    }
    // A guest that fails drops its end of the body, which then looks whole: in this order that is seen.
    let (exact, is_empty) = (body.size_hint().exact(), body.is_end_stream());
    let is_sound = !call.failed();
    let promised = promise.length.or_else(|| exact.filter(|_| is_sound));
    let call = call.clone();
    let mut body = GuestBody {
        inner: body,
        waited_for: WaitedFor::new(call.time().clone(), Phase::Client),
        call,
        limit,
        promised,
        sent: 0,
        complete: false,
        ended: false,
    };
    body.complete = promised == Some(0) || (is_empty && is_sound && !body.is_short());
    Ok(Response::from_parts(head, ResponseBody::Guest(body)))
}

/// Has a client learn the length of a body by its end, where the guest did not say it. One that is empty says so.
pub fn leave_length_unsaid(reply: &mut Response<ResponseBody>) {
    if reply.headers().contains_key(header::CONTENT_LENGTH) {
        return;
    }
    if let ResponseBody::Guest(body) = reply.body_mut() {
        body.promised = body.promised.filter(|length| *length == 0);
    }
}

/// Compares a body with its head, as far as it is there.
fn check(
    promise: &Promise,
    gathered: &gathered::Gathered,
    limit: units::Bytes,
) -> Result<(), Outcome> {
    let length = gathered.length;
    if length > limit.get() {
        return Err(Outcome::ResponseTooLarge { limit });
    }
    // An answer to HEAD may tell the length of a body that it does not have.
    let is_told_only = !promise.has_body && length == 0;
    match promise.length {
        Some(promised) if length > promised || (gathered.is_whole && length < promised) => {
            if is_told_only {
                Ok(())
            } else {
                Err(no_answer(differs(promised, length)))
            }
        }
        _ => Ok(()),
    }
}

fn differs(promised: u64, sent: u64) -> String {
    format!("its Content-Length is {promised}, and its body has {sent} bytes")
}

fn no_answer(detail: String) -> Outcome {
    Outcome::NoAnswer { detail }
}

/// Takes what a guest still writes of a body that nobody reads to its end: one that was not asked for,
/// or of which the client has all that was `promised`. A guest whose writes failed there would be blamed
/// for it, and one that writes more than it promised would not.
fn swallow(mut body: Produced, call: CallSide, promised: Option<u64>) {
    if call.is_over() || body.is_end_stream() {
        return;
    }
    // Without a runtime the host is ending, and the guest with it.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    // It ends with the guest, which the call's timeout bounds.
    drop(runtime.spawn(async move {
        while let Some(frame) = body.frame().await {
            // The 0.3 bindings count as well, and make an error of what is too much.
            let surplus = match &frame {
                Ok(frame) => frame.data_ref().map_or(0, Bytes::len) as u64,
                Err(_) => 1,
            };
            if let Some(promised) = promised.filter(|_| surplus > 0) {
                call.cut(no_answer(differs(promised, promised.saturating_add(surplus))));
            }
            if frame.is_err() {
                break;
            }
        }
    }));
}

impl GuestBody {
    /// Counts bytes that are about to be sent.
    fn count(&mut self, bytes: u64) -> Result<(), Cut> {
        let sum = self.sent.saturating_add(bytes);
        if sum > self.limit.get() {
            return Err(self.cut(Outcome::ResponseTooLarge { limit: self.limit }));
        }
        if let Some(promised) = self.promised.filter(|promised| sum > *promised) {
            return Err(self.cut(no_answer(differs(promised, sum))));
        }
        self.sent = sum;
        self.call.add_response_bytes(bytes);
        // With a promised length nobody asks for the end of the stream.
        self.complete |= self.promised == Some(sum);
        Ok(())
    }

    /// The guest says that this was all of it.
    fn finish(&mut self) -> Result<(), Cut> {
        self.ended = true;
        if self.call.failed() {
            // A guest that fails drops its end of the body, which looks like a good end.
            return Err(self.cut(no_answer(ABANDONED.to_owned())));
        }
        match self.promised {
            Some(promised) if promised != self.sent => {
                Err(self.cut(no_answer(differs(promised, self.sent))))
            }
            _ => {
                self.complete = true;
                Ok(())
            }
        }
    }

    fn cut(&mut self, outcome: Outcome) -> Cut {
        self.call.cut(outcome);
        self.complete = true;
        self.promised = None;
        Cut::by(self.call.ended().map_or("no_answer", |(outcome, _)| outcome.cause()))
    }

    fn is_short(&self) -> bool {
        self.promised.is_some_and(|promised| promised != self.sent)
    }
}

impl Body for GuestBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        self.waited_for.set(polled.is_ready());
        let frame = match std::task::ready!(polled) {
            Some(Ok(frame)) => frame,
            Some(Err(_)) => {
                self.ended = true;
                let cut = self.cut(no_answer(ABANDONED.to_owned()));
                return Poll::Ready(Some(Err(cut)));
            }
            None => return Poll::Ready(self.finish().err().map(Err)),
        };
        Poll::Ready(Some(match frame.into_trailers() {
            // Trailers are last. Whoever sends them on does not ask whether more comes, and a client
            // that does not take them has everything else.
            Ok(mut trailers) => self.finish().map(|()| {
                head::clean_trailers(&mut trailers);
                Frame::trailers(trailers)
            }),
            Err(frame) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                self.count(bytes).map(|()| frame)
            }
        }))
    }

    /// An end that nothing has promised must be asked for: it may be an error.
    fn is_end_stream(&self) -> bool {
        self.complete && !self.is_short() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.promised {
            // By this hyper counts; the head says the same.
            Some(promised) => SizeHint::with_exact(promised.saturating_sub(self.sent)),
            // What there is need not be all there should be.
            None => SizeHint::default(),
        }
    }
}

impl Drop for GuestBody {
    fn drop(&mut self) {
        if !self.complete {
            self.call.cut(Outcome::ClientGone);
            return;
        }
        if !self.ended {
            let rest = std::mem::replace(&mut self.inner, Produced::Nothing);
            swallow(rest, self.call.clone(), self.promised);
        }
    }
}
