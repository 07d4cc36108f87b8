//! Reads TOML documents so that every mistake is found at once, each with its place and what would be
//! right. Does not know what a document is about and does not open files.
//!
//! Not serde: that stops at the first mistake, and what people write deserves better.

mod duplicate;
mod findings;
mod reader;
mod suggest;

use std::borrow::Cow;

use toml::de::DeTable;

pub(crate) use self::findings::Findings;
pub use self::findings::{Mistake, Mistakes};
pub(crate) use self::reader::{Entry, Section};
use self::suggest::{for_unknown, listed};

/// The most bytes of a document: a hundred times what a large one has.
const LONGEST: usize = 256 << 10;

/// Reads a text with the function given. It returns `None` where something that has no default is
/// wrong or missing, and notes what; after a syntax error it sees the rest of the text, as far as
/// that can be told apart.
pub(crate) fn read<D>(
    text: &str,
    take: impl FnOnce(&DeTable<'_>, &mut Findings<'_>) -> Option<D>,
) -> Result<D, Mistakes> {
    if text.len() > LONGEST {
        let mut findings = Findings::new("");
        findings.syntax(0, &format!("it has {} bytes, at most {LONGEST} are allowed", text.len()));
        return findings.finish(None);
    }
    let text = &*whole_line_ends(text);
    let mut findings = Findings::new(text);
    let (root, syntax_errors) = DeTable::parse_recoverable(text);
    for error in &syntax_errors {
        let span = error.span().unwrap_or_default();
        match error.message() {
            "duplicate key" => findings.syntax(span.start, &duplicate::told(text, span)),
            message => findings.syntax(span.start, message),
        }
    }
    let document = take(root.get_ref(), &mut findings);
    findings.finish(document)
}

/// The text with every carriage return that has no line feed after it, as editors leave behind, made
/// one: TOML knows no other line end. Places stay what they are.
fn whole_line_ends(text: &str) -> Cow<'_, str> {
    let ends_pairs = text.bytes().filter(|byte| *byte == b'\r').count();
    if ends_pairs == text.matches("\r\n").count() {
        return Cow::Borrowed(text);
    }
    let mut letters = text.chars().peekable();
    let mut whole = String::with_capacity(text.len());
    while let Some(letter) = letters.next() {
        let is_lone = letter == '\r' && letters.peek() != Some(&'\n');
        whole.push(if is_lone { '\n' } else { letter });
    }
    Cow::Owned(whole)
}

/// Notes every key of a section that is not among those of `sections`: the names of all sections
/// with their keys, the top of the file under an empty name.
pub(crate) fn refuse_unknown(
    section: &Section<'_, '_>,
    name: &str,
    sections: &[(&str, &[&str])],
    findings: &mut Findings<'_>,
) {
    let known = sections.iter().find_map(|&(section, keys)| (section == name).then_some(keys));
    // All keys that there are are listed once, however many are unknown.
    let mut list = Some(listed(name, sections));
    for (key, at, _) in section.entries() {
        if !known.is_some_and(|keys| keys.contains(&key)) {
            let told = for_unknown(key, name, sections).or_else(|| list.take());
            findings.wrong(at, &section.path(key), told.as_deref().unwrap_or("unknown key"));
        }
    }
}
