//! What a host tells other hosts of its fleet of what it knows, so that operators can ask whichever they
//! like. Only looks; changes are asked for at the operators' door alone.
//! Does not let anybody in: the peer door has by then.

use std::pin::Pin;
use std::sync::Weak;

use axum::Router;
use axum::body::Body;
use axum::extract::{Json, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{Request, StatusCode, Uri};
use http_body_util::BodyExt;
use serde::Deserialize;
use tokio::runtime::Handle;
use tower_service::Service as _;

use super::fleet_wide::LATELY;
use super::here::{CallsQuery, EventsQuery, LogsQuery};
use super::problem::Refusal;
use super::{
    ApiState, Asked, Begun, Named, Shared, advice, consumption, follow, history, needs,
    no_such_path, wire,
};
use crate::fleet::{TOLD_USE, record};
use crate::request::{PeerApi, Reply};
use crate::respond::{Cut, ResponseBody};

/// Answers other hosts, on the threads of operators: what they ask for may be long, and callers' threads
/// have calls to answer.
#[derive(Debug)]
pub(super) struct ForHosts {
    /// Weak: it is held by what the state holds.
    state: Weak<ApiState>,
    operators: Handle,
}

impl ForHosts {
    /// Answers for this host, on the runtime that calls this.
    pub(super) fn here(state: &Shared) -> Self {
        Self { state: std::sync::Arc::downgrade(state), operators: Handle::current() }
    }
}

impl PeerApi for ForHosts {
    fn answer(&self, uri: Uri) -> Pin<Box<dyn Future<Output = Reply> + Send>> {
        let state = self.state.upgrade();
        let answered = self.operators.spawn(async move {
            let state = state?;
            let request = Request::get(uri).body(Body::empty()).ok()?;
            router(state).call(request).await.ok()
        });
        Box::pin(async move {
            let answered = answered.await.ok().flatten();
            let answered =
                answered.unwrap_or_else(|| StatusCode::SERVICE_UNAVAILABLE.into_response());
            answered.map(|body| {
                let body = body.map_err(|_| Cut::by("host_lost")).boxed_unsync();
                ResponseBody::Elsewhere(body)
            })
        })
    }
}

fn router(state: Shared) -> Router {
    Router::new()
        .route("/v1/apps", get(apps))
        .route("/v1/apps/{app}", get(app))
        .route("/v1/apps/{app}/calls", get(calls))
        .route("/v1/apps/{app}/destinations", get(destinations))
        .route("/v1/calls/{id}", get(calls_of_id))
        .route("/v1/calls/{id}/capsule", get(capsules))
        .route("/v1/apps/{app}/logs", get(logs))
        .route("/v1/events", get(events))
        .route("/v1/usage", get(usage))
        .route("/v1/problems", get(problems))
        .route(LATELY, get(lately))
        .route("/v1/apps/{app}/history", get(history::of_app_here))
        .route("/v1/history", get(history::at_here))
        .route(needs::PATH, get(advice::needs_here))
        .route(consumption::PATH, get(consumption::consumption_here))
        .route(TOLD_USE, get(told_use))
        .fallback(no_such_path)
        .with_state(state)
}

/// The apps that were called here: all hosts know all others.
async fn apps(State(state): State<Shared>) -> Json<wire::Apps> {
    Json(state.called_apps())
}

async fn app(State(state): State<Shared>, Named(app): Named) -> Result<Json<wire::Apps>, Refusal> {
    let summary = super::view::summary(&*state.app(&app)?);
    Ok(Json(wire::Apps { apps: vec![summary], sources: None }))
}

async fn calls(
    State(state): State<Shared>,
    Named(app): Named,
    Asked(query): Asked<CallsQuery>,
) -> Result<Json<wire::Calls>, Refusal> {
    Ok(Json(state.calls_of(&app, &query)?))
}

async fn destinations(
    State(state): State<Shared>,
    Named(app): Named,
) -> Result<Json<wire::Destinations>, Refusal> {
    Ok(Json(state.destinations(&app)?))
}

async fn calls_of_id(State(state): State<Shared>, Begun(id): Begun) -> Json<wire::Calls> {
    Json(state.calls_of_id(id))
}

async fn capsules(State(state): State<Shared>, Begun(id): Begun) -> Json<wire::FoundCapsules> {
    Json(state.capsules(id))
}

async fn logs(
    State(state): State<Shared>,
    Named(app): Named,
    Asked(query): Asked<LogsQuery>,
) -> Result<Response, Refusal> {
    if query.follow {
        return Ok(follow::respond(state.follow_lines(&app, query.limit())?));
    }
    Ok(Json(state.lines(&app, query.limit())?).into_response())
}

async fn events(
    State(state): State<Shared>,
    Asked(query): Asked<EventsQuery>,
) -> Result<Response, Refusal> {
    let app = query.app()?;
    if query.follow {
        return Ok(follow::respond(state.follow_events(app, query.limit())));
    }
    Ok(Json(state.events(app.as_ref(), query.limit())).into_response())
}

async fn usage(State(state): State<Shared>) -> Json<wire::Usage> {
    Json(state.usage())
}

async fn lately(State(state): State<Shared>) -> Json<wire::Lately> {
    Json(state.lately())
}

async fn problems(State(state): State<Shared>) -> Json<wire::Problems> {
    Json(state.problems())
}

/// What a host knows already that asks what apps use here.
#[derive(Debug, Deserialize)]
struct UseQuery {
    run: u64,
    since: u64,
    last_known: bool,
}

/// What apps use here, for those hosts that plan: it is none of the control API's business.
async fn told_use(
    State(state): State<Shared>,
    Asked(query): Asked<UseQuery>,
) -> Result<Vec<u8>, Refusal> {
    let UseQuery { run, since, last_known } = query;
    Ok(record::encode(&state.desired.fleet().tell_use((run, since), last_known)))
}
