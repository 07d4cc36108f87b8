//! `GET /v1/why`: what is wrong with the hosts, or with what a route leads to, from what all hosts know.
//! Does not judge: `core::why` does.

use std::collections::{BTreeMap, HashSet};
use std::sync::PoisonError;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::Deserialize;
use steerage_core::id::{AppName, HostName};
use steerage_core::node::Assigned;
use steerage_core::place::{self, Aims};
use steerage_core::route::HostPattern;
use steerage_core::units::many;
use steerage_core::why::{
    self, Diagnosis, FleetPast, HostEvent, HostTrouble, PastFinding, PastHost, PastUnplaced,
    PastUsage,
};

use super::fleet_wide::{self, LATELY, whom};
use super::found::{HERE, QUARANTINE};
use super::problem::{Cause, Refusal};
use super::why::{diagnosis, why_app};
use super::{Asked, Shared, fleet, found, wire};
use crate::agent::now;

/// As many cordoned hosts are supposed to be open, to see whether that would give replicas a place.
const TRIED: usize = 4;

/// What is asked about the hosts, or about a route.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhyQuery {
    host: Option<String>,
    route: Option<String>,
}

/// `GET /v1/why`.
pub(super) async fn why_fleet(
    State(state): State<Shared>,
    Asked(query): Asked<WhyQuery>,
) -> Result<Json<wire::Why>, Refusal> {
    let host = query.host.as_deref();
    if let Some(route) = &query.route {
        return why_route(&state, route, host).await.map(Json);
    }
    let (mut past, sources) = of_fleet(&state, host).await?;
    let one = host.filter(|host| *host != "*");
    match one {
        Some(one) => past.keep_only(one),
        None => past.unplaced = unplaced(&state).await?,
    }
    // At once: of a host that is silent each takes as long as hosts are waited for.
    let lately = fleet_wide::gather(whom(&state, host)?, LATELY, state.lately(), usize::MAX);
    let path = "/v1/problems";
    let told = fleet_wide::gather(whom(&state, host)?, path, state.problems(), usize::MAX);
    let (lately, told) = tokio::join!(lately, told);
    let lately = or_silent(lately, &mut past, one)?;
    let events: Vec<_> = lately.events.into_iter().map(host_event).collect();
    let told = or_silent(told, &mut past, one)?;
    // What the host itself says is wrong is the reason of what could not be asked.
    let unasked = std::mem::take(&mut past.told);
    past.told = told.problems.into_iter().filter_map(of_host).chain(unasked).collect();
    let told = why::explain_fleet(&past);
    // Told last: an app that fails is worse than callers who ask for what there is not, and than what is over.
    let unrouted = [wrong_protocol(&state, host), without_route(&state, host)];
    let last = unrouted.into_iter().flatten().chain(why::lately(now(), &events));
    Ok(Json(wire::Why {
        app: None,
        diagnoses: told.diagnoses.into_iter().map(diagnosis).collect(),
        standing: told.standing,
        unrouted: last.map(diagnosis).collect(),
        sources,
    }))
}

/// The name of this host in its fleet, where there is one; and whether it is asked about.
fn me<'s>(state: &'s Shared, asked: Option<&str>) -> (Option<&'s str>, bool) {
    let me = state.context.fleet.as_ref().map(|fleet| fleet.me().as_str());
    (me, asked.is_none_or(|asked| asked == "*" || me == Some(asked)))
}

/// That clients of this host speak another protocol than it does, where this host is asked about.
fn wrong_protocol(state: &Shared, asked: Option<&str>) -> Option<Diagnosis> {
    let (me, is_meant) = me(state, asked);
    let mistaken = state.mistaken.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if !is_meant || mistaken.is_over(now()) {
        return None;
    }
    let snapshot = state.context.catalog.snapshot();
    let called = snapshot.apps.values().filter_map(|app| app.state());
    let last_calls = called.filter_map(|called| called.calls.tail(1).pop());
    let last_call = last_calls.map(|call| call.at).max();
    let told = (&mistaken, last_call);
    why::wrong_protocol(now(), me.unwrap_or(HERE), told, state.is_tls)
}

/// Why requests to this host find no route, where that is known, and this host is asked about.
fn without_route(state: &Shared, asked: Option<&str>) -> Option<Diagnosis> {
    let context = &state.context;
    let (me, is_meant) = me(state, asked);
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
    let past = past(state, known, &wire::Usage::default());
    Ok((why::fleet_troubles(&past), is_first))
}

/// How the fleet stands.
async fn of_fleet(
    state: &Shared,
    host: Option<&str>,
) -> Result<(FleetPast, Option<wire::Sources>), Refusal> {
    let whose = whom(state, host)?;
    let usage = fleet_wide::gather(whose, "/v1/usage", state.usage(), usize::MAX).await;
    let mut unread = Vec::new();
    let usage = usage.or_else(|refusal| unless_silent(refusal).map(|()| wire::Usage::default()))?;
    let known = match fleet::hosts(State(state.clone())).await {
        Ok(Json(known)) => known,
        // Its own disk is its store.
        Err(refusal) if state.desired.fleet().is_alone() => {
            let claim = "what is wanted of this host cannot be read".to_owned();
            let found = Diagnosis { claim, evidence: vec![refusal.detail], remedy: None };
            unread.push(PastFinding { kind: "unread".to_owned(), host: None, found });
            wire::Hosts::default()
        }
        Err(refusal) => return Err(refusal),
    };
    let sources = usage.sources.clone();
    let mut past = past(state, known, &usage);
    past.told.extend(unread);
    Ok((past, sources))
}

/// A host that does not answer tells nothing: that is what is wrong with it, where nothing else says so.
fn or_silent<T: Default>(
    told: Result<T, Refusal>,
    past: &mut FleetPast,
    one: Option<&str>,
) -> Result<T, Refusal> {
    let refusal = match told {
        Ok(told) => return Ok(told),
        Err(refusal) => refusal,
    };
    let detail = refusal.detail.clone();
    unless_silent(refusal)?;
    let is_told = past.told.iter().any(|told| told.kind == "silent");
    let answers = past.hosts.iter().any(|host| host.state == "answers");
    if let Some(one) = one.filter(|_| answers && !is_told) {
        let claim = format!("{one} does not say how it is");
        let remedy = why::Remedy {
            text: "see whether its process runs and which version it is".to_owned(),
            command: Some("steerage hosts".to_owned()),
            changes: false,
        };
        let found = Diagnosis { claim, evidence: vec![detail], remedy: Some(remedy) };
        past.told.push(PastFinding { kind: "silent".to_owned(), host: None, found });
    }
    Ok(T::default())
}

fn unless_silent(refusal: Refusal) -> Result<(), Refusal> {
    if refusal.cause == Cause::HostSilent { Ok(()) } else { Err(refusal) }
}

/// For each app that lacks places, the first cordoned host that would take a replica of it, were it open.
fn would_take(
    now: &place::View,
    aims: &Aims,
    unplaced: &[place::Unplaced],
) -> BTreeMap<AppName, HostName> {
    let mut found = BTreeMap::new();
    let cordoned = now.hosts.iter().filter(|(_, host)| host.standing == place::Standing::Cordoned);
    for (name, _) in cordoned.take(TRIED) {
        let mut supposed = now.clone();
        supposed.open(name);
        let still = place::plan(&supposed, aims).unplaced;
        let left = |app: &AppName| {
            still.iter().find(|still| still.app == *app).map_or(0, |still| still.replicas)
        };
        for lacking in unplaced.iter().filter(|lacking| left(&lacking.app) < lacking.replicas) {
            found.entry(lacking.app.clone()).or_insert_with(|| name.clone());
        }
    }
    found
}

/// Apps of which replicas have no place, where plans are made.
async fn unplaced(state: &Shared) -> Result<Vec<PastUnplaced>, Refusal> {
    if state.desired.fleet().is_alone() {
        return Ok(Vec::new());
    }
    let view = state.desired.look().await?;
    let n_placed = |app: &AppName| view.assigned_to(app).map_or(0, Assigned::len);
    let is_short = view.apps().any(|(app, record)| n_placed(app) < record.bounds().0 as usize);
    if !is_short || view.is_frozen() {
        return Ok(Vec::new());
    }
    // Why that is so, only a plan says.
    let aims = Aims { policy: state.policy, ..Aims::default() };
    let planned = fleet::plan_with(state, view.clone(), aims, |now, aims| {
        let unplaced = place::plan(&now, aims).unplaced;
        let would_take = would_take(&now, aims, &unplaced);
        (unplaced, would_take)
    });
    let (unplaced, would_take) = planned.await?;
    let told = unplaced.into_iter().map(|found| PastUnplaced {
        placed: u32::try_from(n_placed(&found.app)).unwrap_or(u32::MAX),
        would_take: would_take.get(&found.app).map(ToString::to_string),
        app: found.app,
        replicas: found.replicas,
        lacks: found.lacks,
    });
    Ok(told.collect())
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
        unplaced: Vec::new(),
        told: Vec::new(),
        folder_gone: folder_gone.map(|since| Duration::from_millis(now().saturating_sub(since))),
        frozen: known.frozen.map(|frozen| (Duration::from_secs(frozen.seconds), frozen.why)),
        trouble: known.trouble,
    }
}

/// What is wrong with what a client asks for: with the app that answers it, or that none does.
async fn why_route(state: &Shared, asked: &str, host: Option<&str>) -> Result<wire::Why, Refusal> {
    let has_scheme = ["http://", "https://"].iter().any(|scheme| asked.starts_with(scheme));
    // A path alone is one of any host name.
    let is_path = asked.starts_with('/');
    let whole = if has_scheme || is_path { asked.to_owned() } else { format!("http://{asked}") };
    let url: Uri = whole.parse().map_err(|_| {
        let detail = format!("{asked:?} is no route: expected host/path, /path or a whole URL");
        Refusal::new(Cause::BadRequest, detail)
    })?;
    let (name, path) = (url.host().unwrap_or_default().to_lowercase(), url.path());
    let snapshot = state.context.catalog.snapshot();
    // Where only a path is asked for, a route of any host name may be meant.
    let exact: HashSet<&str> = snapshot
        .routes
        .iter()
        .filter_map(|routed| match &routed.route.host {
            HostPattern::Exact(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    let names = snapshot.routes.iter().filter_map(|routed| match &routed.route.host {
        HostPattern::Exact(name) if is_path => Some(name.to_string()),
        HostPattern::Suffix(suffix) if is_path => {
            Some(one_of_no_other_route(suffix.as_str(), &exact))
        }
        _ => None,
    });
    let mut names = std::iter::once(name.clone()).chain(names);
    if let Some(found) = names.find_map(|name| snapshot.routes.find(&name, path)) {
        let (route, app) = (found.target.route().clone(), found.target.app.name.clone());
        let told = why_app(state, &app, host).await?;
        let route = route.to_str().unwrap_or_default();
        let standing = format!("{name}{path} is answered by {route} of {app}; {}", told.standing);
        return Ok(wire::Why { standing, ..told });
    }
    let former = state.context.catalog.former_routes();
    let all: Vec<_> = snapshot.routes.iter().map(|routed| (&routed.route, &routed.owner)).collect();
    let found = why::no_route(now(), (&name, path), &former, all.iter().copied());
    Ok(wire::Why {
        diagnoses: vec![diagnosis(found)],
        standing: format!("the host that was asked knows {}", many(all.len(), "route")),
        ..wire::Why::default()
    })
}

/// A name that ends so and is not the name of a route itself, which another app may answer.
fn one_of_no_other_route(suffix: &str, exact: &HashSet<&str>) -> String {
    let mut name = format!("any.{suffix}");
    // Each turn takes another of the names that are known, so it ends.
    while exact.contains(&*name) {
        name.insert(0, 'x');
    }
    name
}

/// What a host tells of itself, where that is not told otherwise: each host knows of its own folder only.
fn of_host(problem: wire::ToldProblem) -> Option<PastFinding> {
    let problem = found::read(problem);
    let is_of_host = problem.app.is_none() || problem.kind == QUARANTINE;
    if !is_of_host || problem.kind == HostTrouble::FOLDER && problem.hosts.is_empty() {
        return None;
    }
    let host = problem.hosts.into_iter().next();
    let is_named = |host: &str| {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
        problem.claim.split(|letter| !is_part(letter)).any(|word| word == host)
    };
    let named = host.as_ref().filter(|host| !is_named(host));
    let on = named.map(|host| format!("on {host}: ")).unwrap_or_default();
    let claim = format!("{on}{}", problem.claim);
    let found = Diagnosis { claim, evidence: problem.evidence, remedy: problem.remedy };
    Some(PastFinding { kind: problem.kind, host, found })
}

fn host_event(event: wire::Event) -> HostEvent {
    let wire::Event { host, kind, at, message, advice, .. } = event;
    HostEvent { host, kind, at, message, advice }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_pattern_is_not_that_of_another_route() {
        let exact = HashSet::from(["any.a.example", "xany.a.example", "a.example"]);
        for (suffix, name) in [("a.example", "xxany.a.example"), ("b.example", "any.b.example")] {
            assert_eq!(one_of_no_other_route(suffix, &exact), name);
        }
    }
}
