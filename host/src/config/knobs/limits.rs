//! The settings that say what an app gets, also by its secrets, and what it may ask for.
//! Does not hold values and does not read any.

use super::knob::{Knob, knob};

/// All of them.
pub(super) const LIMITS: [Knob; 17] = [
    knob(
        "secrets_key",
        ("secrets-key", "STEERAGE_SECRETS_KEY"),
        ("FILE", ""),
        "File with the key that seals the secrets of apps; `steerage secret key` makes one",
    ),
    knob(
        "kv_quota",
        ("kv-quota", "STEERAGE_KV_QUOTA"),
        ("SIZE", "64MiB"),
        "What the keys and values of one app may take; one pair for each 64 bytes",
    ),
    knob(
        "sql_quota",
        ("sql-quota", "STEERAGE_SQL_QUOTA"),
        ("SIZE", "64MiB"),
        "What one SQL database of an app may take on the disk",
    ),
    knob(
        "limits.default.memory",
        ("default-memory", "STEERAGE_DEFAULT_MEMORY"),
        ("SIZE", "128MiB"),
        "Memory of one instance",
    ),
    knob(
        "limits.default.fuel",
        ("default-fuel", "STEERAGE_DEFAULT_FUEL"),
        ("FUEL", "20G"),
        "Work of one call",
    ),
    knob(
        "limits.default.timeout",
        ("default-timeout", "STEERAGE_DEFAULT_TIMEOUT"),
        ("DURATION", "30s"),
        "Time of one call",
    ),
    knob(
        "limits.default.concurrency",
        ("default-concurrency", "STEERAGE_DEFAULT_CONCURRENCY"),
        ("COUNT", "100"),
        "Calls running at once",
    ),
    knob(
        "limits.default.queue",
        ("default-queue", "STEERAGE_DEFAULT_QUEUE"),
        ("COUNT", "1000"),
        "Calls waiting at once",
    ),
    knob(
        "limits.default.request_body",
        ("default-request-body", "STEERAGE_DEFAULT_REQUEST_BODY"),
        ("SIZE", "10MiB"),
        "Body of one request",
    ),
    knob(
        "limits.default.response_body",
        ("default-response-body", "STEERAGE_DEFAULT_RESPONSE_BODY"),
        ("SIZE", "100MiB"),
        "Body of one response",
    ),
    knob(
        "limits.maximum.memory",
        ("maximum-memory", "STEERAGE_MAXIMUM_MEMORY"),
        ("SIZE", "largest-memory"),
        "Memory of one instance",
    ),
    knob(
        "limits.maximum.fuel",
        ("maximum-fuel", "STEERAGE_MAXIMUM_FUEL"),
        ("FUEL", "100000G"),
        "Work of one call",
    ),
    knob(
        "limits.maximum.timeout",
        ("maximum-timeout", "STEERAGE_MAXIMUM_TIMEOUT"),
        ("DURATION", "1h"),
        "Time of one call",
    ),
    knob(
        "limits.maximum.concurrency",
        ("maximum-concurrency", "STEERAGE_MAXIMUM_CONCURRENCY"),
        ("COUNT", "10000"),
        "Calls running at once",
    ),
    knob(
        "limits.maximum.queue",
        ("maximum-queue", "STEERAGE_MAXIMUM_QUEUE"),
        ("COUNT", "100000"),
        "Calls waiting at once",
    ),
    knob(
        "limits.maximum.request_body",
        ("maximum-request-body", "STEERAGE_MAXIMUM_REQUEST_BODY"),
        ("SIZE", "16GiB"),
        "Body of one request",
    ),
    knob(
        "limits.maximum.response_body",
        ("maximum-response-body", "STEERAGE_MAXIMUM_RESPONSE_BODY"),
        ("SIZE", "16GiB"),
        "Body of one response",
    ),
];
