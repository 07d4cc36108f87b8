//! The endpoints of key-value stores. Does not answer them.

use super::form::{Endpoint, GUARDED, LIMIT, Parameter, Returned, Sent};
use super::operation::Operation;
use crate::api::problem::Cause;

const KEY: Parameter = Parameter { name: "key", form: "string", meaning: "the key" };
const TTL: Parameter = Parameter {
    name: "ttl_ms",
    form: "integer",
    meaning: "how long the value shall last, in milliseconds; for good where it is left out",
};
const AFTER: Parameter = Parameter {
    name: "after",
    form: "string",
    meaning: "the key after which the list begins: the cursor of the page before",
};
const CHANGES: &[Cause] =
    &[Cause::BadRequest, Cause::NotFound, Cause::TooLarge, Cause::Draining, Cause::DataLost];

pub(super) const USAGE: Endpoint = Endpoint {
    operation: Operation::StoreUsage,
    path: "/v1/apps/{app}/stores",
    summary: "What the app keeps in all its key-value stores, and what it may",
    returned: Returned::Json("StoreUsage"),
    causes: &[Cause::BadRequest, Cause::NotFound],
    ..GUARDED
};
pub(super) const DROP: Endpoint = Endpoint {
    operation: Operation::DropStores,
    method: "delete",
    path: "/v1/apps/{app}/stores",
    summary: "Delete all pairs of all stores of the app, or of one that was removed",
    success: &[("204", "There are none any more")],
    returned: Returned::Nothing,
    causes: CHANGES,
    ..GUARDED
};
pub(super) const KEYS: Endpoint = Endpoint {
    operation: Operation::StoreKeys,
    path: "/v1/apps/{app}/stores/{label}/keys",
    summary: "Keys of a store in the order of their bytes, a page at a time",
    query: &[AFTER, LIMIT],
    returned: Returned::Json("StoreKeys"),
    causes: &[Cause::BadRequest, Cause::NotFound],
    ..GUARDED
};
pub(super) const VALUE: Endpoint = Endpoint {
    operation: Operation::StoreValue,
    path: "/v1/apps/{app}/stores/{label}/value",
    summary: "The value of a key; `steerage-version` and `steerage-expires-at-ms` say more of it",
    query: &[KEY],
    returned: Returned::Bytes("application/octet-stream"),
    causes: &[Cause::BadRequest, Cause::NotFound],
    ..GUARDED
};
pub(super) const SET: Endpoint = Endpoint {
    operation: Operation::SetStoreValue,
    method: "put",
    path: "/v1/apps/{app}/stores/{label}/value",
    summary: "Give a key a value",
    query: &[KEY, TTL],
    sent: Sent::Bytes,
    success: &[("204", "It is durable")],
    returned: Returned::Nothing,
    causes: CHANGES,
    ..GUARDED
};
pub(super) const UNSET: Endpoint = Endpoint {
    operation: Operation::DeleteStoreKey,
    method: "delete",
    path: "/v1/apps/{app}/stores/{label}/value",
    summary: "Take a key and its value away",
    query: &[KEY],
    success: &[("204", "It is not there")],
    returned: Returned::Nothing,
    causes: CHANGES,
    ..GUARDED
};
