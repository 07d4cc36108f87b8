//! The endpoints by which the page signs in and out.
//! Does not handle requests.

use super::form::{Endpoint, GUARDED, Returned, Sent};
use super::operation::Operation;
use crate::api::problem::Cause;

pub(super) const SIGN_IN: Endpoint = Endpoint {
    operation: Operation::SignIn,
    method: "post",
    path: "/v1/session",
    summary: "Sign in on the page: a cookie and a key, which are sent together in place of the token",
    sent: Sent::Json("SessionRequest"),
    success: &[("200", "The session is open")],
    returned: Returned::Json("SessionKey"),
    causes: &[Cause::BadRequest, Cause::Unauthorized, Cause::ForeignHost, Cause::CrossSite],
    is_guarded: false,
    ..GUARDED
};

pub(super) const SIGN_OUT: Endpoint = Endpoint {
    operation: Operation::SignOut,
    method: "delete",
    path: "/v1/session",
    summary: "Sign out: the session that this request shows ends",
    success: &[("204", "It has ended")],
    returned: Returned::Nothing,
    ..GUARDED
};
