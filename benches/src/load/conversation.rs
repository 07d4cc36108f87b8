//! One keep-alive connection: ask, read the whole answer, ask again; reconnect when it ends.
//! Does not decide when to ask.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Shared;
use super::pace::{Turn, Turns};

/// How long a caller whose connection ended waits before it tries again.
const BACK_OFF: Duration = Duration::from_millis(10);

/// What one connection asks, and how patiently.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) address: SocketAddr,
    pub(super) path: String,
    pub(super) give_up: Duration,
}

/// An open connection and what was read from it.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What is known of an answer once it is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    closes: bool,
}

/// Asks as long as there are turns, and counts what comes back.
pub(super) async fn converse(asking: Asking, turns: Rc<Turns>, shared: Arc<Shared>) {
    let Asking { address, path, give_up } = asking;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let mut connection = None;
    loop {
        let Turn::Send(due_at) = turns.next().await else {
            shared.broken();
            continue;
        };
        let asked = ask(&mut connection, address, request.as_bytes());
        match tokio::time::timeout(give_up, asked).await {
            Ok(Ok(answer)) => {
                if shared.answered(answer.status, due_at.elapsed()).is_err() || answer.closes {
                    connection = None;
                }
            }
            Ok(Err(_)) => {
                shared.broken();
                connection = None;
                tokio::time::sleep(BACK_OFF).await;
            }
            Err(_) => {
                shared.broken();
                connection = None;
            }
        }
    }
}

async fn ask(
    connection: &mut Option<Connection>,
    address: SocketAddr,
    request: &[u8],
) -> Result<Answer> {
    let connection = match connection {
        Some(open) => open,
        None => connection.insert(Connection::open(address).await?),
    };
    connection.ask(request).await
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
            if let Some(answer) = whole(&self.buffer)? {
                return Ok(answer);
            }
        }
    }
}

/// What the answer is, once all of it is there.
fn whole(buffer: &[u8]) -> Result<Option<Answer>> {
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
