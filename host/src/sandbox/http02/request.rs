//! A request as a guest of 0.2 sees it: the head as the host read it, its headers made into fields when
//! the guest first asks for them, its body boxed when the guest takes it.
//! Does not read the body.

use std::mem;

use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use http_body::Body;
use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, WasiBody};

use super::fields::Fields;
use super::incoming::IncomingBody;
use crate::header::HostHeaders;

/// A request that a guest may ask about.
pub(in crate::sandbox) struct IncomingRequest {
    pub(in crate::sandbox) head: Parts,
    pub(in crate::sandbox) https: bool,
    headers: Headers,
    /// What is to be added to those of the head.
    host_headers: Option<Box<dyn HostHeaders>>,
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
    Made(Fields, Option<HeaderValue>),
}

impl IncomingRequest {
    /// A request that came in, over TLS or not.
    pub(in crate::sandbox) fn new<B>(
        request: http::Request<B>,
        host_headers: Option<Box<dyn HostHeaders>>,
        https: bool,
    ) -> Self
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
        Self { head, https, headers: Headers::InHead, host_headers, body }
    }

    /// The headers that the guest may see, as fields that it cannot change.
    pub(in crate::sandbox) fn headers(&mut self) -> Fields {
        if let Headers::Made(fields, _) = &mut self.headers {
            return fields.share();
        }
        let mut headers = mem::take(&mut self.head.headers);
        if let Some(host_headers) = self.host_headers.take() {
            host_headers.set(&mut headers);
        }
        let host = headers.get(HOST).cloned();
        let mut fields = Fields::shown(headers);
        let shared = fields.share();
        self.headers = Headers::Made(fields, host);
        shared
    }

    /// Its headers, as far as the guest may see them once it has asked for them.
    pub(in crate::sandbox) fn shown_headers(&self) -> &HeaderMap {
        match &self.headers {
            Headers::InHead => &self.head.headers,
            Headers::Made(fields, _) => fields.lines(),
        }
    }

    /// Whether there is a body that nobody has taken.
    pub(in crate::sandbox) fn is_unread(&self) -> bool {
        matches!(self.body, Unread::Coming(_))
    }

    /// Whom the request is for.
    pub(in crate::sandbox) fn authority(&self) -> Option<String> {
        if let Some(authority) = self.head.uri.authority() {
            return Some(authority.as_str().to_owned());
        }
        let host = match &self.headers {
            Headers::InHead => self.head.headers.get(HOST),
            Headers::Made(_, host) => host.as_ref(),
        };
        host.and_then(|host| host.to_str().ok()).map(str::to_owned)
    }

    /// The body, once.
    pub(in crate::sandbox) fn take_body(&mut self) -> Option<IncomingBody> {
        match mem::replace(&mut self.body, Unread::Taken) {
            Unread::Taken => None,
            Unread::Nothing => Some(IncomingBody::empty()),
            Unread::Coming(body) => Some(IncomingBody::new(body)),
        }
    }
}
