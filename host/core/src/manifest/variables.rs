//! The variables of an app, and texts in which they stand as `{{ name }}`: what a manifest leaves open, to be
//! said by whoever deploys it, or kept as a secret.
//! Does not know what any of them is set to, nor where that comes from.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{Broken, Manifest};
use crate::quote::Quoted;

/// The most bytes of a variable's name, as of an app's.
pub const LONGEST_VARIABLE: usize = 63;
/// The most bytes of a secret: half of what the whole environment of an app may have.
pub const LARGEST_SECRET: usize = 32 << 10;
/// The most secrets of one app. All of them are looked for in each line that it prints.
pub const MOST_SECRETS: usize = 64;
/// A secret of fewer bytes is not looked for in what is shown: such a text stands in many places by chance.
pub const SHORTEST_HIDDEN: usize = 6;

/// The name of a variable, as Spin has them: `a-z`, `0-9` and `_`, with a letter first.
///
/// Cloning is cheap: clones share the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VariableName(
    /// Has that form.
    Arc<str>,
);

/// A text that is not the name of a variable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is not the name of a variable: expected a-z, 0-9 and _, starting with a letter, of at most \
     {LONGEST_VARIABLE} bytes",
    Quoted(.0)
)]
pub struct BadVariableName(String);

/// What a manifest says of a variable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variable {
    /// What it is where nobody sets it; `None` where somebody has to.
    pub default: Option<String>,
    /// Whether it is kept sealed, and set by itself rather than with the manifest.
    pub is_secret: bool,
}

/// A text with variables in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(VariableName),
}

/// A text in which a variable is not written as one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {
    /// It does not end.
    #[error("{{{{ is not closed by }}}}")]
    Unclosed,
    /// What stands there is no name.
    #[error(transparent)]
    Name(#[from] BadVariableName),
}

/// Why a value cannot be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    /// There is nothing in it.
    #[error("the value is empty")]
    Empty,
    /// It is too long.
    #[error("the value has {0} bytes: at most {LARGEST_SECRET} are allowed")]
    Large(usize),
    /// No environment can hold it.
    #[error("the value is no text without NUL characters: write bytes as base64")]
    NoText,
}

/// The value as a secret has it.
///
/// # Errors
/// See [`BadSecret`].
pub fn check_secret(value: Vec<u8>) -> Result<String, BadSecret> {
    match value.len() {
        0 => return Err(BadSecret::Empty),
        bytes if bytes > LARGEST_SECRET => return Err(BadSecret::Large(bytes)),
        _ => {}
    }
    let text = String::from_utf8(value).map_err(|_| BadSecret::NoText)?;
    if text.contains('\0') { Err(BadSecret::NoText) } else { Ok(text) }
}

impl VariableName {
    /// Reads a name as somebody wrote it.
    ///
    /// # Errors
    /// The text is none.
    pub fn parse(text: &str) -> Result<Self, BadVariableName> {
        let is_one = (1..=LONGEST_VARIABLE).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if is_one { Ok(Self(Arc::from(text))) } else { Err(BadVariableName(text.to_owned())) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Template {
    /// Reads a text.
    ///
    /// # Errors
    /// See [`BadTemplate`].
    pub fn parse(text: &str) -> Result<Self, BadTemplate> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").ok_or(BadTemplate::Unclosed)?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::Variable(VariableName::parse(name.trim())?));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// A text that means itself, whatever stands in it.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        Self(vec![Piece::Text(text.to_owned())])
    }

    /// The variables in it.
    pub fn variables(&self) -> impl Iterator<Item = &VariableName> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Variable(name) => Some(name),
        })
    }

    /// The text with the value of each variable in its place.
    ///
    /// # Errors
    /// The first variable that has none.
    pub fn fill<'v>(
        &self,
        value: impl Fn(&VariableName) -> Option<&'v str>,
    ) -> Result<String, VariableName> {
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Variable(name) => filled.push_str(value(name).ok_or_else(|| name.clone())?),
            }
        }
        Ok(filled)
    }

    /// The same text with the value of each variable that has one in its place; the others stay.
    #[must_use]
    pub fn partly<'v>(&self, value: impl Fn(&VariableName) -> Option<&'v str>) -> Self {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Variable(name) => {
                value(name).map_or_else(|| piece.clone(), |value| Piece::Text(value.to_owned()))
            }
            Piece::Text(_) => piece.clone(),
        });
        Self(pieces.collect())
    }

    /// Bytes of it that are no variables.
    #[must_use]
    pub fn len_of_text(&self) -> usize {
        let of = |piece: &Piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Variable(_) => 0,
        };
        self.0.iter().map(of).sum()
    }
}

impl Manifest {
    /// The secrets that its environment is made of, with what each is where nobody sets it.
    pub fn secrets(&self) -> impl Iterator<Item = (&VariableName, Option<&str>)> {
        let used: BTreeSet<_> = self.secret_env.values().flat_map(Template::variables).collect();
        let default = |name: &VariableName| self.variables.get(name)?.default.as_deref();
        used.into_iter().map(move |name| (name, default(name)))
    }

    /// The names of its whole environment.
    pub fn env_names(&self) -> impl Iterator<Item = &str> {
        self.env.keys().chain(self.secret_env.keys()).map(String::as_str)
    }
}

/// Whether so many variables may be secret.
#[must_use]
pub fn check_secret_count(variables: &BTreeMap<VariableName, Variable>) -> Option<Broken> {
    let secrets = variables.values().filter(|variable| variable.is_secret).count();
    (secrets > MOST_SECRETS).then_some(Broken::Secrets(secrets))
}

impl FromStr for VariableName {
    type Err = BadVariableName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Borrow<str> for VariableName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VariableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for VariableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> String {
        let value = |name: &VariableName| match name.as_str() {
            "user" => Some("ann"),
            "braces" => Some("{{ user }}"),
            _ => None,
        };
        match Template::parse(text) {
            Ok(template) => template.fill(value).unwrap_or_else(|name| format!("no {name}")),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn variables_are_filled_in_once_wherever_they_stand() {
        for (text, expected) in [
            ("", ""),
            ("plain } {", "plain } {"),
            ("{{user}}", "ann"),
            ("a {{ user }}, b {{ user }}", "a ann, b ann"),
            // What a value says is no template.
            ("{{ braces }}", "{{ user }}"),
            ("{{ other }}", "no other"),
            ("{{ user", "{{ is not closed by }}"),
        ] {
            assert_eq!(filled(text), expected, "{text}");
        }
        let bad = filled("{{ User }}");
        assert!(bad.starts_with("\"User\" is not the name of a variable"), "{bad}");
    }

    #[test]
    fn what_has_no_value_yet_stays_and_the_rest_is_filled_in() {
        let template = Template::parse("{{ user }}:{{ password }}@db").unwrap();
        let known = |name: &VariableName| (name.as_str() == "user").then_some("ann");
        let partly = template.partly(known);
        assert_eq!(partly.variables().map(VariableName::as_str).collect::<Vec<_>>(), ["password"]);
        assert_eq!(partly.len_of_text(), "ann:@db".len());
        assert_eq!(partly.fill(|_| Some("x")).unwrap(), "ann:x@db");
    }

    #[test]
    fn names_are_those_of_spin() {
        for good in ["a", "db_password", "a1", &"a".repeat(LONGEST_VARIABLE)] {
            assert_eq!(VariableName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "A", "1a", "_a", "a-b", "a b", "ä", &"a".repeat(LONGEST_VARIABLE + 1)] {
            assert!(VariableName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_no_environment_can_hold_is_no_secret() {
        assert_eq!(check_secret(b"a\nb ".to_vec()).unwrap(), "a\nb ");
        assert_eq!(check_secret(Vec::new()), Err(BadSecret::Empty));
        for no_text in [&b"a\0b"[..], b"\xff"] {
            assert_eq!(check_secret(no_text.to_vec()), Err(BadSecret::NoText));
        }
        let largest = vec![b'a'; LARGEST_SECRET];
        assert!(check_secret(largest.clone()).is_ok());
        let error = check_secret([largest, vec![b'a']].concat()).unwrap_err();
        assert_eq!(error.to_string(), "the value has 32769 bytes: at most 32768 are allowed");
    }
}
