//! The schemas of secrets.
//! Written as all others are.

/// A name, and the keys with what stands behind each.
type Schema = (&'static str, &'static [(&'static str, &'static str)]);

pub(super) const SECRETS: [Schema; 3] = [
    ("Secrets", &[("secrets", "[Secret]")]),
    (
        "Secret",
        &[
            ("name", "string"),
            ("version-", "integer"),
            ("set_at-", "integer"),
            ("used", "boolean"),
            ("key-", "string"),
            ("opens-", "boolean"),
        ],
    ),
    (
        "SecretSet",
        &[("name", "string"), ("version", "integer"), ("set_at", "integer"), ("used", "boolean")],
    ),
];
