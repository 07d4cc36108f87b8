//! What hosts ask each other for besides calls: components, to take and to give, whether a deployment is
//! kept, and whether a third host answers.
//! Only hosts of the fleet get here. Does not know who needs which component.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody};
use steerage_core::id::{AppName, Digest, Generation};
use tokio_util::io::ReaderStream;

use super::inbound::Inbound;
use super::{CallContext, Reply};
use crate::code::{COMPONENTS, KEPT, NOT_YET};
use crate::forward::{HOSTS, name_of};
use crate::respond::{Cut, ResponseBody};
use crate::telemetry::chain;

/// Answers if another host asks for a component or brings one; gives the request back otherwise.
pub(super) async fn answer(
    context: &Arc<CallContext>,
    request: Request<Inbound>,
) -> Result<Reply, Request<Inbound>> {
    let path = request.uri().path();
    if let Some(name) = path.strip_prefix(HOSTS) {
        let known = name.parse().ok().and_then(|name| context.fleet.as_ref()?.peers().named(&name));
        // By a look now: whoever asks was refused a moment ago, and this host may not know yet.
        let known = match known {
            Some(peer) => Some(name_of(peer.look().await)),
            None => None,
        };
        let status = known.map_or(StatusCode::NOT_FOUND, |_| StatusCode::OK);
        return Ok(said(status, known.unwrap_or("it does not know it")));
    }
    if let Some(named) = path.strip_prefix(KEPT) {
        let Some((app, generation)) = named_deployment(named) else {
            return Ok(said(StatusCode::BAD_REQUEST, "no deployment"));
        };
        let kept = context.loader.kept(app, generation).await;
        let kept = kept.map_or_else(|| NOT_YET.to_owned(), |fingerprint| fingerprint.to_string());
        return Ok(said(StatusCode::OK, &kept));
    }
    let Some(digest) = path.strip_prefix(COMPONENTS).map(str::parse::<Digest>) else {
        return Err(request);
    };
    let Ok(digest) = digest else { return Ok(said(StatusCode::BAD_REQUEST, "no digest")) };
    Ok(match *request.method() {
        Method::GET => give(context, digest).await,
        Method::PUT => take(context, digest, request.into_body()).await,
        _ => said(StatusCode::METHOD_NOT_ALLOWED, "GET or PUT"),
    })
}

fn named_deployment(named: &str) -> Option<(AppName, Generation)> {
    let (app, generation) = named.split_once('/')?;
    Some((app.parse().ok()?, generation.parse().ok()?))
}

async fn give(context: &CallContext, digest: Digest) -> Reply {
    let blobs = &context.blobs;
    if blobs.contains(&digest)
        && let Err(error) = context.loader.verify(digest).await
    {
        return said(StatusCode::NOT_FOUND, &chain(&error));
    }
    let (Ok(file), Ok(size)) =
        (tokio::fs::File::open(blobs.path(&digest)).await, blobs.size(&digest))
    else {
        return said(StatusCode::NOT_FOUND, "it does not have it");
    };
    let chunks = ReaderStream::with_capacity(file, 64 << 10);
    let frames = chunks.map(|chunk| match chunk {
        Ok(bytes) => Ok(http_body::Frame::data(bytes)),
        Err(_) => Err(Cut::by("disk")),
    });
    let body = ResponseBody::Elsewhere(StreamBody::new(frames).boxed_unsync());
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_LENGTH, size.into());
    response
}

async fn take(context: &CallContext, digest: Digest, body: Inbound) -> Reply {
    // Before it is looked for: what it was here for may be removed just now, and whoever brings it
    // counts on it as soon as it has its answer.
    // Elsewhere, since the disk may stand still, and this thread says to other hosts that this one is there.
    let blobs = context.blobs.clone();
    let pinned = tokio::task::spawn_blocking(move || blobs.pin(&digest)).await;
    let Ok(pinned) = pinned else { return said(StatusCode::INTERNAL_SERVER_ERROR, "it failed") };
    if let Err(error) = pinned {
        return said(StatusCode::INSUFFICIENT_STORAGE, &chain(&error));
    }
    if context.blobs.contains(&digest) && context.loader.verify(digest).await.is_ok() {
        return said(StatusCode::OK, "was here");
    }
    let mut chunks = body.into_data_stream();
    match context.blobs.put(digest, &mut chunks, context.loader.max_component()).await {
        Ok(_) => said(StatusCode::CREATED, "taken"),
        Err(error) => {
            tracing::warn!(%digest, error = chain(&error), "a component from another host");
            said(StatusCode::UNPROCESSABLE_ENTITY, &chain(&error))
        }
    }
}

fn said(status: StatusCode, text: &str) -> Reply {
    let text = Bytes::copy_from_slice(text.as_bytes());
    let mut response = Response::new(ResponseBody::Host(Full::new(text)));
    *response.status_mut() = status;
    response
}
