//! The endpoint that tells where guests spend their CPU time. Does not answer it.

use super::form::{Endpoint, GUARDED, OF_HOST, Returned};
use super::operation::Operation;
use crate::api::problem::Cause;

pub(super) const PROFILE: Endpoint = Endpoint {
    operation: Operation::AppProfile,
    path: "/v1/apps/{app}/profile",
    summary: "Where the guests of the app's last deployments spend their CPU time",
    query: &[OF_HOST],
    returned: Returned::Json("AppProfile"),
    causes: &[Cause::BadRequest, Cause::NotFound, Cause::HostSilent],
    ..GUARDED
};
