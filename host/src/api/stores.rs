//! `/v1/apps/{app}/stores`: what an app keeps in its key-value stores, for operators to look at, to change, to take
//! along and to delete. Operators may use stores that the manifest does not name.
//! Keeps nothing: `key_value` does.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, State};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use steerage_core::id::{AppName, StoreLabel};
use steerage_core::key_value::{KeyValueRefusal, LARGEST_VALUE};
use steerage_core::manifest::Manifest;

use super::problem::{Cause, Refusal};
use super::{ApiState, Asked, Named, Shared, wire};
use crate::desired::DeployError;
use crate::key_value::{AppStores, KeyValueError, PairChange, StoreOwner};
use crate::manifest;

/// Keys that one answer lists where nobody says how many, and at most.
const A_PAGE: usize = 1_000;
/// When a value is over, in milliseconds since 1970; not there for one that stays.
pub const EXPIRES: &str = "steerage-expires-at-ms";
/// Which value it is.
pub const VERSION: &str = "steerage-version";

/// The app and the store named in the path.
pub(super) struct OfStore(AppName, StoreLabel);

impl FromRequestParts<Shared> for OfStore {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Refusal> {
        let Path((app, label)) = Path::<(String, String)>::from_request_parts(parts, state).await?;
        let bad =
            |error: &dyn std::fmt::Display| Refusal::new(Cause::BadRequest, error.to_string());
        Ok(Self(
            app.parse().map_err(|error| bad(&error))?,
            label.parse().map_err(|error| bad(&error))?,
        ))
    }
}

/// Which key.
#[derive(Debug, Deserialize)]
pub(super) struct KeyQuery {
    key: String,
    /// How long it shall last.
    ttl_ms: Option<u64>,
}

/// Which keys.
#[derive(Debug, Deserialize)]
pub(super) struct KeysQuery {
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /v1/apps/{app}/stores`.
pub(super) async fn usage(
    State(state): State<Shared>,
    Named(app): Named,
) -> Result<Json<wire::StoreUsage>, Refusal> {
    let owner =
        owners(&state, &app).await?.into_iter().next().ok_or_else(|| Refusal::no_app(&app))?;
    let (stores, tenant) = (state.stores(owner.clone()), owner.tenant.to_string());
    let quota = state.context.loader.stores().pairs.quota();
    let usage = blocking(move || stores.usage()).await?;
    Ok(Json(wire::StoreUsage {
        tenant,
        bytes: usage.bytes,
        pairs: usage.pairs,
        bytes_quota: quota.bytes,
        pairs_quota: quota.pairs,
    }))
}

/// `DELETE /v1/apps/{app}/stores`.
pub(super) async fn drop_all(
    State(state): State<Shared>,
    Named(app): Named,
) -> Result<StatusCode, Refusal> {
    state.check_open()?;
    for owner in owners(&state, &app).await? {
        state.stores(owner).drop_all().await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/apps/{app}/stores/{label}/keys`.
pub(super) async fn keys(
    State(state): State<Shared>,
    OfStore(app, label): OfStore,
    Asked(query): Asked<KeysQuery>,
) -> Result<Json<wire::StoreKeys>, Refusal> {
    let stores = of_app(&state, &app).await?;
    let most = query.limit.unwrap_or(A_PAGE).clamp(1, A_PAGE);
    let page = blocking(move || stores.keys(&label, query.after.as_deref(), most)).await?;
    Ok(Json(wire::StoreKeys { keys: page.keys, cursor: page.cursor }))
}

/// `GET /v1/apps/{app}/stores/{label}/value`.
pub(super) async fn value(
    State(state): State<Shared>,
    OfStore(app, label): OfStore,
    Asked(query): Asked<KeyQuery>,
) -> Result<Response, Refusal> {
    let (stores, key) = (of_app(&state, &app).await?, query.key.clone());
    let (of, stored) = (label.clone(), blocking(move || stores.get(&label, &key)).await?);
    let Some(stored) = stored else {
        let detail = format!("the store {of} of {app} has no key {:?}", query.key);
        return Err(Refusal::new(Cause::NotFound, detail));
    };
    let mut response = Response::new(Body::from(stored.value));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(VERSION, HeaderValue::from(stored.version.0));
    if let Some(at_ms) = stored.expiry.0 {
        headers.insert(EXPIRES, HeaderValue::from(at_ms));
    }
    Ok(response.into_response())
}

/// `PUT /v1/apps/{app}/stores/{label}/value`.
pub(super) async fn set(
    State(state): State<Shared>,
    OfStore(app, label): OfStore,
    Asked(query): Asked<KeyQuery>,
    body: Body,
) -> Result<StatusCode, Refusal> {
    state.check_open()?;
    let stores = of_app(&state, &app).await?;
    let mut chunks = body.into_data_stream();
    let mut value = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let cut = |error: axum::Error| Refusal::new(Cause::BadRequest, error.to_string());
        value.extend_from_slice(&chunk.map_err(cut)?);
        if value.len() > LARGEST_VALUE {
            let detail =
                format!("the value has more than the {LARGEST_VALUE} bytes that are allowed");
            return Err(Refusal::new(Cause::TooLarge, detail));
        }
    }
    let change = PairChange::Set { label, pairs: vec![(query.key, value)], ttl_ms: query.ttl_ms };
    stores.change(change).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v1/apps/{app}/stores/{label}/value`.
pub(super) async fn unset(
    State(state): State<Shared>,
    OfStore(app, label): OfStore,
    Asked(query): Asked<KeyQuery>,
) -> Result<StatusCode, Refusal> {
    state.check_open()?;
    let stores = of_app(&state, &app).await?;
    stores.change(PairChange::Delete { label, keys: vec![query.key] }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The stores of an app that is deployed, or of one that was and left pairs.
async fn of_app(state: &Shared, app: &AppName) -> Result<AppStores, Refusal> {
    let mut owners = owners(state, app).await?;
    match (owners.pop(), owners.pop()) {
        (Some(owner), None) => Ok(state.stores(owner)),
        (None, _) => Err(Refusal::no_app(app)),
        (Some(one), Some(other)) => {
            let detail = format!(
                "no app {app} is deployed, and several tenants had one, such as {} and {}: deploy it again as \
                 the one that is meant",
                one.tenant, other.tenant
            );
            Err(Refusal::new(Cause::BadRequest, detail))
        }
    }
}

/// Whose pairs are meant by an app's name: its tenant's while it is deployed, and otherwise those of all tenants who
/// had an app of that name.
async fn owners(state: &Shared, app: &AppName) -> Result<Vec<StoreOwner>, Refusal> {
    if let Some(Manifest { tenant, .. }) = deployed(state, app).await? {
        return Ok(vec![StoreOwner { tenant, app: app.clone() }]);
    }
    let stores = state.context.loader.stores().pairs.clone();
    let mut owners = blocking(move || stores.owners()).await?;
    owners.retain(|owner| owner.app == *app);
    Ok(owners)
}

/// What is deployed under this name.
pub(super) async fn deployed(state: &Shared, app: &AppName) -> Result<Option<Manifest>, Refusal> {
    let Some(served) = state.context.catalog.app(app) else { return Ok(None) };
    let own = state.own.clone();
    let read = move || own.ledger.deployment(&served.name, served.generation);
    let record =
        tokio::task::spawn_blocking(read).await.map_err(|error| Refusal::internal(&error))?;
    let Some(record) = record.map_err(DeployError::from)? else { return Ok(None) };
    Ok(Some(manifest::reread(&record.manifest, &state.own.limits)?))
}

/// Reads the file on a thread that serves nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KeyValueError> + Send + 'static,
) -> Result<T, Refusal> {
    let done =
        tokio::task::spawn_blocking(work).await.map_err(|error| Refusal::internal(&error))?;
    Ok(done?)
}

impl ApiState {
    fn stores(&self, owner: StoreOwner) -> AppStores {
        self.context.loader.stores().pairs.for_operator(owner)
    }
}

impl From<KeyValueError> for Refusal {
    fn from(error: KeyValueError) -> Self {
        let cause = match &error {
            KeyValueError::NotNamed { .. } | KeyValueError::Unavailable(_) => Cause::NotFound,
            KeyValueError::Refused(
                KeyValueRefusal::LargeValue { .. }
                | KeyValueRefusal::LargeAnswer
                | KeyValueRefusal::QuotaBytes { .. }
                | KeyValueRefusal::QuotaPairs { .. },
            ) => Cause::TooLarge,
            KeyValueError::Refused(_) => Cause::BadRequest,
            KeyValueError::Unusable(_)
            | KeyValueError::NotWritten(_)
            | KeyValueError::Database(_) => Cause::Internal,
        };
        Self::new(cause, error.to_string())
    }
}

/// How long a value that is over then has yet to last; `None` where it is over.
#[must_use]
pub fn left(expires_at_ms: u64, now_ms: u64) -> Option<Duration> {
    expires_at_ms.checked_sub(now_ms).filter(|left| *left > 0).map(Duration::from_millis)
}
