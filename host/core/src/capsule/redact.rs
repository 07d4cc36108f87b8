//! What is taken out of a capsule before it is kept: the values of headers, of query parameters and of fields
//! in bodies that are known to be secrets by their names, and each such value wherever else it stands.
//! Does not know which parts a capsule has: whoever makes one hands each of them over.
//!
//! A value is replaced by as many bytes, so that lengths that a guest was told stay true. What a guest makes
//! of another value may be something else, so it is counted how many were replaced.

use std::collections::BTreeSet;

use super::fields::{form_values, json_values, multipart_values};

/// Headers whose values are never kept, and fields of that name.
pub const ALWAYS_REDACTED: [&str; 4] =
    ["authorization", "cookie", "proxy-authorization", "set-cookie"];

/// A secret of fewer bytes is taken out where its name stands, and nowhere else: such a text stands in many
/// places by chance.
const SHORTEST: usize = 6;
/// What stands in the place of each byte. A letter, so that what was a text, a header or a JSON string is one.
const INSTEAD: u8 = b'x';
/// The same for numbers, where a letter would be no JSON. No zero: numbers do not begin with one.
const INSTEAD_OF_DIGIT: u8 = b'1';

/// The names of what is secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redaction {
    /// In lower case.
    names: BTreeSet<String>,
}

/// Takes the secrets out of one capsule: first each part is named to it, then it looks through all of them.
#[derive(Debug)]
pub struct Redactor<'r> {
    redaction: &'r Redaction,
    /// Values that were taken out, and texts that they are made of.
    secrets: BTreeSet<Vec<u8>>,
    n_redacted: usize,
}

impl Redaction {
    /// What an app declares, in whatever case, besides what is always redacted.
    pub fn new<S: AsRef<str>>(declared: impl IntoIterator<Item = S>) -> Self {
        let declared = declared.into_iter().map(|name| name.as_ref().to_ascii_lowercase());
        Self { names: ALWAYS_REDACTED.into_iter().map(str::to_owned).chain(declared).collect() }
    }

    /// Whether what has this name is a secret. Case does not matter, nor whether words are joined by `-` or
    /// `_`, as the same thing has both in headers, forms and JSON.
    #[must_use]
    pub fn is_secret(&self, name: &str) -> bool {
        let plain = |name: &str| name.to_ascii_lowercase().replace('_', "-");
        let name = plain(name);
        self.names.iter().any(|secret| plain(secret) == name)
    }
}

impl<'r> Redactor<'r> {
    /// Nothing was taken out yet.
    #[must_use]
    pub fn new(redaction: &'r Redaction) -> Self {
        Self { redaction, secrets: BTreeSet::new(), n_redacted: 0 }
    }

    /// How many values were replaced so far.
    #[must_use]
    pub fn n_redacted(&self) -> usize {
        self.n_redacted
    }

    /// A header, or a trailer.
    pub fn header(&mut self, name: &str, value: &mut [u8]) {
        if !self.redaction.is_secret(name) {
            // An address that it quotes may have parameters, as `referer` has.
            return self.query(value);
        }
        if value.is_empty() {
            return;
        }
        for word in words(name, value) {
            self.note(word);
        }
        self.replace(value);
    }

    /// A path with its query, or a text in which such may stand.
    pub fn query(&mut self, text: &mut [u8]) {
        let values = form_values(text, |name| self.redaction.is_secret(name));
        self.replace_each(text, values);
    }

    /// A body, of whatever type: what it is said to be need not be true.
    pub fn body(&mut self, body: &mut [u8]) {
        let values = json_values(body, |name| self.redaction.is_secret(name));
        self.replace_each(body, values);
        let values = multipart_values(body, |name| self.redaction.is_secret(name));
        self.replace_each(body, values);
        self.query(body);
    }

    /// Once all parts were named: each of them, and whatever else is a text of somebody's.
    pub fn everywhere(&mut self, part: &mut [u8]) {
        // The longest first: what is left of one whose middle was taken out would not be found.
        let mut secrets: Vec<&Vec<u8>> = self.secrets.iter().collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        for secret in secrets {
            let mut from = 0;
            while let Some(at) = find(part, secret, from) {
                from = at + secret.len();
                part.get_mut(at..from).unwrap_or_default().fill(instead_of(secret));
                self.n_redacted += 1;
            }
        }
    }

    fn replace_each(&mut self, text: &mut [u8], values: Vec<std::ops::Range<usize>>) {
        for value in values {
            let value = text.get_mut(value).unwrap_or_default();
            let raw = value.to_vec();
            self.note(&raw);
            self.note(&unescaped(&raw));
            self.replace(value);
        }
    }

    fn replace(&mut self, value: &mut [u8]) {
        if value.is_empty() {
            return;
        }
        self.note(value);
        value.fill(instead_of(value));
        self.n_redacted += 1;
    }

    fn note(&mut self, secret: &[u8]) {
        let is_replaced = |byte: u8| secret.iter().all(|of| *of == byte);
        if secret.len() >= SHORTEST && !is_replaced(INSTEAD) && !is_replaced(INSTEAD_OF_DIGIT) {
            self.secrets.insert(secret.to_vec());
        }
    }
}

/// What stands in the place of each byte of it: what is a number stays one.
fn instead_of(value: &[u8]) -> u8 {
    if value.iter().all(u8::is_ascii_digit) { INSTEAD_OF_DIGIT } else { INSTEAD }
}

/// What is secret in the value of a header: of `Bearer SECRET` the last word, of `a=SECRET; b=SECRET` what
/// stands behind the names, and of `a=SECRET; Path=/` only the first.
fn words<'v>(name: &str, value: &'v [u8]) -> Vec<&'v [u8]> {
    let most = if name.eq_ignore_ascii_case("set-cookie") { 1 } else { usize::MAX };
    let after = |text: &'v [u8], mark: u8| {
        let at = text.iter().position(|byte| *byte == mark)?;
        text.get(at + 1..)
    };
    let pieces = value.split(|byte| matches!(byte, b';' | b',')).take(most);
    pieces
        .flat_map(|piece| {
            let piece = piece.trim_ascii();
            [after(piece, b' '), after(piece, b'=')].into_iter().flatten()
        })
        .map(<[u8]>::trim_ascii)
        .map(|word| word.strip_prefix(b"\"").unwrap_or(word))
        .map(|word| word.strip_suffix(b"\"").unwrap_or(word))
        .collect()
}

/// Where the needle next stands.
fn find(text: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let (first, rest) = (needle.first()?, text.get(from..)?);
    let mut starts = rest.iter().enumerate().filter(|(_, byte)| *byte == first);
    let begins = |at: usize| rest.get(at..).is_some_and(|text| text.starts_with(needle));
    starts.find(|(at, _)| begins(*at)).map(|(at, _)| from + at)
}

/// The value as a program has it that reads a form or JSON.
fn unescaped(value: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(value);
    if text.contains('\\') {
        return super::fields::from_json(&text).into_bytes();
    }
    super::fields::from_form(value)
}

#[cfg(test)]
mod tests;
