//! The schemas of what apps did at other times, and of what follows from it.
//! Written as all others are.

/// A name, and the keys with what stands behind each.
type Schema = (&'static str, &'static [(&'static str, &'static str)]);

pub(super) const HISTORY: [Schema; 13] = [
    (
        "AppHistory",
        &[
            ("app", "string"),
            ("step", "minute|hour"),
            ("since", "time"),
            ("until", "time"),
            ("slots", "[HistorySlot]"),
            ("sources-", "Sources"),
        ],
    ),
    (
        "HistoryAt",
        &[
            ("at", "time"),
            ("step", "minute|hour"),
            ("apps_active", "integer"),
            ("apps", "[HistorySlot]"),
            ("sources-", "Sources"),
        ],
    ),
    (
        "HistorySlot",
        &[
            ("at", "time"),
            ("app", "string"),
            ("calls", "integer"),
            ("failed", "integer"),
            ("errors", "integer"),
            ("refused", "integer"),
            ("causes", "{integer}"),
            ("cpu_us", "integer"),
            ("fuel", "integer"),
            ("fuel_peak", "integer"),
            ("memory_peak_bytes", "integer"),
            ("memory_bytes", "integer"),
            ("running", "integer"),
            ("waiting", "integer"),
            ("response_bytes", "integer"),
            ("p50_us", "integer?"),
            ("p95_us", "integer?"),
            ("p99_us", "integer?"),
            ("latency_us", "[[integer]]"),
            ("sizes_bytes", "[[integer]]"),
        ],
    ),
    (
        "AdviceReport",
        &[("apps", "[AppAdvice]"), ("apps_called", "integer"), ("sources-", "Sources")],
    ),
    (
        "AppAdvice",
        &[
            ("app", "string"),
            ("tenant", "string"),
            ("generation", "integer"),
            ("deployed_at", "time"),
            ("calls", "integer"),
            ("days", "integer"),
            ("keys", "[KeyAdvice]"),
        ],
    ),
    (
        "KeyAdvice",
        &[
            ("key", "string"),
            ("present", "string?"),
            ("advised", "string?"),
            ("seen", "string"),
            ("margin_percent", "integer?"),
            ("risk_per_million", "integer?"),
            ("reason", "string"),
        ],
    ),
    (
        "Consumption",
        &[("hosts", "[HostConsumption]"), ("tenants", "{string}"), ("sources-", "Sources")],
    ),
    (
        "HostConsumption",
        &[
            ("host", "string"),
            ("since", "time"),
            ("seconds", "integer"),
            ("known_seconds", "integer"),
            ("apps", "[AppConsumption]"),
        ],
    ),
    (
        "AppConsumption",
        &[
            ("app", "string"),
            ("cpu_us", "integer"),
            ("mebibyte_seconds", "integer"),
            ("unused_cpu_us", "integer"),
            ("unused_mebibyte_seconds", "integer"),
        ],
    ),
    (
        "Bill",
        &[
            ("since", "time"),
            ("decimals", "integer"),
            ("total_millionths", "integer"),
            ("idle_millionths", "integer"),
            ("unknown_millionths", "integer"),
            ("seconds", "integer"),
            ("known_seconds", "integer"),
            ("apps", "[BilledApp]"),
            ("hosts", "[BilledHost]"),
            ("spare", "SpareHosts"),
            ("sources-", "Sources"),
        ],
    ),
    (
        "BilledApp",
        &[
            ("tenant", "string?"),
            ("app", "string"),
            ("use_millionths", "integer"),
            ("reserved_millionths", "integer"),
            ("idle_millionths", "integer"),
            ("sum_millionths", "integer"),
        ],
    ),
    (
        "BilledHost",
        &[
            ("host", "string"),
            ("hourly_millionths", "integer"),
            ("cost_millionths", "integer"),
            ("seconds", "integer"),
            ("known_seconds", "integer"),
        ],
    ),
    (
        "SpareHosts",
        &[
            ("hosts", "[string]?"),
            ("hourly_millionths", "integer"),
            ("hourly_of_all_millionths", "integer"),
        ],
    ),
];
