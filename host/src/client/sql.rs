//! SQL databases of apps. Does not know what a statement may be: the host says.

use std::time::Duration;

use http::Method;
use http_body_util::BodyExt as _;

use super::{CHANGE_TIMEOUT, Client, ClientError, LOOK_TIMEOUT, app_path, escape, nothing};
use crate::api::wire::{DatabaseSizes, SqlResults, SqlStatements};

/// What statements may take: the host ends each itself.
const STATEMENTS_TIMEOUT: Duration = Duration::from_secs(600);

impl Client {
    /// The databases of an app.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn database_sizes(&self, app: &str) -> Result<DatabaseSizes, ClientError> {
        self.get(&app_path(app, "/databases")).await
    }

    /// Runs statements on one connection.
    ///
    /// # Errors
    /// See [`ClientError`]; a statement that fails is none.
    pub async fn run_sql(
        &self,
        (app, label): (&str, &str),
        statements: Vec<String>,
    ) -> Result<SqlResults, ClientError> {
        let path = database_path(app, label, "/statements");
        self.post(&path, &SqlStatements { statements }, STATEMENTS_TIMEOUT).await
    }

    /// Writes a copy of a database.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn copy_database(
        &self,
        (app, label): (&str, &str),
        mut write: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<u64, ClientError> {
        let request = self.request(Method::GET, &database_path(app, label, "/file"));
        let mut body = self.send(request, nothing(), LOOK_TIMEOUT).await?.into_body();
        let mut n_bytes = 0_u64;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.broken(&error))?;
            if let Ok(data) = frame.into_data() {
                n_bytes = n_bytes.saturating_add(data.len() as u64);
                write(&data).map_err(|error| self.broken(&error))?;
            }
        }
        Ok(n_bytes)
    }

    /// Removes a database of an app.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn drop_database(&self, (app, label): (&str, &str)) -> Result<(), ClientError> {
        self.host().await?;
        let request = self.request(Method::DELETE, &database_path(app, label, ""));
        self.send(request, nothing(), CHANGE_TIMEOUT).await.map(drop)
    }
}

fn database_path(app: &str, label: &str, rest: &str) -> String {
    app_path(app, &format!("/databases/{}{rest}", escape(label)))
}
