//! The names by which apps know their key-value stores.
//! Does not know what is in a store, nor whose it is.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::quote::Quoted;

/// The name of a key-value store among those of its app, of the same form as an app's.
///
/// Cloning is cheap: clones share the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreLabel(
    /// Has the form of a DNS label.
    Arc<str>,
);

/// A text that is not the label of a store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not the label of a store: {rule}", Quoted(.value))]
pub struct BadStoreLabel {
    value: String,
    rule: &'static str,
}

impl StoreLabel {
    /// The label of the store that a program opens that does not say which.
    pub const DEFAULT: &'static str = "default";

    /// Reads a label as somebody wrote it.
    ///
    /// # Errors
    ///
    /// Fails with the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, BadStoreLabel> {
        match super::broken_rule(text) {
            None => Ok(Self(Arc::from(text))),
            Some(rule) => Err(BadStoreLabel { value: text.to_owned(), rule }),
        }
    }

    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StoreLabel {
    type Err = BadStoreLabel;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for StoreLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for StoreLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreLabel({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_named_like_apps() {
        assert_eq!(StoreLabel::parse(StoreLabel::DEFAULT).unwrap().as_str(), "default");
        let bad = StoreLabel::parse("my_store").unwrap_err();
        assert_eq!(
            bad.to_string(),
            "\"my_store\" is not the label of a store: only a-z, 0-9 and - are allowed"
        );
    }
}
