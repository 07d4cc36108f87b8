//! What one host says of what it follows, line by line, each with the host's name in it.
//! Does not ask, and does not know what a line says but for its time.

use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, stream};
use serde_json::Value;
use steerage_core::id::HostName;

/// Longest line that is taken, in bytes.
const LONGEST: usize = 4 << 20;

/// What a host that is followed tells next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A line, and its time as text.
    Line(String, Bytes),
    /// Nothing for now: what was is told, or nothing happens.
    Quiet,
    /// Nothing any more, for this reason.
    End(String),
}

/// Reads what `host` says; the reason why it says nothing any more is the last of it.
pub(super) fn of(
    host: &HostName,
    chunks: BoxStream<'static, Result<Bytes, String>>,
) -> impl Stream<Item = Next> + Send + use<> {
    let state = Some((chunks, BytesMut::new(), host.to_string()));
    stream::unfold(state, |state| async move {
        let (mut chunks, mut read, host) = state?;
        loop {
            if let Some(end) = read.iter().position(|byte| *byte == b'\n') {
                let line = read.split_to(end);
                read.advance(1);
                let said = if line.is_empty() { Some(Next::Quiet) } else { named(&line, &host) };
                return Some(match said {
                    Some(said) => (said, Some((chunks, read, host))),
                    None => (Next::End("it says what is no JSON".to_owned()), None),
                });
            }
            if read.len() > LONGEST {
                let why = format!("a line of it is longer than {LONGEST} bytes");
                return Some((Next::End(why), None));
            }
            match chunks.next().await {
                Some(Ok(chunk)) => read.extend_from_slice(&chunk),
                Some(Err(why)) => return Some((Next::End(why), None)),
                None => return Some((Next::End("it ended".to_owned()), None)),
            }
        }
    })
}

fn named(line: &[u8], host: &str) -> Option<Next> {
    let mut value: Value = serde_json::from_slice(line).ok()?;
    let fields = value.as_object_mut()?;
    fields.insert("host".to_owned(), host.into());
    let at = fields.get("at").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut line = serde_json::to_vec(&value).ok()?;
    line.push(b'\n');
    Some(Next::Line(at, line.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(chunks: &[&str]) -> Vec<Next> {
        let chunks: Vec<_> =
            chunks.iter().map(|chunk| Ok(Bytes::copy_from_slice(chunk.as_bytes()))).collect();
        of(&"h1".parse().unwrap(), stream::iter(chunks).boxed()).collect().await
    }

    #[tokio::test]
    async fn lines_are_whole_however_they_come_and_say_whose_they_are() {
        let line = Next::Line("2026".to_owned(), "{\"at\":\"2026\",\"host\":\"h1\"}\n".into());
        let end = Next::End("it ended".to_owned());
        assert_eq!(read(&["{\"at\":", "\"2026\"}\n\n", "{\"cut"]).await, [line, Next::Quiet, end]);
        let end = Next::End("it says what is no JSON".to_owned());
        assert_eq!(read(&["no\n{}\n"]).await, [end]);
        let long = "x".repeat(LONGEST + 1);
        assert!(
            matches!(&*read(&[&long]).await, [Next::End(why)] if why.contains("longer than 4194304"))
        );
    }
}
