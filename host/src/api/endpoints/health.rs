//! The endpoints that tell machines how the host is; they ask for no token.
//! Does not handle requests.

use super::form::{Endpoint, GUARDED, Returned};
use super::operation::Operation;
use crate::api::problem::Cause;

pub(super) const HEALTHZ: Endpoint = Endpoint {
    operation: Operation::Healthz,
    path: "/healthz",
    summary: "Whether the process lives",
    success: &[("200", "It does")],
    returned: Returned::Text("text/plain"),
    is_guarded: false,
    ..GUARDED
};

pub(super) const READYZ: Endpoint = Endpoint {
    operation: Operation::Readyz,
    path: "/readyz",
    summary: "Whether the host takes new calls",
    success: &[("200", "It does")],
    returned: Returned::Text("text/plain"),
    causes: &[Cause::Draining, Cause::DataLost, Cause::StoreAway],
    is_guarded: false,
    ..GUARDED
};
