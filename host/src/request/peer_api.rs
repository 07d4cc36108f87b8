//! Where other hosts ask what this one knows. Does not know it: who does is put in here when the host
//! starts.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::OnceLock;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;

use super::Reply;
use crate::forward::OBSERVED;
use crate::respond::ResponseBody;

/// Tells other hosts what this one knows.
pub trait PeerApi: Debug + Send + Sync {
    /// What is asked for by this path and query.
    fn answer(&self, uri: Uri) -> Pin<Box<dyn Future<Output = Reply> + Send>>;
}

/// The place of who tells it: requests come in before the operators' door is open.
#[derive(Debug, Default)]
pub struct PeerApiSlot(OnceLock<Box<dyn PeerApi>>);

impl PeerApiSlot {
    /// Puts it there; the first one stays.
    pub fn set(&self, api: Box<dyn PeerApi>) {
        drop(self.0.set(api));
    }

    pub(super) async fn answer(&self, uri: Uri) -> Reply {
        match self.0.get() {
            Some(api) => api.answer(uri).await,
            None => {
                let text = Bytes::from_static(b"not yet");
                let mut response = Response::new(ResponseBody::Host(Full::new(text)));
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                response
            }
        }
    }
}

/// What another host asks for, if this request asks what is known here.
pub(super) fn asked<B>(request: &Request<B>) -> Option<Uri> {
    if *request.method() != Method::GET {
        return None;
    }
    let asked = request.uri().path_and_query()?.as_str().strip_prefix(OBSERVED)?;
    asked.starts_with('/').then(|| asked.parse().ok()).flatten()
}
