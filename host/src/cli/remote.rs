//! The way to a host's admin API, as the flags describe it.
//! Reads the token; everything else is the client's.

use std::fs;

use anyhow::Context as _;

use super::args::Remote;
use crate::client::{Client, ClientError};

/// A client for the host that the flags name. Nothing is sent yet.
pub(super) fn connect(remote: &Remote) -> anyhow::Result<Client> {
    let token = match &remote.token_file {
        Some(path) => Some(
            fs::read_to_string(path)
                .with_context(|| format!("cannot read token file `{}`", path.display()))?
                .trim()
                .to_owned(),
        ),
        None => None,
    };
    Client::new(&remote.admin, token).map_err(|error| {
        let what = match (&error, &remote.token_file) {
            (ClientError::BadToken, Some(path)) => {
                format!("cannot use token file `{}`", path.display())
            }
            _ => format!("`{}` cannot be the URL of an admin API", remote.admin),
        };
        anyhow::Error::new(error).context(what)
    })
}
