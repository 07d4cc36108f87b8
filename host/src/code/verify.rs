//! Finding components that the disk has changed, before they are compiled or given to other hosts.
//! Does not fetch them anew: who needs one does.

use std::io::ErrorKind;

use steerage_core::id::Digest;
use tokio::fs::File;

use super::{CodeError, Loader};
use crate::blobs::BlobError;
use crate::telemetry::events::{Event, Severity};

/// What to do about a component that the disk has changed.
const DAMAGED_ADVICE: &str = "it is fetched from another host when it is needed, or comes with the \
                              next deploy of its app; check the disk of this host";

impl Loader {
    /// Whether a component here still is what its name says: code is kept under the digest of what it
    /// was compiled from, and other hosts ask for it by that. A damaged one goes, so that it can be
    /// fetched or uploaded again.
    ///
    /// # Errors
    /// [`BlobError::Damaged`], or it cannot be read.
    pub async fn verify(&self, digest: Digest) -> Result<(), CodeError> {
        let parts = self.parts();
        let blobs = parts.blobs.clone();
        let verified = self
            .blocking(move || {
                let verified = blobs.verify(&digest);
                if let Err(BlobError::Damaged { .. }) = verified {
                    blobs.remove(&digest)?;
                }
                Ok(verified?)
            })
            .await;
        if let Err(error @ CodeError::Blob(BlobError::Damaged { .. })) = &verified {
            tracing::error!(%digest, "a component is damaged and was removed");
            parts.events.push(Event {
                severity: Severity::Error,
                advice: Some(DAMAGED_ADVICE.to_owned()),
                ..Event::now("component_damaged", error.to_string())
            });
        }
        verified
    }

    /// A component for whoever asks for its bytes, with how many there are, if it is here and still what its name
    /// says.
    ///
    /// # Errors
    /// See [`Self::verify`].
    pub async fn open_verified(&self, digest: Digest) -> Result<Option<(File, u64)>, CodeError> {
        let path = self.parts().blobs.path(&digest);
        let opened = match File::open(&path).await {
            Ok(file) => file.metadata().await.map(|found| (file, found.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(error),
        };
        let unreadable =
            |source| BlobError::Io { what: format!("read {}", path.display()), source };
        let opened = opened.map_err(unreadable)?;
        self.verify(digest).await?;
        Ok(Some(opened))
    }
}
