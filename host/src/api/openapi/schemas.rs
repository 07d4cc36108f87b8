//! The schemas of `api::wire`, in a short notation: `type?` may be null, `[type]` is a list, `key-` may be
//! missing, `time` is a moment, and what is no basic type is the name of another schema.
//! A test compares them with what the wire types really write.

mod notation;

use serde_json::{Value, json};

pub(super) use self::notation::form;
use self::notation::object;
mod destinations;
mod happened;
mod history;
mod rollout;
mod secrets;
mod session;
mod sql;
mod stores;
mod why;

use self::destinations::DESTINATIONS;
use self::happened::HAPPENED;
use self::history::HISTORY;
use self::rollout::ROLLOUT;
use self::secrets::SECRETS;
use self::session::SESSION;
use self::sql::SQL;
use self::stores::STORES;
use self::why::WHY;

/// A name, and the keys with what stands behind each.
type Schema = (&'static str, &'static [(&'static str, &'static str)]);

const SCHEMAS: [Schema; 39] = [
    (
        "DeployRequest",
        &[
            ("manifest", "string"),
            ("component", "string"),
            ("canary-", "string?"),
            ("auto_promote-", "boolean"),
            ("watch-", "string?"),
            ("change_tenant-", "boolean"),
        ],
    ),
    ("RollbackRequest", &[("to-", "integer?")]),
    ("ValidateRequest", &[("manifest", "string")]),
    ("Validated", &[("app", "string"), ("routes", "[string]"), ("limits", "Limits")]),
    ("Blob", &[("digest", "string"), ("size_bytes", "integer")]),
    (
        "Deployed",
        &[
            ("app", "string"),
            ("generation", "integer"),
            ("canary", "string?"),
            ("component", "string"),
            ("kind", "string"),
            ("size_bytes", "integer"),
            ("deployed_at", "time"),
            ("routes", "[string]"),
            ("url", "string"),
            ("replicas", "Replicas?"),
            ("watch-", "Watch"),
            ("not_offered-", "[string]"),
        ],
    ),
    (
        "Deployment",
        &[
            ("generation", "integer"),
            ("version", "string?"),
            ("component", "string"),
            ("kind", "string"),
            ("size_bytes", "integer"),
            ("deployed_at", "time"),
            ("current", "boolean"),
        ],
    ),
    ("Apps", &[("apps", "[AppSummary]"), ("sources-", "Sources")]),
    (
        "AppSummary",
        &[
            ("app", "string"),
            ("generation", "integer"),
            ("version", "string"),
            ("kind", "string"),
            ("component", "string"),
            ("size_bytes", "integer"),
            ("deployed_at", "time"),
            ("routes", "[string]"),
            ("calls", "integer"),
            ("failed", "integer"),
            ("errors", "integer"),
            ("refused", "integer"),
            ("latency", "Latency"),
            ("running", "integer"),
            ("waiting", "integer"),
            ("fuel", "integer"),
            ("cpu_seconds", "number"),
            ("memory_peak_bytes", "integer"),
            ("rollout-", "string?"),
        ],
    ),
    // Beside these an app in detail has what a summary has.
    (
        "AppDetail",
        &[
            ("tenant", "string"),
            ("description", "string?"),
            ("limits", "Limits"),
            ("reuse", "integer"),
            ("success_objective", "string"),
            ("latency_objective-", "string"),
            ("instances", "Instances"),
            ("not_offered-", "[string]"),
            ("weight", "integer"),
            ("env", "[string]"),
            ("allowed_outbound_hosts", "[string]"),
            ("key_value_stores", "[string]"),
            ("sqlite_databases", "[string]"),
            ("manifest", "string"),
            ("deployments", "[Deployment]"),
            ("canary", "Canary?"),
            ("taken_back", "TakenBack?"),
            ("watch-", "Watch"),
            ("replicas", "Replicas?"),
            ("sources-", "Sources"),
        ],
    ),
    (
        "Limits",
        &[
            ("memory", "string"),
            ("memory_bytes", "integer"),
            ("fuel", "integer"),
            ("timeout", "string"),
            ("timeout_ms", "integer"),
            ("concurrency", "integer"),
            ("queue", "integer"),
            ("request_body", "string"),
            ("request_body_bytes", "integer"),
            ("response_body", "string"),
            ("response_body_bytes", "integer"),
        ],
    ),
    ("Instances", &[("made", "restored|new|reused"), ("in_the_way", "string?")]),
    (
        "HostInfo",
        &[
            ("version", "string"),
            ("uptime_s", "integer"),
            ("listen", "string"),
            ("admin", "string"),
            ("url", "string"),
            ("apps", "integer"),
            ("apps_mapped", "integer"),
            ("slots_used", "integer"),
            ("slots_total", "integer"),
            ("connections", "integer"),
            ("unrouted", "integer"),
            ("draining", "boolean"),
        ],
    ),
    (
        "Usage",
        &[
            ("uptime_ms", "integer"),
            ("host", "HostUsage"),
            ("apps", "[AppUsage]"),
            ("each-", "{Usage}"),
            ("sources-", "Sources"),
        ],
    ),
    ("Sources", &[("hosts", "[string]"), ("unanswered", "[Unanswered]")]),
    ("Unanswered", &[("host", "string"), ("why", "string")]),
    (
        "HostUsage",
        &[
            ("cores", "integer"),
            ("cpu_seconds", "number"),
            ("resident_bytes", "integer"),
            ("memory_bytes", "integer"),
            ("memory_budget_bytes", "integer"),
            ("disk_bytes", "integer"),
            ("disk_bound_bytes", "integer"),
            ("slots_used", "integer"),
            ("slots_total", "integer"),
            ("apps", "integer"),
            ("apps_mapped", "integer"),
            ("apps_mapped_most", "integer"),
            ("connections", "integer"),
            ("waiting", "integer"),
            ("unrouted", "integer"),
        ],
    ),
    (
        "AppUsage",
        &[
            ("app", "string"),
            ("cpu_seconds", "number"),
            ("fuel", "integer"),
            ("memory_bytes", "integer"),
            ("calls", "integer"),
            ("failed", "integer"),
            ("errors", "integer"),
            ("refused", "{integer}"),
            ("latency", "Latency"),
            ("running", "integer"),
            ("waiting", "integer"),
        ],
    ),
    (
        "Problem",
        &[
            ("type", "string"),
            ("title", "string"),
            ("status", "integer"),
            ("detail", "string"),
            ("cause", "string"),
            ("mistakes-", "[Mistake]"),
            ("owner-", "string"),
            ("route-", "string"),
        ],
    ),
    (
        "Mistake",
        &[("key", "string"), ("line", "integer"), ("column", "integer"), ("message", "string")],
    ),
    ("StandingRequest", &[("standing", "open|cordoned|draining")]),
    ("ScaleRequest", &[("replicas", "integer")]),
    (
        "Hosts",
        &[
            ("asked", "string"),
            ("store_answers", "boolean"),
            ("store_silent_seconds", "integer?"),
            ("trouble", "string?"),
            ("frozen", "Frozen?"),
            ("hosts", "[HostSummary]"),
        ],
    ),
    ("Frozen", &[("seconds", "integer"), ("why", "string?")]),
    ("FreezeRequest", &[("why-", "string?")]),
    (
        "HostSummary",
        &[
            ("host", "string"),
            ("zone", "string"),
            ("labels", "{string}"),
            ("listen", "string"),
            ("address", "string"),
            ("admin", "string?"),
            ("standing", "open|cordoned|draining"),
            ("state", "answers|silent|gone|unregistered|lost|revoked"),
            ("why", "string?"),
            ("lost_seconds", "integer?"),
            ("replicas", "integer"),
            ("ready", "integer"),
            ("cpu_millicores", "integer"),
            ("cpu_used_millicores", "integer"),
            ("memory_bytes", "integer"),
            ("memory_used_bytes", "integer"),
            ("clock_ahead_seconds", "integer"),
            ("version", "string"),
            ("certificate", "Certificate?"),
        ],
    ),
    ("Certificate", &[("authority", "string"), ("days_left", "integer"), ("believes", "[string]")]),
    ("RevokeRequest", &[("host", "string"), ("force-", "boolean")]),
    (
        "Replicas",
        &[
            ("app", "string"),
            ("generation", "integer"),
            ("wanted", "integer"),
            ("min", "integer"),
            ("max", "integer"),
            ("ready", "integer"),
            ("hosts", "[Replica]"),
            ("lacks", "string?"),
        ],
    ),
    ("FleetChanged", &[("done", "string"), ("apps", "[string]"), ("left_out", "{string}")]),
    (
        "Replica",
        &[
            ("host", "string"),
            ("state", "ready|starting|leaving"),
            ("generation", "integer?"),
            ("canary", "integer?"),
            ("placed", "PlacedBy?"),
        ],
    ),
    ("PlacedBy", &[("plan", "integer"), ("at", "time"), ("why", "string")]),
    ("Plans", &[("plans", "[PlanMade]"), ("troubles", "[string]")]),
    (
        "PlanMade",
        &[
            ("number", "integer"),
            ("at", "time"),
            ("host", "string"),
            ("triggers", "[string]"),
            ("n_moves", "integer"),
            ("n_apps", "integer"),
            ("n_left", "integer"),
            ("n_unplaced", "integer"),
            ("outcome", "writing|broken_off|partly|written|settled"),
        ],
    ),
    ("PlanDetail", &[("plan", "PlanMade"), ("moves", "[PlanStep]")]),
    (
        "PlanStep",
        &[
            ("app", "string"),
            ("from", "string?"),
            ("to", "string?"),
            ("why", "string"),
            ("state", "done|starting|leaving|superseded"),
        ],
    ),
    (
        "Plan",
        &[
            ("moves", "[PlannedMove]"),
            ("unplaced", "[Unplaced]"),
            ("spare", "[string]"),
            ("store_answers", "boolean"),
            ("frozen", "Frozen?"),
        ],
    ),
    (
        "PlannedMove",
        &[("app", "string"), ("from", "string?"), ("to", "string?"), ("why", "string")],
    ),
    (
        "Unplaced",
        &[
            ("app", "string"),
            ("replicas", "integer"),
            ("lacks", "string"),
            ("stays_on", "[string]"),
        ],
    ),
];

/// Each schema.
fn each() -> impl Iterator<Item = Schema> {
    let all = SCHEMAS.into_iter().chain(ROLLOUT).chain(WHY).chain(DESTINATIONS);
    all.chain(HISTORY).chain(HAPPENED).chain(SESSION).chain(STORES).chain(SECRETS).chain(SQL)
}

/// All schemas by name.
pub(super) fn all() -> Value {
    let all = each();
    let schemas = all.map(|(name, keys)| {
        let mut schema = object(keys);
        if name == "AppDetail" {
            schema = json!({ "allOf": [form("AppSummary"), schema] });
        }
        (name.to_owned(), schema)
    });
    Value::Object(schemas.collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The keys of each wire type, as its source has them.
    fn written(source: &str, name: &str) -> BTreeSet<String> {
        let start = source.find(&format!("pub struct {name} {{")).expect(name);
        let body = source[start..].split("\n}").next().unwrap();
        let fields = body.lines().filter_map(|line| {
            let (key, _) = line.trim().strip_prefix("pub ")?.split_once(": ")?;
            Some(key.to_owned())
        });
        fields.collect()
    }

    #[test]
    fn schemas_have_the_keys_of_the_wire_types() {
        let wire = concat!(
            include_str!("../wire.rs"),
            include_str!("../wire/advice.rs"),
            include_str!("../wire/bill.rs"),
            include_str!("../wire/canary.rs"),
            include_str!("../wire/capsule.rs"),
            include_str!("../wire/consumption.rs"),
            include_str!("../wire/destinations.rs"),
            include_str!("../wire/fleet.rs"),
            include_str!("../wire/happened.rs"),
            include_str!("../wire/history.rs"),
            include_str!("../wire/instances.rs"),
            include_str!("../wire/latency.rs"),
            include_str!("../wire/plans.rs"),
            include_str!("../wire/problem.rs"),
            include_str!("../wire/problems.rs"),
            include_str!("../wire/profile.rs"),
            include_str!("../wire/secrets.rs"),
            include_str!("../wire/session.rs"),
            include_str!("../wire/sql.rs"),
            include_str!("../wire/stores.rs"),
            include_str!("../wire/sources.rs"),
            include_str!("../wire/usage.rs"),
            include_str!("../wire/why.rs")
        );
        let n_types = wire.matches("pub struct ").count();
        assert_eq!(each().count(), n_types, "a wire type has no schema");
        for (name, keys) in each() {
            let keys: BTreeSet<String> =
                keys.iter().map(|(key, _)| key.trim_end_matches('-').to_owned()).collect();
            let mut fields = written(wire, name);
            if fields.remove("summary") {
                assert_eq!(name, "AppDetail");
            }
            if name == "Problem" && fields.remove("kind") {
                fields.insert("type".to_owned());
            }
            assert_eq!(keys, fields, "{name}");
        }
    }

    #[test]
    fn notations_stand_for_schemas() {
        assert_eq!(form("string?"), json!({ "type": ["string", "null"] }));
        let call = json!({ "$ref": "#/components/schemas/Call" });
        assert_eq!(form("Call?"), json!({ "anyOf": [call, { "type": "null" }] }));
        let list = json!({ "type": "array", "items": { "$ref": "#/components/schemas/Call" } });
        assert_eq!(form("[Call]"), list);
        assert_eq!(form("a|b"), json!({ "type": "string", "enum": ["a", "b"] }));
        let map = json!({ "type": "object", "additionalProperties": { "type": "string" } });
        assert_eq!(form("{string}"), map);
    }
}
