//! The schemas of what is told of canaries and of deployments that are watched.
//! Written as all others are.

/// A name, and the keys with what stands behind each.
type Schema = (&'static str, &'static [(&'static str, &'static str)]);

const CANARY_SIDE: [(&str, &str); 4] =
    [("calls", "integer"), ("failed", "integer"), ("p50_us", "integer"), ("p95_us", "integer")];

pub(super) const ROLLOUT: [Schema; 6] = [
    (
        "Canary",
        &[
            ("generation", "integer"),
            ("share", "string"),
            ("share_percent", "number"),
            ("since", "time"),
            ("trying", "integer"),
            ("hosts", "integer"),
            ("verdict", "too_early|fine|worse"),
            ("allowed_failed_percent", "number"),
            ("allowed_p95_us", "integer"),
            ("old", "CanarySide"),
            ("canary", "CanarySide"),
            ("steps-", "[CanaryStep]"),
            ("step-", "integer"),
            ("waits_for-", "time|calls|resume|promote?"),
            ("due_at-", "time?"),
            ("lacks_calls-", "integer"),
            ("auto_promote-", "boolean"),
        ],
    ),
    ("CanarySide", &CANARY_SIDE),
    ("CanaryStep", &[("share", "string"), ("time_ms", "integer")]),
    ("CanaryRequest", &[("paused", "boolean")]),
    (
        "Watch",
        &[
            ("generation", "integer"),
            ("replaced", "integer"),
            ("until", "time"),
            ("old", "CanarySide"),
            ("new", "CanarySide"),
        ],
    ),
    (
        "TakenBack",
        &[("generation", "integer"), ("why", "string"), ("at", "time"), ("had_all", "boolean")],
    ),
];
