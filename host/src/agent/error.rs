//! Why a host does not serve what it shall.
//! Does not know how this is told; the API does.

use std::sync::Arc;

use steerage_core::id::Digest;
use steerage_core::route::Conflict;

use crate::blobs::BlobError;
use crate::code::CodeError;
use crate::ledger::LedgerError;
use crate::manifest::Mistakes;
use crate::sandbox::compiler::CompileError;
use crate::sandbox::load_error::LoadError;
use crate::store::StoreError;

/// Why a host does not serve what it shall. It serves on what it did.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The manifest has mistakes.
    #[error("the manifest has {} mistakes", .0.iter().count())]
    Manifest(Mistakes),
    /// Another app owns one of the routes.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The component cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The component cannot run with this manifest.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The component cannot be read.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The store that all hosts share does not answer, or does not hold it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The same of a question about many deployments, each of which has this answer.
    #[error(transparent)]
    Recall(#[from] Arc<StoreError>),
    /// No host that answers has the component.
    #[error("no host has component {digest}: {asked}")]
    Missing {
        /// The component.
        digest: Digest,
        /// What the hosts said.
        asked: String,
    },
    /// A background task of the host failed.
    #[error("a task of the host failed: {0}")]
    Task(String),
}

impl ApplyError {
    /// Whether it is for want of room on this host's disk, which is nobody's but its operator's to mend.
    #[must_use]
    pub fn is_full_disk(&self) -> bool {
        matches!(
            self,
            Self::Ledger(LedgerError::Full { .. })
                | Self::Blob(BlobError::Full { .. })
                | Self::Compile(CompileError::Full { .. })
                | Self::Store(StoreError::Full { .. })
        )
    }
}

impl From<CodeError> for ApplyError {
    fn from(error: CodeError) -> Self {
        match error {
            CodeError::Manifest(mistakes) => Self::Manifest(mistakes),
            CodeError::Ledger(error) => Self::Ledger(error),
            CodeError::Blob(error) => Self::Blob(error),
            CodeError::Compile(error) => Self::Compile(error),
            CodeError::Load(error) => Self::Load(error),
            CodeError::Missing { digest, asked } => Self::Missing { digest, asked },
            error => Self::Task(error.to_string()),
        }
    }
}
