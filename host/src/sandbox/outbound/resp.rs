//! The protocol of Redis and Valkey, version 2 (RESP2), as a client speaks it: a command goes, a reply comes. No
//! reply may be longer than the bound given, which is why this is no library: those read a reply of any size before
//! they show it. Does not know commands and opens no connections.

use std::io;

use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
};

/// The longest line that is no value of the user's: a status, an error, a number.
const LONGEST_LINE: u64 = 64 << 10;
/// Lists within lists; what a command answers has two levels most often.
const DEEPEST: usize = 8;
/// What an element of a list takes besides its bytes.
const BESIDE: usize = 48;

/// What a server replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisReply {
    /// There is nothing.
    Nil,
    /// It is done, in a word.
    Status(String),
    /// A number.
    Int(i64),
    /// A value.
    Bytes(Vec<u8>),
    /// Several.
    List(Vec<Self>),
    /// It is not done; the text says why.
    Error(String),
}

/// Sends a command with its arguments.
///
/// # Errors
/// The connection is broken.
pub(super) async fn send(to: &mut (impl AsyncWrite + Unpin), command: &[&[u8]]) -> io::Result<()> {
    let mut text = format!("*{}\r\n", command.len()).into_bytes();
    for argument in command {
        text.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        text.extend_from_slice(argument);
        text.extend_from_slice(b"\r\n");
    }
    to.write_all(&text).await?;
    to.flush().await
}

/// Reads a reply of at most so many bytes, what its elements take besides counted.
///
/// # Errors
/// The connection is broken, or what came is no such reply. Nothing more can be read from it.
pub(super) async fn receive(
    from: &mut (impl AsyncBufRead + Unpin + Send),
    at_most: usize,
) -> io::Result<RedisReply> {
    let mut left = at_most;
    read(from, &mut left, 0).await
}

async fn read(
    from: &mut (impl AsyncBufRead + Unpin + Send),
    left: &mut usize,
    depth: usize,
) -> io::Result<RedisReply> {
    take(left, BESIDE)?;
    let line = line(from).await?;
    let Some((kind, rest)) = line.split_at_checked(1) else { return Err(odd("an empty line")) };
    match kind {
        "+" => Ok(RedisReply::Status(counted(left, rest)?)),
        "-" => Ok(RedisReply::Error(counted(left, rest)?)),
        ":" => Ok(RedisReply::Int(rest.parse().map_err(|_| odd("no number"))?)),
        "$" | "*" if rest == "-1" => Ok(RedisReply::Nil),
        "$" => {
            let length = rest.parse().map_err(|_| odd("no length"))?;
            take(left, length)?;
            let mut value = vec![0; length];
            from.read_exact(&mut value).await?;
            let mut end = [0; 2];
            from.read_exact(&mut end).await?;
            if end == *b"\r\n" { Ok(RedisReply::Bytes(value)) } else { Err(odd("a longer value")) }
        }
        "*" if depth < DEEPEST => {
            let length: usize = rest.parse().map_err(|_| odd("no length"))?;
            // Not more than can be there, however many were promised.
            let mut all = Vec::with_capacity(length.min(*left / BESIDE));
            for _ in 0..length {
                all.push(Box::pin(read(from, left, depth + 1)).await?);
            }
            Ok(RedisReply::List(all))
        }
        _ => Err(odd("a reply of another kind")),
    }
}

async fn line(from: &mut (impl AsyncBufRead + Unpin + Send)) -> io::Result<String> {
    let mut line = Vec::new();
    from.take(LONGEST_LINE).read_until(b'\n', &mut line).await?;
    match line.strip_suffix(b"\r\n") {
        Some(text) => Ok(String::from_utf8_lossy(text).into_owned()),
        None if line.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
        None => Err(odd("a line that is cut or too long")),
    }
}

fn counted(left: &mut usize, text: &str) -> io::Result<String> {
    take(left, text.len())?;
    Ok(text.to_owned())
}

fn take(left: &mut usize, bytes: usize) -> io::Result<()> {
    *left = left
        .checked_sub(bytes)
        .ok_or_else(|| io::Error::other("the reply is longer than 4 MiB, the most that is read"))?;
    Ok(())
}

fn odd(what: &str) -> io::Error {
    io::Error::other(format!("the server does not speak RESP2: it sent {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn received(mut bytes: &[u8], at_most: usize) -> Result<RedisReply, String> {
        receive(&mut bytes, at_most).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn replies_are_read() {
        let list = RedisReply::List(vec![
            RedisReply::Bytes(b"a\r\nb".to_vec()),
            RedisReply::Nil,
            RedisReply::List(Vec::new()),
        ]);
        for (bytes, expected) in [
            (&b"+OK\r\n"[..], RedisReply::Status("OK".to_owned())),
            (b":-7\r\n", RedisReply::Int(-7)),
            (b"$-1\r\n", RedisReply::Nil),
            (b"$0\r\n\r\n", RedisReply::Bytes(Vec::new())),
            (b"-ERR no\r\n", RedisReply::Error("ERR no".to_owned())),
            (b"*3\r\n$4\r\na\r\nb\r\n$-1\r\n*0\r\n", list),
        ] {
            assert_eq!(received(bytes, 1_000).await, Ok(expected));
        }
    }

    #[tokio::test]
    async fn what_is_no_reply_or_too_long_is_refused_before_it_is_read() {
        let deep = b"*1\r\n".repeat(DEEPEST + 2);
        let endless = [b"+".to_vec(), b"x".repeat(LONGEST_LINE.try_into().unwrap())].concat();
        for (bytes, said) in [
            (&b"$9999999999\r\n"[..], "longer than 4 MiB"),
            (b"*1000000000\r\n$1\r\na\r\n", "end of file"),
            (b"$-2\r\n", "no length"),
            (b"$1\r\nabc", "a longer value"),
            (b"\r\n", "an empty line"),
            (b"HTTP/1.1 200 OK\r\n", "of another kind"),
            (b"+OK", "cut or too long"),
            (&endless, "cut or too long"),
            (&deep, "of another kind"),
            (b"", "end of file"),
        ] {
            let refused = received(bytes, 4 << 20).await.unwrap_err();
            assert!(refused.contains(said), "{refused}");
        }
        let many = [b"*1000\r\n".to_vec(), b":1\r\n".repeat(1_000)].concat();
        assert!(received(&many, 1_000).await.is_err());
    }

    #[tokio::test]
    async fn a_command_is_sent_as_it_is() {
        let mut sent = Vec::new();
        send(&mut sent, &[b"SET", b"k", b"\r\n"]).await.unwrap();
        assert_eq!(sent, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\r\n\r\n");
    }
}
