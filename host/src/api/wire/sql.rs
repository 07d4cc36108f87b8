//! SQL databases, as they are told to operators.

use serde::{Deserialize, Serialize};

/// The databases of an app.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct DatabaseSizes {
    /// Whose app it is.
    pub tenant: String,
    /// Those that have a file, in the order of their labels.
    pub databases: Vec<DatabaseSize>,
    /// How many bytes each may have.
    pub bytes_quota: u64,
}

/// How large a database is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct DatabaseSize {
    /// Its label.
    pub label: String,
    /// What it has on the disk, with what waits to be put into its file.
    pub bytes: u64,
}

/// Statements to be run on one connection, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SqlStatements {
    /// The statements, each by itself.
    pub statements: Vec<String>,
}

/// What came of statements.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct SqlResults {
    /// What each answered, in their order; fewer than there were where one failed.
    pub results: Vec<SqlResult>,
    /// Why the next one failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What one statement answered.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct SqlResult {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows: of each a list of values. Text and numbers are what they are in JSON; a blob is `{"base64": ...}`.
    pub rows: Vec<Vec<serde_json::Value>>,
    /// How many rows were changed last on the connection.
    pub changes: u64,
}
