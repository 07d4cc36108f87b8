//! The endpoints of secrets. Does not answer them.

use super::form::{Endpoint, GUARDED, Returned, Sent};
use super::operation::Operation;
use crate::api::problem::Cause;

pub(super) const LIST: Endpoint = Endpoint {
    operation: Operation::Secrets,
    path: "/v1/apps/{app}/secrets",
    summary: "Which secrets the app has and uses; never what they are",
    returned: Returned::Json("Secrets"),
    causes: &[Cause::BadRequest, Cause::NotFound, Cause::StoreAway, Cause::BadRecord],
    ..GUARDED
};
pub(super) const SET: Endpoint = Endpoint {
    operation: Operation::SetSecret,
    method: "put",
    path: "/v1/apps/{app}/secrets/{name}",
    summary: "Give a secret a value, of an app that is deployed or will be; new calls get it at once",
    sent: Sent::Bytes,
    success: &[("200", "It is kept, sealed")],
    returned: Returned::Json("SecretSet"),
    causes: &[
        Cause::BadRequest,
        Cause::NoSecret,
        Cause::TooLarge,
        Cause::Draining,
        Cause::DataLost,
        Cause::DiskFull,
        Cause::StoreAway,
        Cause::NotRegistered,
        Cause::Overtaken,
        Cause::BadRecord,
    ],
    ..GUARDED
};
pub(super) const DELETE: Endpoint = Endpoint {
    operation: Operation::DeleteSecret,
    method: "delete",
    path: "/v1/apps/{app}/secrets/{name}",
    summary: "Take a secret away that no deployment uses",
    success: &[("204", "It is not there any more")],
    returned: Returned::Nothing,
    causes: &[
        Cause::BadRequest,
        Cause::NotFound,
        Cause::SecretUsed,
        Cause::Draining,
        Cause::DataLost,
        Cause::StoreAway,
        Cause::NotRegistered,
        Cause::Overtaken,
        Cause::BadRecord,
    ],
    ..GUARDED
};
