//! The endpoints that only look: apps, calls, logs, events, the host, metrics, health.
//! Changes nothing; where a value comes from is `told`'s to know.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY};
use serde::Deserialize;
use steerage_core::id::AppName;

use super::problem::{Cause, Refusal};
use super::{ApiState, Asked, Named, Shared, canary, fleet, follow, view, wire};
use crate::catalog::App;
use crate::kernel;
use crate::telemetry::metrics::form::Form;
use crate::telemetry::metrics::{self, AppReading, HostReading, Readings};

/// How many of each are sent unless the client says otherwise.
const DEFAULT_CALLS: usize = 20;
const DEFAULT_LINES: usize = 100;
const DEFAULT_EVENTS: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallsQuery {
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogsQuery {
    lines: Option<usize>,
    #[serde(default)]
    follow: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    app: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    follow: bool,
}

/// `GET /v1/apps`.
pub(super) async fn apps(State(state): State<Shared>) -> Json<wire::Apps> {
    let snapshot = state.context.catalog.snapshot();
    let apps = snapshot.apps.values().map(|app| view::summary(app)).collect();
    Json(wire::Apps { apps })
}

/// `GET /v1/apps/{app}`.
pub(super) async fn app(
    State(state): State<Shared>,
    Named(app): Named,
) -> Result<Json<wire::AppDetail>, Refusal> {
    let app = state.app(&app)?;
    let history = state.agent.history(&app.name)?;
    let current = history.iter().find(|record| record.generation == app.generation);
    // It may have been removed just now.
    let current = current.ok_or_else(|| Refusal::no_app(&app.name))?;
    let (canary, taken_back) = canary::of(&state, &app.name);
    let detail = view::detail(&app, current, &history, &state.own.limits)?;
    let replicas = fleet::placed_if_any(&state, &app.name).await;
    Ok(Json(wire::AppDetail { canary, taken_back, replicas, ..detail }))
}

/// `GET /v1/apps/{app}/calls`.
pub(super) async fn calls(
    State(state): State<Shared>,
    Named(app): Named,
    Asked(query): Asked<CallsQuery>,
) -> Result<Json<wire::Calls>, Refusal> {
    let app = state.app(&app)?;
    let limit = query.limit.unwrap_or(DEFAULT_CALLS);
    let calls = app.state().map(|state| state.calls.tail(limit)).unwrap_or_default();
    Ok(Json(wire::Calls { calls: calls.into_iter().map(view::call).collect() }))
}

/// `GET /v1/apps/{app}/logs`.
pub(super) async fn logs(
    State(state): State<Shared>,
    Named(app): Named,
    Asked(query): Asked<LogsQuery>,
) -> Result<Response, Refusal> {
    let served = state.app(&app)?;
    let logs = &state.telemetry.logs;
    // Only a follower of an app that was never called makes it a log before its time.
    let log = match served.state() {
        Some(state) => state.log.clone(),
        None if query.follow => logs.app(&app),
        None => Arc::default(),
    };
    let n_lines = query.lines.unwrap_or(DEFAULT_LINES);
    if query.follow {
        let (tail, coming) = log.follow(n_lines);
        let shutdown = state.context.shutdown.clone();
        return Ok(follow::lines(app, tail, coming, shutdown));
    }
    let lines = log.tail(n_lines).into_iter().map(|line| view::line(&app, line)).collect();
    Ok(Json(wire::LogLines { lines }).into_response())
}

/// `GET /v1/events`.
pub(super) async fn events(
    State(state): State<Shared>,
    Asked(query): Asked<EventsQuery>,
) -> Result<Response, Refusal> {
    let app = query.app.map(|app| app.parse::<AppName>()).transpose();
    let app = app.map_err(|error| Refusal::new(Cause::BadRequest, format!("app: {error}")))?;
    let limit = query.limit.unwrap_or(DEFAULT_EVENTS);
    let events = &state.context.events;
    if query.follow {
        let coming = events.follow();
        let recent = events.recent(app.as_ref(), limit);
        let shutdown = state.context.shutdown.clone();
        return Ok(follow::events(app, recent, coming, shutdown));
    }
    let events = events.recent(app.as_ref(), limit).into_iter().map(view::event).collect();
    Ok(Json(wire::Events { events }).into_response())
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
pub(super) async fn usage(State(state): State<Shared>) -> Json<wire::Usage> {
    let (snapshot, reading) = (state.context.catalog.snapshot(), state.reading());
    let (memory_budget, reserved, _) = state.memory.standing();
    Json(wire::Usage {
        uptime_ms: u64::try_from(reading.uptime.as_millis()).unwrap_or(u64::MAX),
        host: wire::HostUsage {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu_seconds: kernel::process_cpu_time().as_secs_f64(),
            resident_bytes: kernel::resident_memory().get(),
            memory_bytes: reserved.get(),
            memory_budget_bytes: memory_budget.get(),
            slots_used: reading.slots_used,
            slots_total: reading.slots_total,
            apps: snapshot.apps.len(),
            apps_mapped: reading.apps_mapped,
            apps_mapped_most: state.most_mapped,
            connections: reading.connections,
            waiting: state.context.admission.n_waiting(),
            unrouted: reading.unrouted,
        },
        apps: snapshot.apps.values().filter_map(|app| view::usage(app)).collect(),
    })
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
    fn app(&self, app: &AppName) -> Result<Arc<App>, Refusal> {
        self.context.catalog.app(app).ok_or_else(|| Refusal::no_app(app))
    }

    fn reading(&self) -> HostReading {
        let (slots_used, slots_total) = self.context.admission.slots();
        HostReading {
            slots_used,
            slots_total,
            apps: self.context.catalog.load().apps.len() as u64,
            apps_mapped: self.context.loader.n_mapped() as u64,
            connections: self.connections.load(Ordering::Relaxed),
            unrouted: self.context.unrouted.load(Ordering::Relaxed),
            uptime: self.started_at.elapsed(),
            telemetry: self.telemetry.n_bytes().get(),
            fleet: self
                .context
                .fleet
                .as_ref()
                .map(|fleet| fleet::reading(fleet, &self.context.hops)),
        }
    }
}

/// What the metrics are read from.
#[derive(Debug)]
struct Now(Shared);

impl Readings for Now {
    fn apps(&self) -> Vec<AppReading> {
        self.0.context.catalog.load().apps.values().filter_map(|app| view::reading(app)).collect()
    }

    fn host(&self) -> HostReading {
        self.0.reading()
    }
}
