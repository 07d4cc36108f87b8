//! Where an HTTP/1.1 response ends, and what its head says.
//! Knows no more of HTTP than that, and only what the servers under measurement send.

use anyhow::{Context, Result};

/// What is known of an answer once it is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whether the connection ends with it.
    pub(crate) closes: bool,
}

/// What the answer is, once all of it is there.
pub(crate) fn whole(buffer: &[u8]) -> Result<Option<Answer>> {
    let Some(head_end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, body) = buffer.split_at(head_end + 4);
    let digits = head.get(9..12).context("a short status line")?;
    let status = std::str::from_utf8(digits)?.parse().context("no status")?;
    let mut length = None;
    let mut closes = false;
    for line in head.split(|byte| *byte == b'\n') {
        if let Some(value) = header(line, b"content-length:") {
            length = Some(std::str::from_utf8(value)?.trim().parse::<usize>()?);
        } else if let Some(value) = header(line, b"connection:") {
            closes = value.trim_ascii().eq_ignore_ascii_case(b"close");
        }
    }
    let is_whole = match length {
        Some(length) => body.len() >= length,
        None => body.ends_with(b"0\r\n\r\n"),
    };
    Ok(is_whole.then_some(Answer { status, closes }))
}

fn header<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        let sized = b"HTTP/1.1 503 Busy\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
        for (text, status, closes) in [(&sized[..], 503, true), (&chunked[..], 200, false)] {
            assert_eq!(whole(text).unwrap(), Some(Answer { status, closes }));
            assert_eq!(whole(&text[..text.len() - 1]).unwrap(), None);
        }
    }
}
