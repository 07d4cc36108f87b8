//! The schemas of what is wrong with an app.
//! Written as all others are.

/// A name, and the keys with what stands behind each.
type Schema = (&'static str, &'static [(&'static str, &'static str)]);

pub(super) const WHY: [Schema; 8] = [
    (
        "Why",
        &[
            ("app-", "string"),
            ("diagnoses", "[Diagnosis]"),
            ("standing", "string"),
            ("unrouted-", "[Diagnosis]"),
            ("sources-", "Sources"),
        ],
    ),
    ("Diagnosis", &[("claim", "string"), ("evidence", "[string]"), ("remedy-", "Remedy")]),
    ("Problems", &[("problems", "[ToldProblem]"), ("sources-", "Sources")]),
    (
        "ToldProblem",
        &[
            ("kind", "string"),
            ("state", "string"),
            ("app-", "string"),
            ("hosts", "[string]"),
            ("since-", "time"),
            ("last_at-", "time"),
            ("failed", "integer"),
            ("answered", "integer"),
            ("cause-", "string"),
            ("how-", "string"),
            ("slow_after_us-", "integer"),
            ("claim", "string"),
            ("evidence", "[string]"),
            ("remedy-", "Remedy"),
            ("symptoms", "[string]"),
        ],
    ),
    (
        "AppProfile",
        &[
            ("per_second", "integer"),
            ("deployments", "[DeploymentProfile]"),
            ("lost", "integer"),
            ("sources-", "Sources"),
        ],
    ),
    (
        "DeploymentProfile",
        &[
            ("generation", "integer"),
            ("since", "time"),
            ("until", "time"),
            ("samples", "integer"),
            ("left_out", "integer"),
            ("functions", "[string]"),
            ("stacks", "[ProfileStack]"),
        ],
    ),
    ("ProfileStack", &[("functions", "[integer]"), ("samples", "integer")]),
    ("Remedy", &[("text", "string"), ("command-", "string"), ("changes", "boolean")]),
];
