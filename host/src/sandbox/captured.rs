//! Calls of which it is written down what their guests are told, and calls that are told it again.
//! Does not decide what becomes of it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Version};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::time::Instant;
use wasmtime_wasi_http::{Error, WasiBody};

use super::cgi::environment::Origin;
use super::instance::GuestRequest;
use super::module::InstanceTemplate;
use super::taped::{self, PlayedBody, TapedBody};
use crate::call::{Call, ResponseSender};
use crate::capsule::{CapsuleBytes, CapsuleRequest, OngoingRecording, RecordedBodyOf, Tape};

/// What stands in a capsule is not the head of a request.
#[derive(Debug, thiserror::Error)]
#[error("the capsule's request cannot be made again: {0}")]
pub struct BadRequestHead(#[from] http::Error);

impl InstanceTemplate {
    /// The same request with a tape, which the call has as well.
    pub(super) fn taped<B>(
        &self,
        call: &Call,
        guest_request: GuestRequest<B>,
    ) -> Box<GuestRequest<WasiBody>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Error>,
    {
        let GuestRequest { request, host_headers, https, place, deadline, head, .. } =
            guest_request;
        let (mut parts, body) = request.into_parts();
        if let Some(host_headers) = host_headers {
            host_headers.set(&mut parts.headers);
        }
        let tape = Tape::recording(taped::new_seed());
        let request = written(&parts, https, &place);
        let [uri, script_name, path_info] =
            [&request.uri, &request.script_name, &request.path_info].map(|part| part.0.len());
        tape.note_head(&request.headers, uri + script_name + path_info);
        call.record_to(OngoingRecording { request, tape: tape.clone() });
        let body = body.map_err(Into::into).boxed_unsync();
        let body = TapedBody::new(body, tape.clone(), RecordedBodyOf::Request).boxed_unsync();
        Box::new(GuestRequest {
            request: Request::from_parts(parts, body),
            host_headers: None,
            https,
            place,
            deadline,
            head,
            tape: Some(tape),
        })
    }
}

impl GuestRequest<WasiBody> {
    /// The request of a capsule, whose guest is told all that the tape says, for this call.
    ///
    /// # Errors
    /// It is none.
    pub fn played(
        request: &CapsuleRequest,
        tape: &Tape,
        call: &Arc<Call>,
        deadline: Instant,
    ) -> Result<Box<Self>, BadRequestHead> {
        let body = PlayedBody::new(tape.body()).boxed_unsync();
        let method = Method::from_bytes(request.method.as_bytes()).map_err(http::Error::from)?;
        let version = match &*request.protocol {
            "HTTP/1.0" => Version::HTTP_10,
            "HTTP/2.0" => Version::HTTP_2,
            _ => Version::HTTP_11,
        };
        let mut again = Request::builder().method(method).uri(&*request.uri.0).version(version);
        if let Some(headers) = again.headers_mut() {
            *headers = taped::read(&request.headers);
        }
        let text = |bytes: &CapsuleBytes| bytes.clone().into_text();
        Ok(Box::new(Self {
            request: again.body(body)?,
            host_headers: None,
            https: request.https,
            place: Origin {
                remote: request.remote.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
                port: request.port,
                https: request.https,
                script_name: text(&request.script_name),
                path_info: text(&request.path_info),
            },
            deadline,
            head: ResponseSender::new(call.clone()),
            tape: Some(tape.clone()),
        }))
    }
}

/// The head as a capsule has it.
fn written(parts: &Parts, https: bool, place: &Origin) -> CapsuleRequest {
    CapsuleRequest {
        method: parts.method.as_str().to_owned(),
        uri: CapsuleBytes(parts.uri.to_string().into_bytes()),
        protocol: format!("{:?}", parts.version),
        headers: taped::written(&parts.headers),
        https,
        remote: place.remote.to_string(),
        port: place.port,
        script_name: CapsuleBytes::from(&*place.script_name),
        path_info: CapsuleBytes::from(&*place.path_info),
    }
}
