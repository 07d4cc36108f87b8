//! `GET /v1/problems`: what is wrong now, of all hosts, with the evidence and what to do about it.
//! Does not judge: `core::problem` says what is a problem, `core::why` why.

use axum::Json;
use axum::extract::State;
use futures_util::future::join_all;
use steerage_core::problem::{FoundProblem, together};
use steerage_core::why::{HostTrouble, Remedy, longer_than};

use super::fleet_wide::{self, whom};
use super::found::{found_now, read};
use super::here::HostQuery;
use super::problem::Refusal;
use super::{ApiState, Asked, Shared, why, why_hosts, wire};

/// Reasons are looked for of as many apps: each takes asking all hosts.
const EXPLAINED: usize = 10;

/// `GET /v1/problems`.
pub(super) async fn problems(
    State(state): State<Shared>,
    Asked(query): Asked<HostQuery>,
) -> Result<Json<wire::Problems>, Refusal> {
    let host = query.host.as_deref();
    let told =
        fleet_wide::gather(whom(&state, host)?, "/v1/problems", state.problems(), usize::MAX)
            .await?;
    let mut found: Vec<FoundProblem> = told.problems.into_iter().map(read).collect();
    let of_fleet = why_hosts::troubles(&state, host).await?;
    let is_meant =
        |trouble: &HostTrouble| host.is_none_or(|host| host == "*" || trouble.host == host);
    let is_in_fleet = state.context.fleet.is_some();
    // Each host tells of its own folder.
    let is_other = |trouble: &HostTrouble| trouble.kind != HostTrouble::FOLDER;
    let of_fleet = of_fleet.into_iter().filter(is_meant).filter(is_other);
    found.extend(of_fleet.map(|trouble| of_trouble(trouble, is_in_fleet)));
    let mut problems = together(found);
    let failing = problems.iter_mut().filter(|problem| problem.app.is_some());
    // At once, since each takes asking all hosts.
    join_all(failing.take(EXPLAINED).map(|problem| explain(&state, host, problem))).await;
    let problems = problems.into_iter().map(write).collect();
    Ok(Json(wire::Problems { problems, sources: told.sources }))
}

/// Says why an app fails or is slow, as far as that can be said now.
pub(super) async fn explain(state: &Shared, host: Option<&str>, problem: &mut FoundProblem) {
    let Some(app) = problem.app.as_ref().and_then(|app| app.parse().ok()) else { return };
    // It may have been removed just now.
    let Ok(told) = why::of_app(state, &app, host).await else { return };
    let first = match problem.slow_after {
        Some(slow_after) => longer_than(&told.past, slow_after),
        None => told.explanation.diagnoses.into_iter().next(),
    };
    let Some(first) = first else {
        problem.remedy = Some(Remedy {
            text: "see how its calls ended, and where their time went".to_owned(),
            command: Some(format!("steerage calls {app}")),
            changes: false,
        });
        return;
    };
    if !first.claim.is_empty() && first.claim != problem.claim {
        problem.evidence.push(first.claim);
    }
    problem.evidence.extend(first.evidence);
    problem.remedy = first.remedy;
}

impl ApiState {
    /// What is wrong with what runs here and with this host, as others are told.
    pub(super) fn problems(&self) -> wire::Problems {
        let problems = self.found_here().into_iter().map(write).collect();
        wire::Problems { problems, sources: None }
    }
}

/// What is wrong with a host. A host that is alone does not name itself.
pub(super) fn of_trouble(trouble: HostTrouble, is_in_fleet: bool) -> FoundProblem {
    let hosts = if is_in_fleet { vec![trouble.host] } else { Vec::new() };
    FoundProblem { hosts, ..found_now(trouble.kind, trouble.found) }
}

fn write(problem: FoundProblem) -> wire::ToldProblem {
    let (cause, how) = problem.cause.unzip();
    wire::ToldProblem {
        kind: problem.kind,
        state: problem.state.code().to_owned(),
        app: problem.app,
        hosts: problem.hosts,
        since: problem.since,
        last_at: problem.last_at,
        failed: problem.calls.0,
        answered: problem.calls.1,
        cause,
        how,
        slow_after_us: problem
            .slow_after
            .map(|after| u64::try_from(after.as_micros()).unwrap_or(u64::MAX)),
        claim: problem.claim,
        evidence: problem.evidence,
        remedy: problem.remedy.map(why::remedy),
        symptoms: problem.symptoms,
    }
}
