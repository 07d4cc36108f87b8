//! Key-value stores of apps. Does not know what a key may be: the host says.

use std::time::Duration;

use http::Method;
use http::header::CONTENT_TYPE;

use super::{CHANGE_TIMEOUT, Client, ClientError, LOOK_TIMEOUT, app_path, escape, nothing, whole};
use crate::api::stores::EXPIRES;
use crate::api::wire::{StoreKeys, StoreUsage};

impl Client {
    /// What an app keeps.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn store_usage(&self, app: &str) -> Result<StoreUsage, ClientError> {
        self.get(&app_path(app, "/stores")).await
    }

    /// Deletes all pairs of an app.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn drop_stores(&self, app: &str) -> Result<(), ClientError> {
        self.host().await?;
        let request = self.request(Method::DELETE, &app_path(app, "/stores"));
        self.send(request, nothing(), CHANGE_TIMEOUT).await.map(drop)
    }

    /// So many keys of a store that come after one.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn store_keys(
        &self,
        (app, label): (&str, &str),
        after: Option<&str>,
        limit: usize,
    ) -> Result<StoreKeys, ClientError> {
        let after = after.map_or_else(String::new, |after| format!("&after={}", escape(after)));
        let path = store_path(app, label, &format!("/keys?limit={limit}{after}"));
        self.get(&path).await
    }

    /// The value of a key, and when it is over, in milliseconds since 1970.
    ///
    /// # Errors
    /// See [`ClientError`]; a key without a value is one as well.
    pub async fn store_value(
        &self,
        (app, label): (&str, &str),
        key: &str,
    ) -> Result<(Vec<u8>, Option<u64>), ClientError> {
        let request = self.request(Method::GET, &value_path(app, label, key, ""));
        let response = self.send(request, nothing(), LOOK_TIMEOUT).await?;
        let expires = response.headers().get(EXPIRES).and_then(|at| at.to_str().ok()?.parse().ok());
        Ok((self.read(response).await?.to_vec(), expires))
    }

    /// Gives a key a value, for so long or for good.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn set_store_value(
        &self,
        (app, label): (&str, &str),
        key: &str,
        value: Vec<u8>,
        ttl: Option<Duration>,
    ) -> Result<(), ClientError> {
        let ttl = ttl.map_or_else(String::new, |ttl| format!("&ttl_ms={}", ttl.as_millis()));
        let request = self.request(Method::PUT, &value_path(app, label, key, &ttl));
        let request = request.header(CONTENT_TYPE, "application/octet-stream");
        self.send(request, whole(value), CHANGE_TIMEOUT).await.map(drop)
    }

    /// Takes a key and its value away.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete_store_key(
        &self,
        (app, label): (&str, &str),
        key: &str,
    ) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, &value_path(app, label, key, ""));
        self.send(request, nothing(), CHANGE_TIMEOUT).await.map(drop)
    }
}

fn store_path(app: &str, label: &str, rest: &str) -> String {
    app_path(app, &format!("/stores/{}{rest}", escape(label)))
}

fn value_path(app: &str, label: &str, key: &str, more: &str) -> String {
    store_path(app, label, &format!("/value?key={}{more}", escape(key)))
}
