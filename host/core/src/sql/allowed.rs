//! Which parts of SQL an app may use: all that stay within its file and leave nothing behind on a connection.
//! Does not ask: the engine does, of each statement before it runs.

/// What is read about the database, or checked in it, and may name a table.
const LOOKS: [&str; 24] = [
    "collation_list",
    "compile_options",
    "data_version",
    "encoding",
    "foreign_key_check",
    "foreign_key_list",
    "freelist_count",
    "function_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "max_page_count",
    "module_list",
    "optimize",
    "page_count",
    "page_size",
    "pragma_list",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
    "journal_mode",
    "synchronous",
];
/// Of those, what would change something if it had a value.
const LOOKS_ONLY: [&str; 5] =
    ["encoding", "journal_mode", "max_page_count", "page_size", "synchronous"];
/// What is kept in the file itself.
const IN_FILE: [&str; 3] = ["application_id", "schema_version", "user_version"];
/// What a connection keeps until it is closed.
const ON_CONNECTION: [&str; 4] =
    ["case_sensitive_like", "defer_foreign_keys", "foreign_keys", "recursive_triggers"];
/// Modules of virtual tables whose tables are in the app's file.
const MODULES: [&str; 4] = ["fts5", "geopoly", "rtree", "rtree_i32"];
/// Functions that load code or take pointers to it.
const FUNCTIONS: [&str; 2] = ["fts3_tokenizer", "load_extension"];

/// What is to be done with a pragma.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PragmaRule {
    /// It may be used.
    Allowed,
    /// It may be used, and the connection is another one from then on: nobody else may have it.
    Leaves,
    /// It may not.
    Refused,
}

/// What is to be done with a pragma of this name, with a value or without.
#[must_use]
pub fn pragma_rule(name: &str, has_value: bool) -> PragmaRule {
    let is_among = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    if is_among(&LOOKS) {
        let changes = has_value && is_among(&LOOKS_ONLY);
        return if changes { PragmaRule::Refused } else { PragmaRule::Allowed };
    }
    if is_among(&IN_FILE) {
        // Whoever sets this one tells the engine that what it knows of the tables is of today.
        let changes = has_value && name.eq_ignore_ascii_case("schema_version");
        return if changes { PragmaRule::Refused } else { PragmaRule::Allowed };
    }
    match (is_among(&ON_CONNECTION), has_value) {
        (true, true) => PragmaRule::Leaves,
        (true, false) => PragmaRule::Allowed,
        (false, _) => PragmaRule::Refused,
    }
}

/// Whether tables of this module may be made.
#[must_use]
pub fn is_module_allowed(name: &str) -> bool {
    MODULES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Whether this function may be called.
#[must_use]
pub fn is_function_allowed(name: &str) -> bool {
    !FUNCTIONS.iter().any(|known| known.eq_ignore_ascii_case(name))
}
