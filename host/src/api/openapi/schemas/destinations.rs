//! The schemas of what outbound requests came to, and of how long calls took.
//! Written as all others are.

/// A name, and the keys with what stands behind each.
type Schema = (&'static str, &'static [(&'static str, &'static str)]);

pub(super) const DESTINATIONS: [Schema; 6] = [
    ("Destinations", &[("destinations", "[Destination]"), ("sources-", "Sources")]),
    (
        "Destination",
        &[
            ("destination", "string"),
            ("requests", "integer"),
            ("running", "integer"),
            ("ended", "{integer}"),
            ("failed", "integer"),
            ("errors", "integer"),
            ("waited_us", "integer"),
            ("p50_us", "integer"),
            ("p95_us", "integer"),
            ("max_us", "integer"),
            ("steps", "{integer}"),
            ("last_at", "time"),
            ("last_error-", "DestinationError"),
            ("recent", "[DestinationRequest]"),
        ],
    ),
    ("DestinationError", &[("at", "time"), ("end", "string"), ("why", "string")]),
    ("DestinationRequest", &[("at", "time"), ("end", "string"), ("took_us", "integer")]),
    ("WaitedFor", &[("destination", "string"), ("waited_us", "integer"), ("wrong-", "string")]),
    (
        "Latency",
        &[
            ("p50_us", "integer"),
            ("p95_us", "integer"),
            ("p99_us", "integer"),
            ("counts", "[integer]"),
        ],
    ),
];
