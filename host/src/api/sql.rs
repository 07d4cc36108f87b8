//! `/v1/apps/{app}/databases`: the SQL databases of an app, for operators to ask, to copy and to remove. Operators may
//! use databases that the manifest does not name, where there are such.
//! Runs no statement: `sql` does.

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use steerage_core::id::{AppName, DatabaseLabel};
use steerage_core::sql::{AnswerSize, SqlRefusal};
use tokio_util::io::ReaderStream;

use super::problem::{Cause, Refusal};
use super::{Named, Sent, Shared, stores, wire};
use crate::sql::{AppDatabases, DatabaseOwner, SqlAnswer, SqlError, SqlQuestion, SqlValue};

/// The most statements of one request.
const MOST_STATEMENTS: usize = 10_000;

/// The app and the database named in the path.
pub(super) struct OfDatabase(AppName, DatabaseLabel);

impl FromRequestParts<Shared> for OfDatabase {
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

/// `GET /v1/apps/{app}/databases`.
pub(super) async fn sizes(
    State(state): State<Shared>,
    Named(app): Named,
) -> Result<Json<wire::DatabaseSizes>, Refusal> {
    let (owner, _) = owner(&state, &app).await?;
    let databases = &state.context.loader.stores().databases;
    let (tenant, of_app) = (owner.tenant.to_string(), databases.for_operator(owner));
    let sizes = blocking(move || of_app.sizes()).await?;
    let shown = |(label, bytes): (DatabaseLabel, u64)| wire::DatabaseSize {
        label: label.to_string(),
        bytes,
    };
    Ok(Json(wire::DatabaseSizes {
        tenant,
        databases: sizes.into_iter().map(shown).collect(),
        bytes_quota: databases.quota().get(),
    }))
}

/// `POST /v1/apps/{app}/databases/{label}/statements`.
pub(super) async fn run(
    State(state): State<Shared>,
    OfDatabase(app, label): OfDatabase,
    Sent(asked): Sent<wire::SqlStatements>,
) -> Result<Json<wire::SqlResults>, Refusal> {
    state.check_open()?;
    let n_statements = asked.statements.len();
    if n_statements > MOST_STATEMENTS {
        let detail = format!("{n_statements} statements: at most {MOST_STATEMENTS} are allowed");
        return Err(Refusal::new(Cause::TooLarge, detail));
    }
    let databases = there(&state, &app, &label).await?;
    let mut opened = databases.open(label.as_str())?;
    let (mut results, mut size) = (Vec::new(), AnswerSize::default());
    for statement in asked.statements {
        let question = SqlQuestion { statement, parameters: Vec::new() };
        let told = databases.execute(&mut opened, question).await;
        // All of it is one answer.
        let told = told.and_then(|answer| Ok(size.add(answer.n_bytes).map(|()| answer)?));
        match told {
            Ok(answer) => results.push(shown(answer)),
            Err(error) => {
                return Ok(Json(wire::SqlResults { results, error: Some(error.to_string()) }));
            }
        }
    }
    let left = opened.has_transaction();
    let left = left.then(|| "the transaction was not committed, and is rolled back".to_owned());
    Ok(Json(wire::SqlResults { results, error: left }))
}

/// `GET /v1/apps/{app}/databases/{label}/file`.
pub(super) async fn copy(
    State(state): State<Shared>,
    OfDatabase(app, label): OfDatabase,
) -> Result<Response, Refusal> {
    let databases = there(&state, &app, &label).await?;
    let file = blocking(move || databases.copy(&label)).await?;
    let file = tokio::fs::File::from_std(file);
    let mut response = Response::new(Body::from_stream(ReaderStream::new(file)));
    let kind = HeaderValue::from_static("application/vnd.sqlite3");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response.into_response())
}

/// `DELETE /v1/apps/{app}/databases/{label}`.
pub(super) async fn remove(
    State(state): State<Shared>,
    OfDatabase(app, label): OfDatabase,
) -> Result<StatusCode, Refusal> {
    state.check_open()?;
    let databases = there(&state, &app, &label).await?;
    blocking(move || databases.remove(&label)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The databases of an app, where one of this label is there or may be: asking for another would make it.
async fn there(
    state: &Shared,
    app: &AppName,
    label: &DatabaseLabel,
) -> Result<AppDatabases, Refusal> {
    let (owner, named) = owner(state, app).await?;
    let databases = state.context.loader.stores().databases.for_operator(owner);
    if named.contains(label) {
        return Ok(databases);
    }
    let of_app = databases.clone();
    let sizes = blocking(move || of_app.sizes()).await?;
    if sizes.iter().any(|(known, _)| known == label) {
        return Ok(databases);
    }
    Err(Refusal::new(Cause::NotFound, format!("{app} has no database {label}")))
}

/// Whose databases are meant by an app's name, and which of them its manifest names: its tenant's while it is
/// deployed, and otherwise those of the tenant who had an app of that name.
async fn owner(
    state: &Shared,
    app: &AppName,
) -> Result<(DatabaseOwner, Vec<DatabaseLabel>), Refusal> {
    if let Some(manifest) = stores::deployed(state, app).await? {
        let owner = DatabaseOwner { tenant: manifest.tenant, app: app.clone() };
        return Ok((owner, manifest.sqlite_databases));
    }
    let databases = state.context.loader.stores().databases.clone();
    let mut owners = blocking(move || databases.owners()).await?;
    owners.retain(|owner| owner.app == *app);
    match (owners.pop(), owners.pop()) {
        (Some(owner), None) => Ok((owner, Vec::new())),
        (None, _) => Err(Refusal::no_app(app)),
        (Some(one), Some(other)) => {
            let detail = format!(
                "no app {app} is deployed, and several tenants had one, such as {} and {}: deploy it again as the one \
                 that is meant",
                one.tenant, other.tenant
            );
            Err(Refusal::new(Cause::BadRequest, detail))
        }
    }
}

fn shown(answer: SqlAnswer) -> wire::SqlResult {
    let row = |values: Vec<SqlValue>| values.into_iter().map(json_of).collect();
    wire::SqlResult {
        columns: answer.columns,
        rows: answer.rows.into_iter().map(row).collect(),
        changes: answer.changes,
    }
}

fn json_of(value: SqlValue) -> Value {
    match value {
        SqlValue::Null => Value::Null,
        SqlValue::Integer(number) => number.into(),
        // Those that JSON has none for are null there.
        SqlValue::Real(number) => number.into(),
        SqlValue::Text(text) => text.into(),
        SqlValue::Blob(bytes) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

/// Looks at files on a thread that serves nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SqlError> + Send + 'static,
) -> Result<T, Refusal> {
    let done =
        tokio::task::spawn_blocking(work).await.map_err(|error| Refusal::internal(&error))?;
    Ok(done?)
}

impl From<SqlError> for Refusal {
    fn from(error: SqlError) -> Self {
        let cause = match &error {
            SqlError::NotNamed { .. } | SqlError::Unavailable(_) => Cause::NotFound,
            SqlError::Refused(SqlRefusal::LargeAnswer) | SqlError::Full { .. } => Cause::TooLarge,
            SqlError::Refused(_) | SqlError::Statement(_) => Cause::BadRequest,
            SqlError::Unusable(_) | SqlError::Stopped | SqlError::Lost => Cause::Internal,
        };
        Self::new(cause, error.to_string())
    }
}
