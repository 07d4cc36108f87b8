//! Secrets of apps. Does not know what a secret may be: the host says.

use http::Method;
use http::header::CONTENT_TYPE;

use super::{CHANGE_TIMEOUT, Client, ClientError, app_path, escape, nothing, whole};
use crate::api::wire::{SecretSet, Secrets};

impl Client {
    /// The secrets of an app, without what they are.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn secrets(&self, app: &str) -> Result<Secrets, ClientError> {
        self.get(&app_path(app, "/secrets")).await
    }

    /// Gives a secret a value.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn set_secret(
        &self,
        app: &str,
        name: &str,
        value: Vec<u8>,
    ) -> Result<SecretSet, ClientError> {
        self.host().await?;
        let request = self.request(Method::PUT, &path(app, name));
        let request = request.header(CONTENT_TYPE, "application/octet-stream");
        let response = self.send(request, whole(value), CHANGE_TIMEOUT).await?;
        self.parse(response).await
    }

    /// Takes a secret away.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete_secret(&self, app: &str, name: &str) -> Result<(), ClientError> {
        self.host().await?;
        let request = self.request(Method::DELETE, &path(app, name));
        self.send(request, nothing(), CHANGE_TIMEOUT).await.map(drop)
    }
}

fn path(app: &str, name: &str) -> String {
    app_path(app, &format!("/secrets/{}", escape(name)))
}
