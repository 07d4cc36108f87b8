//! A response of a guest of 0.2 on its way to whoever waits for it: its head is moved, and its body goes
//! on being written. Does not judge either: `respond` does.

use http::{Response, StatusCode};
use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, Resource, ResourceType};
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p2::types::{HostOutgoingResponse, HostResponseOutparam};

use super::{ours, theirs};
use crate::body::{Produced, Reader};
use crate::sandbox::guest::Guest;
use crate::sandbox::http::{HeadSender, refused};

/// The handle of what a guest answers through; in the table it is a [`HeadSender`].
pub(in crate::sandbox) type OutparamHandle = Resource<HostResponseOutparam>;

type Handle = Resource<HostOutgoingResponse>;
type Context<'c> = StoreContextMut<'c, Guest>;

/// A response that a guest makes.
pub(in crate::sandbox) struct OutgoingResponse {
    status: StatusCode,
    pub(in crate::sandbox) headers: FieldMap,
    /// The other end of the body that the guest has asked for.
    pub(super) body: Option<Reader>,
}

impl OutgoingResponse {
    pub(in crate::sandbox) fn has_body(&self) -> bool {
        self.body.is_some()
    }
}

impl From<OutgoingResponse> for Response<Produced> {
    fn from(made: OutgoingResponse) -> Self {
        let mut response = Self::new(made.body.map_or(Produced::Nothing, Produced::Written));
        *response.status_mut() = made.status;
        *response.headers_mut() = made.headers.into();
        response
    }
}

pub(super) fn entry(handle: &Handle) -> Resource<OutgoingResponse> {
    ours(handle)
}

pub(super) fn link(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let dropped = |mut store: Context<'_>, rep| {
        let entry: Resource<HeadSender> = Resource::new_own(rep);
        store.data_mut().resources().delete(entry)?;
        Ok(())
    };
    types.resource("response-outparam", ResourceType::host::<HostResponseOutparam>(), dropped)?;
    types.func_wrap(
        "[static]response-outparam.set",
        |mut store: Context<'_>, (out, made): (OutparamHandle, Result<Handle, ErrorCode>)| {
            let table = store.data_mut().resources();
            let answer = match made {
                Ok(made) => Ok(table.delete(entry(&made))?.into()),
                Err(code) => Err(refused(&code)),
            };
            let out: Resource<HeadSender> = ours(&out);
            table.delete(out)?.send(answer);
            Ok(())
        },
    )?;
    link_response(types)
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
            let handle: Handle = theirs(&table.push(made)?);
            Ok((handle,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-response.status-code",
        |mut store: Context<'_>, (response,): (Handle,)| {
            let response = store.data_mut().resources().get(&entry(&response))?;
            Ok((response.status.as_u16(),))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-response.set-status-code",
        |mut store: Context<'_>, (response, status): (Handle, u16)| {
            let response = store.data_mut().resources().get_mut(&entry(&response))?;
            let status = StatusCode::from_u16(status).map_err(drop);
            Ok((status.map(|status| response.status = status),))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-response.headers",
        |mut store: Context<'_>, (response,): (Handle,)| {
            let table = store.data_mut().resources();
            let headers = table.get(&entry(&response))?.headers.clone();
            Ok((table.push(headers)?,))
        },
    )
}
