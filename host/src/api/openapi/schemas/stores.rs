//! The schemas of key-value stores.
//! Written as all others are.

/// A name, and the keys with what stands behind each.
type Schema = (&'static str, &'static [(&'static str, &'static str)]);

pub(super) const STORES: [Schema; 2] = [
    (
        "StoreUsage",
        &[
            ("tenant", "string"),
            ("bytes", "integer"),
            ("pairs", "integer"),
            ("bytes_quota", "integer"),
            ("pairs_quota", "integer"),
        ],
    ),
    ("StoreKeys", &[("keys", "[string]"), ("cursor-", "string")]),
];
