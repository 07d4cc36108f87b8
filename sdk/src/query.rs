//! One value out of a query string.
//!
//! It does not deserialize a whole query; `serde_urlencoded` does, for those who want it.

use std::borrow::Cow;

use http::Uri;

/// The first value of `name` in the query, decoded.
///
/// A name without `=` has the empty value. What does not decode to UTF-8 is replaced as
/// [`String::from_utf8_lossy`] does.
///
/// ```
/// use steerage_sdk::{Uri, query};
///
/// let uri = Uri::from_static("/search?q=two+words%21&all");
/// assert_eq!(query(&uri, "q").as_deref(), Some("two words!"));
/// assert_eq!(query(&uri, "all").as_deref(), Some(""));
/// assert_eq!(query(&uri, "page"), None);
/// ```
pub fn query<'u>(uri: &'u Uri, name: &str) -> Option<Cow<'u, str>> {
    uri.query()?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key, true) == name).then(|| decode(value, true))
    })
}

/// `%41` and, where `plus_is_space`, `+` decoded. An escape that is none stays as it is.
pub(crate) fn decode(text: &str, plus_is_space: bool) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte == b'%' || (plus_is_space && byte == b'+')) {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let (byte, tail) = match (byte, tail) {
            (b'%', [high, low, tail @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high * 16 + low, tail),
                _ => (byte, rest.get(1..).unwrap_or_default()),
            },
            (b'+', tail) if plus_is_space => (b' ', tail),
            (byte, tail) => (byte, tail),
        };
        decoded.push(byte);
        rest = tail;
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(decode(text, true), expected);
    }

    #[test]
    fn escapes_are_decoded_and_others_kept() {
        check("plain", "plain");
        check("a+b%20c", "a b c");
        check("%c3%A9", "é");
        check("100%", "100%");
        check("%zz%4", "%zz%4");
        check("%ff", "\u{fffd}");
    }

    #[test]
    fn a_plus_in_a_path_is_a_plus() {
        assert_eq!(decode("a+b%2B", false), "a+b+");
    }
}
