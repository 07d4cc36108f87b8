//! Whose fault it is how a call ended.
//! Says nothing of what to do about it.

/// Who has to act for this ending not to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Nobody: the call went well.
    None,
    /// The app's developer.
    Guest,
    /// The client that sent the request.
    Client,
    /// The operator of the host.
    Host,
}

/// Whose fault an ending with this cause code is; `None` where there is no such code.
#[must_use]
pub fn fault_of(cause: &str) -> Option<Fault> {
    Some(match cause {
        "answered" => Fault::None,
        "trapped" | "out_of_fuel" | "out_of_memory" | "timed_out" | "response_too_large"
        | "no_answer" | "app_busy" | "too_late" | "host_memory" | "quarantined" => Fault::Guest,
        "client_gone"
        | "no_route"
        | "no_host"
        | "bad_request"
        | "request_too_large"
        | "upgrade_unsupported" => Fault::Client,
        "host_full" | "host_busy" | "host_exhausted" | "not_ready" | "no_replica" | "draining"
        | "host_failed" => Fault::Host,
        _ => return None,
    })
}
