//! The functions of `wasi:http/types` 0.2 by which a guest reads bodies, of its request and of responses
//! of others, and takes such a response. Does not do the work: the types in `sandbox/http02` do.

use std::mem;

use wasmtime::component::{LinkerInstance, Resource, ResourceType};
use wasmtime_wasi::p2::DynInputStream;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::http::types::HostFutureIncomingResponse as _;
use wasmtime_wasi_http::p2::body::HostIncomingBody;
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostIncomingResponse};

use super::entry::{Context, ours};
use crate::sandbox::guest::Guest;
use crate::sandbox::http02::{
    IncomingBody, IncomingBodyHandle, IncomingResponse, IncomingResponseHandle,
};

pub(super) fn link(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    link_body(types)?;
    link_response(types)
}

fn body_of(handle: &IncomingBodyHandle) -> Resource<IncomingBody> {
    ours(handle)
}

fn response_of(handle: &IncomingResponseHandle) -> Resource<IncomingResponse> {
    ours(handle)
}

fn link_body(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let dropped = |mut store: Context<'_>, rep| {
        let entry: Resource<IncomingBody> = Resource::new_own(rep);
        store.data_mut().resources().delete(entry)?;
        Ok(())
    };
    types.resource("incoming-body", ResourceType::host::<HostIncomingBody>(), dropped)?;
    types.func_wrap(
        "[method]incoming-body.stream",
        |mut store: Context<'_>, (body,): (IncomingBodyHandle,)| {
            let table = store.data_mut().resources();
            let body = body_of(&body);
            let Some(stream) = table.get_mut(&body)?.take_stream(body.rep()) else {
                return Ok((Err(()),));
            };
            let handle: Resource<DynInputStream> = ours(&table.push_child(stream, &body)?);
            Ok((Ok(handle),))
        },
    )?;
    types.func_wrap(
        "[static]incoming-body.finish",
        |mut store: Context<'_>, (body,): (IncomingBodyHandle,)| {
            let table = store.data_mut().resources();
            let body = table.delete(body_of(&body))?;
            Ok((table.push(body.into_trailers())?,))
        },
    )
}

fn link_response(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let dropped = |mut store: Context<'_>, rep| {
        let entry: Resource<IncomingResponse> = Resource::new_own(rep);
        store.data_mut().resources().delete(entry)?;
        Ok(())
    };
    types.resource("incoming-response", ResourceType::host::<HostIncomingResponse>(), dropped)?;
    types.func_wrap(
        "[method]incoming-response.status",
        |mut store: Context<'_>, (response,): (IncomingResponseHandle,)| {
            let response = store.data_mut().resources().get(&response_of(&response))?;
            Ok((response.status.as_u16(),))
        },
    )?;
    types.func_wrap(
        "[method]incoming-response.headers",
        |mut store: Context<'_>, (response,): (IncomingResponseHandle,)| {
            let table = store.data_mut().resources();
            let headers = table.get(&response_of(&response))?.headers.clone();
            Ok((table.push(headers)?,))
        },
    )?;
    types.func_wrap(
        "[method]incoming-response.consume",
        |mut store: Context<'_>, (response,): (IncomingResponseHandle,)| {
            let table = store.data_mut().resources();
            let Some(body) = table.get_mut(&response_of(&response))?.body.take() else {
                return Ok((Err(()),));
            };
            let handle: IncomingBodyHandle = ours(&table.push(body)?);
            Ok((Ok(handle),))
        },
    )?;
    types.func_wrap(
        "[method]future-incoming-response.get",
        |mut store: Context<'_>, (future,): (Resource<HostFutureIncomingResponse>,)| {
            let guest = store.data_mut();
            let state = guest.resources().get_mut(&future)?;
            // What has come is made ours; all else is told as `wasmtime-wasi-http` tells it.
            let (response, _) = match mem::replace(state, HostFutureIncomingResponse::Consumed) {
                HostFutureIncomingResponse::Ready(Ok(come)) => come,
                other => {
                    *state = other;
                    return Ok((guest.http().get(future)?,));
                }
            };
            let response = IncomingResponse::new(&mut guest.outbound, response);
            let handle: IncomingResponseHandle = ours(&guest.table.push(response)?);
            Ok((Some(Ok(Ok(handle))),))
        },
    )
}
