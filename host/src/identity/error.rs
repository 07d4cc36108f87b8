//! Why a folder makes no identity, with what to do about it.
//! Decides nothing.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use steerage_core::id::HostName;

use super::files::{CA, CERTIFICATE};

/// Why a folder makes no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read.
    #[error("cannot read {path}: it is made by `steerage cert issue NAME --out DIR`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The authority's key cannot be read.
    #[error("cannot read {path}, the authority's key as `steerage cert init` made it")]
    ReadKey {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is the key of another authority.
    #[error(
        "{path} is not the key of an authority in {ca}: with it this host would sign certificates that \
         nobody believes"
    )]
    OtherKey {
        /// The key.
        path: PathBuf,
        /// The authorities that are believed.
        ca: PathBuf,
    },
    /// A file holds something else.
    #[error("cannot use {path}: {why}")]
    Bad {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The certificate is of another authority.
    #[error(
        "{path} is of another authority than the one in {CA} beside it: issue it with the fleet's \
         own, `steerage cert issue --dir FLEET-CA`"
    )]
    OtherAuthority {
        /// The certificate.
        path: PathBuf,
    },
    /// The certificate's time is over.
    #[error(
        "{path} expired at {ended}, and it is {now} here: issue another with `steerage cert issue`"
    )]
    Expired {
        /// The certificate.
        path: PathBuf,
        /// When.
        ended: Timestamp,
        /// The time by this machine's clock.
        now: Timestamp,
    },
    /// The certificate's time has not begun.
    #[error(
        "{path} is valid from {begins}, and it is {now} here: the clocks of this machine and of the \
         one that issued it differ; set them right"
    )]
    NotYet {
        /// The certificate.
        path: PathBuf,
        /// When it begins.
        begins: Timestamp,
        /// The time by this machine's clock.
        now: Timestamp,
    },
    /// An authority is gone from the file by which other hosts are known.
    #[error(
        "{path} does not hold the authority {} any more, which is believed on since certificates of it are \
         shown by {}: renew those with the new authority",
        .authority.get(..16).unwrap_or(.authority), names(.hosts)
    )]
    Needed {
        /// The file.
        path: PathBuf,
        /// The authority, by its fingerprint.
        authority: String,
        /// Who needs it.
        hosts: Vec<HostName>,
    },
    /// The certificate is of an authority that not all hosts believe yet.
    #[error(
        "{path} is of the authority {}, which is not believed by {} yet: have them trust it, with `steerage \
         cert trust`; the certificate is shown then",
        .authority.get(..16).unwrap_or(.authority), names(.hosts)
    )]
    NotBelieved {
        /// The certificate.
        path: PathBuf,
        /// The authority, by its fingerprint.
        authority: String,
        /// Who does not believe it.
        hosts: Vec<HostName>,
    },
    /// The certificate does not name a host.
    #[error("{path} is not a host's certificate: {why}")]
    NoName {
        /// The certificate.
        path: PathBuf,
        /// What it says instead.
        why: String,
    },
}

pub(super) fn does_not_fit(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => format!("it is not the key of {CERTIFICATE}"),
        error => error.to_string(),
    }
}

fn names(hosts: &[HostName]) -> String {
    hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(", ")
}

pub(super) fn bad(path: &Path, why: impl ToString) -> IdentityError {
    IdentityError::Bad { path: path.to_owned(), why: why.to_string() }
}
