//! The endpoints that speak of an app's replicas: how many there shall be, where they are and why, and what
//! is lacking where some have no place.
//! Does not place anything: what is wanted goes to the store, and placement sees it there.

use std::num::NonZeroU64;
use std::slice;

use axum::Json;
use axum::extract::State;
use steerage_core::id::{AppName, HostName};
use steerage_core::manifest::MAX_REPLICAS;
use steerage_core::node::Assigned;
use steerage_core::place::{self, Aims};

use super::fleet::{USE_OF, plan_with};
use super::plans::placed_by;
use super::problem::{Cause, Refusal};
use super::{ApiState, Named, Sent, Shared, wire};
use crate::desired::DeployError;
use crate::fleet::View;

/// `PUT /v1/apps/{app}/scale`.
pub(super) async fn scale(
    State(state): State<Shared>,
    Named(app): Named,
    Sent(request): Sent<wire::ScaleRequest>,
) -> Result<Json<wire::Replicas>, Refusal> {
    state.check_open()?;
    let wanted = request.replicas;
    if !(1..=MAX_REPLICAS).contains(&wanted) {
        let detail = format!("replicas is {wanted}: 1 to {MAX_REPLICAS} is allowed");
        return Err(Refusal::new(Cause::BadRequest, detail));
    }
    state.desired.scale(&app, wanted).await?;
    let view = state.desired.look_at(slice::from_ref(&app)).await?;
    let mut told = replicas_of(&view, &app).ok_or_else(|| Refusal::no_app(&app))?;
    (told.wanted, told.min, told.max) = (wanted, wanted, wanted);
    Ok(Json(told))
}

/// `GET /v1/apps/{app}/replicas`.
pub(super) async fn replicas(
    State(state): State<Shared>,
    Named(app): Named,
) -> Result<Json<wire::Replicas>, Refusal> {
    Ok(Json(placed(&state, &app).await?.ok_or_else(|| Refusal::no_app(&app))?))
}

/// The same for what is told along with other things; `None` also where this host is alone.
pub(super) async fn placed_if_any(state: &ApiState, app: &AppName) -> Option<wire::Replicas> {
    if state.desired.fleet().is_alone() {
        return None;
    }
    placed(state, app).await.ok()?
}

/// Where an app runs, and what is lacking where some of it does not; `None` where the fleet does not
/// know it.
async fn placed(state: &ApiState, app: &AppName) -> Result<Option<wire::Replicas>, DeployError> {
    let fleet = state.desired.fleet();
    let view = state.desired.look_at(slice::from_ref(app)).await?;
    let Some(mut told) = replicas_of(&view, app) else { return Ok(None) };
    let n_placed = view.assigned_to(app).map_or(0, Assigned::len);
    if n_placed < usize::try_from(told.wanted).unwrap_or(usize::MAX) && view.is_frozen() {
        told.lacks = Some("a plan: nothing is planned until `steerage fleet thaw`".to_owned());
    } else if n_placed < usize::try_from(told.wanted).unwrap_or(usize::MAX) {
        // Any host may plan: once it has asked it knows as well as the one that does.
        fleet.ask_use(USE_OF).await;
        let view = state.desired.look_at(slice::from_ref(app)).await?;
        let aims = Aims { policy: state.policy, ..Aims::default() };
        let planned = plan_with(state, view, aims, |view, aims| place::plan(&view, aims));
        let plan = planned.await.unwrap_or_default();
        let unplaced = plan.unplaced.into_iter().find(|unplaced| unplaced.app == *app);
        told.lacks = unplaced.map(|unplaced| unplaced.lacks.to_string());
    }
    Ok(Some(told))
}

fn replicas_of(view: &View, app: &AppName) -> Option<wire::Replicas> {
    let record = view.app(app)?;
    let assigned = view.assigned_to(app).cloned().unwrap_or_default();
    let ready = view.ready(app).cloned().unwrap_or_default();
    let generation = |host: &HostName| ready.get(host).map(|ready| ready.generation);
    let placed = assigned.keys().map(|host| {
        let is_ready = generation(host) == Some(record.generation);
        (host, if is_ready { "ready" } else { "starting" })
    });
    let leaving =
        ready.keys().filter(|host| !assigned.contains_key(host)).map(|host| (host, "leaving"));
    let hosts: Vec<wire::Replica> = placed
        .chain(leaving)
        .map(|(host, state)| wire::Replica {
            host: host.to_string(),
            state: state.to_owned(),
            generation: generation(host),
            canary: ready.get(host).and_then(|ready| ready.canary).map(NonZeroU64::get),
            placed: placed_by(assigned.get(host)),
        })
        .collect();
    let n_ready = hosts.iter().filter(|replica| replica.state == "ready").count();
    let (min, max) = record.bounds();
    Some(wire::Replicas {
        app: app.to_string(),
        generation: record.generation,
        wanted: u32::try_from(assigned.len()).unwrap_or(u32::MAX).clamp(min, max.max(min)),
        min,
        max,
        ready: u32::try_from(n_ready).unwrap_or(u32::MAX),
        hosts,
        lacks: None,
    })
}
