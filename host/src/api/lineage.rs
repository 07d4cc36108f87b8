//! The endpoints by which operators say which store a host follows, whether its fleet is planned, and
//! whose certificates are revoked.
//! Decides nothing: `desired` writes it down.

use axum::Json;
use axum::extract::State;

use steerage_core::id::HostName;
use steerage_core::units;

use super::deploy::to_the_end;
use super::problem::{Cause, Refusal};
use super::{Sent, Shared, wire};

/// Most bytes of a reason to freeze a fleet, which every host keeps and tells.
const LONGEST_WHY: usize = 200;

/// `POST /v1/fleet/adopt`.
pub(super) async fn adopt(
    State(state): State<Shared>,
) -> Result<Json<wire::FleetChanged>, Refusal> {
    state.check_open()?;
    let done =
        to_the_end(&state, |state: Shared| async move { state.desired.adopt().await }).await?;
    Ok(Json(wire::FleetChanged { done, ..wire::FleetChanged::default() }))
}

/// `POST /v1/fleet/import`.
pub(super) async fn import(
    State(state): State<Shared>,
) -> Result<Json<wire::FleetChanged>, Refusal> {
    state.check_open()?;
    let work = |state: Shared| async move { state.desired.import().await };
    let imported = to_the_end(&state, work).await?;
    let apps: Vec<String> = imported.apps.iter().map(ToString::to_string).collect();
    let left_out = imported.left_out.into_iter().map(|(app, why)| (app.to_string(), why));
    let done =
        format!("the store was given {} that it did not know", units::many(apps.len(), "app"));
    Ok(Json(wire::FleetChanged { done, apps, left_out: left_out.collect() }))
}

/// `POST /v1/fleet/freeze`.
pub(super) async fn freeze(
    State(state): State<Shared>,
    Sent(request): Sent<wire::FreezeRequest>,
) -> Result<Json<wire::FleetChanged>, Refusal> {
    state.check_open()?;
    let n_bytes = request.why.as_ref().map_or(0, String::len);
    if n_bytes > LONGEST_WHY {
        let detail = format!("why has {n_bytes} bytes, where {LONGEST_WHY} may be");
        return Err(Refusal::new(Cause::BadRequest, detail));
    }
    let done = state.desired.freeze(request.why).await?;
    Ok(Json(wire::FleetChanged { done, ..wire::FleetChanged::default() }))
}

/// `POST /v1/fleet/thaw`.
pub(super) async fn thaw(State(state): State<Shared>) -> Result<Json<wire::FleetChanged>, Refusal> {
    state.check_open()?;
    let done = state.desired.thaw().await?;
    Ok(Json(wire::FleetChanged { done, ..wire::FleetChanged::default() }))
}

/// `POST /v1/fleet/revoke`.
pub(super) async fn revoke(
    State(state): State<Shared>,
    Sent(request): Sent<wire::RevokeRequest>,
) -> Result<Json<wire::FleetChanged>, Refusal> {
    state.check_open()?;
    let host = request.host.parse::<HostName>();
    let host = host.map_err(|error| Refusal::new(Cause::BadRequest, error.to_string()))?;
    let done = state.desired.revoke(&host, request.force).await?;
    Ok(Json(wire::FleetChanged { done, ..wire::FleetChanged::default() }))
}
