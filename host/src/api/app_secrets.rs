//! `/v1/apps/{app}/secrets`: secrets of apps, for operators to set and to delete, and to see which there are.
//! Keeps none, and has no way to show one.

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, State};
use futures_util::StreamExt as _;
use http::StatusCode;
use http::request::Parts;
use steerage_core::id::AppName;
use steerage_core::manifest::{LARGEST_SECRET, VariableName, check_secret};

use super::problem::{Cause, Refusal};
use super::{Named, Shared, wire};
use crate::code::SecretTrouble;
use crate::desired::SecretState;

/// The app and the secret named in the path.
pub(super) struct OfSecret(AppName, VariableName);

impl FromRequestParts<Shared> for OfSecret {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Refusal> {
        let Path((app, name)) = Path::<(String, String)>::from_request_parts(parts, state).await?;
        let bad =
            |error: &dyn std::fmt::Display| Refusal::new(Cause::BadRequest, error.to_string());
        Ok(Self(
            app.parse().map_err(|error| bad(&error))?,
            name.parse().map_err(|error| bad(&error))?,
        ))
    }
}

/// `GET /v1/apps/{app}/secrets`.
pub(super) async fn list(
    State(state): State<Shared>,
    Named(app): Named,
) -> Result<Json<wire::Secrets>, Refusal> {
    let secrets = state.desired.secrets(&app).await?;
    Ok(Json(wire::Secrets { secrets: secrets.into_iter().map(told).collect() }))
}

/// `PUT /v1/apps/{app}/secrets/{name}`.
pub(super) async fn set(
    State(state): State<Shared>,
    OfSecret(app, name): OfSecret,
    body: Body,
) -> Result<Json<wire::SecretSet>, Refusal> {
    state.check_open()?;
    let mut chunks = body.into_data_stream();
    let mut value = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let cut = |error: axum::Error| Refusal::new(Cause::BadRequest, error.to_string());
        value.extend_from_slice(&chunk.map_err(cut)?);
        if value.len() > LARGEST_SECRET {
            let detail = format!(
                "secret {name}: the value has more than the {LARGEST_SECRET} bytes that are allowed"
            );
            return Err(Refusal::new(Cause::TooLarge, detail));
        }
    }
    let value = check_secret(value).map_err(|error| {
        let detail = format!("secret {name}: {error}");
        Refusal::new(Cause::BadRequest, detail)
    })?;
    let sealed = state.desired.set_secret(&app, &name, &value).await?;
    let secrets = state.desired.secrets(&app).await?;
    let is_used = secrets.iter().any(|secret| secret.name == name && secret.is_used);
    let (name, version) = (name.to_string(), sealed.version);
    Ok(Json(wire::SecretSet { name, version, set_at: sealed.set_at, used: is_used }))
}

/// `DELETE /v1/apps/{app}/secrets/{name}`.
pub(super) async fn delete(
    State(state): State<Shared>,
    OfSecret(app, name): OfSecret,
) -> Result<StatusCode, Refusal> {
    state.check_open()?;
    state.desired.delete_secret(&app, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn told(secret: SecretState) -> wire::Secret {
    let (version, set_at) = secret.set.unzip();
    let (key, opens) = secret.key.unzip();
    wire::Secret {
        name: secret.name.to_string(),
        version,
        set_at,
        used: secret.is_used,
        key,
        opens,
    }
}

impl From<SecretTrouble> for Refusal {
    fn from(trouble: SecretTrouble) -> Self {
        let cause = match &trouble {
            SecretTrouble::Store { is_away: true, .. } => Cause::StoreAway,
            SecretTrouble::Store { .. } => Cause::BadRecord,
            SecretTrouble::EnvSize { .. } => Cause::BadManifest,
            SecretTrouble::NotSet { .. }
            | SecretTrouble::NoKey { .. }
            | SecretTrouble::Sealed { .. } => Cause::NoSecret,
        };
        Self::new(cause, trouble.to_string())
    }
}
