//! Who can answer for an app. Does not choose among them: `request::proxy` does, call by call.

use std::sync::Arc;

use steerage_core::id::HostName;

use super::Fleet;
use crate::forward::Peer;

/// Who can answer for an app.
#[derive(Debug, Default)]
pub struct Replicas {
    /// Whether this host is one of them.
    pub is_here: bool,
    /// The others.
    pub elsewhere: Vec<Arc<Peer>>,
}

impl Fleet {
    pub(super) fn replicas_on(&self, hosts: &[&HostName]) -> Replicas {
        let mut replicas = Replicas::default();
        for host in hosts {
            if **host == self.inner.me {
                replicas.is_here = true;
            } else {
                replicas.elsewhere.extend(self.inner.peers.named(host));
            }
        }
        replicas
    }
}
