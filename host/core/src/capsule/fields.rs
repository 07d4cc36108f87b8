//! Where the values of named fields stand in texts of clients: forms and queries, JSON, and the parts of
//! `multipart/form-data`. Reads what is damaged, cut off or said to be something else as well as it can, since a
//! secret may stand in it. Looks at each byte of a text a fixed number of times, since clients choose the texts.
//! Does not change anything and does not know which names are meant.

use std::ops::Range;

use memchr::memmem;

/// A name that is longer, as it is written, is not looked at. One that can be declared has 64 bytes, each of
/// which may be written as an escape of six; and a form may write other names before it, as in `user[password]`.
const LONGEST_NAME: usize = 64 * 6;
/// The most bytes of the line that separates the parts of a form of several types: two and the boundary, of which
/// RFC 2046 allows 70.
const LONGEST_BOUNDARY: usize = 72;
/// JSON may stand in a string of JSON, which may stand in one again. So many escapes are undone.
const MOST_ESCAPED: usize = 3;

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
        steps::count(1);
        at += 1;
        if is_before_name(byte) {
            name_from = at;
        } else if *byte == b'=' {
            let name = text.get(name_from..at - 1).unwrap_or_default();
            // Each `=` is tried once, with what stands before it.
            name_from = at;
            if name.is_empty() || name.len() > LONGEST_NAME {
                continue;
            }
            steps::count(name.len());
            if !is_meant(&String::from_utf8_lossy(&from_form(name))) {
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
/// an object or a list each text and number in it. What stands between any quote and the next is tried as a name,
/// so what stands before it may be anything, and the JSON may itself stand in a string of JSON, where each of its
/// quotes has backslashes before it. No name that can be declared has a quote in it.
pub(super) fn json_values(text: &[u8], is_meant: impl Fn(&str) -> bool) -> Vec<Range<usize>> {
    let is_quote = |byte: u8| byte == b'"';
    let mut values = Vec::new();
    let mut quote = position(text, 0, is_quote);
    while let Some(open) = quote {
        let Some(close) = position(text, open + 1, is_quote) else { break };
        quote = Some(close);
        if close - open > LONGEST_NAME {
            continue;
        }
        let colon = skip_space(text, close + 1);
        if text.get(colon) != Some(&b':') {
            continue;
        }
        steps::count(close - open);
        let name = without_backslashes(text.get(open + 1..close).unwrap_or_default());
        if is_meant(&unescaped(&String::from_utf8_lossy(name))) {
            let end = json_value(text, skip_space(text, colon + 1), &mut values);
            quote = position(text, end, is_quote);
        }
    }
    values
}

/// The contents of parts of `multipart/form-data`, `name="…"` or `name=…` and after an empty line the value, whose
/// names are meant. A value ends before the line with which the body begins, which separates its parts; without
/// such a line it goes to the end of the body, since any other end may stand in the value.
pub(super) fn multipart_values(text: &[u8], is_meant: impl Fn(&str) -> bool) -> Vec<Range<usize>> {
    const NAME: &[u8] = b"name=";
    let mut values = Vec::new();
    // What is no such form, as a page with a form in it, has no values up to its end.
    let Some(mut at) = find_in_any_case(text, b"form-data", 0) else { return values };
    let first_line = text.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    let is_boundary = first_line.starts_with(b"--") && first_line.len() <= LONGEST_BOUNDARY;
    let separator = is_boundary.then(|| [b"\n", first_line].concat());
    while let Some(begin) = find_in_any_case(text, NAME, at) {
        at = begin + NAME.len();
        // Of `filename="…"` it is not the name.
        if begin.checked_sub(1).and_then(|at| text.get(at)).is_some_and(u8::is_ascii_alphanumeric) {
            continue;
        }
        let is_quoted = text.get(at) == Some(&b'"');
        at += usize::from(is_quoted);
        let is_end = |byte: u8| match is_quoted {
            true => byte == b'"',
            false => byte == b';' || byte.is_ascii_whitespace(),
        };
        let Some(end) = position(text, at, is_end) else { break };
        let name = text.get(at..end).unwrap_or_default();
        at = end;
        if name.len() > LONGEST_NAME || !is_meant(&String::from_utf8_lossy(&from_form(name))) {
            continue;
        }
        let Some(value) = empty_line_end(text, end) else { break };
        let found = separator.as_ref().and_then(|separator| find(text, separator, value - 1));
        let value_end = match found {
            Some(line_feed) if text.get(line_feed.wrapping_sub(1)) == Some(&b'\r') => line_feed - 1,
            Some(line_feed) => line_feed,
            None => text.len(),
        };
        if value < value_end {
            values.push(value..value_end);
        }
        at = value_end.max(end);
    }
    values
}

/// A text without the escapes of forms and addresses, `%XX`, and where each of its bytes stood, with the end of
/// the text last; nothing where there is no such escape.
pub(super) fn without_percent(text: &[u8]) -> Option<(Vec<u8>, Vec<usize>)> {
    position(text, 0, |byte| byte == b'%')?;
    let (mut read, mut stood, mut at) = (Vec::with_capacity(text.len()), Vec::new(), 0);
    while let Some((byte, length)) = form_byte(text, at) {
        steps::count(1);
        read.push(byte);
        stood.push(at);
        at += length;
    }
    stood.push(text.len());
    Some((read, stood))
}

/// The texts and numbers of the value that begins there; returns where it ends.
fn json_value(text: &[u8], begin: usize, values: &mut Vec<Range<usize>>) -> usize {
    let (mut at, mut depth) = (begin, 0_usize);
    while let Some(byte) = text.get(at) {
        steps::count(1);
        match byte {
            // Before a quote in a string of JSON, or part of an escaped line break there.
            b'\\' => {
                let after = position(text, at, |byte| byte != b'\\').unwrap_or(text.len());
                at = after + usize::from(matches!(text.get(after), Some(b'n' | b'r' | b't')));
                continue;
            }
            b'"' => {
                let (end, quote) = string_end(text, at);
                if end > at + 1 {
                    values.push(at + 1..end);
                }
                at = quote + 1;
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
                let is_over = |byte: u8| {
                    matches!(byte, b',' | b'}' | b']' | b'"' | b'\\') || byte.is_ascii_whitespace()
                };
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
    let (mut read, mut at) = (Vec::with_capacity(text.len()), 0);
    while let Some((byte, length)) = form_byte(text, at) {
        read.push(byte);
        at += length;
    }
    read
}

/// The byte of a form that is written there, and how many bytes that takes.
fn form_byte(text: &[u8], at: usize) -> Option<(u8, usize)> {
    let digit = |at: usize| u8::try_from(char::from(*text.get(at)?).to_digit(16)?).ok();
    match text.get(at)? {
        b'%' => match digit(at + 1).zip(digit(at + 2)) {
            Some((high, low)) => Some((high << 4 | low, 3)),
            None => Some((b'%', 1)),
        },
        b'+' => Some((b' ', 1)),
        byte => Some((*byte, 1)),
    }
}

/// A text of JSON as a program has it that reads it, and what that says where it is JSON again.
pub(super) fn unescaped(text: &str) -> String {
    let mut read = text.to_owned();
    for _ in 0..MOST_ESCAPED {
        if !read.contains('\\') {
            break;
        }
        read = from_json(&read);
    }
    read
}

/// A JSON string as a program has it that reads one; what is no escape stays.
fn from_json(text: &str) -> String {
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

/// Where the contents of the string end that the quote there begins, and where its closing quote is. That has no
/// more escapes than the first: in JSON that stands in a string, a quote is `\\"` and one in a string of it is
/// `\\\\\\"`.
fn string_end(text: &[u8], open: usize) -> (usize, usize) {
    let depth = n_escaped(text, open);
    let mut from = open + 1;
    while let Some(quote) = position(text, from, |byte| byte == b'"') {
        let closing = n_escaped(text, quote);
        if closing <= depth {
            // Its backslashes are no part of the contents.
            let n_backslashes = (1_usize << closing.min(16)) - 1;
            return (quote.saturating_sub(n_backslashes).max(open + 1), quote);
        }
        from = quote + 1;
    }
    (text.len(), text.len())
}

/// In how many strings of JSON a quote stands: it has as many backslashes before it as make a number that ends, as
/// a binary one, in so many ones. An even number are backslashes of a text that ends there.
fn n_escaped(text: &[u8], quote: usize) -> u32 {
    let before = text.get(..quote).unwrap_or_default();
    let n_backslashes = before.len() - without_backslashes(before).len();
    steps::count(n_backslashes);
    n_backslashes.trailing_ones()
}

/// What stands before the backslashes at the end of a text.
fn without_backslashes(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte != b'\\').map_or(0, |last| last + 1);
    text.get(..end).unwrap_or_default()
}

/// Where something else than space comes, or an escaped line break, as JSON in a string has it.
fn skip_space(text: &[u8], mut from: usize) -> usize {
    loop {
        let at = position(text, from, |byte| !byte.is_ascii_whitespace()).unwrap_or(text.len());
        let letter = position(text, at, |byte| byte != b'\\').unwrap_or(text.len());
        if letter == at || !matches!(text.get(letter), Some(b'n' | b'r' | b't')) {
            return at;
        }
        from = letter + 1;
    }
}

/// What comes after the next empty line.
fn empty_line_end(text: &[u8], mut from: usize) -> Option<usize> {
    loop {
        from = position(text, from, |byte| byte == b'\n')? + 1;
        match text.get(from..)? {
            [b'\n', ..] => return Some(from + 1),
            [b'\r', b'\n', ..] => return Some(from + 2),
            _ => {}
        }
    }
}

fn position(text: &[u8], from: usize, is_it: impl Fn(u8) -> bool) -> Option<usize> {
    let rest = text.get(from..)?;
    let at = rest.iter().position(|byte| is_it(*byte));
    steps::count(at.unwrap_or(rest.len()));
    at.map(|at| from + at)
}

/// Where the needle next stands. A library does it, since the obvious way takes as many steps as both lengths
/// multiplied, and clients choose both.
fn find(text: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    let at = memmem::find(rest, needle);
    steps::count(at.unwrap_or(rest.len()));
    at.map(|at| from + at)
}

/// Each place where the needle stands.
pub(super) fn find_each(text: &[u8], needle: &[u8]) -> Vec<usize> {
    if text.len() < needle.len() {
        return Vec::new();
    }
    steps::count(text.len());
    memmem::find_iter(text, needle).collect()
}

/// Where a short needle of small letters next stands, where the case does not matter.
fn find_in_any_case(text: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = from;
    loop {
        let at = position(text, from, |byte| byte.eq_ignore_ascii_case(&first))?;
        let there = text.get(at..at + needle.len())?;
        if there.eq_ignore_ascii_case(needle) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// How many bytes were looked at, which only tests count: time would tell them less.
pub(super) mod steps {
    #[cfg(test)]
    std::thread_local! {
        static N: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    #[cfg(test)]
    pub(crate) fn count(n: usize) {
        N.set(N.get() + n);
    }

    #[cfg(not(test))]
    pub(crate) fn count(_: usize) {}

    /// All until now, which are forgotten.
    #[cfg(test)]
    pub(crate) fn take() -> usize {
        N.take()
    }
}
