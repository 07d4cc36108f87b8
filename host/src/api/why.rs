//! `GET /v1/apps/{app}/why` and `/v1/why`: what is wrong with an app, or with the hosts, from what all hosts
//! keep of it.
//! Does not judge: `core::why` does.

use std::sync::PoisonError;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use steerage_core::destinations::RequestEnd;
use steerage_core::id::{AppName, Generation};
use steerage_core::spent::Phase;
use steerage_core::why::{
    self, AppPast, Diagnosis, Explanation, FleetPast, HostTrouble, PastCall, PastDestination,
    PastEvent, PastHost, PastLine, PastReplicas, PastUsage, PastWait,
};

use super::fleet_wide::{self, whom};
use super::here::HostQuery;
use super::problem::Refusal;
use super::{Asked, Named, Shared, canary, fleet, replicas, wire};
use crate::agent::now;
use crate::manifest;

/// What is told of a host that is alone.
pub(super) const HERE: &str = "this host";
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
    let told = of_app(&state, &app, query.host.as_deref()).await?;
    Ok(Json(wire::Why {
        app: Some(app.to_string()),
        diagnoses: told.explanation.diagnoses.into_iter().map(diagnosis).collect(),
        standing: told.explanation.standing,
        unrouted: Vec::new(),
        sources: told.sources,
    }))
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
    let view = state.desired.look_at(std::slice::from_ref(app)).await?;
    let is_unfit = |generation: &Generation| {
        view.app(app).is_some_and(|record| record.unfit.contains(&generation.get()))
    };
    let placed = replicas::placed_if_any(state, app).await;
    let current = deployments.iter().find(|record| record.generation == served.generation);
    let current =
        current.and_then(|record| manifest::reread(&record.manifest, &state.own.limits).ok());
    let is_last = |call: &PastCall| calls.calls.iter().any(|last| last.id == call.id);
    let past = AppPast {
        app: app.clone(),
        now: now(),
        current: served.generation.get(),
        canary: canary.map(|canary| canary.generation),
        timeout: current.as_ref().map(|manifest| manifest.limits.timeout),
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
        replicas: placed.map(|placed| PastReplicas {
            wanted: placed.wanted,
            ready: placed.ready,
            others: others(&placed),
            lacks: placed.lacks,
        }),
    };
    Ok(ToldOfApp { explanation: why::explain(&past), past, sources: calls.sources })
}

/// `GET /v1/why`.
pub(super) async fn why_fleet(
    State(state): State<Shared>,
    Asked(query): Asked<HostQuery>,
) -> Result<Json<wire::Why>, Refusal> {
    let (past, sources) = of_fleet(&state, query.host.as_deref()).await?;
    let told = why::explain_fleet(&past);
    let unrouted = without_route(&state, query.host.as_deref());
    Ok(Json(wire::Why {
        app: None,
        diagnoses: told.diagnoses.into_iter().map(diagnosis).collect(),
        standing: told.standing,
        unrouted: unrouted.into_iter().map(diagnosis).collect(),
        sources,
    }))
}

/// Why requests to this host find no route, where that is known, and this host is asked about.
fn without_route(state: &Shared, host: Option<&str>) -> Option<Diagnosis> {
    let context = &state.context;
    let me = context.fleet.as_ref().map(|fleet| fleet.me().as_str());
    let is_meant = host.is_none_or(|host| host == "*" || me == Some(host));
    let kinds = context.without_route.lock().unwrap_or_else(PoisonError::into_inner).told(now());
    if kinds.is_empty() || !is_meant {
        return None;
    }
    // All of one moment: a route that is published meanwhile is neither near nor missing.
    let snapshot = context.catalog.snapshot();
    let routes: Vec<_> =
        snapshot.routes.iter().map(|routed| (&routed.route, &routed.owner)).collect();
    let is_routed = |host: &str, path: &str| snapshot.routes.find(host, path).is_some();
    let former = context.catalog.former_routes();
    let mut found = why::unrouted(now(), &kinds, &former, routes.iter().copied(), is_routed)?;
    found.evidence.extend(me.map(|me| format!("they came to {me}")));
    Some(found)
}

/// What is wrong with hosts, but for what is nearly used up: whoever watches that for longer tells it.
pub(super) async fn troubles(
    state: &Shared,
    host: Option<&str>,
) -> Result<Vec<HostTrouble>, Refusal> {
    let (past, _) = of_fleet(state, host).await?;
    Ok(why::fleet_troubles(&past))
}

/// The same as far as this host knows by itself, and whether it is the first of those that answer.
pub(super) async fn troubles_known(state: &Shared) -> Result<(Vec<HostTrouble>, bool), Refusal> {
    let known = fleet::hosts_known(state).await?;
    let first = known.hosts.iter().filter(|host| host.state == "answers").map(|host| &host.host);
    let is_first = first.min().is_none_or(|first| *first == known.asked);
    Ok((why::fleet_troubles(&past(state, known, &wire::Usage::default())), is_first))
}

/// How the fleet stands.
async fn of_fleet(
    state: &Shared,
    host: Option<&str>,
) -> Result<(FleetPast, Option<wire::Sources>), Refusal> {
    let whose = whom(state, host)?;
    let usage = fleet_wide::gather(whose, "/v1/usage", state.usage(), usize::MAX).await?;
    let Json(known) = fleet::hosts(State(state.clone())).await?;
    Ok((past(state, known, &usage), usage.sources))
}

fn past(state: &Shared, known: wire::Hosts, usage: &wire::Usage) -> FleetPast {
    let used = |name: &str| {
        // A host that is alone tells its own without a name.
        let is_only = usage.each.is_empty() && name == known.asked;
        let of = usage.each.get(name).map(|usage| &usage.host);
        let of = of.or_else(|| is_only.then_some(&usage.host))?;
        Some(PastUsage {
            memory: (of.resident_bytes, of.memory_budget_bytes),
            slots: (of.slots_used.into(), of.slots_total.into()),
            waiting: of.waiting,
        })
    };
    let past_host = |host: &wire::HostSummary| PastHost {
        name: host.host.clone(),
        state: host.state.clone(),
        why: host.why.clone(),
        lost: host.lost_seconds.map(Duration::from_secs),
        replicas: host.replicas,
        clock_ahead: host.clock_ahead_seconds,
        certificate_days: host.certificate.as_ref().map(|shown| shown.days_left),
        used: used(&host.host),
    };
    let folder_gone = state.telemetry.problems.of_host().folder_gone_since();
    FleetPast {
        asked: if state.context.fleet.is_some() { known.asked.clone() } else { HERE.to_owned() },
        store_silent: known.store_silent_seconds.map(Duration::from_secs),
        hosts: known.hosts.iter().map(past_host).collect(),
        folder_gone: folder_gone.map(|since| Duration::from_millis(now().saturating_sub(since))),
        frozen: known.frozen.map(|frozen| (Duration::from_secs(frozen.seconds), frozen.why)),
        trouble: known.trouble,
    }
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

fn diagnosis(found: Diagnosis) -> wire::Diagnosis {
    let remedy = found.remedy.map(remedy);
    wire::Diagnosis { claim: found.claim, evidence: found.evidence, remedy }
}

pub(super) fn remedy(remedy: why::Remedy) -> wire::Remedy {
    let why::Remedy { text, command, changes } = remedy;
    wire::Remedy { text, command, changes }
}
