//! What must hold of a queue at any time.
//! Changes nothing.

use super::{Fair, Flow};

impl<T> Fair<T> {
    /// What must hold at any time.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn check(&self) -> Result<(), String> {
        let flows = || self.flows.iter().map(|(key, flow)| (*key, flow));
        let waiting: usize = flows().map(|(_, flow)| flow.waiting.len()).sum();
        let running: usize = flows().map(|(_, flow)| flow.n_running).sum();
        let tenants = || self.tenants.iter().map(|(key, tenant)| (*key, tenant));
        let is_known = |flow: &Flow<T>| flow.seat.is_present || flow.is_idle();
        let claims = [
            (waiting == self.n_waiting, "what waits is counted"),
            (running == self.n_running, "what runs is counted"),
            (flows().all(|(_, flow)| is_known(flow)), "who waits or runs is present"),
            (
                flows().all(|(_, flow)| flow.seat.is_present || !flow.is_forgotten()),
                "who is gone is forgotten",
            ),
            (
                tenants().all(|(_, tenant)| tenant.seat.is_present != tenant.level.is_empty()),
                "a tenant is present when a flow of it is",
            ),
        ];
        let broken =
            claims.into_iter().find(|(holds, _)| !holds).map(|(_, claim)| claim.to_owned());
        let broken = broken
            .or_else(|| self.level.check(tenants().map(|(key, tenant)| (key, &tenant.seat))))
            .or_else(|| {
                tenants().find_map(|(owner, tenant)| {
                    let own = flows().filter(|(_, flow)| flow.tenant == owner);
                    tenant.level.check(own.map(|(key, flow)| (key, &flow.seat)))
                })
            });
        broken.map_or(Ok(()), |claim| Err(format!("it does not hold that {claim}")))
    }
}
