//! The names of tenants: who owns apps, and whose share of a busy host they divide.
//! Does not know any tenant: the host's configuration does.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::quote::Quoted;

/// The name of a tenant, of the same form as an app's.
///
/// Cloning is cheap: clones share the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantName(
    /// Has the form of a DNS label.
    Arc<str>,
);

/// A text that is not a tenant's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a tenant's name: {rule}", Quoted(.value))]
pub struct BadTenantName {
    value: String,
    rule: &'static str,
}

impl TenantName {
    /// The owner of apps that do not say whose they are.
    pub const DEFAULT: &'static str = "default";

    /// Reads a name as somebody wrote it.
    ///
    /// # Errors
    ///
    /// Fails with the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, BadTenantName> {
        match super::broken_rule(text) {
            None => Ok(Self(Arc::from(text))),
            Some(rule) => Err(BadTenantName { value: text.to_owned(), rule }),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TenantName {
    fn default() -> Self {
        Self(Arc::from(Self::DEFAULT))
    }
}

impl FromStr for TenantName {
    type Err = BadTenantName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantName({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_are_named_like_apps() {
        assert_eq!(TenantName::parse("acme").unwrap().as_str(), "acme");
        assert_eq!(TenantName::parse(TenantName::DEFAULT), Ok(TenantName::default()));
        let bad = TenantName::parse("Acme").unwrap_err();
        assert_eq!(
            bad.to_string(),
            "\"Acme\" is not a tenant's name: only a-z, 0-9 and - are allowed"
        );
    }
}
