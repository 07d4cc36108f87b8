//! The functions of `wasi:http/types` 0.2 by which a guest reads bodies, of its request and of responses
//! of others, and takes such a response. Does not do the work: the types in `sandbox/http02` do.

use wasmtime::component::{LinkerInstance, Resource, ResourceType};
use wasmtime_wasi::p2::{DynInputStream, subscribe};

use super::entry::{Context, dropped, looks_for, ours};
use crate::sandbox::guest::Guest;
use crate::sandbox::http02::{
    Fields, FutureResponse, FutureTrailers, IncomingBody, IncomingResponse, code_of,
};

type Body = Resource<IncomingBody>;
type Response = Resource<IncomingResponse>;

pub(super) fn link(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    link_body(types)?;
    link_trailers(types)?;
    link_response(types)?;
    link_future(types)
}

fn link_body(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let ty = ResourceType::host::<IncomingBody>();
    types.resource("incoming-body", ty, dropped::<IncomingBody>)?;
    types.func_wrap(
        "[method]incoming-body.stream",
        |mut store: Context<'_>, (body,): (Body,)| {
            let table = store.data_mut().resources();
            let Some(stream) = table.get_mut(&body)?.take_stream(body.rep()) else {
                return Ok((Err(()),));
            };
            let handle: Resource<DynInputStream> = ours(&table.push_child(stream, &body)?);
            Ok((Ok(handle),))
        },
    )?;
    types.func_wrap("[static]incoming-body.finish", |mut store: Context<'_>, (body,): (Body,)| {
        let table = store.data_mut().resources();
        let body = table.delete(body)?;
        Ok((table.push(body.into_trailers())?,))
    })
}

fn link_trailers(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let ty = ResourceType::host::<FutureTrailers>();
    types.resource("future-trailers", ty, dropped::<FutureTrailers>)?;
    types.func_wrap(
        "[method]future-trailers.subscribe",
        |mut store: Context<'_>, (future,): (Resource<FutureTrailers>,)| {
            Ok((subscribe(store.data_mut().resources(), future)?,))
        },
    )?;
    types.func_wrap(
        "[method]future-trailers.get",
        |mut store: Context<'_>, (future,): (Resource<FutureTrailers>,)| {
            let guest = store.data_mut();
            if !looks_for(guest, |table| Ok(table.get_mut(&future)?.is_there()))? {
                return Ok((None,));
            }
            let table = guest.resources();
            let told = match table.get_mut(&future)?.take() {
                None => return Ok((None,)),
                Some(Err(())) => Err(()),
                Some(Ok(Err(error))) => Ok(Err(code_of(&error))),
                Some(Ok(Ok(None))) => Ok(Ok(None)),
                Some(Ok(Ok(Some(trailers)))) => Ok(Ok(Some(table.push(Fields::shown(trailers))?))),
            };
            Ok((Some(told),))
        },
    )
}

fn link_response(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let ty = ResourceType::host::<IncomingResponse>();
    types.resource("incoming-response", ty, dropped::<IncomingResponse>)?;
    types.func_wrap(
        "[method]incoming-response.status",
        |mut store: Context<'_>, (response,): (Response,)| {
            let response = store.data_mut().resources().get(&response)?;
            Ok((response.status.as_u16(),))
        },
    )?;
    types.func_wrap(
        "[method]incoming-response.headers",
        |mut store: Context<'_>, (response,): (Response,)| {
            let table = store.data_mut().resources();
            let headers = table.get_mut(&response)?.headers.share();
            Ok((table.push(headers)?,))
        },
    )?;
    types.func_wrap(
        "[method]incoming-response.consume",
        |mut store: Context<'_>, (response,): (Response,)| {
            let table = store.data_mut().resources();
            let Some(body) = table.get_mut(&response)?.body.take() else { return Ok((Err(()),)) };
            Ok((Ok(table.push(body)?),))
        },
    )
}

fn link_future(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let ty = ResourceType::host::<FutureResponse>();
    types.resource("future-incoming-response", ty, dropped::<FutureResponse>)?;
    types.func_wrap(
        "[method]future-incoming-response.subscribe",
        |mut store: Context<'_>, (future,): (Resource<FutureResponse>,)| {
            Ok((subscribe(store.data_mut().resources(), future)?,))
        },
    )?;
    types.func_wrap(
        "[method]future-incoming-response.get",
        |mut store: Context<'_>, (future,): (Resource<FutureResponse>,)| {
            let guest = store.data_mut();
            if !looks_for(guest, |table| Ok(table.get_mut(&future)?.is_there()))? {
                return Ok((None,));
            }
            let table = guest.resources();
            let told = match table.get_mut(&future)?.take() {
                None => return Ok((None,)),
                Some(Err(())) => Err(()),
                Some(Ok(Err(error))) => Ok(Err(code_of(&error))),
                Some(Ok(Ok(response))) => Ok(Ok(table.push(IncomingResponse::new(response))?)),
            };
            Ok((Some(told),))
        },
    )
}
