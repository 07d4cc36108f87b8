//! What axum cannot read of a request.
//! Refuses nothing else.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use http::StatusCode;

use super::{Cause, Refusal};

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        let is_too_large = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
        let cause = if is_too_large { Cause::TooLarge } else { Cause::BadRequest };
        Self::new(cause, rejection.body_text())
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(Cause::BadRequest, rejection.body_text())
    }
}

impl From<PathRejection> for Refusal {
    fn from(rejection: PathRejection) -> Self {
        Self::new(Cause::BadRequest, rejection.body_text())
    }
}
