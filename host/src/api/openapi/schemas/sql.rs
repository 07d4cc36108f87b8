//! The schemas of SQL databases.
//! Written as all others are.

/// A name, and the keys with what stands behind each.
type Schema = (&'static str, &'static [(&'static str, &'static str)]);

pub(super) const SQL: [Schema; 5] = [
    (
        "DatabaseSizes",
        &[("tenant", "string"), ("databases", "[DatabaseSize]"), ("bytes_quota", "integer")],
    ),
    ("DatabaseSize", &[("label", "string"), ("bytes", "integer")]),
    ("SqlStatements", &[("statements", "[string]")]),
    ("SqlResults", &[("results", "[SqlResult]"), ("error-", "string")]),
    ("SqlResult", &[("columns", "[string]"), ("rows", "[[any]]"), ("changes", "integer")]),
];
