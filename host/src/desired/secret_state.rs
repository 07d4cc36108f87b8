//! How a secret stands, for operators. Does not hold what it is.

use steerage_core::manifest::VariableName;

/// What operators are told of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretState {
    /// Its name.
    pub name: VariableName,
    /// Which of its values this is, and when it was set; `None` where a deployment uses it and it is not set.
    pub set: Option<(u64, u64)>,
    /// What tells the key that it is sealed with, and whether this host has that one.
    pub key: Option<(String, bool)>,
    /// Whether a deployment that gets calls uses it.
    pub is_used: bool,
}
