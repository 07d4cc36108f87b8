//! The functions of `wasi:http` 0.2: here those that each call of a service goes through, beside it those
//! of fields, of what a guest reads and of what it sends to others.
//! Does not do the work: the types in `sandbox/http02` do.

use http::{HeaderMap, StatusCode};
use wasmtime::component::{Linker, LinkerInstance, Resource, ResourceType};
use wasmtime_wasi::p2::DynOutputStream;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, IoError, Method, Scheme};

use super::entry::{Context, dropped, ours};
use super::{fields, incoming, outgoing};
use crate::call::ResponseSender;
use crate::sandbox::guest::Guest;
use crate::sandbox::http::refused;
use crate::sandbox::http02::{
    BodyOf, Fields, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse, announced,
    code_of,
};

type Request = Resource<IncomingRequest>;
type Response = Resource<OutgoingResponse>;

/// The instance whose functions these are; a component may name any earlier version of 0.2.
const TYPES: &str = "wasi:http/types@0.2.12";

/// Links them all.
///
/// # Errors
/// When two functions collide, which would be a bug.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut types = linker.instance(TYPES)?;
    fields::link(&mut types)?;
    link_request(&mut types)?;
    link_outparam(&mut types)?;
    link_response(&mut types)?;
    link_body(&mut types)?;
    incoming::link(&mut types)?;
    outgoing::link(&mut types)?;
    link_error(&mut types)?;
    outgoing::link_handler(linker)
}

/// What a guest is told of a stream's failure.
fn link_error(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.func_wrap("http-error-code", |mut store: Context<'_>, (error,): (Resource<IoError>,)| {
        let error = store.data_mut().resources().get(&error)?;
        let code = error.downcast_ref().cloned();
        Ok((code.or_else(|| error.downcast_ref().map(code_of)),))
    })
}

fn link_request(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let ty = ResourceType::host::<IncomingRequest>();
    types.resource("incoming-request", ty, dropped::<IncomingRequest>)?;
    types.func_wrap(
        "[method]incoming-request.method",
        |mut store: Context<'_>, (request,): (Request,)| {
            let request = store.data_mut().resources().get(&request)?;
            Ok((Method::from(request.head.method.clone()),))
        },
    )?;
    types.func_wrap(
        "[method]incoming-request.path-with-query",
        |mut store: Context<'_>, (request,): (Request,)| {
            let request = store.data_mut().resources().get(&request)?;
            let path = request.head.uri.path_and_query();
            Ok((path.map(|path| path.as_str().to_owned()),))
        },
    )?;
    types.func_wrap(
        "[method]incoming-request.scheme",
        |mut store: Context<'_>, (request,): (Request,)| {
            let request = store.data_mut().resources().get(&request)?;
            Ok((Some(if request.https { Scheme::Https } else { Scheme::Http }),))
        },
    )?;
    types.func_wrap(
        "[method]incoming-request.authority",
        |mut store: Context<'_>, (request,): (Request,)| {
            let request = store.data_mut().resources().get(&request)?;
            Ok((request.authority(),))
        },
    )?;
    types.func_wrap(
        "[method]incoming-request.headers",
        |mut store: Context<'_>, (request,): (Request,)| {
            let guest = store.data_mut();
            guest.look();
            let fields = guest.table.get_mut(&request)?.headers();
            Ok((guest.table.push(fields)?,))
        },
    )?;
    types.func_wrap(
        "[method]incoming-request.consume",
        |mut store: Context<'_>, (request,): (Request,)| {
            let table = store.data_mut().resources();
            let Some(body) = table.get_mut(&request)?.take_body() else { return Ok((Err(()),)) };
            Ok((Ok(table.push(body)?),))
        },
    )
}

fn link_outparam(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let ty = ResourceType::host::<ResponseSender>();
    types.resource("response-outparam", ty, dropped::<ResponseSender>)?;
    types.func_wrap(
        "[static]response-outparam.set",
        |mut store: Context<'_>,
         (out, made): (Resource<ResponseSender>, Result<Response, ErrorCode>)| {
            let table = store.data_mut().resources();
            let answer = match made {
                Ok(made) => Ok(table.delete(made)?.into()),
                Err(code) => Err(refused(&code)),
            };
            table.delete(out)?.send(answer);
            Ok(())
        },
    )?;
    Ok(())
}

fn link_response(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let ty = ResourceType::host::<OutgoingResponse>();
    types.resource("outgoing-response", ty, dropped::<OutgoingResponse>)?;
    types.func_wrap(
        "[constructor]outgoing-response",
        |mut store: Context<'_>, (headers,): (Resource<Fields>,)| {
            let table = store.data_mut().resources();
            let mut headers = table.delete(headers)?;
            headers.freeze();
            let made = OutgoingResponse { status: StatusCode::OK, headers, body: None };
            Ok((table.push(made)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-response.status-code",
        |mut store: Context<'_>, (response,): (Response,)| {
            let response = store.data_mut().resources().get(&response)?;
            Ok((response.status.as_u16(),))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-response.set-status-code",
        |mut store: Context<'_>, (response, status): (Response, u16)| {
            let response = store.data_mut().resources().get_mut(&response)?;
            let status = StatusCode::from_u16(status).map_err(drop);
            Ok((status.map(|status| response.status = status),))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-response.headers",
        |mut store: Context<'_>, (response,): (Response,)| {
            let table = store.data_mut().resources();
            let headers = table.get_mut(&response)?.headers.share();
            Ok((table.push(headers)?,))
        },
    )
}

fn link_body(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let dropped = |mut store: Context<'_>, rep| {
        let entry: Resource<OutgoingBody> = Resource::new_own(rep);
        store.data_mut().resources().delete(entry)?.abort();
        Ok(())
    };
    types.resource("outgoing-body", ResourceType::host::<OutgoingBody>(), dropped)?;
    types.func_wrap(
        "[method]outgoing-body.write",
        |mut store: Context<'_>, (body,): (Resource<OutgoingBody>,)| {
            let table = store.data_mut().resources();
            let Some(stream) = table.get_mut(&body)?.take_stream() else { return Ok((Err(()),)) };
            let handle: Resource<DynOutputStream> = ours(&table.push_child(stream, &body)?);
            Ok((Ok(handle),))
        },
    )?;
    types.func_wrap(
        "[static]outgoing-body.finish",
        |mut store: Context<'_>,
         (body, trailers): (Resource<OutgoingBody>, Option<Resource<Fields>>)| {
            let table = store.data_mut().resources();
            let body = table.delete(body)?;
            let trailers = trailers.map(|trailers| table.delete(trailers)).transpose()?;
            Ok((body.finish(trailers.map(HeaderMap::from)),))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-response.body",
        |mut store: Context<'_>, (response,): (Response,)| {
            let table = store.data_mut().resources();
            let response = table.get_mut(&response)?;
            let Ok(announced) = announced(response.headers.lines()) else { return Ok((Err(()),)) };
            if response.body.is_some() {
                return Ok((Err(()),));
            }
            let (body, reader) = OutgoingBody::new(BodyOf::Response, announced);
            response.body = Some(reader);
            Ok((Ok(table.push(body)?),))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.body",
        |mut store: Context<'_>, (request,): (Resource<OutgoingRequest>,)| {
            let table = store.data_mut().resources();
            let request = table.get_mut(&request)?;
            let Ok(announced) = announced(request.headers.lines()) else { return Ok((Err(()),)) };
            if request.body.is_some() {
                return Ok((Err(()),));
            }
            let (body, reader) = OutgoingBody::new(BodyOf::Request, announced);
            request.body = Some(reader);
            Ok((Ok(table.push(body)?),))
        },
    )
}
