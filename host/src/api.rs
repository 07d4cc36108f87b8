//! The operators' door: the control API, metrics and health on a listener of its own.
//! Does not decide anything about apps: it reads requests, has `desired` write what shall run, and says
//! what came of it.

pub mod auth;
pub mod sessions;
pub mod wire;

mod advice;
mod app_secrets;
mod backup;
mod bill;
mod canary;
mod capsule;
mod consumption;
mod deploy;
mod endpoints;
mod fleet;
mod fleet_wide;
mod follow;
mod for_hosts;
mod found;
mod here;
mod history;
mod lineage;
mod needs;
mod observe;
mod open;
mod openapi;
mod page;
mod plans;
mod problem;
mod problems;
mod profile;
mod replicas;
mod secrets;
mod session;
mod slots;
mod sql;
pub mod stores;
mod telling;
mod view;
mod watch;
mod why;
mod why_hosts;

use rustls::pki_types::CertificateDer;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Json, Path, Query, Request};
use axum::middleware;
use axum::routing::{MethodRouter, delete, get, head, post, put};
use http::Response;
use http::request::Parts;
use serde::de::DeserializeOwned;
use steerage_core::id::{AppName, CallIdPrefix, Digest, HostName};
use steerage_core::mistaken::Mistaken;
use steerage_core::place::Policy;
use steerage_core::units::Bytes;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;
use tower_service::Service as _;

use self::auth::Token;
use self::endpoints::{ENDPOINTS, Operation};
use self::problem::{Cause, Refusal};
use self::sessions::OpenSessions;
use crate::agent::{Agent, HostState};
use crate::budget::Memory;
use crate::desired::Desired;
use crate::history::History;
use crate::identity::Identity;
use crate::listener::descriptors::Descriptors;
use crate::listener::tls::Certificates;
use crate::listener::upload::Upload;
use crate::listener::{self, BoxError, Listener, Service};
use crate::notify::Notifier;
use crate::request::CallContext;
use crate::shutdown::Shutdown;
use crate::telemetry::Telemetry;

/// How many deployments one answer reads from the store at a time.
const AT_ONCE: usize = 16;

/// What the control API works with.
#[derive(Debug)]
pub struct ApiState {
    /// Serves what is wanted, and knows what was.
    pub agent: Agent,
    /// Writes what is wanted.
    pub desired: Desired,
    /// What the agent changes, to be looked at.
    pub own: HostState,
    /// Who may have how much memory.
    pub memory: Arc<Memory>,
    /// Guests' output.
    pub telemetry: Arc<Telemetry>,
    /// What is served, and how it goes.
    pub context: Arc<CallContext>,
    /// Open connections of callers.
    pub connections: Arc<AtomicU64>,
    /// Those of them that began with TLS where it is not spoken, or the other way round.
    pub mistaken: Arc<std::sync::Mutex<Mistaken>>,
    /// What operators must show; without one only this machine is let in. May be replaced.
    pub token: Arc<ArcSwap<Option<Token>>>,
    /// Who is signed in on the page.
    pub sessions: OpenSessions,
    /// Largest component taken.
    pub max_component: Bytes,
    /// Where callers come in.
    pub listen: SocketAddr,
    /// Whether callers speak TLS.
    pub is_tls: bool,
    /// Where operators come in.
    pub admin: SocketAddr,
    /// Apps that may have their code mapped at once.
    pub most_mapped: u32,
    /// What placement keeps free beyond what apps use, in percent of that.
    pub headroom: u32,
    /// The certificates that are shown to callers and to other hosts.
    pub certificates: CertificateSources,
    /// Which hosts placement fills first.
    pub policy: Policy,
    /// When the host started.
    pub started_at: Instant,
    /// Held while a backup is sent.
    pub backups: Arc<Mutex<()>>,
    /// What apps did, minute by minute, where that is kept.
    pub history: Option<Arc<History>>,
    /// Tells receivers outside what is wrong here.
    pub notifier: Arc<Notifier>,
}

/// The certificates of which it is told how many days are left.
#[derive(Clone, Debug, Default)]
pub struct CertificateSources {
    /// What callers are shown, unless they speak plain text.
    pub callers: Option<Arc<Certificates>>,
    /// By what other hosts know this one.
    pub hosts: Option<Identity>,
}

type Shared = Arc<ApiState>;

/// Answers operators.
struct Operators(Router);

impl Service for Operators {
    type Peer = ();
    type Body = Body;

    fn meet(
        &self,
        _: SocketAddr,
        _: SocketAddr,
        _: Option<CertificateDer<'static>>,
    ) -> Result<(), BoxError> {
        Ok(())
    }

    async fn answer(&self, (): &(), request: http::Request<Upload>) -> Response<Body> {
        let answered: Result<_, Infallible> = self.0.clone().call(request.map(Body::new)).await;
        match answered {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// Serves the control API until the host closes. While the host drains it still answers, so that
/// operators can watch it end.
pub async fn serve(
    socket: TcpListener,
    door: listener::Settings,
    descriptors: Arc<Descriptors>,
    state: ApiState,
) {
    let closed = state.context.shutdown.clone();
    // Not the host's own end: it does not wait for operators who watch it.
    let apart = Shutdown::default();
    let state = Arc::new(state);
    state.context.peer_api.set(Box::new(for_hosts::ForHosts::here(&state)));
    if let Some(metrics) = &state.context.collector.metrics {
        metrics.read_from(Arc::new(observe::Now(state.clone())));
    }
    let told = state
        .notifier
        .clone()
        .run(telling::TellingHost::new(state.clone()), state.own.events.clone());
    let operators = Operators(router(state));
    let listener = Listener::new(operators, door, None, apart, descriptors);
    let accepted = listener.accept(socket, async move { closed.closed().await });
    // Both end with the host.
    let _telling = AbortOnDropHandle::new(tokio::spawn(told));
    accepted.await;
}

fn router(state: Shared) -> Router {
    let (mut guarded, mut open) = (Router::new(), Router::new());
    for endpoint in &ENDPOINTS {
        let handler = handler(endpoint.operation);
        if endpoint.is_guarded {
            guarded = guarded.route(endpoint.path, handler);
        } else {
            open = open.route(endpoint.path, handler);
        }
    }
    // The page's own files are for whoever comes: they are in every copy of the program.
    let open = open.route("/", get(page::index)).route("/page/{*file}", get(page::of_name));
    guarded
        .route_layer(middleware::from_fn_with_state(state.clone(), auth::guard))
        .merge(open)
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .with_state(state)
}

fn handler(operation: Operation) -> MethodRouter<Shared> {
    match operation {
        Operation::PutBlob => put(deploy::put_blob),
        Operation::HeadBlob => head(deploy::head_blob),
        Operation::GetBlob => get(capsule::component),
        Operation::Deploy => post(deploy::deploy),
        Operation::ListApps => get(observe::apps),
        Operation::ShowApp => get(observe::app),
        Operation::RollBack => post(deploy::rollback),
        Operation::Promote => post(canary::promote),
        Operation::PauseCanary => put(canary::pause),
        Operation::EndCanary => delete(canary::end),
        Operation::Remove => delete(deploy::remove),
        Operation::Calls => get(observe::calls),
        Operation::CallsOfId => get(observe::calls_of_id),
        Operation::Capsule => get(capsule::of_call),
        Operation::Destinations => get(observe::destinations),
        Operation::AppHistory => get(history::of_app),
        Operation::HistoryAt => get(history::at),
        Operation::Advice => get(advice::advice),
        Operation::Consumption => get(consumption::consumption),
        Operation::Bill => get(bill::bill),
        Operation::Why => get(why::why),
        Operation::WhyFleet => get(why_hosts::why_fleet),
        Operation::Problems => get(problems::problems),
        Operation::AppProfile => get(profile::of_app),
        Operation::Secrets => get(app_secrets::list),
        Operation::SetSecret => put(app_secrets::set),
        Operation::DeleteSecret => delete(app_secrets::delete),
        Operation::StoreUsage => get(stores::usage),
        Operation::DropStores => delete(stores::drop_all),
        Operation::StoreKeys => get(stores::keys),
        Operation::StoreValue => get(stores::value),
        Operation::SetStoreValue => put(stores::set),
        Operation::DeleteStoreKey => delete(stores::unset),
        Operation::DatabaseSizes => get(sql::sizes),
        Operation::RunSql => post(sql::run),
        Operation::CopyDatabase => get(sql::copy),
        Operation::DropDatabase => delete(sql::remove),
        Operation::Logs => get(observe::logs),
        Operation::Events => get(observe::events),
        Operation::Validate => post(deploy::validate),
        Operation::Hosts => get(fleet::hosts),
        Operation::SetStanding => put(fleet::set_standing),
        Operation::Scale => put(replicas::scale),
        Operation::Replicas => get(replicas::replicas),
        Operation::Adopt => post(lineage::adopt),
        Operation::Import => post(lineage::import),
        Operation::Freeze => post(lineage::freeze),
        Operation::Thaw => post(lineage::thaw),
        Operation::Revoke => post(lineage::revoke),
        Operation::Plan => get(fleet::plan),
        Operation::Plans => get(plans::plans),
        Operation::PlanOf => get(plans::plan),
        Operation::Host => get(observe::host),
        Operation::Usage => get(observe::usage),
        Operation::Backup => get(backup::backup),
        Operation::OpenApi => get(openapi::serve),
        Operation::Metrics => get(observe::metrics),
        Operation::SignIn => post(session::sign_in),
        Operation::SignOut => delete(session::sign_out),
        Operation::Healthz => get(observe::healthz),
        Operation::Readyz => get(observe::readyz),
    }
}

/// How the detail begins where there is no such endpoint: by this, hosts see that another one is of a version
/// that does not have it, so it stays as it is.
const NO_ENDPOINT: &str = "no endpoint ";

async fn no_such_path(request: Request) -> Refusal {
    let path = request.uri().path();
    let detail = format!("{NO_ENDPOINT}{path}; /v1/openapi.json lists them all");
    Refusal::new(Cause::NotFound, detail)
}

async fn no_such_method(request: Request) -> Refusal {
    let (method, path) = (request.method(), request.uri().path());
    let detail = format!("{path} does not take {method}; /v1/openapi.json says what it takes");
    Refusal::new(Cause::MethodNotAllowed, detail)
}

/// The app named in the path.
struct Named(AppName);

/// How the id of a call begins, in the path.
struct Begun(CallIdPrefix);

/// The host named in the path.
struct OfHost(HostName);

/// The digest in the path.
struct Addressed(Digest);

/// A JSON body.
struct Sent<T>(T);

/// The query.
struct Asked<T>(T);

impl FromRequestParts<Shared> for Named {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Refusal> {
        in_path(parts, state).await.map(Self)
    }
}

impl FromRequestParts<Shared> for Begun {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Refusal> {
        in_path(parts, state).await.map(Self)
    }
}

impl FromRequestParts<Shared> for OfHost {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Refusal> {
        in_path(parts, state).await.map(Self)
    }
}

impl FromRequestParts<Shared> for Addressed {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Refusal> {
        in_path(parts, state).await.map(Self)
    }
}

async fn in_path<T>(parts: &mut Parts, state: &Shared) -> Result<T, Refusal>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
    let Path(text) = text?;
    text.parse().map_err(|error: T::Err| Refusal::new(Cause::BadRequest, error.to_string()))
}

impl<T: DeserializeOwned> FromRequest<Shared> for Sent<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &Shared) -> Result<Self, Refusal> {
        let Json(body) = Json::from_request(request, state).await?;
        Ok(Self(body))
    }
}

impl<T: DeserializeOwned> FromRequestParts<Shared> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Refusal> {
        let Query(query) = Query::from_request_parts(parts, state).await?;
        Ok(Self(query))
    }
}

#[cfg(test)]
mod tests;
