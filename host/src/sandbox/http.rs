//! One call of a component that exports a `wasi:http` handler, 0.2 or 0.3.
//! Does not make instances and does not judge how the call ended.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body::Body;
use steerage_core::excerpt::{self, excerpt};
use steerage_core::outcome::Outcome;
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime_wasi_http::{Error, WasiHttpView, p2, p3};

use super::guest::Guest;
use super::http02::{IncomingRequest, OutparamHandle, RequestHandle};
use crate::body::Produced;
use crate::call::Call;

/// What a guest answers: a response, or in one line why there is none.
pub type GuestResponse = Result<http::Response<Produced>, String>;

/// Where the head of the response and its body go, once the guest has made them.
#[derive(Debug)]
pub struct ResponseSender {
    call: Arc<Call>,
    waiting: Waiting,
}

#[derive(Debug)]
enum Waiting {
    Own(oneshot::Sender<GuestResponse>),
    Shared(Arc<Mutex<Option<oneshot::Sender<GuestResponse>>>>),
}

/// Where a sender that two have is had back from.
#[derive(Debug)]
pub(super) struct SharedSender {
    call: Arc<Call>,
    waiting: Arc<Mutex<Option<oneshot::Sender<GuestResponse>>>>,
}

impl ResponseSender {
    /// A sender, and where its answer arrives. Notes in `call` that there was one.
    #[must_use]
    pub fn new(call: Arc<Call>) -> (Self, oneshot::Receiver<GuestResponse>) {
        let (waiting, answer) = oneshot::channel();
        (Self { call, waiting: Waiting::Own(waiting) }, answer)
    }

    /// Sends the answer. Nobody may wait for it any more; the guest need not know.
    pub fn send(self, answer: GuestResponse) {
        self.call.set_answered();
        let waiting = match self.waiting {
            Waiting::Own(waiting) => Some(waiting),
            Waiting::Shared(waiting) => take(&waiting),
        };
        if let Some(waiting) = waiting {
            drop(waiting.send(answer));
        }
    }

    /// Ends the call: what the guest wrote, or began to, is no response, for this reason. What it does
    /// next does not matter any more.
    pub fn refuse(self, detail: String) {
        self.call.set_answered();
        self.call.cut(Outcome::NoAnswer { detail });
    }

    /// A sender whose answer goes the same way, and the means to have this one back should it have
    /// none.
    pub(super) fn share(self) -> (Self, SharedSender) {
        let Self { call, waiting } = self;
        let waiting = match waiting {
            Waiting::Own(waiting) => Arc::new(Mutex::new(Some(waiting))),
            Waiting::Shared(waiting) => waiting,
        };
        let shared = SharedSender { call: call.clone(), waiting: waiting.clone() };
        (Self { call, waiting: Waiting::Shared(waiting) }, shared)
    }
}

impl SharedSender {
    /// The sender, unless an answer was sent.
    pub(super) fn back(self) -> Option<ResponseSender> {
        let waiting = take(&self.waiting)?;
        Some(ResponseSender { call: self.call, waiting: Waiting::Own(waiting) })
    }
}

fn take(
    waiting: &Mutex<Option<oneshot::Sender<GuestResponse>>>,
) -> Option<oneshot::Sender<GuestResponse>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Lets a 0.2 handler answer. Returns when the guest's function has returned.
///
/// # Errors
/// A trap, or a failure of a host function.
pub async fn call_p2<B>(
    store: &mut Store<Guest>,
    proxy: &p2::bindings::Proxy,
    request: http::Request<B>,
    https: bool,
    head: ResponseSender,
) -> wasmtime::Result<()>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Error>,
{
    let table = &mut store.data_mut().table;
    let request = table.push(IncomingRequest::new(request, https))?;
    let out = table.push(head)?;
    let (request, out) =
        (RequestHandle::new_own(request.rep()), OutparamHandle::new_own(out.rep()));
    proxy.wasi_http_incoming_handler().call_handle(store, request, out).await
}

/// Lets a 0.3 handler answer. Returns when the guest has no task left, body included.
///
/// # Errors
/// A trap, or a failure of a host function.
pub async fn call_p3<B>(
    store: &mut Store<Guest>,
    service: &p3::bindings::Service,
    request: http::Request<B>,
    head: ResponseSender,
) -> wasmtime::Result<()>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Error>,
{
    let (request, request_done) = p3::Request::from_http(store.data_mut().http().hooks, request);
    store
        .run_concurrent(async move |accessor| -> wasmtime::Result<()> {
            let answer = match service.handle(accessor, request).await? {
                Ok(response) => accessor
                    .with(|store| response.into_http(store, request_done))
                    .map(|response| response.map(Produced::Boxed))
                    .map_err(|error| format!("its response cannot be sent: {error:#}")),
                Err(code) => Err(refused(&code)),
            };
            head.send(answer);
            poll_fn(|context| accessor.poll_no_interesting_tasks(context)).await;
            Ok(())
        })
        .await?
}

/// The error code that a guest returned instead of a response, which may carry any text of its own.
pub(super) fn refused(code: &impl fmt::Debug) -> String {
    excerpt(excerpt::MESSAGE, format_args!("the guest returned error-code {code:?}"))
}
