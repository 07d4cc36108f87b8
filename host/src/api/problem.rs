//! Why a request was not carried out, as a problem document: the one place where refusals and
//! failures of the control API become statuses and causes.
//! Tells nothing of the host's inside: what went wrong there is in the host's own log.

mod rejections;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use steerage_core::id::AppName;
use steerage_core::route::Conflict;

use super::wire;
use crate::agent::ApplyError;
use crate::blobs::BlobError;
use crate::desired::{DeployError, RevokeError};
use crate::ledger::LedgerError;
use crate::manifest::Mistakes;
use crate::sandbox::compiler::CompileError;
use crate::sandbox::load_error::LoadError;
use crate::store::StoreError;
use crate::telemetry::chain;

/// The kinds of refusal. Their codes are a promise; see [`Cause::code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    BadRequest,
    BadManifest,
    DigestMismatch,
    Unauthorized,
    ForeignHost,
    CrossSite,
    NotFound,
    MethodNotAllowed,
    NoSecret,
    SecretUsed,
    RouteConflict,
    OtherTenant,
    CanaryRuns,
    CanaryTakenBack,
    TooLarge,
    BadComponent,
    CompileTimedOut,
    CompileFailed,
    MemoryLimit,
    Draining,
    DiskFull,
    DataLost,
    StoreAway,
    NotRegistered,
    Overtaken,
    BadRecord,
    HostSilent,
    Internal,
}

/// A request that is not carried out.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) cause: Cause,
    pub(super) detail: String,
    mistakes: Vec<wire::Mistake>,
    /// The app that has the route, and the route.
    owned: Option<(String, String)>,
}

impl Cause {
    /// The stable code.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::BadManifest => "bad_manifest",
            Self::DigestMismatch => "digest_mismatch",
            Self::Unauthorized => "unauthorized",
            Self::ForeignHost => "foreign_host",
            Self::CrossSite => "cross_site",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NoSecret => "no_secret",
            Self::SecretUsed => "secret_used",
            Self::RouteConflict => "route_conflict",
            Self::OtherTenant => "other_tenant",
            Self::CanaryRuns => "canary_runs",
            Self::CanaryTakenBack => "canary_taken_back",
            Self::TooLarge => "too_large",
            Self::BadComponent => "bad_component",
            Self::CompileTimedOut => "compile_timed_out",
            Self::CompileFailed => "compile_failed",
            Self::MemoryLimit => "memory_limit",
            Self::Draining => "draining",
            Self::DiskFull => "disk_full",
            Self::DataLost => "data_lost",
            Self::StoreAway => "store_away",
            Self::NotRegistered => "not_registered",
            Self::Overtaken => "overtaken",
            Self::BadRecord => "bad_record",
            Self::HostSilent => "host_silent",
            Self::Internal => "internal",
        }
    }

    /// Its HTTP status.
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::BadManifest | Self::DigestMismatch => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::ForeignHost | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RouteConflict
            | Self::NoSecret
            | Self::SecretUsed
            | Self::OtherTenant
            | Self::CanaryRuns
            | Self::CanaryTakenBack
            | Self::Overtaken => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BadComponent
            | Self::CompileTimedOut
            | Self::CompileFailed
            | Self::MemoryLimit => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Draining
            | Self::StoreAway
            | Self::NotRegistered
            | Self::DataLost
            | Self::HostSilent => StatusCode::SERVICE_UNAVAILABLE,
            Self::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            Self::BadRecord | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The kind in words.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request cannot be understood",
            Self::BadManifest => "The manifest cannot be accepted",
            Self::DigestMismatch => "The component is not the one that was announced",
            Self::Unauthorized => "A token is needed",
            Self::ForeignHost => "The request was sent to a name of another machine",
            Self::CrossSite => "The request was sent by a web page of another origin",
            Self::NotFound => "There is no such thing",
            Self::MethodNotAllowed => "This cannot be done here",
            Self::NoSecret => "A secret of the app cannot be had",
            Self::SecretUsed => "The secret is used",
            Self::RouteConflict => "Another app has the route",
            Self::OtherTenant => "The app belongs to another tenant",
            Self::CanaryRuns => "A deployment is on trial already",
            Self::CanaryTakenBack => "It was rolled back already",
            Self::TooLarge => "The body is too large",
            Self::BadComponent => "The component cannot run here",
            Self::CompileTimedOut => "The component takes too long to compile",
            Self::CompileFailed => "The component cannot be compiled",
            Self::MemoryLimit => "The component needs more memory than it may have",
            Self::Draining => "The host is ending",
            Self::DiskFull => "The host's disk is full",
            Self::DataLost => "The host's data folder is gone",
            Self::StoreAway => "The fleet's store does not answer",
            Self::NotRegistered => "The host is not one of the fleet",
            Self::Overtaken => "Others changed the same thing",
            Self::BadRecord => "The store holds what this host cannot read",
            Self::HostSilent => "That host tells nothing",
            Self::Internal => "The host failed",
        }
    }
}

impl Refusal {
    /// A refusal with nothing to say beyond a sentence.
    pub(super) fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self { cause, detail: detail.into(), mistakes: Vec::new(), owned: None }
    }

    pub(super) fn unauthorized(detail: &str) -> Self {
        Self::new(Cause::Unauthorized, detail)
    }

    pub(super) fn foreign_host(named: &str) -> Self {
        let detail = format!(
            "a host without a token only answers requests sent to 127.0.0.1, [::1] or localhost, \
             not to {named:?}"
        );
        Self::new(Cause::ForeignHost, detail)
    }

    pub(super) fn two_hosts() -> Self {
        Self::new(Cause::BadRequest, "more than one Host header")
    }

    pub(super) fn cross_site() -> Self {
        let detail = "a web page of another origin may not change this host; use the command line, or \
                      a client that is no browser";
        Self::new(Cause::CrossSite, detail)
    }

    pub(super) fn no_app(app: &AppName) -> Self {
        Self::from(DeployError::NoApp(app.clone()))
    }

    pub(super) fn draining() -> Self {
        Self::new(Cause::Draining, "the host is ending and takes no changes; try again later")
    }

    /// The host failed: its log tells how, the client only learns that it did.
    pub(super) fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = chain(error), "the control API failed");
        Self::new(Cause::Internal, "the host could not do this; its log says why")
    }

    fn disk_full(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = chain(error), "the disk is full");
        let detail = "the disk of this host is full; its operator has to make room";
        Self::new(Cause::DiskFull, detail)
    }

    /// What kind of refusal this is.
    pub(super) fn cause(&self) -> Cause {
        self.cause
    }

    fn document(self) -> wire::Problem {
        let (owner, route) = self.owned.unzip();
        wire::Problem {
            kind: format!("urn:steerage:cause:{}", self.cause.code()),
            title: self.cause.title().to_owned(),
            status: self.cause.status().as_u16(),
            detail: self.detail,
            cause: self.cause.code().to_owned(),
            mistakes: self.mistakes,
            owner,
            route,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let cause = self.cause();
        tracing::debug!(cause = cause.code(), detail = self.detail, "refused");
        let mut response = (cause.status(), axum::Json(self.document())).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if cause == Cause::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(cause, Cause::Draining | Cause::StoreAway) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("10"));
        }
        response
    }
}

impl From<DeployError> for Refusal {
    fn from(error: DeployError) -> Self {
        match error {
            DeployError::OtherApp { .. } => Self::new(Cause::BadManifest, error.to_string()),
            DeployError::OtherComponent { .. } => {
                Self::new(Cause::DigestMismatch, error.to_string())
            }
            DeployError::NoComponent(_)
            | DeployError::NoApp(_)
            | DeployError::NoCanary(_)
            | DeployError::CanaryOfNothing(_)
            | DeployError::NoDeployment { .. } => Self::new(Cause::NotFound, error.to_string()),
            DeployError::Revoke(RevokeError::Unknown { .. }) => {
                Self::new(Cause::NotFound, error.to_string())
            }
            DeployError::Revoke(_) => Self::new(Cause::BadRequest, error.to_string()),
            DeployError::Secret(trouble) => Self::from(trouble),
            DeployError::Unsealable { .. } => Self::internal(&error),
            DeployError::NoSecret { .. } => Self::new(Cause::NotFound, error.to_string()),
            DeployError::SecretUsed { .. } => Self::new(Cause::SecretUsed, error.to_string()),
            DeployError::ManySecrets { .. } => Self::new(Cause::TooLarge, error.to_string()),
            DeployError::NoStores { why, .. } => Self::new(Cause::BadRequest, why),
            DeployError::OtherTenant { .. } => Self::new(Cause::OtherTenant, error.to_string()),
            DeployError::CanaryRuns { .. } => Self::new(Cause::CanaryRuns, error.to_string()),
            DeployError::CanaryRolledBack { .. } => {
                Self::new(Cause::CanaryTakenBack, error.to_string())
            }
            DeployError::Unsure { .. } => Self::new(Cause::StoreAway, error.to_string()),
            DeployError::Apply(error) => Self::from(error),
        }
    }
}

impl From<ApplyError> for Refusal {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Manifest(mistakes) => Self::from(mistakes),
            ApplyError::Conflict(conflict) => Self::from(conflict),
            ApplyError::Compile(error) => Self::from(error),
            ApplyError::Load(error) => Self::from(error),
            ApplyError::Blob(error) => Self::from(error),
            ApplyError::Store(error) => Self::from(error),
            ApplyError::Missing { .. } => Self::new(Cause::StoreAway, error.to_string()),
            ApplyError::Ledger(LedgerError::Full { .. }) => Self::disk_full(&error),
            ApplyError::Ledger(LedgerError::Page { .. }) | ApplyError::Recall(_) => {
                Self::new(Cause::Internal, error.to_string())
            }
            ApplyError::Ledger(_) | ApplyError::Task(_) => Self::internal(&error),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Away { .. } => {
                let detail = format!(
                    "{error}; apps are served as before, changes are taken again once it answers"
                );
                Self::new(Cause::StoreAway, detail)
            }
            StoreError::Denied { .. } | StoreError::Untrusted { .. } => {
                Self::new(Cause::StoreAway, error.to_string())
            }
            StoreError::NotFollowed { .. } => Self::new(Cause::NotRegistered, error.to_string()),
            StoreError::Conflict { .. } => Self::new(Cause::Overtaken, error.to_string()),
            StoreError::Damaged { .. } => Self::new(Cause::BadRecord, error.to_string()),
            StoreError::TooLarge { .. } => Self::new(Cause::TooLarge, error.to_string()),
            StoreError::Full { .. } => Self::disk_full(&error),
            _ => Self::internal(&error),
        }
    }
}

impl From<Mistakes> for Refusal {
    fn from(mistakes: Mistakes) -> Self {
        let mistakes: Vec<wire::Mistake> = mistakes
            .iter()
            .map(|mistake| wire::Mistake {
                key: mistake.key.clone(),
                line: mistake.line,
                column: mistake.column,
                message: mistake.message.clone(),
            })
            .collect();
        let detail = match mistakes.len() {
            1 => "the manifest has a mistake".to_owned(),
            n_mistakes => format!("the manifest has {n_mistakes} mistakes"),
        };
        Self { mistakes, ..Self::new(Cause::BadManifest, detail) }
    }
}

impl From<Conflict> for Refusal {
    fn from(conflict: Conflict) -> Self {
        let owned = Some((conflict.owner.to_string(), conflict.route.to_string()));
        Self { owned, ..Self::new(Cause::RouteConflict, conflict.to_string()) }
    }
}

impl From<CompileError> for Refusal {
    fn from(error: CompileError) -> Self {
        match &error {
            CompileError::Rejected(_) => Self::new(Cause::BadComponent, error.to_string()),
            CompileError::TimedOut { .. } => Self::new(Cause::CompileTimedOut, error.to_string()),
            CompileError::Died { memory, .. } => {
                tracing::warn!(error = chain(&error), "a compiler died");
                let detail = format!(
                    "the compiler stopped before it was done, most likely for want of memory: it \
                     may use {memory}"
                );
                Self::new(Cause::CompileFailed, detail)
            }
            CompileError::Full { .. } => Self::disk_full(&error),
            CompileError::Io { .. } | CompileError::Unfit(_) => Self::internal(&error),
        }
    }
}

impl From<LoadError> for Refusal {
    fn from(error: LoadError) -> Self {
        match &error {
            LoadError::MemoryLimit { .. } => Self::new(Cause::MemoryLimit, error.to_string()),
            LoadError::Rejected(_) => Self::new(Cause::BadComponent, error.to_string()),
            LoadError::Map { .. } | LoadError::NoConcurrentEngine => Self::internal(&error),
        }
    }
}

impl From<BlobError> for Refusal {
    fn from(error: BlobError) -> Self {
        match &error {
            BlobError::TooLarge { .. } => Self::new(Cause::TooLarge, error.to_string()),
            BlobError::Mismatch { .. } => Self::new(Cause::DigestMismatch, error.to_string()),
            BlobError::BrokenOff { .. } => Self::new(Cause::BadRequest, error.to_string()),
            BlobError::Damaged { .. } => Self::new(Cause::NotFound, error.to_string()),
            BlobError::NoRoom { .. } => Self::new(Cause::DiskFull, error.to_string()),
            BlobError::Full { .. } => Self::disk_full(&error),
            BlobError::Io { .. } => Self::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests;
