//! The endpoints that tell of plans that were made: the last of them, and one whole.
//! Makes none, and asks the store each time: nobody keeps them.

use axum::Json;
use axum::extract::{Path, State};
use steerage_core::id::{AppName, HostName};
use steerage_core::node::{MoveProgress, ReplicaOrigin};
use steerage_core::place;

use super::problem::{Cause, Refusal};
use super::{Shared, wire};
use crate::fleet::View;
use crate::fleet::record::{MoveRecord, PlanRecord, PlanResult};
use crate::placement;

/// `GET /v1/plans`.
pub(super) async fn plans(State(state): State<Shared>) -> Result<Json<wire::Plans>, Refusal> {
    let (plans, troubles) = placement::history(state.desired.fleet()).await?;
    let view = state.desired.look().await?;
    let last = plans.last().map(|(number, _)| *number);
    let plans = plans
        .iter()
        .rev()
        .map(|(number, plan)| made(&view, (*number, plan), Some(*number) == last));
    Ok(Json(wire::Plans { plans: plans.collect(), troubles }))
}

/// `GET /v1/plans/{number}`.
pub(super) async fn plan(
    State(state): State<Shared>,
    Path(number): Path<String>,
) -> Result<Json<wire::PlanDetail>, Refusal> {
    let bad = |_| {
        let detail = format!("{number:?} is no number of a plan; `GET /v1/plans` lists them");
        Refusal::new(Cause::BadRequest, detail)
    };
    let wanted: u32 = number.parse().map_err(bad)?;
    let (plans, troubles) = placement::history(state.desired.fleet()).await?;
    let last = plans.last().map(|(number, _)| *number);
    let Some((_, plan)) = plans.iter().find(|(number, _)| *number == wanted) else {
        return Err(not_kept(wanted, &plans, &troubles));
    };
    let view = state.desired.look().await?;
    let moves = plan.moves.iter().map(|step| wire::PlanStep {
        app: step.app.clone(),
        from: step.from.clone(),
        to: step.to.clone(),
        why: step.why.clone(),
        state: progress(&view, step).word().to_owned(),
    });
    let moves = moves.collect();
    Ok(Json(wire::PlanDetail { plan: made(&view, (wanted, plan), Some(wanted) == last), moves }))
}

fn not_kept(wanted: u32, plans: &[(u32, PlanRecord)], troubles: &[String]) -> Refusal {
    let kept = match (plans.first(), plans.last()) {
        (Some((first, _)), Some((last, _))) => format!("kept are {first} to {last}"),
        _ => "none was made yet".to_owned(),
    };
    let more = match troubles.len() {
        0 => String::new(),
        n => format!("; {n} cannot be read: {}", troubles.join("; ")),
    };
    Refusal::new(Cause::NotFound, format!("there is no plan {wanted}; {kept}{more}"))
}

/// Since when and why a replica is where it is, as far as anybody has said.
pub(super) fn placed_by(origin: Option<&ReplicaOrigin>) -> Option<wire::PlacedBy> {
    let ReplicaOrigin { plan, at, why } = *origin.filter(|origin| origin.plan > 0)?;
    let why = place::reason(why).to_owned();
    Some(wire::PlacedBy { plan, at: u64::from(at) * 1000, why })
}

fn made(view: &View, (number, plan): (u32, &PlanRecord), is_last: bool) -> wire::PlanMade {
    let is_under_way = || plan.moves.iter().any(|step| progress(view, step).is_under_way());
    let outcome = match plan.result {
        PlanResult::Writing if is_last => "writing",
        PlanResult::Writing => "broken_off",
        PlanResult::Written | PlanResult::Other if plan.n_left > 0 => "partly",
        PlanResult::Written | PlanResult::Other if is_under_way() => "written",
        PlanResult::Written | PlanResult::Other => "settled",
    };
    wire::PlanMade {
        number,
        at: plan.at,
        host: plan.host.clone(),
        triggers: plan.triggers.clone(),
        n_moves: plan.n_moves,
        n_apps: plan.n_apps,
        n_left: plan.n_left,
        n_unplaced: plan.n_unplaced,
        outcome: outcome.to_owned(),
    }
}

fn progress(view: &View, step: &MoveRecord) -> MoveProgress {
    let host = |name: &Option<String>| name.as_ref()?.parse::<HostName>().ok();
    let Ok(app) = step.app.parse::<AppName>() else { return MoveProgress::Superseded };
    view.progress(&app, host(&step.from).as_ref(), host(&step.to).as_ref())
}
