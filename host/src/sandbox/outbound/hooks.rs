//! The way by which guests of `wasi:http` 0.3 send their requests: `wasmtime-wasi-http` asks for it here.
//! Does not send anything itself.

use std::sync::Arc;

use http::{HeaderName, Request, Response};
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use super::Outbound;
use crate::header::is_forbidden;
use crate::sandbox::BODY_CHUNK;

/// What `wasi:http` 0.3 is told besides, of connections that are worked on with a response: ours are not.
type Done = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Outbound {
    // The same as the defaults, which make and drop nine names, and a shared closure, for each header.
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(is_forbidden)
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Done), Error>> + Send> {
        let sent = self.start(request, options.unwrap_or_default());
        Box::new(async move {
            let done: Done = Box::new(async { Ok(()) });
            Ok((sent.await?, done))
        })
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }
}
