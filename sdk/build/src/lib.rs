//! Turns a cargo project into a WebAssembly program that Steerage deploys, on any machine that can
//! build one.
//!
//! It does not install anything unless asked to ([`Project::install_target`]), and knows nothing of
//! manifests: `steerage build` reads `steerage.toml` and calls this crate.
//!
//! Reading order: [`Project`] says what to build, [`Toolchain`] how this machine can do it,
//! [`encode`] makes a component of a core module.
//!
//! ```no_run
//! use steerage_build::{Progress, Project};
//!
//! # fn main() -> Result<(), steerage_build::BuildError> {
//! let artifact = Project::at("examples/hello").build_one(Progress::Inherit)?;
//! println!("{} bytes in {}", artifact.bytes, artifact.path.display());
//! # Ok(())
//! # }
//! ```

mod cargo;
mod component;
mod metadata;
mod project;
mod toolchain;

pub use cargo::Progress;
pub use component::{EncodeError, encode};
pub use project::{Artifact, BuildError, Kind, Project};
pub use toolchain::{MissingToolchain, SourceStd, Toolchain};
