//! What can be asked of the control API, one name each.
//! Does not say how.

/// What can be asked of the control API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Operation {
    PutBlob,
    HeadBlob,
    Deploy,
    ListApps,
    ShowApp,
    RollBack,
    Promote,
    PauseCanary,
    EndCanary,
    Remove,
    Calls,
    Logs,
    Events,
    Validate,
    Hosts,
    SetStanding,
    Scale,
    Replicas,
    Adopt,
    Import,
    Freeze,
    Thaw,
    Plan,
    Host,
    Usage,
    Backup,
    OpenApi,
    Metrics,
    Healthz,
    Readyz,
}
