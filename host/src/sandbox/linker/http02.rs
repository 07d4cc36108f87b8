//! The functions of `wasi:http/types` 0.2 that each call of a service goes through. What remains (fields,
//! requests to others) is `wasmtime-wasi-http`'s, over which these are linked by name.
//! Does not do the work: the types in `sandbox/http02` do.

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use wasmtime::component::{Linker, LinkerInstance, Resource, ResourceType};
use wasmtime_wasi::p2::DynOutputStream;
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Method, Scheme};
use wasmtime_wasi_http::p2::body::{HostOutgoingBody, StreamContext};
use wasmtime_wasi_http::p2::types::{
    HostIncomingRequest, HostOutgoingRequest, HostOutgoingResponse, HostResponseOutparam,
};

use super::entry::{Context, ours};
use super::{fields, incoming};
use crate::call::ResponseSender;
use crate::sandbox::guest::Guest;
use crate::sandbox::http::refused;
use crate::sandbox::http02::{
    BodyHandle, IncomingBodyHandle, IncomingRequest, OutgoingBody, OutgoingResponse,
    OutparamHandle, RequestHandle, ResponseHandle,
};

/// The instance whose functions these are; a component may name any earlier version of 0.2.
const TYPES: &str = "wasi:http/types@0.2.12";

/// Links these functions instead of those of `wasmtime-wasi-http`, in a linker that has them and allows
/// shadowing.
///
/// # Errors
/// When a function has another type, which would be a bug.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut types = linker.instance(TYPES)?;
    fields::link(&mut types)?;
    link_request(&mut types)?;
    link_outparam(&mut types)?;
    link_response(&mut types)?;
    link_body(&mut types)?;
    incoming::link(&mut types)
}

fn request_of(handle: &RequestHandle) -> Resource<IncomingRequest> {
    ours(handle)
}

fn response_of(handle: &ResponseHandle) -> Resource<OutgoingResponse> {
    ours(handle)
}

fn body_of(handle: &BodyHandle) -> Resource<OutgoingBody> {
    ours(handle)
}

/// The length that headers announce. Fields hold at most one, in digits.
fn announced(headers: &HeaderMap) -> Result<Option<u64>, ()> {
    let Some(value) = headers.get(CONTENT_LENGTH) else { return Ok(None) };
    value.to_str().ok().and_then(|digits| digits.parse().ok()).map(Some).ok_or(())
}

fn link_request(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let dropped = |mut store: Context<'_>, rep| {
        let entry: Resource<IncomingRequest> = Resource::new_own(rep);
        store.data_mut().resources().delete(entry)?;
        Ok(())
    };
    types.resource("incoming-request", ResourceType::host::<HostIncomingRequest>(), dropped)?;
    types.func_wrap(
        "[method]incoming-request.method",
        |mut store: Context<'_>, (request,): (RequestHandle,)| {
            let request = store.data_mut().resources().get(&request_of(&request))?;
            Ok((Method::from(request.head.method.clone()),))
        },
    )?;
    types.func_wrap(
        "[method]incoming-request.path-with-query",
        |mut store: Context<'_>, (request,): (RequestHandle,)| {
            let request = store.data_mut().resources().get(&request_of(&request))?;
            let path = request.head.uri.path_and_query();
            Ok((path.map(|path| path.as_str().to_owned()),))
        },
    )?;
    types.func_wrap(
        "[method]incoming-request.scheme",
        |mut store: Context<'_>, (request,): (RequestHandle,)| {
            let request = store.data_mut().resources().get(&request_of(&request))?;
            Ok((Some(if request.https { Scheme::Https } else { Scheme::Http }),))
        },
    )?;
    types.func_wrap(
        "[method]incoming-request.authority",
        |mut store: Context<'_>, (request,): (RequestHandle,)| {
            let request = store.data_mut().resources().get(&request_of(&request))?;
            Ok((request.authority(),))
        },
    )?;
    types.func_wrap(
        "[method]incoming-request.headers",
        |mut store: Context<'_>, (request,): (RequestHandle,)| {
            let guest = store.data_mut();
            guest.look();
            let request = guest.table.get_mut(&request_of(&request))?;
            let fields = request.headers(&mut guest.outbound);
            Ok((guest.table.push(fields)?,))
        },
    )?;
    types.func_wrap(
        "[method]incoming-request.consume",
        |mut store: Context<'_>, (request,): (RequestHandle,)| {
            let table = store.data_mut().resources();
            let Some(body) = table.get_mut(&request_of(&request))?.take_body() else {
                return Ok((Err(()),));
            };
            let handle: IncomingBodyHandle = ours(&table.push(body)?);
            Ok((Ok(handle),))
        },
    )
}

fn link_outparam(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let dropped = |mut store: Context<'_>, rep| {
        let entry: Resource<ResponseSender> = Resource::new_own(rep);
        store.data_mut().resources().delete(entry)?;
        Ok(())
    };
    types.resource("response-outparam", ResourceType::host::<HostResponseOutparam>(), dropped)?;
    types.func_wrap(
        "[static]response-outparam.set",
        |mut store: Context<'_>,
         (out, made): (OutparamHandle, Result<ResponseHandle, ErrorCode>)| {
            let table = store.data_mut().resources();
            let answer = match made {
                Ok(made) => Ok(table.delete(response_of(&made))?.into()),
                Err(code) => Err(refused(&code)),
            };
            let out: Resource<ResponseSender> = ours(&out);
            table.delete(out)?.send(answer);
            Ok(())
        },
    )?;
    Ok(())
}

fn link_response(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let dropped = |mut store: Context<'_>, rep| {
        let entry: Resource<OutgoingResponse> = Resource::new_own(rep);
        store.data_mut().resources().delete(entry)?;
        Ok(())
    };
    types.resource("outgoing-response", ResourceType::host::<HostOutgoingResponse>(), dropped)?;
    types.func_wrap(
        "[constructor]outgoing-response",
        |mut store: Context<'_>, (headers,): (Resource<FieldMap>,)| {
            let table = store.data_mut().resources();
            let mut headers = table.delete(headers)?;
            headers.set_immutable();
            let made = OutgoingResponse { status: StatusCode::OK, headers, body: None };
            let handle: ResponseHandle = ours(&table.push(made)?);
            Ok((handle,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-response.status-code",
        |mut store: Context<'_>, (response,): (ResponseHandle,)| {
            let response = store.data_mut().resources().get(&response_of(&response))?;
            Ok((response.status.as_u16(),))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-response.set-status-code",
        |mut store: Context<'_>, (response, status): (ResponseHandle, u16)| {
            let response = store.data_mut().resources().get_mut(&response_of(&response))?;
            let status = StatusCode::from_u16(status).map_err(drop);
            Ok((status.map(|status| response.status = status),))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-response.headers",
        |mut store: Context<'_>, (response,): (ResponseHandle,)| {
            let table = store.data_mut().resources();
            let headers = table.get(&response_of(&response))?.headers.clone();
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
    types.resource("outgoing-body", ResourceType::host::<HostOutgoingBody>(), dropped)?;
    types.func_wrap(
        "[method]outgoing-body.write",
        |mut store: Context<'_>, (body,): (BodyHandle,)| {
            let table = store.data_mut().resources();
            let body = body_of(&body);
            let Some(stream) = table.get_mut(&body)?.take_stream() else { return Ok((Err(()),)) };
            let handle: Resource<DynOutputStream> = ours(&table.push_child(stream, &body)?);
            Ok((Ok(handle),))
        },
    )?;
    types.func_wrap(
        "[static]outgoing-body.finish",
        |mut store: Context<'_>, (body, trailers): (BodyHandle, Option<Resource<FieldMap>>)| {
            let table = store.data_mut().resources();
            let body = table.delete(body_of(&body))?;
            let trailers = trailers.map(|trailers| table.delete(trailers)).transpose()?;
            Ok((body.finish(trailers.map(HeaderMap::from)),))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-response.body",
        |mut store: Context<'_>, (response,): (ResponseHandle,)| {
            let table = store.data_mut().resources();
            let response = table.get_mut(&response_of(&response))?;
            let Ok(announced) = announced(&response.headers) else { return Ok((Err(()),)) };
            if response.body.is_some() {
                return Ok((Err(()),));
            }
            let (body, reader) = OutgoingBody::new(StreamContext::Response, announced);
            response.body = Some(reader);
            let handle: BodyHandle = ours(&table.push(body)?);
            Ok((Ok(handle),))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.body",
        |mut store: Context<'_>, (request,): (Resource<HostOutgoingRequest>,)| {
            let table = store.data_mut().resources();
            let request = table.get_mut(&request)?;
            let Ok(announced) = announced(&request.headers) else { return Ok((Err(()),)) };
            if request.body.is_some() {
                return Ok((Err(()),));
            }
            let (body, reader) = OutgoingBody::new(StreamContext::Request, announced);
            request.body = Some(reader.boxed_unsync());
            let handle: BodyHandle = ours(&table.push(body)?);
            Ok((Ok(handle),))
        },
    )
}
