//! The endpoints of SQL databases. Does not answer them.

use super::form::{Endpoint, GUARDED, Returned, Sent};
use super::operation::Operation;
use crate::api::problem::Cause;

const CHANGES: &[Cause] =
    &[Cause::BadRequest, Cause::NotFound, Cause::TooLarge, Cause::Draining, Cause::DataLost];

pub(super) const SIZES: Endpoint = Endpoint {
    operation: Operation::DatabaseSizes,
    path: "/v1/apps/{app}/databases",
    summary: "The SQL databases of the app, how large each is, and how large it may be",
    returned: Returned::Json("DatabaseSizes"),
    causes: &[Cause::BadRequest, Cause::NotFound],
    ..GUARDED
};
pub(super) const RUN: Endpoint = Endpoint {
    operation: Operation::RunSql,
    method: "post",
    path: "/v1/apps/{app}/databases/{label}/statements",
    summary: "Run statements on a database of the app, in their order, until one fails",
    sent: Sent::Json("SqlStatements"),
    returned: Returned::Json("SqlResults"),
    causes: CHANGES,
    ..GUARDED
};
pub(super) const COPY: Endpoint = Endpoint {
    operation: Operation::CopyDatabase,
    path: "/v1/apps/{app}/databases/{label}/file",
    summary: "A copy of a database as it is at one moment, as a file of SQLite",
    returned: Returned::Bytes("application/vnd.sqlite3"),
    causes: &[Cause::BadRequest, Cause::NotFound],
    ..GUARDED
};
pub(super) const DROP: Endpoint = Endpoint {
    operation: Operation::DropDatabase,
    method: "delete",
    path: "/v1/apps/{app}/databases/{label}",
    summary: "Remove a database of the app, or of one that was removed, with all that is in it",
    success: &[("204", "It is gone")],
    returned: Returned::Nothing,
    causes: CHANGES,
    ..GUARDED
};
