//! The endpoints from which a failed call is run again elsewhere. Does not answer them.

use super::form::{Endpoint, GUARDED, OF_HOST, Returned};
use super::operation::Operation;
use crate::api::problem::Cause;

pub(super) const COMPONENT: Endpoint = Endpoint {
    operation: Operation::GetBlob,
    path: "/v1/blobs/{digest}",
    summary: "The bytes of a component",
    returned: Returned::Bytes("application/wasm"),
    causes: &[Cause::BadRequest, Cause::NotFound],
    ..GUARDED
};

pub(super) const CAPSULE: Endpoint = Endpoint {
    operation: Operation::Capsule,
    path: "/v1/calls/{id}/capsule",
    summary: "What calls left that failed and whose ids begin so: all that their guests were told",
    query: &[OF_HOST],
    returned: Returned::Json("FoundCapsules"),
    causes: &[Cause::BadRequest, Cause::NotFound, Cause::HostSilent],
    ..GUARDED
};
