//! The endpoints that pause and end a trial, and what is told of one.
//! Does not begin one: that is a deploy.

use std::slice;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use steerage_core::canary::{self, Allowed, CanaryVerdict, Margin, Share};
use steerage_core::id::AppName;
use steerage_core::node::Assigned;
use steerage_core::rollout::{self, Next, Wait};

use super::deploy::to_the_end;
use super::problem::Refusal;
use super::{ApiState, Named, Sent, Shared, view, watch, wire};
use crate::agent::now;
use crate::fleet::View;
use crate::fleet::record::{AppRecord, CanaryRecord};

/// What a deployment did is asked for when an operator looks, unless that was so short a time ago.
const COUNTS_OF: Duration = Duration::from_millis(500);

/// `POST /v1/apps/{app}/promote`.
pub(super) async fn promote(
    State(state): State<Shared>,
    Named(app): Named,
) -> Result<Json<wire::Deployed>, Refusal> {
    state.check_open()?;
    let work = move |state: Shared| async move { state.desired.promote(&app).await };
    let deployed = to_the_end(&state, work).await?;
    Ok(Json(view::deployed(&state.url(), &deployed)))
}

/// `DELETE /v1/apps/{app}/canary`.
pub(super) async fn end(
    State(state): State<Shared>,
    Named(app): Named,
) -> Result<StatusCode, Refusal> {
    state.check_open()?;
    let work = move |state: Shared| async move { state.desired.end_canary(&app).await };
    to_the_end(&state, work).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT /v1/apps/{app}/canary`.
pub(super) async fn pause(
    State(state): State<Shared>,
    Named(app): Named,
    Sent(request): Sent<wire::CanaryRequest>,
) -> Result<StatusCode, Refusal> {
    state.check_open()?;
    let work =
        move |state: Shared| async move { state.desired.pause_canary(&app, request.paused).await };
    to_the_end(&state, work).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What the fleet knows of a trial of an app: the one that goes on, and the last that it ended itself.
pub(super) async fn of(
    state: &ApiState,
    app: &AppName,
) -> (Option<wire::Canary>, Option<wire::TakenBack>) {
    let fleet = state.desired.fleet();
    let is_counted =
        |record: &AppRecord| record.canary.is_some() || record.watched(now()).is_some();
    if fleet.view().app(app).is_some_and(is_counted) {
        // What it did, every host counts for itself.
        fleet.ask_use(COUNTS_OF).await;
    }
    let Ok(view) = state.desired.look_at(slice::from_ref(app)).await else { return (None, None) };
    let Some(record) = view.app(app) else { return (None, None) };
    let canary = record.canary.as_ref().map(|canary| shown(&view, app, canary));
    let taken_back = record.rolled_back.clone().map(|taken| wire::TakenBack {
        generation: taken.generation,
        why: taken.why,
        at: taken.at,
        had_all: taken.had_all,
    });
    (canary, taken_back)
}

fn shown(view: &View, app: &AppName, record: &CanaryRecord) -> wire::Canary {
    let (old, canary) = view.canary_sides(app, record.generation);
    let verdict = match canary::judge(&old, &canary, &Margin::STATED) {
        CanaryVerdict::TooEarly => "too_early",
        CanaryVerdict::Fine => "fine",
        CanaryVerdict::Worse(_) => "worse",
    };
    let allowed = Allowed::beside(&old, &Margin::STATED);
    let n_hosts = view.assigned_to(app).map_or(0, Assigned::len);
    let n_trying = view.trying(app, record.generation).count();
    let steps = record.steps();
    let wait = match rollout::next(&steps, &record.progress(), (&old, &canary), now()) {
        Next::Wait(wait) => Some(wait),
        Next::Step(_) | Next::Promote | Next::RollBack(_) => None,
    };
    let all = steps.iter().map(|step| wire::CanaryStep {
        share: step.share.to_string(),
        time_ms: u64::try_from(step.time.as_millis()).unwrap_or(u64::MAX),
    });
    wire::Canary {
        steps: all.collect(),
        step: if steps.is_empty() { 0 } else { u32::try_from(record.step + 1).unwrap_or(u32::MAX) },
        waits_for: wait.map(|wait| waits_for(wait).to_owned()),
        due_at: wait.and_then(|wait| match wait {
            Wait::Until(at) => Some(at),
            _ => None,
        }),
        lacks_calls: wait.map_or(0, |wait| match wait {
            Wait::Calls { canary, old } => canary.max(old),
            _ => 0,
        }),
        auto_promote: record.auto_promote,
        generation: record.generation,
        share: Share::new(record.share).map_or_else(|_| "none".into(), |share| share.to_string()),
        share_percent: f64::from(record.share) / 100.0,
        since: record.since,
        trying: u32::try_from(n_trying).unwrap_or(u32::MAX),
        hosts: u32::try_from(n_hosts).unwrap_or(u32::MAX),
        verdict: verdict.to_owned(),
        allowed_failed_percent: f64::from(u32::try_from(allowed.failed).unwrap_or(u32::MAX))
            / 100.0,
        allowed_p95_us: allowed.longest,
        old: watch::side(&old),
        canary: watch::side(&canary),
    }
}

/// What a canary waits for, in a word.
fn waits_for(wait: Wait) -> &'static str {
    match wait {
        Wait::Until(_) => "time",
        Wait::Calls { .. } => "calls",
        Wait::Paused => "resume",
        Wait::Operator => "promote",
    }
}
