//! Why requests of some kinds may be refused, as lists that several endpoints share.
//! Does not say what a cause means: `problem` does.

use super::super::problem::Cause;

/// Of changes of what a fleet is.
pub(super) const FLEET_CHANGE: &[Cause] = &[
    Cause::BadRequest,
    Cause::NotFound,
    Cause::StoreAway,
    Cause::NotRegistered,
    Cause::Overtaken,
    Cause::BadRecord,
    Cause::Draining,
    Cause::DiskFull,
];

/// Of changes after which an earlier deployment is served again.
pub(super) const SERVED_AGAIN: &[Cause] = &[
    Cause::BadRequest,
    Cause::NotFound,
    Cause::RouteConflict,
    Cause::NoSecret,
    Cause::CanaryTakenBack,
    Cause::CompileTimedOut,
    Cause::CompileFailed,
    Cause::StoreAway,
    Cause::NotRegistered,
    Cause::Overtaken,
    Cause::BadRecord,
    Cause::Draining,
    Cause::DiskFull,
];
