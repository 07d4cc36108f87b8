//! The endpoints that tell what apps did at other times, and what follows from that.
//! Does not handle requests.

use super::form::{Endpoint, GUARDED, LIMIT, OF_HOST, Parameter, Returned};
use super::operation::Operation;
use crate::api::problem::Cause;

/// Which moment.
const AT: Parameter =
    Parameter { name: "at", form: "time", meaning: "a moment, as RFC 3339 has it" };

/// How finely.
const STEP: Parameter = Parameter {
    name: "step",
    form: "minute|hour",
    meaning: "how long each part is; where it is left out, minutes as long as these are kept",
};

/// Of which time what an app did is told, and how finely.
const RANGE: [Parameter; 4] = [
    Parameter { name: "since", form: "time", meaning: "the first moment, as RFC 3339 has it" },
    Parameter {
        name: "until",
        form: "time",
        meaning: "the end, which is no part of it; now where it is left out",
    },
    STEP,
    OF_HOST,
];

pub(super) const OF_APP: Endpoint = Endpoint {
    operation: Operation::AppHistory,
    path: "/v1/apps/{app}/history",
    summary: "What an app did, minute by minute or hour by hour, the oldest first",
    query: &RANGE,
    returned: Returned::Json("AppHistory"),
    causes: &[Cause::BadRequest, Cause::NotFound, Cause::HostSilent],
    ..GUARDED
};

pub(super) const AT_ONE_TIME: Endpoint = Endpoint {
    operation: Operation::HistoryAt,
    path: "/v1/history",
    summary: "What all apps did in one minute, or hour, the most CPU time first",
    query: &[AT, STEP, LIMIT, OF_HOST],
    returned: Returned::Json("HistoryAt"),
    causes: &[Cause::BadRequest, Cause::NotFound, Cause::HostSilent],
    ..GUARDED
};

pub(super) const ADVICE: Endpoint = Endpoint {
    operation: Operation::Advice,
    path: "/v1/advice",
    summary: "What limits, replicas and resources apps should have, from what all hosts saw, and why",
    query: &[Parameter { name: "app", form: "string", meaning: "only this app" }, LIMIT],
    returned: Returned::Json("AdviceReport"),
    causes: &[Cause::BadRequest, Cause::NotFound],
    ..GUARDED
};

/// From when on hosts are billed.
const SINCE: Parameter = Parameter {
    name: "since",
    form: "time",
    meaning: "the first moment, as RFC 3339 has it, from the beginning of its hour; the last 30 days where it is left out",
};

pub(super) const CONSUMPTION: Endpoint = Endpoint {
    operation: Operation::Consumption,
    path: "/v1/consumption",
    summary: "What apps used of each host and reserved there, to be billed, and of how much time that is known",
    query: &[SINCE],
    returned: Returned::Json("Consumption"),
    causes: &[Cause::BadRequest, Cause::NotFound],
    ..GUARDED
};

pub(super) const BILL: Endpoint = Endpoint {
    operation: Operation::Bill,
    path: "/v1/bill",
    summary: "What the hosts cost, split among tenants and apps by use, reservation and what stood idle, and what \
              could be given back",
    query: &[
        Parameter {
            name: "price",
            form: "string",
            meaning: "what a host costs, such as 0.096/h or 70/month; with KIND= what a host of that kind costs, \
                      which is its name or the value of one of its labels; more with commas between",
        },
        SINCE,
        Parameter {
            name: "idle",
            form: "apart|use|even",
            meaning: "who pays for what stood idle: nobody, each app in proportion to what it pays otherwise, or \
                      each the same; apart where it is left out",
        },
        Parameter {
            name: "decimals",
            form: "integer",
            meaning: "to how many decimals all parts are rounded, so that they sum; fewer for larger totals where \
                      it is left out",
        },
    ],
    returned: Returned::Json("Bill"),
    causes: &[Cause::BadRequest, Cause::NotFound],
    ..GUARDED
};
