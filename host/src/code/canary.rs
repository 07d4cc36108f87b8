//! The code of a canary: made ready beside that of the current one, given its part of the
//! calls, and taken away again.
//! Does not decide what is tried: the agent does.

use std::sync::Arc;

use steerage_core::canary::Share;
use steerage_core::id::{AppName, Digest, Generation};
use steerage_core::manifest::Manifest;

use super::{CodeError, Loader};
use crate::catalog::{AppState, LoadedDeployment, RunningCanary};

impl Loader {
    /// Makes a deployment ready to be tried beside the current one of its app, with a gate and memory
    /// of its own; numbers, last calls and log lines go where the app's go.
    ///
    /// # Errors
    /// See [`CodeError`].
    pub async fn prepare_canary(
        &self,
        manifest: &Manifest,
        generation: Generation,
        digest: Digest,
    ) -> Result<LoadedDeployment, CodeError> {
        let parts = self.parts();
        let state = AppState {
            gate: parts.admission.gate(&manifest.limits, &manifest.tenant, manifest.weight),
            flow: parts.cpu.flow(&manifest.tenant, manifest.weight),
            memory: parts.memory.account(&manifest.tenant, manifest.weight),
            ..self.state(manifest)
        };
        self.prepare_with(manifest, generation, digest, state).await
    }

    /// Gives a deployment its part of its app's calls, from now on.
    ///
    /// # Errors
    /// The app is not served any more.
    pub fn start_canary(&self, deployed: LoadedDeployment, share: Share) -> Result<(), CodeError> {
        let app = self.parts().catalog.app(&deployed.app).ok_or(CodeError::Gone)?;
        let canary = Arc::new(RunningCanary::new(deployed, share));
        let before = app.set_canary(Some(canary.clone()));
        self.drop_in_background(before.map(|before| before.deployed.clone()));
        if self.is_overtaken(&canary.deployed) {
            let loader = self.clone();
            tokio::spawn(async move { loader.renew(&app).await });
        }
        Ok(())
    }

    /// Gives the current deployment all calls again; returns what was on trial.
    #[must_use]
    pub fn end_canary(&self, app: &AppName) -> Option<Arc<RunningCanary>> {
        let app = self.parts().catalog.app(app)?;
        let ended = app.set_canary(None)?;
        // One that was promoted is served on.
        if ended.generation() != app.generation {
            ended.deployed.state.problems.note_gone(ended.generation());
        }
        self.drop_in_background([ended.deployed.clone()]);
        Some(ended)
    }
}
