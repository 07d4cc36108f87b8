//! `GET /v1/problems`: what is wrong now, of all hosts, with the evidence and what to do about it.
//! Does not judge: `core::problem` says what is a problem, `core::why` why.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use futures_util::future::join_all;
use steerage_core::problem::{
    FoundProblem, OpenLevel, ProblemState, level_claim, level_evidence, together,
};
use steerage_core::why::{
    Diagnosis, FleetPast, HostTrouble, Remedy, fleet_troubles, longer_than, remedy_of_lack,
};

use super::fleet_wide::{self, whom};
use super::here::HostQuery;
use super::problem::Refusal;
use super::{ApiState, Asked, Shared, why, why_hosts, wire};
use crate::agent::now;
use crate::telemetry::problems::TroubledApp;

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
    let is_meant = |trouble: &HostTrouble| {
        host.is_none_or(|host| host == "*" || trouble.host.as_deref() == Some(host))
    };
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
    if !first.claim.is_empty() {
        problem.evidence.push(first.claim);
    }
    problem.evidence.extend(first.evidence);
    problem.remedy = first.remedy;
}

impl ApiState {
    /// What this host has nearly used up, and what is said of it.
    pub(super) fn levels_open(
        &self,
    ) -> impl Iterator<Item = (&'static str, Diagnosis, OpenLevel)> + use<> {
        let me = self.context.fleet.as_ref().map_or(why_hosts::HERE, |fleet| fleet.me().as_str());
        let me = me.to_owned();
        self.telemetry.problems.of_host().levels_open().into_iter().map(move |(what, level)| {
            let told = Diagnosis {
                claim: level_claim(&me, what, &level),
                evidence: vec![level_evidence(what, &level)],
                remedy: Some(remedy_of_lack(what)),
            };
            (what, told, level)
        })
    }

    /// What is wrong with what runs here and with this host, as others are told.
    pub(super) fn problems(&self) -> wire::Problems {
        let problems = self.found_here().into_iter().map(write).collect();
        wire::Problems { problems, sources: None }
    }

    /// What is wrong with what runs here, and with this host.
    pub(super) fn found_here(&self) -> Vec<FoundProblem> {
        let problems = &self.telemetry.problems;
        let is_there = |app: &TroubledApp| self.context.catalog.app(&app.app).is_some();
        let of_apps = problems.of_apps().into_iter().filter(is_there).map(of_app);
        let me = self.context.fleet.as_ref().map_or(why_hosts::HERE, |fleet| fleet.me().as_str());
        let levels = self.levels_open().map(|(what, told, level)| {
            let (since, last_at) = (Some(level.since), Some(level.last_at));
            FoundProblem { since, last_at, ..of_hosts(what, told) }
        });
        let gone_since = problems.of_host().folder_gone_since();
        let of_folder = fleet_troubles(&FleetPast {
            asked: me.to_owned(),
            folder_gone: gone_since.map(|since| Duration::from_millis(now().saturating_sub(since))),
            ..FleetPast::default()
        });
        let of_folder = of_folder.into_iter().map(|trouble| FoundProblem {
            since: gone_since,
            last_at: gone_since.map(|_| now()),
            ..of_hosts(trouble.kind, trouble.found)
        });
        of_apps.chain(levels).chain(of_folder).collect()
    }
}

fn of_app(troubled: TroubledApp) -> FoundProblem {
    let TroubledApp { kind, app, claim, problem, cause, slow_after, generation } = troubled;
    // By now it may have answered more than it failed.
    let of_generation = generation.filter(|_| problem.n_good <= problem.n_bad);
    let of_generation = of_generation
        .map(|number| format!("generation {number} has hardly answered anybody since it is here"));
    FoundProblem {
        kind: kind.to_owned(),
        app: Some(app.to_string()),
        hosts: Vec::new(),
        state: problem.state,
        since: Some(problem.since),
        last_at: Some(problem.last_at),
        calls: (problem.n_bad, problem.n_good),
        cause: Some((cause.0.to_owned(), cause.1)),
        slow_after,
        claim,
        evidence: of_generation.into_iter().collect(),
        remedy: None,
        symptoms: Vec::new(),
    }
}

/// What is wrong with a host, or with its fleet. A host that is alone does not name itself.
pub(super) fn of_trouble(trouble: HostTrouble, is_in_fleet: bool) -> FoundProblem {
    let hosts = trouble.host.filter(|_| is_in_fleet).into_iter().collect();
    FoundProblem { hosts, ..of_hosts(trouble.kind, trouble.found) }
}

fn of_hosts(kind: &str, told: Diagnosis) -> FoundProblem {
    FoundProblem {
        kind: kind.to_owned(),
        app: None,
        hosts: Vec::new(),
        state: ProblemState::Open,
        since: None,
        last_at: None,
        calls: (0, 0),
        cause: None,
        slow_after: None,
        claim: told.claim,
        evidence: told.evidence,
        remedy: told.remedy,
        symptoms: Vec::new(),
    }
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

pub(super) fn read(told: wire::ToldProblem) -> FoundProblem {
    let remedy = told.remedy.map(|remedy| {
        let wire::Remedy { text, command, changes } = remedy;
        Remedy { text, command, changes }
    });
    FoundProblem {
        kind: told.kind,
        app: told.app,
        hosts: told.hosts,
        // A newer host may say more of it than is known here, but that it is there it says in any case.
        state: ProblemState::of_code(&told.state).unwrap_or(ProblemState::Open),
        since: told.since,
        last_at: told.last_at,
        calls: (told.failed, told.answered),
        cause: told.cause.zip(told.how),
        slow_after: told.slow_after_us.map(Duration::from_micros),
        claim: told.claim,
        evidence: told.evidence,
        remedy,
        symptoms: told.symptoms,
    }
}
