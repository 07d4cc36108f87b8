//! Connections that guests make themselves, by `wasi:sockets`: which of them an app may make, and how many at
//! once. Does not make them: `wasmtime-wasi` does, and asks here for each address.
//!
//! Guests connect by TCP to addresses that their manifest allows, as its entries of `tcp` and `*` say, and that the
//! operator opened where they are not public. They listen nowhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use steerage_core::outbound::{Denial, OutboundDecision};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::TcpSocket;
use wasmtime_wasi::sockets::SocketAddrUse;

use super::app_egress::{AppEgress, Files};

/// Sockets that an instance has at once.
const MOST_PER_INSTANCE: usize = 64;

/// The way out for connections that an app's guests make themselves.
#[derive(Clone, Debug)]
pub struct Doorway(Arc<AppEgress>);

/// Why a guest may not make a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSocket {
    /// Its manifest names nothing that it could connect to.
    NotAllowed,
    /// It has as many as an instance may, or its app or the host has as many connections as it may.
    TooMany,
}

/// The files that an instance's sockets take, of its app's and of the host's.
#[derive(Debug, Default)]
pub struct SocketFiles(Vec<Files>);

impl Doorway {
    /// The way out of an app, if its manifest names anything to connect to.
    pub(super) fn of(app: &Arc<AppEgress>) -> Option<Self> {
        app.policy.allows_connections().then(|| Self(app.clone()))
    }

    /// Lets a guest with this context make connections.
    pub fn open(&self, wasi: &mut WasiCtxBuilder) {
        let app = self.0.clone();
        wasi.allow_tcp(true).socket_addr_check(move |address, wanted| {
            let app = app.clone();
            Box::pin(async move { app.lets(address, wanted).await })
        });
    }

    pub(super) fn app(&self) -> &AppEgress {
        &self.0
    }
}

impl AppEgress {
    async fn lets(&self, address: SocketAddr, wanted: SocketAddrUse) -> bool {
        match wanted {
            // What connecting does by itself. Whoever chooses an address wants to be found there.
            SocketAddrUse::TcpBind => address.ip().is_unspecified() && address.port() == 0,
            SocketAddrUse::TcpConnect => match self.judge(address).await {
                Ok(()) => true,
                Err(denial) => {
                    self.denials.note_connection(address, denial);
                    false
                }
            },
            _ => false,
        }
    }

    async fn judge(&self, address: SocketAddr) -> Result<(), Denial> {
        let ip = address.ip().to_canonical();
        let permits = |host: &str| self.policy.permits("tcp", host, address.port());
        let by_name = self.found.names(ip, Instant::now());
        let hosts = std::iter::once(ip.to_string()).chain(by_name);
        let mut denial = Denial::NotListed;
        for host in hosts {
            let OutboundDecision::Allowed { is_named } = permits(&host) else { continue };
            match self.egress.judge(address, is_named).await {
                Ok(()) => return Ok(()),
                Err(why) => denial = why,
            }
        }
        Err(denial)
    }
}

impl SocketFiles {
    /// Takes one more, after giving back those of sockets that are gone from the table.
    ///
    /// # Errors
    /// There are too many.
    pub fn take(&mut self, doorway: &Doorway, table: &mut ResourceTable) -> Result<(), NoSocket> {
        let n_sockets = table.iter_mut().filter(|resource| resource.is::<TcpSocket>()).count();
        self.0.truncate(n_sockets);
        if n_sockets >= MOST_PER_INSTANCE {
            return Err(NoSocket::TooMany);
        }
        self.0.push(doorway.0.try_files().ok_or(NoSocket::TooMany)?);
        Ok(())
    }

    /// How many there are.
    #[cfg(test)]
    #[must_use]
    pub fn n_files(&self) -> usize {
        self.0.len()
    }
}
