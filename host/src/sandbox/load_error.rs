//! Why compiled code cannot serve a deployment.
//! Loads nothing.

use rustix::io::Errno;
use steerage_core::units::Bytes;

use super::verdict::Rejection;

/// Why compiled code cannot serve a deployment.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The component takes more memory before its first instruction than the limit allows.
    #[error("the component takes {least} of memory at start, more than [limits] memory = {limit}")]
    MemoryLimit {
        /// What it takes.
        least: Bytes,
        /// The app's limit.
        limit: Bytes,
    },
    /// It uses the component model's async features, and there is no room for their engine.
    #[error("no room for the instance pool of components that use async features")]
    NoConcurrentEngine,
    /// Its imports do not match what the host offers under those names.
    #[error("{0}")]
    Rejected(Rejection),
    /// The code file cannot be mapped.
    #[error("cannot map the compiled code at {path}")]
    Map {
        /// The file.
        path: String,
        /// What Wasmtime said.
        #[source]
        source: wasmtime::Error,
    },
}

impl LoadError {
    /// Whether the code itself is at fault, and not the system that would not map it.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        let Self::Map { source, .. } = self else { return false };
        let is_system = |cause: &(dyn std::error::Error + 'static)| {
            // An empty file is an invalid argument to map.
            let errno = cause.downcast_ref::<Errno>();
            cause.is::<std::io::Error>() || errno.is_some_and(|errno| *errno != Errno::INVAL)
        };
        !source.chain().any(is_system)
    }

    /// The same where the code is as it should be, so that the component is at fault.
    #[must_use]
    pub fn into_rejection(self) -> Self {
        match self {
            Self::Map { source, .. } => {
                Self::Rejected(Rejection::Unusable { detail: format!("{source:#}") })
            }
            error => error,
        }
    }
}
