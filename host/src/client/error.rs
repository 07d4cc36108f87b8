//! Why a host did not do what it was asked, by what its caller can do about it.
//! Does not know what was asked.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use crate::api::wire::Problem;

/// Why the host did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL cannot be one of a control API.
    #[error("{url:?} is not the URL of a host: expected something like http://127.0.0.1:8081")]
    BadUrl {
        /// What was given.
        url: String,
    },
    /// The token cannot be sent.
    #[error("the token is empty or has characters that cannot be sent in a header")]
    BadToken,
    /// The component cannot be read.
    #[error("cannot read {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What the host sent cannot be kept.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody answers there.
    #[error("is a host running at {url}? start one with `steerage host`")]
    Unreachable {
        /// Where.
        url: String,
        /// What the network said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The host answered, and refused.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// Something answers there that is no control API.
    #[error(
        "{url} answers, but is not the admin address of a host: {what}; `steerage host` prints the \
         admin address beside that of the apps"
    )]
    NotAdmin {
        /// Where.
        url: String,
        /// What shows it.
        what: String,
    },
    /// The connection broke, or what answered is not a host.
    #[error("the answer of {url} broke off or makes no sense: {what}")]
    Broken {
        /// Where.
        url: String,
        /// What is wrong with it.
        what: String,
    },
}

impl ClientError {
    /// Whether the host answered that there is no such thing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(problem) if problem.cause == "not_found")
    }
}
