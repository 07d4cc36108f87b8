//! `GET /v1/advice`: what limits, replicas and resources apps should have, from what all hosts saw.
//! Does not judge: `core::advice` does.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use steerage_core::advice::{Advice, AdvisedApp, AppNeeds, advise, day_of};
use steerage_core::id::{AppName, Generation};

use super::fleet_wide::{self, whom};
use super::needs::ToldNeeds;
use super::problem::{Cause, Refusal};
use super::{AT_ONCE, Asked, Shared, history, needs, wire};
use crate::agent::now;
use crate::catalog::App;
use crate::manifest;

/// How many apps are told of unless somebody says otherwise.
const APPS: usize = 100;

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdviceQuery {
    app: Option<String>,
    limit: Option<usize>,
}

/// `GET /v1/advice`.
pub(super) async fn advice(
    State(state): State<Shared>,
    Asked(query): Asked<AdviceQuery>,
) -> Result<Json<wire::AdviceReport>, Refusal> {
    let app = app_named(query.app.as_deref())?;
    if let Some(app) = &app {
        state.app(app)?;
    }
    let here = needs_of(&state, app.as_ref()).await?;
    let path = match &app {
        Some(app) => format!("{}?app={app}", needs::PATH),
        None => needs::PATH.to_owned(),
    };
    let told = fleet_wide::gather(whom(&state, Some("*"))?, &path, here, usize::MAX).await?;
    let n_silent = told.sources.as_ref().map_or(0, |sources| sources.unanswered.len());
    let n_hosts = told.sources.as_ref().map_or(1, |sources| sources.hosts.len() + n_silent);
    let fleet = Hosts { n_hosts: number(n_hosts), n_silent: number(n_silent) };
    let mut by_app: BTreeMap<String, AppNeeds> = told.read();
    if let Some(app) = &app {
        // One that was never called is told of as well: nothing is known of it.
        by_app.entry(app.to_string()).or_default();
    }
    // An app that was removed has a past, and needs no advice.
    let served = by_app
        .into_iter()
        .filter_map(|(app, needs)| Some((state.app(&app.parse().ok()?).ok()?, needs)));
    let mut by_app: Vec<_> = served.collect();
    by_app.sort_by_cached_key(|(app, needs)| {
        let cpu_us = needs.days.values().fold(0, |sum, day| day.cpu_us.saturating_add(sum));
        (Reverse(cpu_us), app.name.clone())
    });
    let apps_called = by_app.len();
    let asked = by_app.into_iter().take(query.limit.unwrap_or(APPS));
    let state = &state;
    let apps = stream::iter(asked)
        .map(|(app, needs)| async move { of_app(state, &app, &needs, fleet).await });
    let apps: Vec<Option<_>> = apps.buffered(AT_ONCE).try_collect().await?;
    let apps = apps.into_iter().flatten().collect();
    Ok(Json(wire::AdviceReport { apps, apps_called, sources: told.sources }))
}

/// Of which app other hosts ask what it needed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NeedsQuery {
    app: Option<String>,
}

/// What this host knows of what apps needed, for another host.
pub(super) async fn needs_here(
    State(state): State<Shared>,
    Asked(query): Asked<NeedsQuery>,
) -> Result<Json<ToldNeeds>, Refusal> {
    let app = app_named(query.app.as_deref())?;
    Ok(Json(needs_of(&state, app.as_ref()).await?))
}

/// What this host knows of one app or all.
async fn needs_of(state: &Shared, app: Option<&AppName>) -> Result<ToldNeeds, Refusal> {
    let history = history::kept(state)?;
    let of = app.map(AppName::to_string);
    let needs = history::read(move || history.needs(of.as_deref(), now() / 1000)).await?;
    Ok(ToldNeeds::of(&needs))
}

/// The app that is asked for, if it is one.
fn app_named(said: Option<&str>) -> Result<Option<AppName>, Refusal> {
    let app = said.map(str::parse::<AppName>).transpose();
    app.map_err(|error| Refusal::new(Cause::BadRequest, format!("app: {error}")))
}

/// How many there are, and of how many nothing is known.
#[derive(Clone, Copy)]
struct Hosts {
    n_hosts: u32,
    n_silent: u32,
}

/// What one app should have; `None` where it was removed just now.
async fn of_app(
    state: &Shared,
    served: &App,
    needs: &AppNeeds,
    Hosts { n_hosts, n_silent }: Hosts,
) -> Result<Option<wire::AppAdvice>, Refusal> {
    let records = state.desired.history(&served.name, served.generation).await?;
    let current = records.iter().find(|record| record.generation == served.generation);
    let policy = &state.own.limits;
    let Some(current) = current else { return Ok(None) };
    let manifest = manifest::reread(&current.manifest, policy).ok();
    let Some(manifest) = manifest else { return Ok(None) };
    let day = |at: u64| day_of(at / 1000);
    let advised = advise(
        needs,
        &AdvisedApp {
            limits: &manifest.limits,
            maximum: &policy.maximum,
            placement: &manifest.placement,
            reuse: manifest.instance.reuse.get(),
            // What failed by the limits of one that was taken back since says nothing of this one's.
            deployed: day(records.iter().map(|record| record.deployed_at).max().unwrap_or(0)),
            is_first: current.generation == Generation::FIRST && records.len() == 1,
            today: day(now()),
            n_hosts,
            n_silent,
        },
    );
    let first = advised.first();
    Ok(Some(wire::AppAdvice {
        app: served.name.to_string(),
        tenant: manifest.tenant.to_string(),
        generation: current.generation.get(),
        deployed_at: current.deployed_at,
        calls: first.map_or(0, |advice| advice.calls),
        days: first.map_or(0, |advice| advice.days),
        keys: advised.iter().map(key).collect(),
    }))
}

fn key(advice: &Advice) -> wire::KeyAdvice {
    let (section, key) = advice.key.place();
    let shown = |value: u64| advice.key.show(value);
    wire::KeyAdvice {
        key: format!("{section}.{key}"),
        present: advice.present.map(shown),
        advised: advice.advised.map(shown),
        seen: shown(advice.seen),
        margin_percent: advice.margin_percent,
        risk_per_million: advice.risk_per_million,
        reason: advice.reason.to_string(),
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
