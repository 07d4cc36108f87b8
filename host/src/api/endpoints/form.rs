//! What the table of endpoints says of each one.
//! Names no endpoint.

use super::Operation;
use crate::api::problem::Cause;

/// What a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Sent {
    Nothing,
    Bytes,
    /// JSON of the named schema.
    Json(&'static str),
}

/// What an answer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Returned {
    Nothing,
    /// Text of this content type.
    Text(&'static str),
    /// Bytes of this content type.
    Bytes(&'static str),
    /// JSON of the named schema.
    Json(&'static str),
    /// JSON of the first schema, or with `follow=true` a line of the second for each that comes.
    Lines(&'static str, &'static str),
    /// JSON of any form.
    AnyJson,
}

/// A parameter in the query.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct Parameter {
    pub(in crate::api) name: &'static str,
    /// Its type, as in `openapi::schemas`.
    pub(in crate::api) form: &'static str,
    pub(in crate::api) meaning: &'static str,
}

/// How much of what has an order.
pub(super) const LIMIT: Parameter =
    Parameter { name: "limit", form: "integer", meaning: "how many at most" };

/// Whether what comes is sent as well.
pub(super) const FOLLOW: Parameter = Parameter {
    name: "follow",
    form: "boolean",
    meaning: "stay and send what comes as lines of JSON; an empty line means that the host lives",
};

/// Which calls.
pub(super) const FAILED: Parameter = Parameter {
    name: "failed",
    form: "boolean",
    meaning: "only calls that failed through the app or the host, which are kept for longer",
};

/// Under which conditions a plan is made.
pub(super) const PLANNED: [Parameter; 4] = [
    Parameter {
        name: "consolidate",
        form: "boolean",
        meaning: "whether hosts shall be emptied that others can absorb",
    },
    Parameter {
        name: "without",
        form: "string",
        meaning: "plan as if these hosts were gone, with commas between their names",
    },
    Parameter {
        name: "drained",
        form: "string",
        meaning: "plan as if these hosts were drained, with commas between their names",
    },
    Parameter {
        name: "with",
        form: "string",
        meaning: "plan as if there were these hosts as well, such as 3x4cpu,16GiB,zone=b; more kinds \
                      with semicolons between",
    },
];

/// Whose word is wanted.
pub(super) const OF_HOST: Parameter = Parameter {
    name: "host",
    form: "string",
    meaning: "which host of the fleet knows it, or `*` for all; the one that is asked where it is left out",
};

pub(super) const ROUTE: Parameter = Parameter {
    name: "route",
    form: "string",
    meaning: "what a client asks for, as `host/path`, `/path` or a whole URL: the app that answers it is \
              explained, or why none does",
};

/// One endpoint.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct Endpoint {
    pub(in crate::api) operation: Operation,
    /// In lower case, as OpenAPI has it.
    pub(in crate::api) method: &'static str,
    pub(in crate::api) path: &'static str,
    pub(in crate::api) summary: &'static str,
    pub(in crate::api) query: &'static [Parameter],
    pub(in crate::api) sent: Sent,
    /// Statuses of success and what each means.
    pub(in crate::api) success: &'static [(&'static str, &'static str)],
    pub(in crate::api) returned: Returned,
    /// Refusals beyond those that every guarded endpoint knows.
    pub(in crate::api) causes: &'static [Cause],
    /// Whether only those who show the token may use it.
    pub(in crate::api) is_guarded: bool,
}

/// What the host tells of itself; the others that are guarded differ from it.
pub(super) const GUARDED: Endpoint = Endpoint {
    operation: Operation::Host,
    method: "get",
    path: "/v1/host",
    summary: "The host itself",
    query: &[],
    sent: Sent::Nothing,
    success: &[("200", "What was asked for")],
    returned: Returned::Json("HostInfo"),
    causes: &[],
    is_guarded: true,
};
