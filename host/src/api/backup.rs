//! The endpoint that sends a copy of all that the host keeps.
//! Does not know what a backup is made of: the agent does.

use std::io;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use tokio::sync::mpsc;

use super::Shared;
use super::problem::Refusal;
use crate::telemetry::chain;

/// How much is sent at once, and how many of it wait for a slow client.
const CHUNK: usize = 64 << 10;
const WAITING: usize = 4;

/// `GET /v1/backup`.
pub(super) async fn backup(State(state): State<Shared>) -> Result<Response, Refusal> {
    // One at a time: each may hold a copy of the ledger and keeps components from going.
    let turn = state.backups.clone().lock_owned().await;
    let agent = state.agent.clone();
    let begun = tokio::task::spawn_blocking(move || agent.backup()).await;
    let mut backup = begun.map_err(|error| Refusal::internal(&error))??;
    let length = backup.manifest.archive_bytes().map_err(|error| Refusal::internal(&error))?;
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let out = io::BufWriter::with_capacity(CHUNK, Chunks(sender.clone()));
        if let Err(error) = backup.write(out) {
            tracing::warn!(error = chain(&error), "a backup broke off");
            // So that the client sees it, and not an archive that is merely short.
            drop(sender.blocking_send(Err(error)));
        }
        drop(backup);
        drop(turn);
    });
    let chunks =
        stream::unfold(
            receiver,
            |mut receiver| async move { Some((receiver.recv().await?, receiver)) },
        );
    let headers = [
        (CONTENT_TYPE, "application/x-tar".to_owned()),
        (CONTENT_LENGTH, length.to_string()),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

/// What is written here is sent, as fast as the client takes it.
struct Chunks(mpsc::Sender<io::Result<Bytes>>);

impl io::Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))) {
            Ok(()) => Ok(bytes.len()),
            Err(_) => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the client has gone")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
