//! What is wrong with what runs on this host, and with the host itself, as it knows by itself.
//! Does not judge: `core::problem` does. What other hosts find is put together in `problems`.

use std::time::Duration;

use jiff::Timestamp;
use steerage_core::id::{AppName, Generation};
use steerage_core::problem::{FoundProblem, ProblemState, level_claim, level_evidence};
use steerage_core::why::{
    Diagnosis, FleetPast, Remedy, certificate_of_callers, fleet_troubles, quarantine_claim,
    remedy_of_lack,
};

use super::{ApiState, wire};
use crate::agent::now;
use crate::telemetry::events::Event;
use crate::telemetry::problems::TroubledApp;

/// What is told of a host that is alone.
pub(super) const HERE: &str = "this host";
/// The kind of a problem of an app that is quarantined.
pub(super) const QUARANTINE: &str = "quarantine";

impl ApiState {
    /// What is wrong with what runs here, and with this host.
    pub(super) fn found_here(&self) -> Vec<FoundProblem> {
        let problems = &self.telemetry.problems;
        let is_there = |app: &TroubledApp| self.context.catalog.app(&app.app).is_some();
        let of_apps = problems.of_apps().into_iter().filter(is_there).map(of_app);
        let me = self.context.fleet.as_ref().map_or(HERE, |fleet| fleet.me().as_str());
        let levels = problems.of_host().levels_open().into_iter().map(|(what, level)| {
            let told = Diagnosis {
                claim: level_claim(me, what, &level),
                evidence: vec![level_evidence(what, &level)],
                remedy: Some(remedy_of_lack(what)),
            };
            let (since, last_at) = (Some(level.since), Some(level.last_at));
            FoundProblem { since, last_at, ..found_now(what, told) }
        });
        let days = self.certificates.days_left(Timestamp::now()).callers;
        let certificate = days.and_then(|days| certificate_of_callers(me, days));
        let certificate = certificate.map(|found| found_now("callers_certificate", found));
        let gone_since = problems.of_host().folder_gone_since();
        let of_folder = fleet_troubles(&FleetPast {
            asked: me.to_owned(),
            folder_gone: gone_since.map(|since| Duration::from_millis(now().saturating_sub(since))),
            ..FleetPast::default()
        });
        let of_folder = of_folder.into_iter().map(|trouble| FoundProblem {
            since: gone_since,
            last_at: gone_since.map(|_| now()),
            ..found_now(trouble.kind, trouble.found)
        });
        let lasting = self.context.events.lasting().into_iter().map(of_event);
        let quarantined = self.context.catalog.quarantined().into_iter();
        let quarantined = quarantined.map(|(app, generation)| of_quarantined(&app, generation));
        of_apps
            .chain(levels)
            .chain(of_folder)
            .chain(certificate)
            .chain(lasting)
            .chain(quarantined)
            .collect()
    }
}

/// What began on this host and lasts.
fn of_event(event: Event) -> FoundProblem {
    let remedy = event.advice.map(|text| Remedy {
        text,
        command: Some("steerage events".to_owned()),
        changes: false,
    });
    let told = Diagnosis { claim: event.message, evidence: Vec::new(), remedy };
    let (since, last_at) = (Some(event.at), Some(now()));
    FoundProblem { since, last_at, ..found_now(&event.kind, told) }
}

/// That an app is called no more on this host.
fn of_quarantined(app: &AppName, generation: Generation) -> FoundProblem {
    let told = Diagnosis {
        claim: quarantine_claim(app, generation.get()),
        evidence: Vec::new(),
        remedy: Some(Remedy {
            text: "find out what it does to hosts, and deploy it again".to_owned(),
            command: Some(format!("steerage events {app}")),
            changes: false,
        }),
    };
    FoundProblem { app: Some(app.to_string()), ..found_now(QUARANTINE, told) }
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

/// What is wrong now, without counts of calls.
pub(super) fn found_now(kind: &str, told: Diagnosis) -> FoundProblem {
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
