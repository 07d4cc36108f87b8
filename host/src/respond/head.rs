//! The one reading of a response head that a guest made, in whichever world and wherever it goes: what
//! cannot be sent is refused, and what is not the guest's to say is left out.
//! Does not look at bodies.

use http::header::{CONTENT_LENGTH, HOST, HeaderName, TRAILER};
use http::response::Parts;
use http::{HeaderMap, StatusCode};

use crate::header::{is_of_connection, is_ours, remove};

/// The most bytes of a value that a message repeats.
const SHOWN: usize = 40;

/// What a head says of the body that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Promise {
    /// Its `Content-Length`.
    pub(super) length: Option<u64>,
    /// Whether such a response has a body at all; see RFC 9110, 6.4.1.
    pub(super) has_body: bool,
    /// Whether it may tell the length of a body that a HEAD request did not ask for.
    pub(super) may_tell_length: bool,
}

/// Reads a guest's head, and takes out of it what the guest may not say. `is_head` for the answer to
/// a HEAD request.
///
/// # Errors
/// In one line why no response can have this head.
pub(super) fn read(head: &mut Parts, is_head: bool) -> Result<Promise, String> {
    let status = head.status.as_u16();
    // 1xx would be taken for an interim response, with another to follow; 101 for a tunnel.
    if !(200..=599).contains(&status) {
        return Err(format!("its status is {status}: 200 to 599 is allowed"));
    }
    let length = content_length(&head.headers)?;
    remove(&mut head.headers, |name| is_of_connection(name) || is_ours(name));
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED];
    let may_tell_length = !bodiless.contains(&head.status);
    // RFC 9110, 8.6: none in a 204. In a 304 it may stand, but hyper drops it and warns.
    if !may_tell_length {
        head.headers.remove(CONTENT_LENGTH);
    }
    Ok(Promise { length, has_body: may_tell_length && !is_head, may_tell_length })
}

/// Takes out of trailers what may not stand there; see RFC 9110, 6.5.1.
pub(super) fn clean_trailers(trailers: &mut HeaderMap) {
    let is_framing = |name: &HeaderName| [&CONTENT_LENGTH, &TRAILER, &HOST].contains(&name);
    remove(trailers, |name| is_of_connection(name) || is_framing(name) || is_ours(name));
}

/// The length as it is announced: once, in digits. A list of equal lengths, which RFC 9110 lets
/// recipients repair, is what senders must not send.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, String> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("it has more than one Content-Length".to_owned());
    }
    let digits = value.as_bytes();
    let length = digits.iter().all(u8::is_ascii_digit).then(|| value.to_str().ok()?.parse().ok());
    length.flatten().map(Some).ok_or_else(|| {
        let shown = digits.get(..SHOWN).unwrap_or(digits).escape_ascii();
        format!("its Content-Length is `{shown}`: expected digits")
    })
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn read_head(
        status: u16,
        is_head: bool,
        headers: &[(&str, &str)],
    ) -> (Result<Promise, String>, HeaderMap) {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let (mut head, ()) = response.body(()).unwrap().into_parts();
        let read = read(&mut head, is_head);
        (read, head.headers)
    }

    #[test]
    fn only_final_statuses_are_sent() {
        for status in [100, 101, 102, 103, 199, 600, 999] {
            let refused = read_head(status, false, &[]).0.unwrap_err();
            assert!(refused.contains(&status.to_string()), "{refused}");
        }
        for status in [200, 204, 299, 304, 404, 500, 599] {
            assert!(read_head(status, false, &[]).0.is_ok(), "{status}");
        }
    }

    #[test]
    fn a_length_stands_once_and_in_digits() {
        let length = |values: &[&str]| {
            let headers: Vec<_> = values.iter().map(|value| ("content-length", *value)).collect();
            read_head(200, false, &headers).0.map(|promise| promise.length)
        };
        assert_eq!(length(&[]), Ok(None));
        assert_eq!(length(&["17"]), Ok(Some(17)));
        for wrong in ["abc", "", "-1", "+1", "1.0", "0x10", "5, 5", "18446744073709551616"] {
            assert!(length(&[wrong]).is_err(), "{wrong}");
        }
        assert!(length(&["5", "5"]).unwrap_err().contains("more than one"));
        assert!(length(&["5", "6"]).is_err());
    }

    #[test]
    fn a_response_without_a_body_says_so() {
        for (status, is_head, has_body) in
            [(200, false, true), (200, true, false), (204, false, false), (304, false, false)]
        {
            let (read, headers) = read_head(status, is_head, &[("content-length", "3")]);
            let may_tell_length = status == 200;
            assert_eq!(
                read,
                Ok(Promise { length: Some(3), has_body, may_tell_length }),
                "{status}"
            );
            assert_eq!(headers.contains_key("content-length"), status == 200, "{status}");
        }
    }

    #[test]
    fn a_guest_speaks_neither_for_the_host_nor_for_the_connection() {
        let said = [
            ("x-steerage-refused", "host_full"),
            ("x-steerage-anything", "1"),
            ("connection", "close"),
            ("keep-alive", "timeout=1"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-own", "kept"),
            ("trailer", "x-sum"),
        ];
        let (_, headers) = read_head(200, false, &said);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["trailer", "x-own"]);
    }
}
