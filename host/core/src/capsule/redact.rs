//! What is taken out of a capsule before it is kept: the values of headers, of query parameters and of fields
//! in bodies that are known to be secrets by their names, and each such value wherever else it stands.
//! Does not know which parts a capsule has: whoever makes one hands each of them over.
//!
//! A value is replaced by as many bytes, so that lengths that a guest was told stay true. What a guest makes
//! of another value may be something else, so it is counted how many were replaced.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ops::Range;

use super::fields::{self, find_each, form_values, json_values, multipart_values, without_percent};

/// Headers whose values are never kept, and fields of that name.
pub const ALWAYS_REDACTED: [&str; 4] =
    ["authorization", "cookie", "proxy-authorization", "set-cookie"];

/// A secret of fewer bytes is taken out where its name stands, and nowhere else: such a text stands in many
/// places by chance.
const SHORTEST: usize = 6;
/// What stands in the place of each byte. A letter, so that what was a text, a header or a JSON string is one.
const MASK: u8 = b'x';
/// The same for numbers, where a letter would be no JSON. No zero: numbers do not begin with one.
const DIGIT_MASK: u8 = b'1';

/// The most secrets of one capsule that are looked for everywhere: for each, each byte is looked at once, while
/// whoever ended the call waits. So many may be in what others sent, and so many more in the environment.
pub const MOST_SECRETS: usize = 128;

/// The names of what is secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redaction {
    names: BTreeSet<String>,
}

/// A capsule with more secrets than are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "more than {MOST_SECRETS} values of the capsule or of [env] are secret, which is the most that are looked for"
)]
pub struct TooManySecrets;

/// Takes the secrets out of one capsule: first each part is named to it, then it looks through all of them.
#[derive(Debug)]
pub struct Redactor<'r> {
    redaction: &'r Redaction,
    /// Values that were taken out, and texts that they are made of. The longest come first: what is left of one
    /// whose middle was taken out would not be found.
    secrets: BTreeSet<(Reverse<usize>, Vec<u8>)>,
    /// How many of them were found in the capsule.
    n_found: usize,
    /// How many of them were known before.
    n_known: usize,
    n_redacted: usize,
}

impl Redaction {
    /// What an app declares, in whatever case, besides what is always redacted.
    pub fn new<S: AsRef<str>>(declared: impl IntoIterator<Item = S>) -> Self {
        let declared = declared.into_iter().map(|name| name.as_ref().to_owned());
        Self { names: ALWAYS_REDACTED.into_iter().map(str::to_owned).chain(declared).collect() }
    }

    /// Whether what has this name is a secret. Case does not matter, nor whether words are joined by `-` or
    /// `_`, as the same thing has both in headers, forms and JSON. Of `user[password]` and `user.password`, as forms
    /// write what is inside of something, each part is a name as well.
    #[must_use]
    pub fn is_secret(&self, name: &str) -> bool {
        let is_declared = |name: &str| self.names.iter().any(|secret| is_same_name(secret, name));
        is_declared(name) || name.split(['.', '[', ']']).any(is_declared)
    }
}

impl<'r> Redactor<'r> {
    /// Nothing was taken out yet.
    #[must_use]
    pub fn new(redaction: &'r Redaction) -> Self {
        Self { redaction, secrets: BTreeSet::new(), n_found: 0, n_known: 0, n_redacted: 0 }
    }

    /// A value that is no client's and known to be secret: it is taken out wherever it stands.
    pub fn secret(&mut self, value: &[u8]) {
        if self.n_known <= MOST_SECRETS && self.insert(value) {
            self.n_known += 1;
        }
    }

    /// How many values were replaced.
    ///
    /// # Errors
    /// Not all were, as there are too many.
    pub fn finish(self) -> Result<usize, TooManySecrets> {
        if self.are_too_many() { Err(TooManySecrets) } else { Ok(self.n_redacted) }
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

    /// A path with its query, or a text in which such may stand, or JSON; as it is and where `%XX` stands for bytes
    /// of it.
    pub fn query(&mut self, text: &mut [u8]) {
        self.each_form(text, |text, is_meant| json_values(text, is_meant));
        self.each_form(text, |text, is_meant| form_values(text, is_meant));
    }

    /// A body, of whatever type: what it is said to be need not be true.
    pub fn body(&mut self, body: &mut [u8]) {
        let values = multipart_values(body, |name| self.redaction.is_secret(name));
        self.replace_each(body, values);
        self.query(body);
    }

    /// Once all parts were named: each of them, and whatever else is a text of somebody's.
    pub fn everywhere(&mut self, part: &mut [u8]) {
        if self.are_too_many() {
            return;
        }
        // What is longer than the part does not stand in it, and most parts are short.
        for (_, secret) in self.secrets.range((Reverse(part.len()), Vec::new())..) {
            for at in find_each(part, secret) {
                part.get_mut(at..at + secret.len()).unwrap_or_default().fill(mask_of(secret));
                self.n_redacted += 1;
            }
        }
    }

    /// Replaces the values that are found in a text, and those that are found in what its `%XX` stand for.
    fn each_form(
        &mut self,
        text: &mut [u8],
        values: impl Fn(&[u8], &dyn Fn(&str) -> bool) -> Vec<Range<usize>>,
    ) {
        let redaction = self.redaction;
        let is_meant = |name: &str| redaction.is_secret(name);
        let found = values(text, &is_meant);
        self.replace_each(text, found);
        let Some((read, stood)) = without_percent(text) else { return };
        let place = |at: usize| stood.get(at).copied().unwrap_or(text.len());
        let found = values(&read, &is_meant).into_iter();
        let found = found.map(|value| place(value.start)..place(value.end)).collect();
        self.replace_each(text, found);
    }

    fn replace_each(&mut self, text: &mut [u8], values: Vec<Range<usize>>) {
        for value in values {
            let value = text.get_mut(value).unwrap_or_default();
            if is_replaced(value) {
                continue;
            }
            for read in read_as(value) {
                self.note(&read);
            }
            self.replace(value);
        }
    }

    fn replace(&mut self, value: &mut [u8]) {
        if value.is_empty() {
            return;
        }
        self.note(value);
        value.fill(mask_of(value));
        self.n_redacted += 1;
    }

    fn note(&mut self, secret: &[u8]) {
        if self.n_found <= MOST_SECRETS && self.insert(secret) {
            self.n_found += 1;
        }
    }

    /// Whether it is looked for, and was not so far.
    fn insert(&mut self, secret: &[u8]) -> bool {
        is_searchable(secret) && self.secrets.insert((Reverse(secret.len()), secret.to_vec()))
    }

    fn are_too_many(&self) -> bool {
        self.n_found.max(self.n_known) > MOST_SECRETS
    }
}

/// Whether a text may be what the first was before secrets in it were replaced.
#[must_use]
pub fn is_same_but_for_secrets(redacted: &str, text: &str) -> bool {
    let (redacted, text) = (redacted.as_bytes(), text.as_bytes());
    // Runs of one byte: what is replaced is a run of masks, and at least as long as the shortest secret.
    let runs = redacted.chunk_by(|one, next| one == next);
    let mut at = 0;
    redacted.len() == text.len()
        && runs.into_iter().all(|run| {
            let now = text.get(at..at + run.len());
            at += run.len();
            now == Some(run) || run.len() >= SHORTEST && is_replaced(run)
        })
}

/// Whether two names are the same but for their case and for how their words are joined.
fn is_same_name(one: &str, other: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    one.len() == other.len() && one.bytes().map(plain).eq(other.bytes().map(plain))
}

/// Whether a secret is long enough to be looked for, and still there.
fn is_searchable(secret: &[u8]) -> bool {
    secret.len() >= SHORTEST && !is_replaced(secret)
}

/// Whether nothing is left of a value.
fn is_replaced(value: &[u8]) -> bool {
    let is_all = |byte: u8| value.iter().all(|of| *of == byte);
    is_all(MASK) || is_all(DIGIT_MASK)
}

/// What stands in the place of each byte of it: what is a number stays one.
fn mask_of(value: &[u8]) -> u8 {
    if value.iter().all(u8::is_ascii_digit) { DIGIT_MASK } else { MASK }
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

/// The value as programs have it that read a form, or JSON, or JSON in a form.
fn read_as(value: &[u8]) -> [Vec<u8>; 3] {
    let from_json = |text: &[u8]| fields::unescaped(&String::from_utf8_lossy(text)).into_bytes();
    let from_form = fields::from_form(value);
    [from_json(value), from_json(&from_form), from_form]
}

#[cfg(test)]
mod tests;
