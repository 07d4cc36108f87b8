//! Answers that stay open, as streams of what their lines hold.
//! Does not start again when one breaks off.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures_util::{Stream, stream};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::ClientError;

/// The host gives a sign of life every 15 s; after three that did not come it is taken for gone.
const SILENCE: Duration = Duration::from_secs(45);
/// Longest line taken.
const LONGEST_LINE: usize = 4 << 20;

struct Following {
    url: String,
    body: Incoming,
    read: BytesMut,
    is_over: bool,
}

/// What the lines of `body` hold, until it ends. After an error nothing more comes.
pub(super) fn items<T: DeserializeOwned + Send + 'static>(
    url: String,
    body: Incoming,
) -> impl Stream<Item = Result<T, ClientError>> + Send + use<T> {
    let following = Following { url, body, read: BytesMut::new(), is_over: false };
    stream::unfold(following, |mut following| async move {
        if following.is_over {
            return None;
        }
        match following.next().await {
            Ok(Some(item)) => Some((Ok(item), following)),
            Ok(None) => None,
            Err(what) => {
                following.is_over = true;
                let url = following.url.clone();
                Some((Err(ClientError::Broken { url, what }), following))
            }
        }
    })
}

impl Following {
    async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, String> {
        loop {
            while let Some(line) = self.line() {
                if !line.is_empty() {
                    let item = serde_json::from_slice(&line).map_err(|error| error.to_string())?;
                    return Ok(Some(item));
                }
            }
            if self.read.len() > LONGEST_LINE {
                return Err(format!("a line is longer than {LONGEST_LINE} bytes"));
            }
            let frame = tokio::time::timeout(SILENCE, self.body.frame()).await;
            match frame {
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
                Ok(Some(Err(error))) => return Err(error.to_string()),
                Ok(None) => return Ok(None),
                Err(_) => return Err(format!("no sign of life for {SILENCE:?}")),
            }
        }
    }

    /// Takes the next whole line, without its end.
    fn line(&mut self) -> Option<BytesMut> {
        let end = self.read.iter().position(|byte| *byte == b'\n')?;
        let line = self.read.split_to(end);
        self.read.advance(1);
        Some(line)
    }
}
