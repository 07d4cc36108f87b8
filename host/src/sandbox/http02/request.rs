//! A request as a guest of 0.2 sees it: the head as the host read it, its headers made into fields when
//! the guest first asks for them, its body boxed when the guest takes it.
//! Does not read the body.

use std::mem;

use bytes::Bytes;
use http::HeaderValue;
use http::header::HOST;
use http::request::Parts;
use http_body::Body;
use http_body_util::BodyExt;
use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, Resource, ResourceType};
use wasmtime_wasi_http::p2::bindings::http::types::{Method, Scheme};
use wasmtime_wasi_http::p2::body::HostIncomingBody;
use wasmtime_wasi_http::p2::types::HostIncomingRequest;
use wasmtime_wasi_http::{Error, FieldMap, WasiBody};

use super::ours;
use crate::body::Produced;
use crate::sandbox::guest::Guest;
use crate::sandbox::outbound::Outbound;

/// The handle of a request.
pub(in crate::sandbox) type RequestHandle = Resource<HostIncomingRequest>;

type Context<'c> = StoreContextMut<'c, Guest>;

/// A request that a guest may ask about.
pub(in crate::sandbox) struct IncomingRequest {
    head: Parts,
    https: bool,
    headers: Headers,
    body: Unread,
}

enum Unread {
    Taken,
    /// Most requests have no body, and what is none needs no box.
    Nothing,
    Coming(WasiBody),
}

enum Headers {
    /// Those of the head; nobody has asked for them yet.
    InHead,
    /// Those a guest may see, and the host, which it is told as the authority.
    Made(FieldMap, Option<HeaderValue>),
}

impl IncomingRequest {
    /// A request that came in, over TLS or not.
    pub(in crate::sandbox) fn new<B>(request: http::Request<B>, https: bool) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Error>,
    {
        let (head, body) = request.into_parts();
        let body = if body.is_end_stream() {
            Unread::Nothing
        } else {
            Unread::Coming(body.map_err(Into::into).boxed_unsync())
        };
        Self { head, https, headers: Headers::InHead, body }
    }

    /// The headers that the guest may see, as fields that it cannot change.
    fn headers(&mut self, outbound: &mut Outbound) -> FieldMap {
        if let Headers::Made(fields, _) = &self.headers {
            return fields.clone();
        }
        let headers = mem::take(&mut self.head.headers);
        let host = headers.get(HOST).cloned();
        let fields = FieldMap::new_immutable(outbound, headers);
        self.headers = Headers::Made(fields.clone(), host);
        fields
    }

    fn authority(&self) -> Option<String> {
        if let Some(authority) = self.head.uri.authority() {
            return Some(authority.as_str().to_owned());
        }
        let host = match &self.headers {
            Headers::InHead => self.head.headers.get(HOST),
            Headers::Made(_, host) => host.as_ref(),
        };
        host.and_then(|host| host.to_str().ok()).map(str::to_owned)
    }

    fn take_body(&mut self) -> Option<WasiBody> {
        match mem::replace(&mut self.body, Unread::Taken) {
            Unread::Taken => None,
            Unread::Nothing => Some(Produced::Nothing.boxed_unsync()),
            Unread::Coming(body) => Some(body),
        }
    }
}

fn entry(handle: &RequestHandle) -> Resource<IncomingRequest> {
    ours(handle)
}

pub(super) fn link(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let dropped = |mut store: Context<'_>, rep| {
        let entry: Resource<IncomingRequest> = Resource::new_own(rep);
        store.data_mut().resources().delete(entry)?;
        Ok(())
    };
    types.resource("incoming-request", ResourceType::host::<HostIncomingRequest>(), dropped)?;
    types.func_wrap(
        "[method]incoming-request.method",
        |mut store: Context<'_>, (request,): (RequestHandle,)| {
            let request = store.data_mut().resources().get(&entry(&request))?;
            Ok((Method::from(request.head.method.clone()),))
        },
    )?;
    types.func_wrap(
        "[method]incoming-request.path-with-query",
        |mut store: Context<'_>, (request,): (RequestHandle,)| {
            let request = store.data_mut().resources().get(&entry(&request))?;
            let path = request.head.uri.path_and_query();
            Ok((path.map(|path| path.as_str().to_owned()),))
        },
    )?;
    types.func_wrap(
        "[method]incoming-request.scheme",
        |mut store: Context<'_>, (request,): (RequestHandle,)| {
            let request = store.data_mut().resources().get(&entry(&request))?;
            Ok((Some(if request.https { Scheme::Https } else { Scheme::Http }),))
        },
    )?;
    types.func_wrap(
        "[method]incoming-request.authority",
        |mut store: Context<'_>, (request,): (RequestHandle,)| {
            let request = store.data_mut().resources().get(&entry(&request))?;
            Ok((request.authority(),))
        },
    )?;
    types.func_wrap(
        "[method]incoming-request.headers",
        |mut store: Context<'_>, (request,): (RequestHandle,)| {
            let guest = store.data_mut();
            guest.look();
            let request = guest.table.get_mut(&entry(&request))?;
            let fields = request.headers(&mut guest.outbound);
            Ok((guest.table.push(fields)?,))
        },
    )?;
    types.func_wrap(
        "[method]incoming-request.consume",
        |mut store: Context<'_>, (request,): (RequestHandle,)| {
            let table = store.data_mut().resources();
            let Some(body) = table.get_mut(&entry(&request))?.take_body() else {
                return Ok((Err(()),));
            };
            Ok((Ok(table.push(HostIncomingBody::new(body))?),))
        },
    )
}
