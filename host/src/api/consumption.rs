//! `GET /v1/consumption`: what apps used of each host and reserved there, from the history of all hosts.
//! Knows no prices: `bill` is told some.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use futures_util::stream::{self, StreamExt as _};
use serde::Deserialize;
use steerage_core::bill::hours::{AppReservation, HostUse};
use steerage_core::history::Grain;
use steerage_core::pack::MachineRoom;
use steerage_core::units::{Bytes, Cpu};

use super::fleet_wide::{self, whom};
use super::problem::Refusal;
use super::{AT_ONCE, Asked, Shared, history, wire};
use crate::agent::now;

/// Where operators and other hosts ask.
pub(super) const PATH: &str = "/v1/consumption";

/// Since when.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsumptionQuery {
    since: Option<String>,
}

/// `GET /v1/consumption`.
pub(super) async fn consumption(
    State(state): State<Shared>,
    Asked(query): Asked<ConsumptionQuery>,
) -> Result<Json<wire::Consumption>, Refusal> {
    of_all(&state, query.since.as_deref()).await.map(Json)
}

/// What all hosts know, since a moment.
pub(super) async fn of_all(
    state: &Shared,
    since: Option<&str>,
) -> Result<wire::Consumption, Refusal> {
    let here = here(state, since).await?;
    let path = match here.hosts.first() {
        // All hosts begin with the same hour.
        Some(own) => format!("{PATH}?since={}", wire::moment(own.since)),
        None => PATH.to_owned(),
    };
    let mut told = fleet_wide::gather(whom(state, Some("*"))?, &path, here, usize::MAX).await?;
    let apps: BTreeSet<String> =
        told.hosts.iter().flat_map(|host| &host.apps).map(|told| told.app.clone()).collect();
    let tenants = stream::iter(apps)
        .map(|app| async move { tenant_of(state, &app).await.map(|tenant| (app, tenant)) });
    let tenants: Vec<_> = tenants.buffered(AT_ONCE).collect().await;
    told.tenants = tenants.into_iter().flatten().collect();
    Ok(told)
}

/// What this host knows of itself, for another host.
pub(super) async fn consumption_here(
    State(state): State<Shared>,
    Asked(query): Asked<ConsumptionQuery>,
) -> Result<Json<wire::Consumption>, Refusal> {
    here(&state, query.since.as_deref()).await.map(Json)
}

async fn here(state: &Shared, since: Option<&str>) -> Result<wire::Consumption, Refusal> {
    let now = now() / 1000;
    let since = history::moment("since", since)?.unwrap_or(0);
    let history = history::kept(state)?;
    let mut host = HostUse::new(since, now, reserved(state).await?);
    let (hours, seconds) = (host.hours(), host.seconds());
    let started = now.saturating_sub(state.started_at.elapsed().as_secs());
    let begin = Grain::Hour.begin_of(hours.start);
    let (known_seconds, apps) = history::read(move || {
        history.each_hour(&hours, now, |hour, app, did| {
            host.tell(hour, app, (did.cpu_us, did.memory_held));
        });
        // After they are told: what goes meanwhile is the oldest.
        host.finish(started, history.oldest_hour())
    })
    .await?;
    let mebibytes = |bytes: u128| u64::try_from(bytes >> 20).unwrap_or(u64::MAX);
    let apps = apps.into_iter().map(|(app, had)| wire::AppConsumption {
        app,
        cpu_us: had.used.cpu_us,
        mebibyte_seconds: mebibytes(had.used.byte_seconds),
        unused_cpu_us: had.unused.cpu_us,
        unused_mebibyte_seconds: mebibytes(had.unused.byte_seconds),
    });
    let own = wire::HostConsumption {
        host: state.desired.fleet().me().to_string(),
        since: begin * 1000,
        seconds,
        known_seconds,
        apps: apps.collect(),
    };
    Ok(wire::Consumption { hosts: vec![own], ..wire::Consumption::default() })
}

/// What apps reserve on this host, since they are deployed as they are and placed here.
async fn reserved(state: &Shared) -> Result<BTreeMap<String, AppReservation>, Refusal> {
    let fleet = state.desired.fleet();
    let view = state.desired.look().await?;
    let mut reserved = BTreeMap::new();
    for (app, assigned) in view.all_assigned() {
        let (Some(origin), Some(record)) = (assigned.get(fleet.me()), view.app(app)) else {
            continue;
        };
        if record.cpu_m.is_none() && record.memory.is_none() {
            continue;
        }
        let room = MachineRoom {
            cpu: Cpu::milli(record.cpu_m.unwrap_or(0)),
            memory: Bytes::new(record.memory.unwrap_or(0)),
        };
        // One that is not served here yet reserves its place from when it was given it.
        let deployed = state.app(app).map_or(0, |app| app.deployed_at / 1000);
        let since = deployed.max(u64::from(origin.at));
        reserved.insert(app.to_string(), AppReservation { room, since });
    }
    Ok(reserved)
}

/// Whose an app is; `None` where it was removed, or where neither this host nor the store can say it.
async fn tenant_of(state: &Shared, app: &str) -> Option<String> {
    let served = state.app(&app.parse().ok()?).ok()?;
    let tenant = state.desired.tenant_of(&served.name, served.generation).await?;
    Some(tenant.to_string())
}
