//! The endpoints that speak of the fleet: hosts and what is wanted of them, and what would be planned.
//! Does not place anything: what is wanted goes to the store, and placement sees it there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Deserialize;
use steerage_core::expiry;
use steerage_core::id::HostName;
use steerage_core::liveness::Liveness;
use steerage_core::place::{self, Aims, BadNewHosts, MOST_NEW_HOSTS, NewHosts};
use steerage_core::units::Cpu;

use super::problem::{Cause, Refusal};
use super::view::frozen;
use super::{ApiState, Asked, OfHost, Sent, Shared, wire};
use crate::fleet::record::{HostRecord, HostSpec};
use crate::fleet::{Fleet, View};
use crate::placement;
use crate::request::Hops;
use crate::telemetry::metrics::FleetReading;

/// What apps use is asked for when an operator looks, unless that was so short a time ago: hosts look at it
/// as often.
pub(super) const USE_OF: Duration = Duration::from_secs(2);

/// `GET /v1/hosts`.
pub(super) async fn hosts(State(state): State<Shared>) -> Result<Json<wire::Hosts>, Refusal> {
    state.desired.fleet().ask_use(USE_OF).await;
    hosts_known(&state).await.map(Json)
}

/// The same with what this host knows by itself of what is used.
pub(super) async fn hosts_known(state: &Shared) -> Result<wire::Hosts, Refusal> {
    let fleet = state.desired.fleet();
    let view = state.desired.look().await?;
    let counts = Counts::of(&view);
    let hosts =
        view.all_hosts().map(|(name, record)| summary(fleet, &view, &counts, (name, record)));
    let lost = fleet.lost().into_iter().filter(|(name, _)| view.host(name).is_none());
    let lost = lost.map(|(name, lost)| {
        let told = summary(fleet, &view, &counts, (&name, &lost.record));
        let lost_seconds = Some(lost.for_how_long().as_secs());
        wire::HostSummary { state: "lost".to_owned(), lost_seconds, ..told }
    });
    let mut hosts: Vec<_> = hosts.chain(lost).collect();
    show_revoked(fleet, &view, &mut hosts);
    hosts.sort_by(|one, other| one.host.cmp(&other.host));
    let (asked, store_answers) = (fleet.me().to_string(), !fleet.is_cut_off());
    let trouble = fleet.trouble().map(|trouble| trouble.to_string());
    let store_silent_seconds = fleet.silent_for().map(|silent| silent.as_secs());
    let frozen = frozen(&view);
    Ok(wire::Hosts { asked, store_answers, store_silent_seconds, trouble, frozen, hosts })
}

/// Gives revoked hosts their state, and lists those of which nothing else is known.
fn show_revoked(fleet: &Fleet, view: &View, hosts: &mut Vec<wire::HostSummary>) {
    let revoked = fleet.revoked();
    for (name, _) in revoked.all().filter(|(name, _)| view.host(name).is_none()) {
        let state = "revoked".to_owned();
        match hosts.iter_mut().find(|host| host.host == name.as_str()) {
            Some(host) => (host.state, host.lost_seconds) = (state, None),
            None => {
                let told = summary(fleet, view, &Counts::default(), (name, &nowhere()));
                hosts.push(wire::HostSummary { state, ..told });
            }
        }
    }
}

/// `PUT /v1/hosts/{host}/standing`.
pub(super) async fn set_standing(
    State(state): State<Shared>,
    OfHost(host): OfHost,
    Sent(request): Sent<wire::StandingRequest>,
) -> Result<Json<wire::HostSummary>, Refusal> {
    state.check_open()?;
    let fleet = state.desired.fleet();
    if fleet.is_alone() {
        let detail = "this host is alone: what runs here has nowhere else to go; it joins other hosts with \
                      --store etcd://...";
        return Err(Refusal::new(Cause::NotFound, detail));
    }
    let view = fleet.view();
    let is_open_again = request.standing == "open" && view.host_specs.contains_key(&host);
    let Some(record) = known_host(fleet, &view, &host, is_open_again) else {
        let known: Vec<_> = view.all_hosts().map(|(name, _)| name.to_string()).collect();
        let detail = format!("no host named {host}; there are {}", known.join(", "));
        return Err(Refusal::new(Cause::NotFound, detail));
    };
    let spec = match &*request.standing {
        "open" => None,
        "cordoned" => Some(HostSpec { drain: false }),
        "draining" => Some(HostSpec { drain: true }),
        other => {
            let detail = format!("standing is {other:?}: expected open, cordoned or draining");
            return Err(Refusal::new(Cause::BadRequest, detail));
        }
    };
    state.desired.set_host(&host, spec).await?;
    let mut told = summary(fleet, &view, &Counts::of(&view), (&host, &record));
    told.standing = request.standing;
    Ok(Json(told))
}

/// What is known of a host that something is wanted of: it is there, or was lost; or something was
/// wanted of it before, which can be taken back though nobody knows the host any more.
fn known_host(
    fleet: &Fleet,
    view: &View,
    host: &HostName,
    is_open_again: bool,
) -> Option<Arc<HostRecord>> {
    if let Some(record) = view.host(host) {
        return Some(record.clone());
    }
    let lost = fleet.lost().into_iter().find(|(name, _)| name == host);
    if let Some((_, lost)) = lost {
        return Some(lost.record);
    }
    is_open_again.then(|| Arc::new(nowhere()))
}

/// The record of a host of which nothing is known.
fn nowhere() -> HostRecord {
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    HostRecord {
        id: String::new(),
        run: 0,
        address: nowhere,
        listen: nowhere,
        admin: nowhere,
        zone: String::new(),
        labels: BTreeMap::new(),
        cpu_m: 0,
        memory: 0,
        version: String::new(),
        certificate: None,
        believes: BTreeSet::new(),
        tells_use: false,
        signs: false,
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanQuery {
    #[serde(default)]
    consolidate: bool,
    without: Option<String>,
    drained: Option<String>,
    with: Option<String>,
}

/// Changes a view to what is asked for: hosts gone, hosts added.
fn suppose(query: &PlanQuery, view: &mut place::View) -> Result<(), Refusal> {
    let given = |list: &Option<String>, between| -> Vec<String> {
        let parts = list.iter().flat_map(|list| list.split(between));
        parts.map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
    };
    let unknown = |view: &place::View, host: &str, how: &str| {
        let known: Vec<_> = view.hosts.keys().map(HostName::as_str).collect();
        let detail = format!("no host named {host} {how}; there are {}", known.join(", "));
        Refusal::new(Cause::NotFound, detail)
    };
    for host in given(&query.without, ',') {
        if !host.parse().is_ok_and(|name| view.take_away(&name)) {
            return Err(unknown(view, &host, "to plan without"));
        }
    }
    for host in given(&query.drained, ',') {
        if !host.parse().is_ok_and(|name| view.drain(&name)) {
            return Err(unknown(view, &host, "to drain"));
        }
    }
    let mut n_new = 0;
    for new in given(&query.with, ';') {
        let new: NewHosts = new
            .parse()
            .map_err(|bad: BadNewHosts| Refusal::new(Cause::BadRequest, bad.to_string()))?;
        n_new = new.count.saturating_add(n_new);
        if n_new > MOST_NEW_HOSTS {
            let detail =
                format!("{n_new} new hosts to plan with, where {MOST_NEW_HOSTS} may be thought of");
            return Err(Refusal::new(Cause::BadRequest, detail));
        }
        view.add_new(&new);
    }
    Ok(())
}

/// Makes of a view what plans are made of, and has somebody plan with it, on a thread that may take long.
pub(super) async fn plan_with<T: Send + 'static>(
    state: &ApiState,
    view: Arc<View>,
    aims: Aims,
    plan: impl FnOnce(place::View, &Aims) -> T + Send + 'static,
) -> Result<T, Refusal> {
    let (fleet, headroom) = (state.desired.fleet().clone(), state.headroom);
    let planned =
        tokio::task::spawn_blocking(move || plan(placement::of(&fleet, &view, headroom), &aims));
    planned.await.map_err(|error| Refusal::internal(&error))
}

/// `GET /v1/plan`.
pub(super) async fn plan(
    State(state): State<Shared>,
    Asked(query): Asked<PlanQuery>,
) -> Result<Json<wire::Plan>, Refusal> {
    let fleet = state.desired.fleet();
    fleet.ask_use(USE_OF).await;
    let looked = state.desired.look().await?;
    let frozen = frozen(&looked);
    let aims = Aims { consolidate: query.consolidate, policy: state.policy };
    let planned = plan_with(&state, looked, aims, move |mut view, aims| {
        suppose(&query, &mut view).map(|()| place::plan(&view, aims))
    });
    let plan = planned.await??;
    let text = |name: &Option<HostName>| name.as_ref().map(ToString::to_string);
    let moves = plan.moves.iter().map(|step| wire::PlannedMove {
        app: step.app.to_string(),
        from: text(&step.from),
        to: text(&step.to),
        why: step.why.to_string(),
    });
    let unplaced = plan.unplaced.iter().map(|unplaced| wire::Unplaced {
        app: unplaced.app.to_string(),
        replicas: unplaced.replicas,
        lacks: unplaced.lacks.to_string(),
        stays_on: unplaced.stays_on.iter().map(ToString::to_string).collect(),
    });
    Ok(Json(wire::Plan {
        moves: moves.collect(),
        unplaced: unplaced.collect(),
        spare: plan.spare.iter().map(ToString::to_string).collect(),
        store_answers: !fleet.is_cut_off(),
        frozen,
    }))
}

/// The hosts that could be given back now; `None` where what the store says now is not known.
pub(super) async fn spare(state: &ApiState) -> Result<Option<Vec<String>>, Refusal> {
    let view = state.desired.look().await?;
    let aims = Aims { consolidate: true, policy: state.policy };
    let plan = plan_with(state, view, aims, |view, aims| place::plan(&view, aims)).await?;
    let names = plan.spare.iter().map(ToString::to_string).collect();
    Ok((!state.desired.fleet().is_cut_off()).then_some(names))
}

/// The fleet as its metrics tell it.
pub(super) fn reading(fleet: &Fleet, hops: &Hops) -> FleetReading {
    let view = fleet.view();
    let states: Vec<Liveness> =
        view.all_hosts().map(|(name, _)| fleet.liveness(&view, name)).collect();
    let n_in = |state: Liveness| states.iter().filter(|one| **one == state).count() as u64;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let beginnings = fleet.beginnings();
    FleetReading {
        store_answers: !fleet.is_cut_off(),
        store_silent: fleet.silent_for().unwrap_or_default(),
        hosts: states.len() as u64,
        hosts_answering: states.iter().filter(|one| one.is_candidate_for_calls()).count() as u64,
        hosts_by_state: [Liveness::Ready, Liveness::Detached, Liveness::Suspect, Liveness::Gone]
            .map(|state| (state.word(), n_in(state))),
        lease_kept: fleet.lease_kept(),
        view_age: fleet.heard_ago(),
        use_age: fleet.asked_use_ago(),
        beginnings: [("all", beginnings.whole), ("missed", beginnings.resumed)],
        forwarded: count(&hops.sent),
        retried: count(&hops.again),
        fallen_back: count(&hops.fallen_back),
    }
}

/// How many apps are where, counted once for all hosts.
#[derive(Default)]
struct Counts<'v> {
    replicas: BTreeMap<&'v HostName, u32>,
    ready: BTreeMap<&'v HostName, u32>,
}

impl<'v> Counts<'v> {
    fn of(view: &'v View) -> Self {
        let mut counts = Self::default();
        for host in view.all_assigned().flat_map(|(_, assigned)| assigned.keys()) {
            *counts.replicas.entry(host).or_default() += 1;
        }
        for host in view.all_ready().flat_map(|(_, ready)| ready.keys()) {
            *counts.ready.entry(host).or_default() += 1;
        }
        counts
    }
}

fn summary(
    fleet: &Fleet,
    view: &View,
    counts: &Counts<'_>,
    (name, record): (&HostName, &HostRecord),
) -> wire::HostSummary {
    let standing = match view.host_specs.get(name) {
        None => "open",
        Some(HostSpec { drain: false }) => "cordoned",
        Some(HostSpec { drain: true }) => "draining",
    };
    let peer = fleet.peers().named(name);
    let (cpu, memory) = view
        .used_on(name)
        .fold((0, 0), |(cpu, memory), (_, app)| (cpu + app.cpu_u, memory + app.memory));
    wire::HostSummary {
        host: name.to_string(),
        zone: record.zone.clone(),
        labels: record.labels.clone(),
        listen: record.listen.to_string(),
        address: record.address.to_string(),
        admin: Some(record.admin.to_string()),
        standing: standing.to_owned(),
        state: fleet.liveness(view, name).word().to_owned(),
        why: peer.as_ref().and_then(|peer| peer.why()).map(|why| why.to_string()),
        lost_seconds: None,
        replicas: counts.replicas.get(name).copied().unwrap_or(0),
        ready: counts.ready.get(name).copied().unwrap_or(0),
        cpu_millicores: record.cpu_m,
        cpu_used_millicores: Cpu::micro(cpu).as_millis(),
        memory_bytes: record.memory,
        memory_used_bytes: memory,
        clock_ahead_seconds: peer.and_then(|peer| peer.clock_ahead()).unwrap_or(0),
        version: record.version.clone(),
        certificate: record.certificate.as_ref().map(|shown| wire::Certificate {
            authority: shown.authority.clone(),
            days_left: expiry::days_left(shown.ends, Timestamp::now().as_second()),
            believes: record.believes.iter().cloned().collect(),
        }),
    }
}
