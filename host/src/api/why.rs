//! `GET /v1/apps/{app}/why`: what is wrong with an app, from what all hosts keep of it.
//! Does not judge: `core::why` does.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use steerage_core::destinations::RequestEnd;
use steerage_core::id::{AppName, Generation};
use steerage_core::spent::Phase;
use steerage_core::why::{
    self, AppPast, Diagnosis, Explanation, PastBusy, PastCall, PastDestination, PastEvent,
    PastLine, PastReplicas, PastWait,
};

use super::fleet_wide::{self, LATELY, whom};
use super::here::HostQuery;
use super::problem::Refusal;
use super::{Asked, Named, Shared, canary, replicas, wire};
use crate::agent::now;
use crate::manifest;

/// Calls that are judged, of all hosts together.
const CALLS: usize = 64;
/// Events among which the reason is looked for.
const EVENTS: usize = 200;
/// Lines among which are those that a failed call printed.
const LINES: usize = 200;

/// What is wrong with an app, and who told what that is concluded from.
pub(super) struct ToldOfApp {
    pub(super) past: AppPast,
    pub(super) explanation: Explanation,
    sources: Option<wire::Sources>,
}

/// `GET /v1/apps/{app}/why`.
pub(super) async fn why(
    State(state): State<Shared>,
    Named(app): Named,
    Asked(query): Asked<HostQuery>,
) -> Result<Json<wire::Why>, Refusal> {
    why_app(&state, &app, query.host.as_deref()).await.map(Json)
}

/// The same, for whoever knows the app.
pub(super) async fn why_app(
    state: &Shared,
    app: &AppName,
    host: Option<&str>,
) -> Result<wire::Why, Refusal> {
    let told = of_app(state, app, host).await?;
    Ok(wire::Why {
        app: Some(app.to_string()),
        diagnoses: told.explanation.diagnoses.into_iter().map(diagnosis).collect(),
        standing: told.explanation.standing,
        unrouted: Vec::new(),
        sources: told.sources,
    })
}

/// Says what is wrong with an app, by what all hosts know or one.
pub(super) async fn of_app(
    state: &Shared,
    app: &AppName,
    host: Option<&str>,
) -> Result<ToldOfApp, Refusal> {
    let served = state.app(app)?;
    let whose = || whom(state, host);
    let path = format!("/v1/apps/{app}/calls?limit={CALLS}");
    let calls = fleet_wide::gather(whose()?, &path, state.calls(app, CALLS)?, CALLS);
    let failed_path = format!("{path}&failed=true");
    // A host of an earlier version keeps none.
    let failed = fleet_wide::gather(whose()?, &failed_path, state.failed_calls(app, CALLS)?, CALLS);
    let failed = async { Ok(failed.await.unwrap_or_default()) };
    let events_path = format!("/v1/events?app={app}&limit={EVENTS}");
    let here = state.events(Some(app), EVENTS);
    let events = fleet_wide::gather(whose()?, &events_path, here, EVENTS);
    let asked_path = format!("/v1/apps/{app}/destinations");
    let asked = fleet_wide::gather(whose()?, &asked_path, state.destinations(app)?, usize::MAX);
    // Of a host of an earlier version this is not known either.
    let asked = async { Ok(asked.await.unwrap_or_default()) };
    let lines_path = format!("/v1/apps/{app}/logs?lines={LINES}");
    let lines = fleet_wide::gather(whose()?, &lines_path, state.lines(app, LINES)?, LINES);
    let (calls, failed, events, asked, lines) =
        tokio::try_join!(calls, failed, events, asked, lines)?;
    let deployments = state.desired.history(app, served.generation).await?;
    let (canary, _) = canary::of(state, app).await;
    let view = state.desired.look_if_readable(std::slice::from_ref(app)).await;
    let is_unfit = |generation: &Generation| {
        view.app(app).is_some_and(|record| record.unfit.contains(&generation.get()))
    };
    let placed = replicas::placed_if_any(state, app).await;
    let current = deployments.iter().find(|record| record.generation == served.generation);
    let current =
        current.and_then(|record| manifest::reread(&record.manifest, &state.own.limits).ok());
    let is_last = |call: &PastCall| calls.calls.iter().any(|last| last.id == call.id);
    let mut past = AppPast {
        app: app.clone(),
        now: now(),
        current: served.generation.get(),
        is_quarantined: state.context.catalog.is_quarantined(app, served.generation),
        canary: canary.map(|canary| canary.generation),
        timeout: current.as_ref().map(|manifest| manifest.limits.timeout),
        promised: current.as_ref().and_then(|manifest| manifest.objective.latency),
        request_body: current.map(|manifest| manifest.limits.request_body),
        older_failures: failed.calls.iter().map(call).filter(|call| !is_last(call)).collect(),
        calls: calls.calls.iter().map(call).collect(),
        events: events.events.into_iter().map(event).collect(),
        lines: lines.lines.into_iter().map(line).collect(),
        deployments: deployments
            .iter()
            .filter(|deployment| !is_unfit(&deployment.generation))
            .map(|deployment| (deployment.generation.get(), deployment.deployed_at))
            .collect(),
        destinations: asked.destinations.into_iter().map(destination).collect(),
        busiest: Vec::new(),
        replicas: placed.map(|placed| PastReplicas {
            wanted: placed.wanted,
            ready: placed.ready,
            others: others(&placed),
            lacks: placed.lacks,
        }),
    };
    if why::waited_for_a_core(&past) {
        // Of a host of an earlier version it is not known.
        let lately = fleet_wide::gather(whose()?, LATELY, state.lately(), usize::MAX).await;
        past.busiest = lately.map(|lately| busiest(lately.busiest)).unwrap_or_default();
    }
    Ok(ToldOfApp { explanation: why::explain(&past), past, sources: calls.sources })
}

/// How many hosts serve another deployment than the one that is wanted.
fn others(placed: &wire::Replicas) -> u32 {
    let is_other = |replica: &&wire::Replica| {
        replica.state == "starting" && replica.generation.is_some_and(|of| of != placed.generation)
    };
    u32::try_from(placed.hosts.iter().filter(is_other).count()).unwrap_or(u32::MAX)
}

fn call(call: &wire::Call) -> PastCall {
    let phases = Phase::ALL
        .into_iter()
        .filter_map(|phase| Some((phase, Duration::from_micros(*call.time_us.get(phase.code())?))));
    PastCall {
        id: call.id.clone(),
        at: call.at,
        generation: call.generation,
        method: call.method.clone(),
        path: call.path.clone(),
        status: call.status,
        cause: call.cause.clone(),
        took: Duration::from_micros(call.duration_us),
        phases: phases.collect(),
        waited_for: call.waited_for.as_ref().map(wait),
        failed_by: call.failed_by.as_ref().map(wait),
        request_bytes: call.request_bytes,
        client: call.client.clone(),
        host: call.host.clone(),
    }
}

fn line(line: wire::LogLine) -> PastLine {
    PastLine { call: line.call, is_error: line.stream == wire::Stream::Stderr, text: line.text }
}

fn wait(told: &wire::WaitedFor) -> PastWait {
    PastWait {
        destination: told.destination.clone(),
        waited: Duration::from_micros(told.waited_us),
        wrong: told.wrong.as_deref().and_then(RequestEnd::of_code),
    }
}

fn destination(known: wire::Destination) -> PastDestination {
    let recent = known.recent.iter().filter_map(|request| {
        let end = RequestEnd::of_code(&request.end)?;
        Some((request.at, end, Duration::from_micros(request.took_us)))
    });
    PastDestination {
        recent: recent.collect(),
        name: known.destination,
        last_error: known
            .last_error
            .and_then(|error| Some((RequestEnd::of_code(&error.end)?, error.why))),
    }
}

/// Who used most of the cores of each host.
fn busiest(told: Vec<wire::BusyApp>) -> Vec<PastBusy> {
    let busy = told.into_iter().filter_map(|wire::BusyApp { at, app, percent, host }| {
        Some(PastBusy { host, at, app: app.parse().ok()?, percent })
    });
    busy.collect()
}

fn event(mut event: wire::Event) -> PastEvent {
    let frames = event.evidence.remove("backtrace").unwrap_or_default();
    PastEvent {
        kind: event.kind,
        first_at: event.first_at,
        at: event.at,
        generation: event.generation,
        message: event.message,
        advice: event.advice,
        frames: frames.lines().map(str::to_owned).collect(),
    }
}

pub(super) fn diagnosis(found: Diagnosis) -> wire::Diagnosis {
    let remedy = found.remedy.map(remedy);
    wire::Diagnosis { claim: found.claim, evidence: found.evidence, remedy }
}

pub(super) fn remedy(remedy: why::Remedy) -> wire::Remedy {
    let why::Remedy { text, command, changes } = remedy;
    wire::Remedy { text, command, changes }
}
