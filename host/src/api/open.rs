//! What every change asks first: whether this host takes any; and where its callers reach it.
//! Changes nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::ApiState;
use super::problem::{Cause, Refusal};

impl ApiState {
    /// Where callers reach the apps, as a URL. A host that listens on all addresses can only tell
    /// the one that this machine itself can use.
    pub(super) fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        let ip = match self.listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        format!("{scheme}://{}", SocketAddr::new(ip, self.listen.port()))
    }

    /// Refuses changes once the host is ending, or can keep none.
    pub(super) fn check_open(&self) -> Result<(), Refusal> {
        if self.context.shutdown.has_begun() {
            return Err(Refusal::draining());
        }
        if !self.own.ledger.is_there() {
            let detail = "the data folder of this host was deleted or moved away while it runs: nothing \
                          can be kept; move it back, or restart the host and restore a backup";
            return Err(Refusal::new(Cause::DataLost, detail));
        }
        Ok(())
    }
}
