//! Mistakes and their places: collected while reading, reported together in the file's order.
//! Does not know what a document holds.

use std::collections::BTreeSet;
use std::fmt;

/// Everything that is wrong with a document, in the order of the file; never nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes {
    /// At least one, ordered by line and column.
    all: Vec<Mistake>,
    /// How many were found beyond those.
    more: usize,
}

/// One mistake, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The path of the key, such as `limits.memory` or `route[2].path`, counted from 1. Empty for
    /// a syntax error, which belongs to no key.
    pub key: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column, counted from 1 in characters.
    pub column: usize,
    /// What was found and what is expected, on one line.
    pub message: String,
}

impl Mistakes {
    /// The mistakes, in the order of the file; the first few hundred where there are more.
    pub fn iter(&self) -> std::slice::Iter<'_, Mistake> {
        self.all.iter()
    }

    /// Shows one mistake a line, each as `file:line:column: key: message`.
    #[must_use]
    pub fn display<'a>(&'a self, file: &'a str) -> impl fmt::Display + 'a {
        InFile { file, mistakes: self }
    }
}

impl<'a> IntoIterator for &'a Mistakes {
    type Item = &'a Mistake;
    type IntoIter = std::slice::Iter<'a, Mistake>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.display("steerage.toml").fmt(f)
    }
}

impl std::error::Error for Mistakes {}

struct InFile<'a> {
    file: &'a str,
    mistakes: &'a Mistakes,
}

impl fmt::Display for InFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}:{mistake}", self.file)?;
        }
        match self.mistakes.more {
            0 => Ok(()),
            more => write!(f, "\n{}: and {more} more mistakes", self.file),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// The most mistakes that are told apart: more than anybody mends in one go, and few enough that
/// a hostile document costs little.
const MOST: usize = 200;

/// Mistakes while they are being found.
pub(crate) struct Findings<'t> {
    text: &'t str,
    /// The byte at which each line starts.
    line_starts: Vec<usize>,
    syntax: Vec<Mistake>,
    content: Vec<Mistake>,
    /// How many were found beyond [`MOST`].
    more: usize,
}

impl<'t> Findings<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(newline, _)| newline + 1);
        let line_starts = std::iter::once(0).chain(after_newlines).collect();
        Self { text, line_starts, syntax: Vec::new(), content: Vec::new(), more: 0 }
    }

    /// Notes that the text at this byte is not TOML.
    pub(crate) fn syntax(&mut self, at: usize, message: &str) {
        let mistake = self.mistake(at, "", message.to_owned());
        self.syntax.extend(mistake);
    }

    /// Notes that what a key says, at this byte, is wrong.
    pub(crate) fn wrong(&mut self, at: usize, key: &str, message: impl fmt::Display) {
        let mistake = self.mistake(at, key, message.to_string());
        self.content.extend(mistake);
    }

    /// Notes that a key should be in the table that starts at this byte.
    ///
    /// After a syntax error nothing can be said to be missing: it may be in what was skipped.
    pub(crate) fn missing(&mut self, at: usize, key: &str, example: &str) {
        if self.syntax.is_empty() {
            self.wrong(at, key, format_args!("missing: write {example}"));
        }
    }

    /// What was read, unless something was wrong.
    pub(crate) fn finish<D>(self, document: Option<D>) -> Result<D, Mistakes> {
        let Self { mut syntax, mut content, more, .. } = self;
        // A line that is not TOML says nothing reliable besides.
        let unreadable: BTreeSet<usize> = syntax.iter().map(|mistake| mistake.line).collect();
        content.retain(|mistake| !unreadable.contains(&mistake.line));
        syntax.append(&mut content);
        syntax.sort_by_key(|mistake| (mistake.line, mistake.column));
        match document {
            Some(document) if syntax.is_empty() => Ok(document),
            _ => Err(Mistakes { all: syntax, more }),
        }
    }

    fn mistake(&mut self, at: usize, key: &str, message: String) -> Option<Mistake> {
        if self.syntax.len() + self.content.len() == MOST {
            self.more += 1;
            return None;
        }
        let line = self.line_starts.partition_point(|&start| start <= at);
        let line_start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(line_start..at).unwrap_or_default();
        let column = before.chars().count() + 1;
        Some(Mistake { key: key.to_owned(), line, column, message })
    }
}
