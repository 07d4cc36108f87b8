//! Which hosts of a fleet told something, and which were asked and did not.

use serde::{Deserialize, Serialize};

/// Who told something that each host of a fleet knows for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Sources {
    /// The hosts that told, in order of their names.
    pub hosts: Vec<String>,
    /// Those that did not: what they know is missing.
    pub unanswered: Vec<Unanswered>,
}

/// A host of which nothing was heard.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Unanswered {
    /// Its name.
    pub host: String,
    /// Why nothing was heard, in one line.
    pub why: String,
}
