//! What the sandbox must know of a deployment, and what the deployments of an app have in common.
//! Does not read manifests and maps no code.

use std::sync::Arc;

use steerage_core::id::Generation;
use steerage_core::manifest::Manifest;

use super::secrets::{OpenedSecrets, env_of};
use super::{CodeError, Loader};
use crate::catalog::AppState;
use crate::sandbox::module::Spec;
use crate::sandbox::outbound::{ConnectionCharge, Denials};

impl Loader {
    pub(super) fn spec(
        &self,
        manifest: Manifest,
        generation: Generation,
        state: &AppState,
        secrets: &Option<OpenedSecrets>,
    ) -> Result<Spec, CodeError> {
        let env = env_of(&manifest, secrets.as_ref(), &state.log)?;
        let profiles = &self.parts().telemetry.profiles;
        let (count, events) = (state.meter.outbound_denied.clone(), self.parts().events.clone());
        let (flow, kept) = (state.flow.clone(), &self.parts().kept);
        let (stores, databases) = (kept.stores_of(&manifest, &flow), kept.databases_of(&manifest));
        let profile = profiles.scope(&manifest.name, generation);
        let denials = Denials::new(manifest.name, generation, count, events);
        Ok(Spec {
            generation,
            limits: manifest.limits,
            env,
            secrets: secrets.iter().flat_map(OpenedSecrets::values).collect(),
            instance: manifest.instance,
            allowed_outbound_hosts: manifest.allowed_outbound_hosts,
            stores,
            databases,
            spin: manifest.spin.map(Arc::new),
            capture: manifest.capture,
            log: state.log.clone(),
            meter: state.meter.clone(),
            profile,
            memory: state.memory.clone(),
            denials: denials.hiding(state.log.clone()),
            destinations: state.calls.destinations.clone(),
            charge: ConnectionCharge::to(move |used| flow.charge_io(used)),
        })
    }

    /// What the app keeps from its earlier deployments, or something new where it has none.
    pub(super) fn state(&self, manifest: &Manifest) -> AppState {
        match self.parts().catalog.app(&manifest.name) {
            Some(app) => app.state_or(|| self.new_state(manifest)).clone(),
            None => self.new_state(manifest),
        }
    }

    pub(super) fn new_state(&self, manifest: &Manifest) -> AppState {
        let parts = self.parts();
        let meter = parts.telemetry.meters.meter();
        AppState {
            problems: parts.telemetry.problems.of(&manifest.name, &meter),
            gate: parts.admission.gate(&manifest.limits, &manifest.tenant, manifest.weight),
            flow: parts.cpu.flow(&manifest.tenant, manifest.weight),
            memory: parts.memory.account(&manifest.tenant, manifest.weight),
            meter,
            calls: parts.telemetry.calls.ring(&manifest.name),
            log: parts.telemetry.logs.app(&manifest.name),
        }
    }
}
