//! Why an app's code cannot be had, for operators and for callers.
//! Does not know how either is told.

use steerage_core::id::Digest;
use steerage_core::outcome::{Outcome, Refusal};

use super::secrets::SecretTrouble;
use crate::blobs::BlobError;
use crate::ledger::LedgerError;
use crate::manifest::Mistakes;
use crate::sandbox::compiler::CompileError;
use crate::sandbox::load_error::LoadError;
use crate::telemetry::chain;

/// Why an app's code cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// The deployment was removed meanwhile.
    #[error("the deployment is no longer there")]
    Gone,
    /// As much is mapped as may be, and calls run in all of it.
    #[error("the code of as many apps is mapped as may be, and calls run in all of them")]
    NoRoom,
    /// The manifest that was accepted once is not any more.
    #[error("the manifest has {} mistakes", .0.iter().count())]
    Manifest(Mistakes),
    /// The record cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The component cannot be read, which must be compiled again.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The component cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The code cannot be mapped or linked.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A secret of the app cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretTrouble),
    /// No host that answers has the component.
    #[error("no host has component {digest}: {asked}")]
    Missing {
        /// The component.
        digest: Digest,
        /// What the hosts said.
        asked: String,
    },
    /// It was compiled just now and still cannot be mapped.
    #[error("the code that was compiled of {0} cannot be used")]
    Unusable(Digest),
    /// A background task of the host failed.
    #[error("a task of the host failed: {0}")]
    Task(String),
}

/// Why a call does not get the code it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unready {
    /// The app was removed meanwhile.
    Gone,
    /// It cannot be had now, and may be soon.
    Busy,
    /// The host failed; this is how, for its operator.
    Failed(String),
}

impl CodeError {
    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            // It says so itself.
            Self::Secret(trouble) => trouble.advice(),
            _ => "deploy the app again, or roll it back".to_owned(),
        }
    }
}

impl From<&CodeError> for Unready {
    fn from(error: &CodeError) -> Self {
        match error {
            CodeError::Gone => Self::Gone,
            CodeError::NoRoom => Self::Busy,
            error => Self::Failed(format!("its code cannot be had: {}", chain(error))),
        }
    }
}

impl From<Unready> for Outcome {
    fn from(unready: Unready) -> Self {
        match unready {
            Unready::Gone => Self::Refused(Refusal::NoRoute),
            Unready::Busy => Self::Refused(Refusal::NotReady),
            Unready::Failed(detail) => Self::HostFailed { detail },
        }
    }
}
