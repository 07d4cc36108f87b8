//! The endpoints of the control API, once: the router and the OpenAPI document are both made from
//! this table, so that neither can know one the other does not.
//! Does not handle requests.

mod blobs;
mod causes;
mod form;
mod health;
mod history;
mod operation;
mod profile;
mod replay;
mod secrets;
mod session;
mod sql;
mod stores;

use self::causes::{FLEET_CHANGE, SERVED_AGAIN};
pub(super) use self::form::{Endpoint, Parameter, Returned, Sent};
use self::form::{FAILED, FOLLOW, GUARDED, LIMIT, OF_HOST, PLANNED, ROUTE};
pub(super) use self::operation::Operation;
use super::problem::Cause;

/// All of them.
pub(super) const ENDPOINTS: [Endpoint; 61] = [
    blobs::PUT,
    blobs::HEAD,
    replay::COMPONENT,
    Endpoint {
        operation: Operation::Deploy,
        method: "post",
        path: "/v1/apps/{app}/deployments",
        summary: "Deploy an uploaded component in place of the app's current deployment, or try it",
        sent: Sent::Json("DeployRequest"),
        success: &[("201", "It is compiled, durable and served, or tried")],
        returned: Returned::Json("Deployed"),
        causes: &[
            Cause::BadRequest,
            Cause::BadManifest,
            Cause::DigestMismatch,
            Cause::NotFound,
            Cause::RouteConflict,
            Cause::NoSecret,
            Cause::CanaryRuns,
            Cause::TooLarge,
            Cause::BadComponent,
            Cause::CompileTimedOut,
            Cause::CompileFailed,
            Cause::MemoryLimit,
            Cause::StoreAway,
            Cause::NotRegistered,
            Cause::Overtaken,
            Cause::BadRecord,
            Cause::Draining,
            Cause::DiskFull,
        ],
        ..GUARDED
    },
    Endpoint {
        operation: Operation::ListApps,
        path: "/v1/apps",
        summary: "All apps",
        query: &[OF_HOST],
        returned: Returned::Json("Apps"),
        causes: &[Cause::NotFound, Cause::HostSilent],
        ..GUARDED
    },
    Endpoint {
        operation: Operation::ShowApp,
        path: "/v1/apps/{app}",
        summary: "One app with its limits and deployments",
        query: &[OF_HOST],
        returned: Returned::Json("AppDetail"),
        causes: &[Cause::BadRequest, Cause::NotFound, Cause::HostSilent],
        ..GUARDED
    },
    Endpoint {
        operation: Operation::RollBack,
        method: "post",
        path: "/v1/apps/{app}/rollback",
        summary: "Go back to an earlier deployment; one on trial is only rolled back",
        sent: Sent::Json("RollbackRequest"),
        success: &[("200", "It is served again")],
        returned: Returned::Json("Deployed"),
        causes: SERVED_AGAIN,
        ..GUARDED
    },
    Endpoint {
        operation: Operation::Promote,
        method: "post",
        path: "/v1/apps/{app}/promote",
        summary: "Make the deployment on trial the current one",
        success: &[("200", "It is served")],
        returned: Returned::Json("Deployed"),
        causes: SERVED_AGAIN,
        ..GUARDED
    },
    Endpoint {
        operation: Operation::PauseCanary,
        method: "put",
        path: "/v1/apps/{app}/canary",
        summary: "Have the deployment on trial take no steps, or go on",
        sent: Sent::Json("CanaryRequest"),
        success: &[("204", "It waits, or goes on")],
        returned: Returned::Nothing,
        causes: FLEET_CHANGE,
        ..GUARDED
    },
    Endpoint {
        operation: Operation::EndCanary,
        method: "delete",
        path: "/v1/apps/{app}/canary",
        summary: "Take the deployment on trial back",
        success: &[("204", "The current one gets all calls again")],
        returned: Returned::Nothing,
        causes: FLEET_CHANGE,
        ..GUARDED
    },
    Endpoint {
        operation: Operation::Remove,
        method: "delete",
        path: "/v1/apps/{app}",
        summary: "Take an app off the host, with all its deployments",
        success: &[("204", "It is gone; calls that run end in peace")],
        returned: Returned::Nothing,
        causes: FLEET_CHANGE,
        ..GUARDED
    },
    Endpoint {
        operation: Operation::Calls,
        path: "/v1/apps/{app}/calls",
        summary: "The app's last calls, the oldest first",
        query: &[LIMIT, FAILED, OF_HOST],
        returned: Returned::Json("Calls"),
        causes: &[Cause::BadRequest, Cause::NotFound, Cause::HostSilent],
        ..GUARDED
    },
    history::OF_APP,
    history::AT_ONE_TIME,
    history::ADVICE,
    history::CONSUMPTION,
    history::BILL,
    Endpoint {
        operation: Operation::Destinations,
        path: "/v1/apps/{app}/destinations",
        summary: "Whom the app's outbound requests asked, and what came of them",
        query: &[OF_HOST],
        returned: Returned::Json("Destinations"),
        causes: &[Cause::BadRequest, Cause::NotFound, Cause::HostSilent],
        ..GUARDED
    },
    Endpoint {
        operation: Operation::Why,
        path: "/v1/apps/{app}/why",
        summary: "What is wrong with an app, the evidence for it, and what to do about it",
        query: &[OF_HOST],
        returned: Returned::Json("Why"),
        causes: &[Cause::BadRequest, Cause::NotFound, Cause::HostSilent],
        ..GUARDED
    },
    Endpoint {
        operation: Operation::WhyFleet,
        path: "/v1/why",
        summary: "What is wrong with the hosts of the fleet, or with what a route leads to, the evidence, and \
                  what to do about it",
        query: &[OF_HOST, ROUTE],
        returned: Returned::Json("Why"),
        causes: &[Cause::BadRequest, Cause::NotFound, Cause::HostSilent],
        ..GUARDED
    },
    Endpoint {
        operation: Operation::Problems,
        path: "/v1/problems",
        summary: "What is wrong now and surely so, since when, the evidence, and what to do about it",
        query: &[OF_HOST],
        returned: Returned::Json("Problems"),
        causes: &[Cause::NotFound, Cause::HostSilent],
        ..GUARDED
    },
    profile::PROFILE,
    secrets::LIST,
    secrets::SET,
    secrets::DELETE,
    stores::USAGE,
    stores::DROP,
    stores::KEYS,
    stores::VALUE,
    stores::SET,
    stores::UNSET,
    sql::SIZES,
    sql::RUN,
    sql::COPY,
    sql::DROP,
    Endpoint {
        operation: Operation::CallsOfId,
        path: "/v1/calls/{id}",
        summary: "The calls of all apps that are kept and whose ids begin so",
        query: &[OF_HOST],
        returned: Returned::Json("Calls"),
        causes: &[Cause::BadRequest, Cause::NotFound, Cause::HostSilent],
        ..GUARDED
    },
    replay::CAPSULE,
    Endpoint {
        operation: Operation::Logs,
        path: "/v1/apps/{app}/logs",
        summary: "What the app's guests printed, the oldest line first",
        query: &[Parameter { name: "lines", ..LIMIT }, FOLLOW, OF_HOST],
        returned: Returned::Lines("LogLines", "LogLine"),
        causes: &[Cause::BadRequest, Cause::NotFound, Cause::HostSilent],
        ..GUARDED
    },
    Endpoint {
        operation: Operation::Events,
        path: "/v1/events",
        summary: "What happened on the host, the oldest event first",
        query: &[
            Parameter { name: "app", form: "string", meaning: "only what happened to this app" },
            LIMIT,
            FOLLOW,
            OF_HOST,
        ],
        returned: Returned::Lines("Events", "Event"),
        causes: &[Cause::BadRequest, Cause::NotFound, Cause::HostSilent],
        ..GUARDED
    },
    Endpoint {
        operation: Operation::Validate,
        method: "post",
        path: "/v1/validate",
        summary: "Check a manifest without deploying anything",
        sent: Sent::Json("ValidateRequest"),
        success: &[("200", "It has no mistakes")],
        returned: Returned::Json("Validated"),
        causes: &[Cause::BadRequest, Cause::BadManifest, Cause::TooLarge],
        ..GUARDED
    },
    Endpoint {
        operation: Operation::Hosts,
        path: "/v1/hosts",
        summary: "All hosts of the fleet",
        returned: Returned::Json("Hosts"),
        causes: &[Cause::NotFound],
        ..GUARDED
    },
    Endpoint {
        operation: Operation::SetStanding,
        method: "put",
        path: "/v1/hosts/{host}/standing",
        summary: "Cordon a host, drain it, or open it again",
        sent: Sent::Json("StandingRequest"),
        success: &[("200", "It is wished; `GET /v1/hosts` tells how far it is")],
        returned: Returned::Json("HostSummary"),
        causes: FLEET_CHANGE,
        ..GUARDED
    },
    Endpoint {
        operation: Operation::Scale,
        method: "put",
        path: "/v1/apps/{app}/scale",
        summary: "Say how many replicas an app shall have",
        sent: Sent::Json("ScaleRequest"),
        success: &[("200", "It is wished; placement sees to it")],
        returned: Returned::Json("Replicas"),
        causes: FLEET_CHANGE,
        ..GUARDED
    },
    Endpoint {
        operation: Operation::Replicas,
        path: "/v1/apps/{app}/replicas",
        summary: "Where an app runs, and how far that is",
        returned: Returned::Json("Replicas"),
        causes: &[Cause::BadRequest, Cause::NotFound],
        ..GUARDED
    },
    Endpoint {
        operation: Operation::Adopt,
        method: "post",
        path: "/v1/fleet/adopt",
        summary: "Follow the store as it is, such as after it was restored; deletes nothing",
        success: &[("200", "It is followed")],
        returned: Returned::Json("FleetChanged"),
        causes: FLEET_CHANGE,
        ..GUARDED
    },
    Endpoint {
        operation: Operation::Import,
        method: "post",
        path: "/v1/fleet/import",
        summary: "Put those apps of this host into the store that it does not know",
        success: &[("200", "It knows them, but for those that are left out")],
        returned: Returned::Json("FleetChanged"),
        causes: FLEET_CHANGE,
        ..GUARDED
    },
    Endpoint {
        operation: Operation::Freeze,
        method: "post",
        path: "/v1/fleet/freeze",
        summary: "Have nothing planned: replicas stay where they are, also those of lost hosts",
        sent: Sent::Json("FreezeRequest"),
        success: &[("200", "Nothing is planned from now on")],
        returned: Returned::Json("FleetChanged"),
        causes: FLEET_CHANGE,
        ..GUARDED
    },
    Endpoint {
        operation: Operation::Thaw,
        method: "post",
        path: "/v1/fleet/thaw",
        summary: "Have plans made again",
        success: &[("200", "Plans are made again")],
        returned: Returned::Json("FleetChanged"),
        causes: FLEET_CHANGE,
        ..GUARDED
    },
    Endpoint {
        operation: Operation::Revoke,
        method: "post",
        path: "/v1/fleet/revoke",
        summary: "Revoke a host's certificates: no host of the fleet lets it in or asks it any more",
        sent: Sent::Json("RevokeRequest"),
        success: &[("200", "All that were made by now are revoked, for good")],
        returned: Returned::Json("FleetChanged"),
        causes: FLEET_CHANGE,
        ..GUARDED
    },
    Endpoint {
        operation: Operation::Plan,
        path: "/v1/plan",
        summary: "What would move if the fleet were planned now, and why",
        query: &PLANNED,
        returned: Returned::Json("Plan"),
        causes: &[Cause::BadRequest, Cause::NotFound],
        ..GUARDED
    },
    Endpoint {
        operation: Operation::Plans,
        path: "/v1/plans",
        summary: "The last plans that changed something, the newest first",
        returned: Returned::Json("Plans"),
        causes: &[Cause::NotFound, Cause::StoreAway, Cause::NotRegistered],
        ..GUARDED
    },
    Endpoint {
        operation: Operation::PlanOf,
        path: "/v1/plans/{number}",
        summary: "One plan that was made, with its moves, why each was, and how far it is",
        returned: Returned::Json("PlanDetail"),
        causes: &[Cause::BadRequest, Cause::NotFound, Cause::StoreAway, Cause::NotRegistered],
        ..GUARDED
    },
    GUARDED,
    Endpoint {
        operation: Operation::Usage,
        path: "/v1/usage",
        summary: "What the host and the apps that were called use, as counters since its start",
        query: &[OF_HOST],
        returned: Returned::Json("Usage"),
        causes: &[Cause::NotFound, Cause::HostSilent],
        ..GUARDED
    },
    Endpoint {
        operation: Operation::Backup,
        path: "/v1/backup",
        summary: "All that the host keeps, as one archive that `steerage restore` and `tar` read",
        returned: Returned::Bytes("application/x-tar"),
        ..GUARDED
    },
    Endpoint {
        operation: Operation::OpenApi,
        path: "/v1/openapi.json",
        summary: "This document",
        returned: Returned::AnyJson,
        ..GUARDED
    },
    Endpoint {
        operation: Operation::Metrics,
        path: "/metrics",
        summary: "All metrics, as Prometheus reads them",
        returned: Returned::Text("text/plain"),
        ..GUARDED
    },
    session::SIGN_IN,
    session::SIGN_OUT,
    health::HEALTHZ,
    health::READYZ,
];
