//! The schemas of what has happened: calls, log lines, events.
//! Does not say which endpoints tell them.

/// A name, and the keys with what stands behind each.
type Schema = (&'static str, &'static [(&'static str, &'static str)]);

pub(super) const HAPPENED: [Schema; 7] = [
    ("FoundCapsules", &[("capsules", "[object]"), ("sources-", "Sources")]),
    ("Calls", &[("calls", "[Call]"), ("sources-", "Sources")]),
    (
        "Call",
        &[
            ("id", "string"),
            ("app", "string"),
            ("at", "time"),
            ("generation", "integer"),
            ("method", "string"),
            ("path", "string"),
            ("status", "integer"),
            ("cause", "string"),
            ("failed", "boolean"),
            ("duration_us", "integer"),
            ("time_us", "{integer}"),
            ("waited_for-", "WaitedFor"),
            ("failed_by-", "WaitedFor"),
            ("fuel", "integer"),
            ("memory_bytes", "integer"),
            ("cpu_us", "integer"),
            ("instantiate_us", "integer"),
            ("request_bytes", "integer"),
            ("response_bytes", "integer"),
            ("client-", "string"),
            ("capsule-", "kept|quota_reached|too_large|too_many_secrets|encoded|reused|used_store"),
            ("host-", "string"),
        ],
    ),
    ("LogLines", &[("lines", "[LogLine]"), ("sources-", "Sources")]),
    (
        "LogLine",
        &[
            ("at", "time"),
            ("app", "string"),
            ("generation", "integer"),
            ("call", "string"),
            ("stream", "stdout|stderr"),
            ("text", "string"),
            ("host-", "string"),
        ],
    ),
    ("Events", &[("events", "[Event]"), ("sources-", "Sources")]),
    (
        "Event",
        &[
            ("id", "integer"),
            ("first_at", "time"),
            ("at", "time"),
            ("kind", "string"),
            ("severity", "info|warning|error"),
            ("app", "string?"),
            ("generation", "integer?"),
            ("call", "string?"),
            ("message", "string"),
            ("evidence", "{string}"),
            ("advice", "string?"),
            ("count", "integer"),
            ("host-", "string"),
        ],
    ),
];
