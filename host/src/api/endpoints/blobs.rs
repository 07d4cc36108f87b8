//! The endpoints by which components are uploaded. Does not answer them.

use super::form::{Endpoint, GUARDED, Returned, Sent};
use super::operation::Operation;
use crate::api::problem::Cause;

pub(super) const PUT: Endpoint = Endpoint {
    operation: Operation::PutBlob,
    method: "put",
    path: "/v1/blobs/{digest}",
    summary: "Upload a component; it is kept once its bytes have this digest",
    sent: Sent::Bytes,
    success: &[("200", "The host had it before"), ("201", "The host has it now")],
    returned: Returned::Json("Blob"),
    causes: &[
        Cause::BadRequest,
        Cause::DigestMismatch,
        Cause::TooLarge,
        Cause::Draining,
        Cause::DiskFull,
    ],
    ..GUARDED
};

pub(super) const HEAD: Endpoint = Endpoint {
    operation: Operation::HeadBlob,
    method: "head",
    path: "/v1/blobs/{digest}",
    summary: "Whether the host has a component",
    success: &[("200", "It has")],
    returned: Returned::Nothing,
    causes: &[Cause::BadRequest, Cause::NotFound],
    ..GUARDED
};
