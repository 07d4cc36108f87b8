//! The endpoints that change something: uploads, deploys, rollbacks, removals.
//! A change that was begun is made or undone even when its client goes away. Does not know
//! how: `desired` does.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use futures_util::StreamExt;
use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, StatusCode};
use steerage_core::id::{Digest, Generation};
use steerage_core::rollout::{CanaryPlan, Steps, WatchTime};
use steerage_core::units::Bytes;

use super::problem::{Cause, Refusal};
use super::{Addressed, Named, Sent, Shared, replicas, view, watch, wire};
use crate::blobs::BlobError;
use crate::desired::{DeployError, DeploySpec};
use crate::manifest;

/// Longest time to read on in a body that was refused, so that its sender hears the answer.
const LINGER: Duration = Duration::from_secs(10);

/// `PUT /v1/blobs/{digest}`.
pub(super) async fn put_blob(
    State(state): State<Shared>,
    Addressed(digest): Addressed,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<wire::Blob>), Refusal> {
    state.check_open()?;
    let _busy = state.context.shutdown.busy();
    let limit = state.max_component;
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let mut chunks = body.into_data_stream();
    let blobs = &state.own.blobs;
    let was_there = blobs.contains(&digest);
    let coming = announced.unwrap_or_else(|| limit.get());
    let taken = if announced.is_some_and(|length: u64| length > limit.get()) {
        Err(BlobError::TooLarge { limit })
    } else {
        put_in(&state, digest, &mut chunks, if was_there { 0 } else { coming }).await
    };
    match taken {
        Ok(size_bytes) => {
            let status = if was_there { StatusCode::OK } else { StatusCode::CREATED };
            Ok((status, Json(wire::Blob { digest: digest.to_string(), size_bytes })))
        }
        Err(error) => {
            // Whoever waits for `100 Continue` has sent nothing that would have to be read.
            if !headers.contains_key(EXPECT) {
                discard(chunks, limit).await;
            }
            Err(error.into())
        }
    }
}

/// Takes a component, of so many bytes at most, for which room is kept meanwhile.
async fn put_in(
    state: &Shared,
    digest: Digest,
    chunks: &mut BodyDataStream,
    coming: u64,
) -> Result<u64, BlobError> {
    let room = state.context.loader.reserve(coming).await?;
    let size_bytes = state.own.blobs.put(digest, chunks, state.max_component).await?;
    room.came(if coming == 0 { 0 } else { size_bytes });
    Ok(size_bytes)
}

/// `HEAD /v1/blobs/{digest}`.
pub(super) async fn head_blob(
    State(state): State<Shared>,
    Addressed(digest): Addressed,
) -> Result<StatusCode, Refusal> {
    // Whoever asks will not upload it where it is there: so it must be whole, and stay for a while.
    if !state.own.blobs.touch(&digest) {
        return Err(DeployError::NoComponent(digest).into());
    }
    state.context.loader.verify(digest).await.map_err(DeployError::from)?;
    Ok(StatusCode::OK)
}

/// `POST /v1/apps/{app}/deployments`.
pub(super) async fn deploy(
    State(state): State<Shared>,
    Named(app): Named,
    Sent(request): Sent<wire::DeployRequest>,
) -> Result<(StatusCode, Json<wire::Deployed>), Refusal> {
    state.check_open()?;
    let digest: Digest = request
        .component
        .parse()
        .map_err(|error| Refusal::new(Cause::BadRequest, format!("component: {error}")))?;
    let plan = canary_plan(&request)?;
    let share = plan.as_ref().map(|plan| plan.first);
    let asked = request.watch.as_deref().map(str::parse::<WatchTime>).transpose();
    let asked =
        asked.map_err(|error| Refusal::new(Cause::BadRequest, format!("watch: {error}")))?;
    let work = move |state: Shared| async move {
        let spec = DeploySpec {
            app,
            manifest: request.manifest,
            component: digest,
            canary: plan,
            watch: asked,
            change_tenant: request.change_tenant,
        };
        state.desired.deploy(spec).await
    };
    let deployed = to_the_end(&state, work).await?;
    let share = share.map(|share| share.to_string());
    let replicas = replicas::placed_if_any(&state, &deployed.name).await;
    let watch = watch::of(&state, &deployed.name, deployed.generation).await;
    let not_offered = state.context.loader.not_offered(deployed.digest);
    let shown = view::deployed(&state.url(), &deployed);
    let shown = wire::Deployed { canary: share, replicas, watch, not_offered, ..shown };
    Ok((StatusCode::CREATED, Json(shown)))
}

/// What a canary shall do, if there shall be one.
fn canary_plan(request: &wire::DeployRequest) -> Result<Option<CanaryPlan>, Refusal> {
    let bad = |why: String| Refusal::new(Cause::BadRequest, why);
    let Some(text) = request.canary.as_deref() else {
        return match request.auto_promote {
            true => Err(bad("auto_promote: there is no canary to promote; say canary".to_owned())),
            false => Ok(None),
        };
    };
    let steps: Steps = text.parse().map_err(|error| bad(format!("canary: {error}")))?;
    Ok(Some(steps.plan(request.auto_promote)))
}

/// `POST /v1/apps/{app}/rollback`.
pub(super) async fn rollback(
    State(state): State<Shared>,
    Named(app): Named,
    Sent(request): Sent<wire::RollbackRequest>,
) -> Result<Json<wire::Deployed>, Refusal> {
    state.check_open()?;
    let to = match request.to {
        Some(0) => return Err(Refusal::new(Cause::BadRequest, "to: generations count from 1")),
        Some(to) => Generation::new(to),
        None => None,
    };
    let work = move |state: Shared| async move { state.desired.roll_back(&app, to).await };
    let deployed = to_the_end(&state, work).await?;
    let replicas = replicas::placed_if_any(&state, &deployed.name).await;
    Ok(Json(wire::Deployed { replicas, ..view::deployed(&state.url(), &deployed) }))
}

/// `DELETE /v1/apps/{app}`.
pub(super) async fn remove(
    State(state): State<Shared>,
    Named(app): Named,
) -> Result<StatusCode, Refusal> {
    state.check_open()?;
    let work = move |state: Shared| async move { state.desired.remove(&app).await };
    to_the_end(&state, work).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/validate`.
pub(super) async fn validate(
    State(state): State<Shared>,
    Sent(request): Sent<wire::ValidateRequest>,
) -> Result<Json<wire::Validated>, Refusal> {
    let manifest = manifest::read(&request.manifest, &state.own.limits)?;
    Ok(Json(wire::Validated {
        app: manifest.name.to_string(),
        routes: view::routes(&manifest),
        limits: view::limits(&manifest.limits),
    }))
}

/// Works on even when the client goes away, and keeps the host from ending meanwhile.
pub(super) async fn to_the_end<T, F>(
    state: &Shared,
    work: impl FnOnce(Shared) -> F,
) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: Future<Output = Result<T, DeployError>> + Send + 'static,
{
    let busy = state.context.shutdown.busy();
    let work = work(state.clone());
    let task = tokio::spawn(async move {
        let done = work.await;
        drop(busy);
        done
    });
    match task.await {
        Ok(done) => Ok(done?),
        Err(error) => Err(Refusal::internal(&error)),
    }
}

/// Reads on in a refused body, so that the answer is not lost with the connection; not for ever,
/// and not without bound.
async fn discard(mut chunks: BodyDataStream, limit: Bytes) {
    let read_on = async {
        let mut left = limit.get().saturating_mul(2);
        while let Some(Ok(chunk)) = chunks.next().await {
            let Some(rest) = left.checked_sub(chunk.len() as u64) else { break };
            left = rest;
        }
    };
    // Out of time, the connection is cut; the sender has had its chance.
    drop(tokio::time::timeout(LINGER, read_on).await);
}
