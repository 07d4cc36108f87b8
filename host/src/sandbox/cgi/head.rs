//! The head of a CGI response (RFC 3875, 6) as a program writes it, in pieces of any size.
//! Does not look at the body, and does not know which statuses and lengths can be sent.

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use steerage_core::units;

use crate::header::is_forbidden;

/// A head larger than this is not a head.
const LARGEST: usize = 64 << 10;
/// The most bytes of a line that a message repeats.
const SHOWN: usize = 80;

/// A head of which not all has come.
#[derive(Debug, Default)]
pub(super) struct Incomplete {
    read: BytesMut,
    /// Where the line begins that has not ended yet. What is before it is not looked at again, so a
    /// head costs its length, even one that comes byte by byte.
    line: usize,
}

impl Incomplete {
    /// How many bytes have come.
    pub(super) fn len(&self) -> usize {
        self.read.len()
    }

    /// Takes what was written. When the head ends in it: the head, and what is of the body already.
    ///
    /// # Errors
    /// Says in one line why this is no head.
    pub(super) fn push(&mut self, written: &[u8]) -> Result<Option<(Response<()>, Bytes)>, String> {
        let mut from = self.read.len();
        self.read.extend_from_slice(written);
        while let Some(found) =
            self.read.get(from..).unwrap_or_default().iter().position(is_newline)
        {
            let end = from + found;
            // Both line ends are in use.
            if matches!(self.read.get(self.line..end), Some(b"" | b"\r")) {
                let head = self.read.split_to(end + 1);
                let text = head.get(..self.line).unwrap_or_default();
                if text.len() > LARGEST {
                    return Err(too_large(text.len()));
                }
                return Ok(Some((parse(text)?, std::mem::take(&mut self.read).freeze())));
            }
            (from, self.line) = (end + 1, end + 1);
        }
        if self.read.len() > LARGEST {
            return Err(too_large(self.read.len()));
        }
        Ok(None)
    }
}

fn is_newline(byte: &u8) -> bool {
    *byte == b'\n'
}

fn too_large(length: usize) -> String {
    let largest = units::Bytes::new(LARGEST as u64);
    format!("its CGI header has {length} bytes and more: at most {largest} are allowed")
}

fn parse(text: &[u8]) -> Result<Response<()>, String> {
    let mut status = None;
    let mut response = Response::new(());
    for line in text.split(is_newline) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let bad = |what: &str| Err(format!("invalid CGI header: `{}` {what}", shown(line)));
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return bad("is not NAME: VALUE");
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"status") {
            let Some(code) = parse_status(value) else {
                return bad("has no status of three digits");
            };
            if status.replace(code).is_some() {
                return bad("is a second status");
            }
            continue;
        }
        // A name that begins with a space would be a line folded to the one before, which no one
        // may send; see RFC 9112, 5.2.
        let Ok(name) = HeaderName::from_bytes(name) else { return bad("has a bad name") };
        if is_forbidden(&name) {
            continue;
        }
        let Ok(value) = HeaderValue::from_bytes(value) else { return bad("has a bad value") };
        if response.headers_mut().try_append(name, value).is_err() {
            return bad("is one header too many");
        }
    }
    let redirects = response.headers().contains_key(header::LOCATION);
    let default = if redirects { StatusCode::FOUND } else { StatusCode::OK };
    *response.status_mut() = status.unwrap_or(default);
    Ok(response)
}

/// Three digits, and perhaps a reason behind a space.
fn parse_status(value: &[u8]) -> Option<StatusCode> {
    let code = value.split(u8::is_ascii_whitespace).next()?;
    if code.len() == 3 { StatusCode::from_bytes(code).ok() } else { None }
}

fn shown(line: &[u8]) -> String {
    let cut = line.get(..SHOWN).unwrap_or(line);
    String::from_utf8_lossy(cut).escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::Changes;

    fn read(written: &[&str]) -> Result<String, String> {
        let mut incomplete = Incomplete::default();
        let mut pieces = written.iter();
        for piece in pieces.by_ref() {
            if let Some((head, rest)) = incomplete.push(piece.as_bytes())? {
                let headers = head.headers().iter();
                let headers: Vec<String> = headers
                    .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
                    .collect();
                let rest = String::from_utf8(rest.to_vec()).unwrap();
                return Ok(format!("{} [{}] {rest}", head.status().as_u16(), headers.join(" ")));
            }
        }
        Ok(format!("incomplete after {}", incomplete.len()))
    }

    #[test]
    fn a_head_may_come_in_pieces_and_with_either_line_end() {
        for (written, expect) in [
            (&["Content-Type: text/plain\n\nhi"][..], "200 [content-type=text/plain] hi"),
            (&["Status: 404 Not Found\r\n", "X: y\r\n\r", "\nno", "pe"], "404 [x=y] no"),
            (&["Location: /else\n\n"], "302 [location=/else] "),
            (&["\nbody only"], "200 [] body only"),
            (&["\r\nbody"], "200 [] body"),
            (&["X: a\n", "\n\nb"], "200 [x=a] \nb"),
            (&["status:  299\n\n"], "299 [] "),
            (&["X: a:b \nY:\n\n"], "200 [x=a:b y=] "),
            (&["X: a\n"], "incomplete after 5"),
        ] {
            assert_eq!(read(written).unwrap(), expect, "{written:?}");
            let text = written.concat();
            let bytes: Vec<&str> = text.split("").filter(|byte| !byte.is_empty()).collect();
            let whole = read(&bytes).unwrap();
            let rest = expect.split("] ").nth(1).unwrap_or("");
            assert_eq!(whole, expect.strip_suffix(rest).unwrap_or(expect), "{written:?} by bytes");
        }
    }

    #[test]
    fn what_is_no_head_is_refused_with_the_reason() {
        for (text, expect) in [
            ("hello\n\n", "`hello` is not NAME: VALUE"),
            ("Status: abc\n\n", "no status of three digits"),
            ("Status: 1000\n\n", "`Status: 1000` has no status of three digits"),
            ("Status: 20\n\n", "no status of three digits"),
            ("Status: 200\nStatus: 404\n\n", "is a second status"),
            ("X: a\n Content-Length: 5\n\n", "has a bad name"),
            ("X y: a\n\n", "has a bad name"),
            ("X : a\n\n", "has a bad name"),
            ("X: a\rb\n\n", "has a bad value"),
        ] {
            let refused = read(&[text]).unwrap_err();
            assert!(refused.contains(expect), "{text:?}: {refused}");
        }
        let endless = "X: y\n".repeat(20_000);
        assert!(read(&[&endless]).unwrap_err().contains("at most 64KiB"), "in one piece");
        assert!(read(&[&endless, "\n"]).unwrap_err().contains("at most 64KiB"), "in two");
        let long = format!("{}: y", "x".repeat(200));
        assert!(read(&[&long.replace(':', " "), "\n\n"]).unwrap_err().len() < 200);
    }

    #[test]
    fn a_head_that_comes_byte_by_byte_costs_its_length() {
        // Each byte looked at again for each that follows took 0.6 s (release); looked at from the
        // start of its line, a line of the whole head would take as long.
        let mut incomplete = Incomplete::default();
        for _ in 0..LARGEST {
            assert!(incomplete.push(b"x").unwrap().is_none());
        }
        assert!(incomplete.push(b"x").is_err());
    }

    /// What came of a head and how much of the body came with it, or the reason.
    fn pushed<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Result<Option<String>, String> {
        let mut incomplete = Incomplete::default();
        for piece in pieces {
            if let Some((head, _)) = incomplete.push(piece)? {
                return Ok(Some(format!("{head:?}")));
            }
        }
        Ok(None)
    }

    /// Fuzzed: how a program cuts its output in pieces changes nothing.
    #[test]
    fn fuzzed_heads_are_the_same_in_any_pieces() {
        const SEED: &[u8] = b"Status: 404 Not Found\r\nContent-Type: text/plain\nLocation: /\n\nhi";
        bolero::check!().with_type::<(Changes, u8)>().for_each(|(changes, n_bytes)| {
            let text = changes.made_to(SEED);
            let whole = pushed([&*text]);
            let cut = pushed(text.chunks(usize::from(*n_bytes).max(1)));
            assert_eq!(whole, cut, "{}", text.escape_ascii());
        });
    }
}
