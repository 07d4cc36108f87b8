//! The endpoints that only look: apps, calls, logs, events, the host, metrics, health.
//! Changes nothing; what this host knows is `here`'s to say, what others know `fleet_wide`'s.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY};
use jiff::Timestamp;
use steerage_core::expiry;

use super::fleet_wide::{self, Followed, Missing, whom};
use super::here::{CallsQuery, EventsQuery, HostQuery, LogsQuery};
use super::problem::{Cause, Refusal};
use super::{
    ApiState, Asked, Begun, CertificateSources, Named, Shared, canary, fleet, follow, replicas,
    view, watch, wire,
};
use crate::identity::Identity;
use crate::telemetry::metrics::form::Form;
use crate::telemetry::metrics::{
    self, AppReading, CertificateDays, HostReading, Readings, ReceiverReading,
};

/// `GET /v1/apps`.
pub(super) async fn apps(
    State(state): State<Shared>,
    Asked(query): Asked<HostQuery>,
) -> Result<Json<wire::Apps>, Refusal> {
    let of = whom(&state, query.host.as_deref())?;
    // A host that is alone keeps no view: one is made of the few apps that it has something to say of.
    let view = state.desired.look_if_readable(&state.agent.canaries()).await;
    Ok(Json(fleet_wide::gather(of, "/v1/apps", state.apps(&view), usize::MAX).await?))
}

/// `GET /v1/apps/{app}`.
pub(super) async fn app(
    State(state): State<Shared>,
    Named(app): Named,
    Asked(query): Asked<HostQuery>,
) -> Result<Json<wire::AppDetail>, Refusal> {
    let app = state.app(&app)?;
    let history = state.desired.history(&app.name, app.generation).await?;
    let current = history.iter().find(|record| record.generation == app.generation);
    // It may have been removed just now.
    let current = current.ok_or_else(|| Refusal::no_app(&app.name))?;
    let (canary, taken_back) = canary::of(&state, &app.name).await;
    let detail = view::detail(&app, current, &history, &state.own.limits)?;
    let of = whom(&state, query.host.as_deref())?;
    let here = wire::Apps { apps: vec![detail.summary.clone()], sources: None };
    let path = format!("/v1/apps/{}", app.name);
    let told = fleet_wide::gather(of, &path, here, 1).await?;
    let summary = told.apps.into_iter().next().unwrap_or(detail.summary);
    let (replicas, sources) = (replicas::placed_if_any(&state, &app.name).await, told.sources);
    let watch = watch::of(&state, &app.name, app.generation).await;
    let not_offered = state.context.loader.not_offered(app.digest);
    let detail = wire::AppDetail {
        summary,
        canary,
        taken_back,
        watch,
        replicas,
        sources,
        not_offered,
        ..detail
    };
    Ok(Json(detail))
}

/// `GET /v1/apps/{app}/calls`.
pub(super) async fn calls(
    State(state): State<Shared>,
    Named(app): Named,
    Asked(query): Asked<CallsQuery>,
) -> Result<Json<wire::Calls>, Refusal> {
    let (limit, of) = (query.limit(), whom(&state, query.host.as_deref())?);
    let failed = if query.failed { "&failed=true" } else { "" };
    let path = format!("/v1/apps/{app}/calls?limit={limit}{failed}");
    Ok(Json(fleet_wide::gather(of, &path, state.calls_of(&app, &query)?, limit).await?))
}

/// `GET /v1/apps/{app}/destinations`.
pub(super) async fn destinations(
    State(state): State<Shared>,
    Named(app): Named,
    Asked(query): Asked<HostQuery>,
) -> Result<Json<wire::Destinations>, Refusal> {
    let of = whom(&state, query.host.as_deref())?;
    let path = format!("/v1/apps/{app}/destinations");
    Ok(Json(fleet_wide::gather(of, &path, state.destinations(&app)?, usize::MAX).await?))
}

/// `GET /v1/calls/{id}`.
pub(super) async fn calls_of_id(
    State(state): State<Shared>,
    Begun(id): Begun,
    Asked(query): Asked<HostQuery>,
) -> Result<Json<wire::Calls>, Refusal> {
    let of = whom(&state, query.host.as_deref())?;
    let here = state.calls_of_id(id);
    Ok(Json(fleet_wide::gather(of, &format!("/v1/calls/{id}"), here, usize::MAX).await?))
}

/// `GET /v1/apps/{app}/logs`.
pub(super) async fn logs(
    State(state): State<Shared>,
    Named(app): Named,
    Asked(query): Asked<LogsQuery>,
) -> Result<Response, Refusal> {
    let (limit, of) = (query.limit(), whom(&state, query.host.as_deref())?);
    let path = format!("/v1/apps/{app}/logs?lines=");
    if query.follow {
        let own = state.follow_lines(&app, limit)?;
        return Ok(match of {
            None => follow::respond(own),
            Some(whom) => {
                let (path, missing) =
                    (path.replace("lines=", "follow=true&lines="), Missing::Lines(app));
                follow::respond(Followed { path, limit, missing }.of(whom, own))
            }
        });
    }
    let path = format!("{path}{limit}");
    let lines = fleet_wide::gather(of, &path, state.lines(&app, limit)?, limit).await?;
    Ok(Json(lines).into_response())
}

/// `GET /v1/events`.
pub(super) async fn events(
    State(state): State<Shared>,
    Asked(query): Asked<EventsQuery>,
) -> Result<Response, Refusal> {
    let (app, limit) = (query.app()?, query.limit());
    let of = whom(&state, query.host.as_deref())?;
    let of_app = app.as_ref().map_or_else(String::new, |app| format!("app={app}&"));
    let path = format!("/v1/events?{of_app}limit=");
    if query.follow {
        let own = state.follow_events(app, limit);
        return Ok(match of {
            None => follow::respond(own),
            Some(whom) => {
                let (path, missing) =
                    (path.replace("limit=", "follow=true&limit="), Missing::Events);
                follow::respond(Followed { path, limit, missing }.of(whom, own))
            }
        });
    }
    let (path, here) = (format!("{path}{limit}"), state.events(app.as_ref(), limit));
    Ok(Json(fleet_wide::gather(of, &path, here, limit).await?).into_response())
}

/// `GET /v1/host`.
pub(super) async fn host(State(state): State<Shared>) -> Json<wire::HostInfo> {
    let reading = state.reading();
    Json(wire::HostInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: reading.uptime.as_secs(),
        listen: state.listen.to_string(),
        admin: state.admin.to_string(),
        url: state.url(),
        apps: reading.apps,
        apps_mapped: reading.apps_mapped,
        slots_used: reading.slots_used,
        slots_total: reading.slots_total,
        connections: reading.connections,
        unrouted: reading.unrouted,
        draining: state.context.shutdown.has_begun(),
    })
}

/// `GET /v1/usage`.
pub(super) async fn usage(
    State(state): State<Shared>,
    Asked(query): Asked<HostQuery>,
) -> Result<Json<wire::Usage>, Refusal> {
    let of = whom(&state, query.host.as_deref())?;
    Ok(Json(fleet_wide::gather(of, "/v1/usage", state.usage(), usize::MAX).await?))
}

/// Pieces of metrics that are written before their client has taken one.
const METRICS_AHEAD: usize = 2;

/// `GET /metrics`, in the form that the `Accept` header asks for.
pub(super) async fn metrics(State(state): State<Shared>, headers: HeaderMap) -> Response {
    let form = Form::accepted(headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()));
    let (sender, mut pieces) = tokio::sync::mpsc::channel(METRICS_AHEAD);
    // On a thread that may wait for the client. It ends when the client has gone, or is sent away for
    // taking nothing.
    tokio::task::spawn_blocking(move || {
        let send = |piece| sender.blocking_send(Ok(piece)).map_err(|_gone| std::fmt::Error);
        if let Err(error) = metrics::write(Now(state), form, send) {
            // Where somebody still listens it was the encoder that failed: a cut body says so.
            drop(sender.blocking_send(Err(error)));
        }
    });
    let pieces = futures_util::stream::poll_fn(move |context| pieces.poll_recv(context));
    let headers = [(CONTENT_TYPE, form.content_type()), (VARY, "accept")];
    (headers, Body::from_stream(pieces)).into_response()
}

/// `GET /healthz`.
pub(super) async fn healthz() -> Response {
    ([(CACHE_CONTROL, "no-store")], "ok\n").into_response()
}

/// `GET /readyz`.
pub(super) async fn readyz(State(state): State<Shared>) -> Result<Response, Refusal> {
    state.check_open()?;
    let fleet = state.context.fleet.as_ref();
    if fleet.is_some_and(|fleet| !fleet.is_known()) {
        let detail = "this host does not know yet which apps its fleet has; it reads the store";
        return Err(Refusal::new(Cause::StoreAway, detail));
    }
    // Apps are served on whatever becomes of the store: were a host that is not registered not ready,
    // the loss of the store's data would take all hosts from their callers at once.
    let text = match fleet.and_then(crate::fleet::Fleet::trouble) {
        Some(trouble) => format!("ready; but {trouble}\n"),
        None => "ready\n".to_owned(),
    };
    Ok(([(CACHE_CONTROL, "no-store")], text).into_response())
}

impl ApiState {
    /// What the host's metrics say at this moment.
    pub(super) fn reading(&self) -> HostReading {
        let (slots_used, slots_total) = self.context.admission.slots();
        let disk = self.context.loader.disk();
        HostReading {
            slots_used,
            slots_total,
            apps: self.context.catalog.load().apps.len() as u64,
            apps_mapped: self.context.loader.n_mapped() as u64,
            connections: self.connections.load(Ordering::Relaxed),
            unrouted: self.context.unrouted.load(Ordering::Relaxed),
            access_log_left_out: self.context.access_log.as_ref().map_or(0, |log| log.n_left_out()),
            spans: self.context.collector.spans.as_ref().map(|spans| spans.counts()),
            points: self.context.collector.metrics.as_ref().map(|metrics| metrics.counts()),
            log_records: self.context.collector.logs.as_ref().map(|logs| logs.counts()),
            uptime: self.started_at.elapsed(),
            telemetry: self.telemetry.n_bytes().get(),
            problems: self.telemetry.problems.n_open() as u64,
            certificates: self.certificates.days_left(Timestamp::now()),
            disk_used: disk.used,
            disk_bound: disk.bound,
            disk_evicted: disk.evicted,
            fleet: self
                .context
                .fleet
                .as_ref()
                .map(|fleet| fleet::reading(fleet, &self.context.hops)),
        }
    }
}

impl CertificateSources {
    /// Whole days until each ends.
    pub(super) fn days_left(&self, now: Timestamp) -> CertificateDays {
        let days = |ends: Timestamp| expiry::days_left(ends.as_second(), now.as_second());
        let hosts = self.hosts.as_ref();
        CertificateDays {
            callers: self.callers.as_ref().map(|shown| days(shown.ends())),
            hosts: hosts.map(|identity| days(identity.ends())),
            authority: hosts.and_then(Identity::authority_end).map(days),
        }
    }
}

/// What the metrics are read from.
#[derive(Debug)]
pub(super) struct Now(pub(super) Shared);

impl Readings for Now {
    fn apps(&self) -> Vec<AppReading> {
        self.0.context.catalog.load().apps.values().filter_map(|app| view::reading(app)).collect()
    }

    fn host(&self) -> HostReading {
        self.0.reading()
    }

    fn receivers(&self) -> Vec<ReceiverReading> {
        self.0.notifier.readings()
    }
}
