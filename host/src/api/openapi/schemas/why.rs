//! The schemas of what is wrong with an app.
//! Written as all others are.

/// A name, and the keys with what stands behind each.
type Schema = (&'static str, &'static [(&'static str, &'static str)]);

pub(super) const WHY: [Schema; 3] = [
    (
        "Why",
        &[
            ("app-", "string"),
            ("diagnoses", "[Diagnosis]"),
            ("standing", "string"),
            ("sources-", "Sources"),
        ],
    ),
    ("Diagnosis", &[("claim", "string"), ("evidence", "[string]"), ("remedy-", "Remedy")]),
    ("Remedy", &[("text", "string"), ("command-", "string"), ("changes", "boolean")]),
];
