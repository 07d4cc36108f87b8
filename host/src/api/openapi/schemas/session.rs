//! The schemas of signing in.
//! Written as all others are.

/// A name, and the keys with what stands behind each.
type Schema = (&'static str, &'static [(&'static str, &'static str)]);

pub(super) const SESSION: [Schema; 2] = [
    ("SessionRequest", &[("token", "string")]),
    ("SessionKey", &[("key", "string"), ("lasts_s", "integer")]),
];
