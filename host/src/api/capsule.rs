//! The endpoints from which a failed call is run again: what it left, and the component that served it.
//! Runs nothing.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use steerage_core::id::CallIdPrefix;
use tokio_util::io::ReaderStream;

use super::here::HostQuery;
use super::problem::Refusal;
use super::{Addressed, ApiState, Asked, Begun, Shared, fleet_wide, wire};
use crate::desired::DeployError;

/// How much is read from the disk at once.
const CHUNK: usize = 64 << 10;

/// `GET /v1/calls/{id}/capsule`.
pub(super) async fn of_call(
    State(state): State<Shared>,
    Begun(id): Begun,
    Asked(query): Asked<HostQuery>,
) -> Result<Json<wire::FoundCapsules>, Refusal> {
    let of = fleet_wide::whom(&state, query.host.as_deref())?;
    let (path, here) = (format!("/v1/calls/{id}/capsule"), state.capsules(id));
    Ok(Json(fleet_wide::gather(of, &path, here, usize::MAX).await?))
}

/// `GET /v1/blobs/{digest}`.
pub(super) async fn component(
    State(state): State<Shared>,
    Addressed(digest): Addressed,
) -> Result<Response, Refusal> {
    let loader = &state.context.loader;
    let mut opened = loader.open_verified(digest).await.map_err(DeployError::from)?;
    // Another host may have served the call. Where none answers that has it, the error says what each said.
    if opened.is_none() {
        loader.download(digest, &[]).await.map_err(DeployError::from)?;
        opened = loader.open_verified(digest).await.map_err(DeployError::from)?;
    }
    let (file, size) = opened.ok_or(DeployError::NoComponent(digest))?;
    let headers = [
        (CONTENT_TYPE, "application/wasm".to_owned()),
        (CONTENT_LENGTH, size.to_string()),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    let chunks = ReaderStream::with_capacity(file, CHUNK);
    Ok((headers, Body::from_stream(chunks)).into_response())
}

impl ApiState {
    /// What is kept here of calls whose ids begin so.
    pub(super) fn capsules(&self, id: CallIdPrefix) -> wire::FoundCapsules {
        let snapshot = self.context.catalog.snapshot();
        let called = snapshot.apps.values().filter_map(|app| app.state());
        let found = called.flat_map(|state| state.calls.capsules.find(id));
        let capsules = found.filter_map(|capsule| serde_json::from_slice(&capsule).ok());
        wire::FoundCapsules { capsules: capsules.collect(), sources: None }
    }
}
