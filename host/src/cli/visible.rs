//! Text of guests and callers made safe to show: what a terminal would obey is shown as its code.
//! Does not know where text comes from; the screen shows nothing without it.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a terminal may take the character for a command or lay out the text around it anew:
/// controls (C0, DEL, C1), marks and embeddings of writing direction, line separators, and the
/// characters that are not characters.
fn is_command(letter: char) -> bool {
    match letter {
        '\n' | '\t' => false,
        letter if letter.is_control() => true,
        '\u{200e}' | '\u{200f}' | '\u{061c}' => true,
        '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        _ => false,
    }
}

/// The text with each such character as its code, like `\u{1b}`.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    shown(text, |letter, shown| write!(shown, "{}", letter.escape_unicode()))
}

/// The same for a JSON document, in which the code is one that JSON reads back.
pub(super) fn visible_json(text: &str) -> Cow<'_, str> {
    shown(text, |letter, shown| {
        let mut units = [0; 2];
        letter.encode_utf16(&mut units).iter().try_for_each(|unit| write!(shown, "\\u{unit:04x}"))
    })
}

/// The same for a text of ours with the colours `codes` in it.
pub(super) fn visible_but(text: &str, codes: &[&str]) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        let (before, from) = rest.split_at(at);
        shown.push_str(&visible(before));
        let code = codes.iter().find(|code| from.starts_with(**code));
        let length = code.map_or(1, |code| code.len());
        let (taken, after) = from.split_at(length);
        match code {
            Some(_) => shown.push_str(taken),
            None => shown.push_str(&visible(taken)),
        }
        rest = after;
    }
    shown.push_str(&visible(rest));
    shown
}

fn shown(text: &str, escape: impl Fn(char, &mut String) -> std::fmt::Result) -> Cow<'_, str> {
    if !text.contains(is_command) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_command(letter) {
            // Writing into a string cannot fail.
            escape(letter, &mut shown).unwrap_or_default();
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown_as_its_code() {
        for (text, expected) in [
            ("\u{1b}[2J\u{1b}]52;c;eA==\u{7}", r"\u{1b}[2J\u{1b}]52;c;eA==\u{7}"),
            ("a\u{9b}31m", r"a\u{9b}31m"),
            ("cr\rlf", r"cr\u{d}lf"),
            ("\u{202e}txt.exe", r"\u{202e}txt.exe"),
            ("\u{2066}a\u{2069}", r"\u{2066}a\u{2069}"),
            ("\u{7f}\u{0}", r"\u{7f}\u{0}"),
        ] {
            assert_eq!(visible(text), expected);
        }
    }

    #[test]
    fn words_of_any_language_stay() {
        let text = "Grüße\t日本語 עברית\n👩‍🚀 ok";
        assert!(matches!(visible(text), Cow::Borrowed(same) if same == text));
    }

    #[test]
    fn json_says_the_same_as_before() {
        let value = serde_json::json!({ "text": "\u{1b}[2J\u{9b}m\u{202e}\u{e0001}é" });
        let text = serde_json::to_string(&value).unwrap();
        let shown = visible_json(&text);
        assert!(shown.chars().all(|letter| !is_command(letter)), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn our_own_colours_stay_and_no_others() {
        let text = "\u{1b}[31mbad\u{1b}[0m \u{1b}[5m\u{1b}";
        let shown = visible_but(text, &["\u{1b}[31m", "\u{1b}[0m"]);
        assert_eq!(shown, "\u{1b}[31mbad\u{1b}[0m \\u{1b}[5m\\u{1b}");
    }
}
