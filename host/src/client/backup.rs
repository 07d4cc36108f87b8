//! Fetching a backup into a file. Does not look into it.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use http::Method;
use http_body::Body as _;
use http_body_util::BodyExt as _;

use super::{CHANGE_TIMEOUT, Client, ClientError, answer, nothing};

/// A host that sends nothing for so long has gone.
const SILENCE: Duration = Duration::from_secs(60);

impl Client {
    /// Writes a copy of all that the host keeps to `out`, which is at `path`. `on_progress` is told how
    /// many bytes have come, and of how many.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn backup(
        &self,
        out: &mut impl Write,
        path: &Path,
        mut on_progress: impl FnMut(u64, u64),
    ) -> Result<u64, ClientError> {
        let request = self.request(Method::GET, "/v1/backup");
        let response = self.send(request, nothing(), CHANGE_TIMEOUT).await?;
        let said = answer::content_type(&response);
        if said != "application/x-tar" {
            return Err(self.not_admin(&format!("it answers with {said}")));
        }
        let mut body = response.into_body();
        let total = body.size_hint().exact().unwrap_or(0);
        let mut n_bytes = 0;
        loop {
            let frame = tokio::time::timeout(SILENCE, body.frame()).await;
            let frame = frame.map_err(|_| self.broken(&format!("nothing came for {SILENCE:?}")))?;
            let Some(frame) = frame else { return Ok(n_bytes) };
            let Ok(data) = frame.map_err(|error| self.broken(&error))?.into_data() else {
                continue;
            };
            let written = out.write_all(&data);
            written.map_err(|source| ClientError::Write { path: path.to_owned(), source })?;
            n_bytes += data.len() as u64;
            on_progress(n_bytes, total);
        }
    }
}
