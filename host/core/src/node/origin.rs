//! Where an app shall run, and since when and by which plan each of its replicas is there: kept small,
//! since every host keeps it of every replica. Decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdSet;

use crate::id::HostName;

/// Since when, by which plan and why a replica is where it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplicaOrigin {
    /// The number of the plan; 0 where nobody has said, as in records of earlier versions.
    pub plan: u32,
    /// When, in seconds since the epoch, as the host said that planned.
    pub at: u32,
    /// Why, as [`Why::code`](crate::place::Why::code) has it. Codes of later versions are kept as they are.
    pub why: u8,
}

/// The hosts that an app is assigned to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assigned {
    hosts: OrdSet<HostName>,
    /// One for each host, in their order; none at all where nothing is known of any.
    origins: Arc<[ReplicaOrigin]>,
}

impl Assigned {
    /// These hosts, each with what is known of its replica.
    #[must_use]
    pub fn new(on: BTreeMap<HostName, ReplicaOrigin>) -> Self {
        let is_known = on.values().any(|origin| *origin != ReplicaOrigin::default());
        let origins = if is_known { on.values().copied().collect() } else { Arc::default() };
        Self { hosts: on.into_keys().collect(), origins }
    }

    /// The hosts.
    #[must_use]
    pub fn hosts(&self) -> &OrdSet<HostName> {
        &self.hosts
    }

    /// What is known of the replica on a host; nothing where none is there.
    #[must_use]
    pub fn origin(&self, host: &HostName) -> Option<ReplicaOrigin> {
        self.with_origins().find(|(on, _)| *on == host).map(|(_, origin)| origin)
    }

    /// The hosts in their order, each with what is known of its replica.
    pub fn with_origins(&self) -> impl Iterator<Item = (&HostName, ReplicaOrigin)> {
        let origins =
            self.origins.iter().copied().chain(std::iter::repeat(ReplicaOrigin::default()));
        self.hosts.iter().zip(origins)
    }
}

/// Hosts of which nobody has said why.
impl FromIterator<HostName> for Assigned {
    fn from_iter<I: IntoIterator<Item = HostName>>(hosts: I) -> Self {
        Self { hosts: hosts.into_iter().collect(), origins: Arc::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_replica_has_its_own_origin_and_those_that_nobody_has_explained_cost_nothing() {
        let host = |name: &str| -> HostName { name.parse().unwrap() };
        let why = |plan| ReplicaOrigin { plan, at: 9, why: 4 };
        let on = [(host("b"), why(2)), (host("a"), why(1)), (host("c"), ReplicaOrigin::default())];
        let assigned = Assigned::new(on.into());
        assert_eq!(assigned.origin(&host("a")), Some(why(1)));
        assert_eq!(assigned.origin(&host("b")), Some(why(2)));
        assert_eq!(assigned.origin(&host("c")), Some(ReplicaOrigin::default()));
        assert_eq!(assigned.origin(&host("d")), None);
        let unknown: Assigned = [host("a"), host("b")].into_iter().collect();
        assert_eq!(unknown.with_origins().count(), 2);
        assert_eq!(unknown.origins.len(), 0);
        assert_eq!(Assigned::new([(host("a"), ReplicaOrigin::default())].into()).origins.len(), 0);
        assert_eq!(size_of::<ReplicaOrigin>(), 12);
    }
}
