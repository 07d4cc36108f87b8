//! What the outbound requests of all apps share: what the operator opened to them, the doors of the
//! host that none of them reaches, files for connections, and threads for name look-ups.
//! Does not know any app, and makes no connections.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, OnceLock};

use hyper_rustls::ConfigBuilderExt as _;
use rustls::ClientConfig;
use steerage_core::outbound::{Denial, OwnDoor, PrivateNetworks, judge_address};
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

use super::names::{self, Names};

/// One in 16 of the files that the process may have open is for outbound connections: callers, mapped
/// code and the ledger need the rest. Never fewer than a small host needs, nor more than that many
/// sockets are good for.
const FILES_PER_CONNECTION: u64 = 16;
const CONNECTIONS: (u64, u64) = (32, 4096);
/// One app has at most a quarter of them, so it takes several to starve the others.
const APPS: usize = 4;

/// The doors of a host that its guests never reach.
#[derive(Clone, Debug)]
pub struct OwnDoors {
    /// Where operators come in.
    pub admin: SocketAddr,
    /// Where other hosts come in.
    pub peer: Option<SocketAddr>,
    /// The store's members, as `host:port`.
    pub store: Vec<String>,
}

/// The part of a host that all outbound requests go through.
#[derive(Debug)]
pub struct Egress {
    opened: PrivateNetworks,
    /// Unknown until the host has opened its doors; until then guests reach nothing.
    doors: OnceLock<OwnDoors>,
    pub(super) connections: Arc<Semaphore>,
    most_per_app: usize,
    /// For the names of the store, which may change while the host runs.
    store_names: Names,
    lookups: Arc<Semaphore>,
    tls: OnceLock<Arc<ClientConfig>>,
}

impl Egress {
    /// An egress for a process that may have this many files open.
    #[must_use]
    pub fn new(opened: PrivateNetworks, open_files: u64) -> Self {
        let most = (open_files / FILES_PER_CONNECTION).clamp(CONNECTIONS.0, CONNECTIONS.1);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let lookups = Arc::new(Semaphore::new(names::MOST_THREADS));
        Self {
            opened,
            doors: OnceLock::new(),
            connections: Arc::new(Semaphore::new(most)),
            most_per_app: (most / APPS).max(1),
            store_names: Names::new(lookups.clone()),
            lookups,
            tls: OnceLock::new(),
        }
    }

    /// Says where the host's own doors are, once they are open.
    pub fn set_doors(&self, doors: OwnDoors) {
        // Only the composition root knows them, and says it once.
        drop(self.doors.set(doors));
    }

    /// Connections for one app, and look-ups of its own.
    pub(super) fn for_app(&self) -> (Arc<Semaphore>, Names) {
        (Arc::new(Semaphore::new(self.most_per_app)), Names::new(self.lookups.clone()))
    }

    /// Judges one address that a name resolved to.
    pub(super) async fn judge(&self, address: SocketAddr, is_named: bool) -> Result<(), Denial> {
        judge_address(address.ip(), is_named, &self.opened)?;
        match self.own_door(address).await {
            Some(door) => Err(Denial::Own(door)),
            None => Ok(()),
        }
    }

    /// TLS towards servers that the public authorities vouch for.
    pub(super) fn tls(&self) -> TlsConnector {
        let config = || ClientConfig::builder().with_webpki_roots().with_no_client_auth();
        TlsConnector::from(self.tls.get_or_init(|| Arc::new(config())).clone())
    }

    async fn own_door(&self, address: SocketAddr) -> Option<OwnDoor> {
        let Some(doors) = self.doors.get() else { return Some(OwnDoor::Admin) };
        if leads_to(address, doors.admin) {
            return Some(OwnDoor::Admin);
        }
        if doors.peer.is_some_and(|peer| leads_to(address, peer)) {
            return Some(OwnDoor::Peer);
        }
        for member in &doors.store {
            let Some((host, port)) = member.rsplit_once(':') else { continue };
            if port.parse() == Ok(address.port()) {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let ips = self.store_names.resolve(host).await.unwrap_or_default();
                if ips.iter().any(|ip| ip.to_canonical() == address.ip().to_canonical()) {
                    return Some(OwnDoor::Store);
                }
            }
        }
        None
    }
}

/// Whether a connection to `address` arrives at a socket that listens on `door`.
fn leads_to(address: SocketAddr, door: SocketAddr) -> bool {
    let (ip, door_ip) = (address.ip().to_canonical(), door.ip().to_canonical());
    let is_there = ip == door_ip || door_ip.is_unspecified() && is_this_machine(ip);
    address.port() == door.port() && is_there
}

/// Whether an address is one of this machine: the kernel then uses it as the source, too. No packet is
/// sent for this.
fn is_this_machine(ip: IpAddr) -> bool {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((ip, 9))?;
        socket.local_addr()
    };
    // An address that cannot be routed to cannot be reached either.
    ip.is_loopback() || source().is_ok_and(|source| source.ip() == ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    async fn judged(doors: OwnDoors, wanted: &str) -> Result<(), Denial> {
        let opened = PrivateNetworks::parse("0.0.0.0/0,::/0").unwrap();
        let egress = Egress::new(opened, 1024);
        egress.set_doors(doors);
        egress.judge(address(wanted), true).await
    }

    fn doors(admin: &str, peer: Option<&str>, store: &[&str]) -> OwnDoors {
        OwnDoors {
            admin: address(admin),
            peer: peer.map(address),
            store: store.iter().map(ToString::to_string).collect(),
        }
    }

    #[tokio::test]
    async fn doors_of_the_host_are_closed_whatever_the_operator_opened() {
        let doors = || doors("127.0.0.1:8081", Some("10.0.0.5:8082"), &["localhost:2379"]);
        let own = |door| Err(Denial::Own(door));
        assert_eq!(judged(doors(), "127.0.0.1:8081").await, own(OwnDoor::Admin));
        assert_eq!(judged(doors(), "[::ffff:127.0.0.1]:8081").await, own(OwnDoor::Admin));
        assert_eq!(judged(doors(), "10.0.0.5:8082").await, own(OwnDoor::Peer));
        assert_eq!(judged(doors(), "127.0.0.1:2379").await, own(OwnDoor::Store));
        assert_eq!(judged(doors(), "127.0.0.1:8080").await, Ok(()));
        assert_eq!(judged(doors(), "10.0.0.6:8082").await, Ok(()));
    }

    #[tokio::test]
    async fn a_door_on_all_addresses_is_closed_on_each_of_them() {
        let doors = || doors("0.0.0.0:8081", None, &[]);
        assert_eq!(judged(doors(), "127.0.0.1:8081").await, Err(Denial::Own(OwnDoor::Admin)));
        assert_eq!(judged(doors(), "127.9.9.9:8081").await, Err(Denial::Own(OwnDoor::Admin)));
        assert_eq!(judged(doors(), "192.0.2.77:8081").await, Ok(()));
    }

    #[tokio::test]
    async fn nothing_is_reached_before_the_doors_are_known() {
        let egress = Egress::new(PrivateNetworks::loopback(), 1024);
        assert!(egress.judge(address("127.0.0.1:80"), true).await.is_err());
    }
}
