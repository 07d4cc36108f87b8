//! One call of a component that exports a `wasi:http` handler, 0.2 or 0.3.
//! Does not make instances and does not judge how the call ended.

use std::fmt;
use std::future::poll_fn;

use bytes::Bytes;
use http_body::Body;
use steerage_core::excerpt::{self, excerpt};
use wasmtime::Store;
use wasmtime_wasi_http::{Error, WasiHttpView, p3};

use super::guest::Guest;
use super::http02::{Handler, IncomingRequest};
use crate::body::Produced;
use crate::call::ResponseSender;

/// Lets a 0.2 handler answer. Returns when the guest's function has returned.
///
/// # Errors
/// A trap, or a failure of a host function.
pub(super) async fn call_p2(
    store: &mut Store<Guest>,
    handler: &Handler,
    request: IncomingRequest,
    head: ResponseSender,
) -> wasmtime::Result<()> {
    let table = &mut store.data_mut().table;
    let request = table.push(request)?;
    let out = table.push(head)?;
    handler.handle(store, request, out).await
}

/// Lets a 0.3 handler answer. Returns when the guest has no task left, body included.
///
/// # Errors
/// A trap, or a failure of a host function.
pub(super) async fn call_p3<B>(
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
