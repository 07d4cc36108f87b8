//! Capsules, in the API's words: each is as it is kept, since another version of Steerage may have to read it.
//! Does not say what is in one.

use serde::{Deserialize, Serialize};

use super::sources::Sources;

/// What calls left that failed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct FoundCapsules {
    /// Each as `steerage replay` reads it.
    pub capsules: Vec<serde_json::Value>,
    /// Which hosts of the fleet told this; nothing where the host is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
}
