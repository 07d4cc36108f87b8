//! Sending a component from disk as a stream. Does not check that the digest is right: the host does.

use std::io;
use std::path::Path;

use bytes::Bytes;
use futures_util::StreamExt;
use http::Method;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use steerage_core::id::Digest;
use tokio::fs::File;
use tokio::sync::watch;
use tokio_util::io::ReaderStream;

use super::{Body, CHANGE_TIMEOUT, Client, ClientError, LOOK_TIMEOUT, nothing};

/// How much is read from disk at once.
const CHUNK: usize = 64 << 10;

/// Uploads the file unless the host has it.
pub(super) async fn run(
    client: &Client,
    digest: &Digest,
    path: &Path,
    mut on_progress: impl FnMut(u64),
) -> Result<(), ClientError> {
    let cannot_read = |source| ClientError::File { path: path.to_owned(), source };
    let file = File::open(path).await.map_err(cannot_read)?;
    let size = file.metadata().await.map_err(cannot_read)?.len();
    if is_there(client, digest).await? {
        on_progress(size);
        return Ok(());
    }
    let (sent, mut progress) = watch::channel(0);
    let request = client
        .request(Method::PUT, &blob_path(digest))
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_LENGTH, size);
    let uploading = client.send(request, counted(file, sent), CHANGE_TIMEOUT);
    tokio::pin!(uploading);
    let mut is_sending = true;
    loop {
        tokio::select! {
            answer = &mut uploading => {
                answer?;
                on_progress(size);
                return Ok(());
            }
            changed = progress.changed(), if is_sending => {
                is_sending = changed.is_ok();
                on_progress(*progress.borrow_and_update());
            }
        }
    }
}

async fn is_there(client: &Client, digest: &Digest) -> Result<bool, ClientError> {
    let request = client.request(Method::HEAD, &blob_path(digest));
    // An answer to HEAD has no body, so a refusal cannot give its reasons; the upload's will.
    match client.send(request, nothing(), LOOK_TIMEOUT).await {
        Ok(_) => Ok(true),
        Err(
            ClientError::Broken { .. } | ClientError::Refused(_) | ClientError::NotAdmin { .. },
        ) => Ok(false),
        Err(error) => Err(error),
    }
}

fn blob_path(digest: &Digest) -> String {
    format!("/v1/blobs/{digest}")
}

/// The file's content, telling how much of it has gone.
fn counted(file: File, sent: watch::Sender<u64>) -> Body {
    let chunks = ReaderStream::with_capacity(file, CHUNK).map(move |chunk: io::Result<Bytes>| {
        let chunk = chunk?;
        sent.send_modify(|n_sent| *n_sent += chunk.len() as u64);
        Ok(Frame::data(chunk))
    });
    StreamBody::new(chunks).boxed_unsync()
}
