//! One member of etcd and the connection to it, made when it is first needed and again after trouble.
//! Does not decide which member is asked.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Error, Identity, TlsOptions};

use super::super::{EtcdSettings, StoreError, TlsFiles};
use super::ONE_TRY;

/// How often a connection in use is tried, and how long that may take. etcd hangs up on whoever does
/// it more often than every 5 s, or while nothing is asked.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(6), Duration::from_secs(2));

/// Longest wait for the files with certificates and the password.
const READ_WITHIN: Duration = Duration::from_millis(200);

pub(super) struct Member {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub(super) address: String,
    /// As they were at the start; what is in files may be renewed.
    options: ConnectOptions,
    settings: Arc<EtcdSettings>,
    client: Mutex<Option<Client>>,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("address", &self.address).finish_non_exhaustive()
    }
}

/// All members; nobody is asked yet.
pub(super) async fn all(settings: &EtcdSettings) -> Result<Vec<Member>, StoreError> {
    let options = options(settings)?;
    let kind = if settings.tls.is_some() { "https" } else { "http" };
    let settings = Arc::new(settings.clone());
    let mut members = Vec::new();
    for member in &settings.members {
        let address = format!("{kind}://{member}");
        // Without a user this only looks at the address and at the certificates.
        let bare = bare(&settings)?;
        Client::connect([&address], Some(bare)).await.map_err(|error| {
            StoreError::BadAddress(format!("{address}: {}", super::error::causes(&error)))
        })?;
        let (options, settings) = (options.clone(), settings.clone());
        members.push(Member { address, options, settings, client: Mutex::default() });
    }
    Ok(members)
}

/// How to connect, with what is in the files now.
fn options(settings: &EtcdSettings) -> Result<ConnectOptions, StoreError> {
    let options = bare(settings)?;
    let Some((name, password)) = &settings.user else { return Ok(options) };
    let password = match &settings.password_file {
        Some(path) => &password_in(path)?,
        None => password,
    };
    Ok(options.with_user(name, password))
}

/// The same without a user.
fn bare(settings: &EtcdSettings) -> Result<ConnectOptions, StoreError> {
    let options = ConnectOptions::new()
        .with_connect_timeout(ONE_TRY)
        .with_keep_alive(KEEP_ALIVE.0, KEEP_ALIVE.1)
        .with_keep_alive_while_idle(false)
        .with_auto_token_refresh(true)
        .with_require_leader(true);
    match &settings.tls {
        Some(files) => Ok(options.with_tls(tls(files)?)),
        None => Ok(options),
    }
}

impl Member {
    /// The same member, to which there is no connection yet.
    pub(super) fn unconnected(&self) -> Self {
        Self {
            address: self.address.clone(),
            options: self.options.clone(),
            settings: self.settings.clone(),
            client: Mutex::default(),
        }
    }

    /// The connection; where etcd has users, this is where it is asked whether this is one. A new one
    /// is made with what is in the files by now: certificates are renewed.
    pub(super) async fn client(&self) -> Result<Client, Error> {
        if let Some(client) = &*self.kept() {
            return Ok(client.clone());
        }
        let client = Client::connect([&self.address], Some(self.options_now().await)).await?;
        *self.kept() = Some(client.clone());
        Ok(client)
    }

    /// What is in the files now, or was before where they cannot be read, or not soon: their disk may stand
    /// still, and whoever asks has a lease to keep.
    async fn options_now(&self) -> ConnectOptions {
        let settings = self.settings.clone();
        let read = tokio::task::spawn_blocking(move || options(&settings));
        let why = match tokio::time::timeout(READ_WITHIN, read).await {
            Ok(Ok(Ok(options))) => return options,
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it could not be read within {READ_WITHIN:?}"),
        };
        tracing::warn!(why, "going on with what was in the file before");
        self.options.clone()
    }

    /// Lets the next question make a new connection.
    pub(super) fn forget(&self) {
        *self.kept() = None;
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Option<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn password_in(path: &Path) -> Result<String, StoreError> {
    let unusable = |why: String| StoreError::File { path: path.to_owned(), why };
    let text = fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    let password = text.trim_end_matches(['\r', '\n']).to_owned();
    if password.is_empty() { Err(unusable("it is empty".to_owned())) } else { Ok(password) }
}

fn tls(files: &TlsFiles) -> Result<TlsOptions, StoreError> {
    let ca = Certificate::from_pem(read(&files.ca, "CERTIFICATE-----")?);
    let options = TlsOptions::new().ca_certificate(ca);
    let Some((certificate, key)) = &files.own else { return Ok(options) };
    let (certificate, key) =
        (read(certificate, "CERTIFICATE-----")?, read(key, "PRIVATE KEY-----")?);
    Ok(options.identity(Identity::from_pem(certificate, key)))
}

/// Reads a PEM file. One that holds something else would only be ignored later on.
fn read(path: &Path, kind: &str) -> Result<String, StoreError> {
    let unusable = |why: String| StoreError::File { path: path.to_owned(), why };
    let text = fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    if !text.contains(kind) {
        return Err(unusable(format!(
            "it holds no {} in PEM",
            kind.trim_matches('-').to_lowercase()
        )));
    }
    Ok(text)
}
