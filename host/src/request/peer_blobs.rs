//! What hosts ask each other for besides calls: components, to take, to give and to keep, whether a
//! deployment is kept, and whether a third host answers.
//! Only hosts of the fleet get here. Does not know who needs which component.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body::Body as _;
use http_body_util::{BodyExt, Full, StreamBody};
use steerage_core::id::{AppName, Digest, Generation};
use tokio_util::io::ReaderStream;

use super::inbound::Inbound;
use super::{CallContext, Reply};
use crate::blobs::{BlobError, PinOwner};
use crate::code::{COMPONENTS, FOR, KEPT, NOT_YET, WAIT};
use crate::forward::{HOSTS, name_of};
use crate::ledger::record::Fingerprint;
use crate::respond::{Cut, ResponseBody};
use crate::telemetry::chain;

/// How long another host is made to wait for an answer at most.
const MOST_WAIT: Duration = Duration::from_secs(2);

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
        let waits = value(request.uri(), WAIT).and_then(|text| text.parse().ok()).unwrap_or(0);
        let kept = kept_soon(context, app, generation, Duration::from_millis(waits)).await;
        let kept = kept.map_or_else(|| NOT_YET.to_owned(), |fingerprint| fingerprint.to_string());
        return Ok(said(StatusCode::OK, &kept));
    }
    let Some(digest) = path.strip_prefix(COMPONENTS).map(str::parse::<Digest>) else {
        return Err(request);
    };
    let Ok(digest) = digest else { return Ok(said(StatusCode::BAD_REQUEST, "no digest")) };
    Ok(match *request.method() {
        Method::GET => give(context, digest).await,
        Method::PUT => {
            // An owner that only a newer host knows is one that is not said.
            let owner = value(request.uri(), FOR).and_then(|text| text.parse().ok());
            let owner = owner.unwrap_or(PinOwner::Unsaid);
            take(context, digest, owner, request.into_body()).await
        }
        Method::POST => keep(context, digest).await,
        _ => said(StatusCode::METHOD_NOT_ALLOWED, "GET, PUT or POST"),
    })
}

/// What the query says after `name`, which ends in an equals sign. No value has characters that are
/// escaped.
fn value<'u>(uri: &'u Uri, name: &str) -> Option<&'u str> {
    uri.query()?.split('&').find_map(|said| said.strip_prefix(name))
}

/// Whether a deployment is kept here, at last after so long; a host that ends does not wait.
async fn kept_soon(
    context: &CallContext,
    app: AppName,
    generation: Generation,
    within: Duration,
) -> Option<Fingerprint> {
    let (loader, within) = (&context.loader, within.min(MOST_WAIT));
    tokio::select! {
        kept = loader.kept_within(app.clone(), generation, within) => kept,
        () = context.shutdown.begun() => loader.kept(app, generation).await,
    }
}

fn named_deployment(named: &str) -> Option<(AppName, Generation)> {
    let (app, generation) = named.split_once('/')?;
    Some((app.parse().ok()?, generation.parse().ok()?))
}

async fn give(context: &CallContext, digest: Digest) -> Reply {
    let (file, size) = match context.loader.open_verified(digest).await {
        Ok(Some(opened)) => opened,
        Ok(None) => return said(StatusCode::NOT_FOUND, "it does not have it"),
        Err(error) => return said(StatusCode::NOT_FOUND, &chain(&error)),
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

/// Pins a component, before it is looked for: what it was here for may be removed just now, and whoever
/// asks counts on it as soon as it has its answer.
async fn pin(context: &CallContext, digest: Digest, owner: PinOwner) -> Result<(), Reply> {
    // Elsewhere, since the disk may stand still, and this thread says to other hosts that this one is there.
    let blobs = context.blobs.clone();
    match tokio::task::spawn_blocking(move || blobs.pin(&digest, &owner)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(said(StatusCode::INSUFFICIENT_STORAGE, &chain(&error))),
        Err(_) => Err(said(StatusCode::INTERNAL_SERVER_ERROR, "it failed")),
    }
}

/// Promises another host to keep a component for a while, which lets go of its own copy then. What is here
/// without a deployment that needs it may go at the next start, so that is no copy to count on.
async fn keep(context: &CallContext, digest: Digest) -> Reply {
    if !context.blobs.contains(&digest) || !context.loader.needs(digest).await {
        return said(StatusCode::NOT_FOUND, "it does not keep it");
    }
    if let Err(reply) = pin(context, digest, PinOwner::Promise).await {
        return reply;
    }
    match context.loader.verify(digest).await {
        Ok(()) => said(StatusCode::OK, "kept"),
        Err(error) => {
            // A damaged file is no copy to keep.
            context.blobs.unpin(&digest, &PinOwner::Promise);
            said(StatusCode::NOT_FOUND, &chain(&error))
        }
    }
}

async fn take(context: &CallContext, digest: Digest, owner: PinOwner, body: Inbound) -> Reply {
    if let Err(reply) = pin(context, digest, owner).await {
        return reply;
    }
    if context.blobs.contains(&digest) && context.loader.verify(digest).await.is_ok() {
        return said(StatusCode::OK, "was here");
    }
    match put(context, digest, body).await {
        Ok(()) => said(StatusCode::CREATED, "taken"),
        Err(error) => {
            tracing::warn!(%digest, error = chain(&error), "a component from another host");
            let status = match error {
                BlobError::NoRoom { .. } => StatusCode::INSUFFICIENT_STORAGE,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            };
            said(status, &chain(&error))
        }
    }
}

async fn put(context: &CallContext, digest: Digest, body: Inbound) -> Result<(), BlobError> {
    let most = context.loader.max_component();
    let coming = body.size_hint().exact().unwrap_or_else(|| most.get());
    let room = context.loader.reserve(coming).await?;
    let mut chunks = body.into_data_stream();
    room.came(context.blobs.put(digest, &mut chunks, most).await?);
    Ok(())
}

fn said(status: StatusCode, text: &str) -> Reply {
    let text = Bytes::copy_from_slice(text.as_bytes());
    let mut response = Response::new(ResponseBody::Host(Full::new(text)));
    *response.status_mut() = status;
    response
}
