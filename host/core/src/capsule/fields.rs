//! Where the values of named fields stand in texts of clients: forms, JSON, parts of several types. Reads what
//! is damaged, cut off or said to be something else as well as it can, since a secret may stand in it.
//! Does not change anything and does not know which names are meant.

use std::ops::Range;

/// A name that is longer, as it is written, is not looked at: none that can be declared is.
const LONGEST_NAME: usize = 64 * 6;

/// The values of fields of forms and queries, `…?name=value&…`, whose names are meant. A value goes to the next
/// `&`, whatever stands in it, as clients send forms that are not encoded; in JSON to the end of its string.
pub(super) fn form_values(text: &[u8], is_meant: impl Fn(&str) -> bool) -> Vec<Range<usize>> {
    let is_json = matches!(text.trim_ascii_start().first(), Some(b'{' | b'['));
    let is_end = |byte: u8| byte == b'&' || is_json && byte == b'"';
    let is_before_name = |byte: &u8| {
        matches!(byte, b'&' | b'?' | b';' | b'#' | b'"' | b'<' | b',') || byte.is_ascii_whitespace()
    };
    let (mut values, mut at, mut name_from) = (Vec::new(), 0, 0);
    while let Some(byte) = text.get(at) {
        at += 1;
        if is_before_name(byte) {
            name_from = at;
        } else if *byte == b'=' {
            let name = text.get(name_from..at - 1).unwrap_or_default();
            // Each `=` is tried once, with what stands before it.
            name_from = at;
            if name.len() > LONGEST_NAME || !is_meant(&String::from_utf8_lossy(&from_form(name))) {
                continue;
            }
            let end = position(text, at, is_end).unwrap_or(text.len());
            if at < end {
                values.push(at..end);
            }
            at = end;
        }
    }
    values
}

/// The values of members of JSON objects whose names are meant: of a text what stands between its quotes, of
/// an object or a list each text and number in it. Each quote is tried as the beginning of a name, so what
/// stands before it may be anything.
pub(super) fn json_values(text: &[u8], is_meant: impl Fn(&str) -> bool) -> Vec<Range<usize>> {
    let mut values = Vec::new();
    let mut at = 0;
    while let Some(quote) = position(text, at, |byte| byte == b'"') {
        at = quote + 1;
        let Some(end) = string_end(text, at) else { continue };
        if end - at > LONGEST_NAME {
            continue;
        }
        let colon = skip_space(text, end + 1);
        if text.get(colon) != Some(&b':') {
            continue;
        }
        let name = String::from_utf8_lossy(text.get(at..end).unwrap_or_default());
        if is_meant(&from_json(&name)) {
            at = json_value(text, skip_space(text, colon + 1), &mut values);
        }
    }
    values
}

/// The contents of parts of a form of several types, `name="…"` and after an empty line the value, whose names
/// are meant.
pub(super) fn multipart_values(text: &[u8], is_meant: impl Fn(&str) -> bool) -> Vec<Range<usize>> {
    const NAME: &[u8] = b"name=\"";
    let mut values = Vec::new();
    let mut at = 0;
    while let Some(begin) = find(text, NAME, at) {
        at = begin + NAME.len();
        let Some(end) = position(text, at, |byte| byte == b'"') else { break };
        let name = String::from_utf8_lossy(text.get(at..end).unwrap_or_default());
        if end - at > LONGEST_NAME || !is_meant(&name) {
            continue;
        }
        let Some(head_end) = find(text, b"\r\n\r\n", end) else { break };
        let value = head_end + 4;
        let value_end = find(text, b"\r\n--", value).unwrap_or(text.len());
        if value < value_end {
            values.push(value..value_end);
        }
        at = value_end;
    }
    values
}

/// The texts and numbers of the value that begins there; returns where it ends.
fn json_value(text: &[u8], begin: usize, values: &mut Vec<Range<usize>>) -> usize {
    let (mut at, mut depth) = (begin, 0_usize);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                let end = string_end(text, at + 1).unwrap_or(text.len());
                if end > at + 1 {
                    values.push(at + 1..end);
                }
                at = end + 1;
            }
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            byte if byte.is_ascii_whitespace() || matches!(byte, b',' | b':') => {
                at += 1;
                if depth > 0 {
                    continue;
                }
            }
            _ => {
                let is_over =
                    |byte: u8| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace();
                let end = position(text, at, is_over).unwrap_or(text.len());
                let word = text.get(at..end).unwrap_or_default();
                if !matches!(word, b"true" | b"false" | b"null") {
                    values.extend(digits(text, at..end));
                }
                at = end;
            }
        }
        if depth == 0 {
            break;
        }
    }
    at.min(text.len())
}

/// The parts of a number that are digits: its sign, its point and its `e` stay. What is no number is one part.
fn digits(text: &[u8], word: Range<usize>) -> Vec<Range<usize>> {
    let of_number =
        |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
    if !text.get(word.clone()).unwrap_or_default().iter().all(of_number) {
        return vec![word];
    }
    let mut parts: Vec<Range<usize>> = Vec::new();
    for at in word {
        if !text.get(at).is_some_and(u8::is_ascii_digit) {
            continue;
        }
        match parts.last_mut() {
            Some(part) if part.end == at => part.end = at + 1,
            _ => parts.push(at..at + 1),
        }
    }
    parts
}

/// A name or a value of a form as a program has it that reads one.
pub(super) fn from_form(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| u8::try_from(char::from(*text.get(at)?).to_digit(16)?).ok();
    let (mut read, mut at) = (Vec::with_capacity(text.len()), 0);
    while let Some(byte) = text.get(at) {
        let escaped = match byte {
            b'%' => digit(at + 1).zip(digit(at + 2)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        read.push(escaped.unwrap_or(if *byte == b'+' { b' ' } else { *byte }));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    read
}

/// A JSON string as a program has it that reads one; what is no escape stays.
pub(super) fn from_json(text: &str) -> String {
    let mut read = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            read.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => read.push('\n'),
            Some('t') => read.push('\t'),
            Some('r') => read.push('\r'),
            Some('b') => read.push('\u{8}'),
            Some('f') => read.push('\u{c}'),
            Some('u') => {
                let code = letters.as_str().get(..4);
                let code = code.and_then(|code| u32::from_str_radix(code, 16).ok());
                // Half of a pair is no letter of its own.
                read.push(code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER));
                if code.is_some() {
                    letters = letters.as_str().get(4..).unwrap_or_default().chars();
                }
            }
            Some(other) => read.push(other),
            None => {}
        }
    }
    read
}

/// Where a string ends whose contents begin there: its closing quote.
fn string_end(text: &[u8], begin: usize) -> Option<usize> {
    let mut at = begin;
    loop {
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn skip_space(text: &[u8], from: usize) -> usize {
    position(text, from, |byte| !byte.is_ascii_whitespace()).unwrap_or(text.len())
}

fn position(text: &[u8], from: usize, is_it: impl Fn(u8) -> bool) -> Option<usize> {
    text.get(from..)?.iter().position(|byte| is_it(*byte)).map(|at| from + at)
}

fn find(text: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    rest.windows(needle.len()).position(|window| window == needle).map(|at| from + at)
}
