//! What the page says and is told when somebody signs in.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The body of signing in.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SessionRequest {
    /// The host's token.
    pub token: String,
}

/// A session that was opened. Its other half is in the cookie that comes with this.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct SessionKey {
    /// What is sent along with the cookie, as the header `Steerage-Session-Key`.
    pub key: String,
    /// How long it lasts, in seconds.
    pub lasts_s: u64,
}

impl fmt::Debug for SessionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionRequest(…)")
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(…)")
    }
}
