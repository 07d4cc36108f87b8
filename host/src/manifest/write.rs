//! Writes the manifest of an app that has none: a bare component deployed from the command line.
//! Does not check what it is given: the text is read back by the same code as any other.

use std::fmt::Write as _;

/// The manifest of a bare component, as canonical TOML.
///
/// Whatever the arguments hold, the text is well-formed; [`read`](super::read) accepts it if the
/// arguments are a valid name, source, host pattern and path pattern, and says what is wrong
/// otherwise.
#[must_use]
pub fn bare(name: &str, source: &str, host: Option<&str>, path: &str) -> String {
    let mut text = String::new();
    line(&mut text, "name", name);
    line(&mut text, "source", source);
    text.push_str("\n[[route]]\n");
    if let Some(host) = host {
        line(&mut text, "host", host);
    }
    line(&mut text, "path", path);
    text
}

/// Writes a key and its text; the key as it stands.
pub(super) fn line(text: &mut String, key: &str, value: &str) {
    text.push_str(key);
    text.push_str(" = ");
    text.push_str(&quoted(value));
    text.push('\n');
}

/// A text as TOML writes it.
pub(super) fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for letter in value.chars() {
        match letter {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            // Writing into a string cannot fail.
            letter if letter.is_control() => {
                write!(text, "\\u{:04X}", u32::from(letter)).unwrap_or_default();
            }
            letter => text.push(letter),
        }
    }
    text.push('"');
    text
}
