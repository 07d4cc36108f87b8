//! Changes as etcd tells them, and whether it is still there to tell them.
//! Does not begin again when it ends: whoever watches reads everything first.

use std::time::Duration;

use etcd_client::{EventType, WatchResponse, WatchStream};
use tokio::time::Instant;

use super::super::{Change, Revision, SIGN_EVERY, StoreError};
use super::error::Trouble;
use super::{Etcd, unsigned};

/// After so long without the answer it is gone.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

pub(in super::super) struct EtcdWatch {
    stream: WatchStream,
    /// The revision that it began after.
    after: Revision,
    etcd: Etcd,
    /// When it last said something, or its silence was last looked at.
    heard_at: Instant,
    /// When it was asked to say something, if that is not answered yet.
    asked_at: Option<Instant>,
}

impl std::fmt::Debug for EtcdWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdWatch").field("etcd", &self.etcd).finish_non_exhaustive()
    }
}

impl EtcdWatch {
    pub(super) fn new(stream: WatchStream, after: Revision, etcd: Etcd) -> Self {
        Self { stream, after, etcd, heard_at: Instant::now(), asked_at: None }
    }

    /// The next changes; none where etcd only said that it is there.
    pub(in super::super) async fn next(&mut self) -> Result<Vec<Change>, StoreError> {
        loop {
            let until = match self.asked_at {
                Some(asked_at) => asked_at + ANSWER_WITHIN,
                None => self.heard_at + SIGN_EVERY,
            };
            // The stream is looked at first: who comes late finds there what was told meanwhile.
            let heard = tokio::time::timeout_at(until, self.stream.message()).await;
            let Ok(heard) = heard else {
                self.ask().await?;
                continue;
            };
            self.heard_at = Instant::now();
            let was_asked = self.asked_at.take().is_some();
            let message = heard.map_err(|error| Trouble::of(&error, "the watch"))?;
            let Some(message) = message else { return Err(away("it ended the watch")) };
            let changes = self.changes(&message)?;
            // A store that went back tells nothing until it is where the watch began. A member may be
            // late, but not by the second that passes before it is asked.
            let now = message.header().map(|header| Revision(unsigned(header.revision())));
            if was_asked && changes.is_empty() && now.is_some_and(|now| now < self.after) {
                return Err(away("it is at an earlier revision than it was"));
            }
            return Ok(changes);
        }
    }

    /// Asks for a sign of life, or gives up when the last one asked for has not come.
    async fn ask(&mut self) -> Result<(), StoreError> {
        if self.asked_at.is_some() {
            return Err(away(&format!("the watch heard nothing for {ANSWER_WITHIN:?}")));
        }
        self.asked_at = Some(Instant::now());
        let asked = tokio::time::timeout(ANSWER_WITHIN, self.stream.request_progress()).await;
        match asked {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Trouble::of(&error, "the watch").into()),
            Err(_) => Err(away("the watch cannot be asked")),
        }
    }

    fn changes(&self, message: &WatchResponse) -> Result<Vec<Change>, StoreError> {
        if message.compact_revision() > 0 {
            return Err(StoreError::Compacted);
        }
        if message.canceled() {
            return Err(Trouble::told(message.cancel_reason(), "the watch").into());
        }
        let changes = message.events().iter().filter_map(|event| {
            let kv = event.kv()?;
            let is_put = event.event_type() == EventType::Put;
            // A key that is no text is none of ours.
            Some(Change {
                key: self.etcd.relative(kv.key())?,
                value: is_put.then(|| kv.value().to_vec()),
                revision: Revision(unsigned(kv.mod_revision())),
            })
        });
        Ok(changes.collect())
    }
}

fn away(why: &str) -> StoreError {
    StoreError::Away { why: why.to_owned() }
}
