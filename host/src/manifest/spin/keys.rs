//! The keys that `spin.toml` may have. Does not know what they mean.

/// Every section and its keys; the first is the top of the file.
pub(super) const KEYS: [(&str, &[&str]); 5] = [
    ("", &["spin_manifest_version", "application", "variables", "trigger", "component"]),
    ("application", &["name", "version", "description", "authors", "trigger", "tool"]),
    ("variables", &["default", "required", "secret", "description"]),
    ("trigger", &["id", "route", "component", "executor", "static_response"]),
    (
        "component",
        &[
            "source",
            "description",
            "environment",
            "allowed_outbound_hosts",
            "build",
            "variables",
            "files",
            "exclude_files",
            "key_value_stores",
            "sqlite_databases",
            "ai_models",
            "dependencies",
            "dependencies_inherit_configuration",
            "tool",
        ],
    ),
];
