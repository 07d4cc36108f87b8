//! The names by which apps know their SQL databases.
//! Does not know what is in a database, nor whose it is.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::quote::Quoted;

/// The name of a database among those of its app, of the same form as an app's.
///
/// Cloning is cheap: clones share the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatabaseLabel(
    /// Has the form of a DNS label, so that it can be a part of a path.
    Arc<str>,
);

/// A text that is not the label of a database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not the label of a database: {rule}", Quoted(.value))]
pub struct BadDatabaseLabel {
    value: String,
    rule: &'static str,
}

impl DatabaseLabel {
    /// The label of the database that a program opens that does not say which.
    pub const DEFAULT: &'static str = "default";

    /// Reads a label as somebody wrote it.
    ///
    /// # Errors
    ///
    /// Fails with the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, BadDatabaseLabel> {
        match super::broken_rule(text) {
            None => Ok(Self(Arc::from(text))),
            Some(rule) => Err(BadDatabaseLabel { value: text.to_owned(), rule }),
        }
    }

    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DatabaseLabel {
    type Err = BadDatabaseLabel;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for DatabaseLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for DatabaseLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseLabel({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_named_like_apps_and_so_no_label_leads_out_of_a_folder() {
        assert_eq!(DatabaseLabel::parse(DatabaseLabel::DEFAULT).unwrap().as_str(), "default");
        for bad in ["../other", "a/b", ".", "", "a.db", "A"] {
            assert!(DatabaseLabel::parse(bad).is_err(), "{bad}");
        }
    }
}
