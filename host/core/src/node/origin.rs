//! Where an app shall run, and since when and by which plan each of its replicas is there: kept small,
//! since every host keeps it of every replica. Decides nothing.

use super::few_hosts::HostMap;
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
pub struct Assigned(HostMap<ReplicaOrigin>);

impl Assigned {
    /// How many hosts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a host is one of them.
    #[must_use]
    pub fn contains(&self, host: &HostName) -> bool {
        self.0.contains_key(host)
    }

    /// The hosts, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &HostName> + Clone {
        self.0.keys()
    }

    /// What is known of the replica on a host; nothing where none is there.
    #[must_use]
    pub fn origin(&self, host: &HostName) -> Option<ReplicaOrigin> {
        self.0.get(host).copied()
    }

    /// The hosts in their order, each with what is known of its replica.
    pub fn with_origins(&self) -> impl Iterator<Item = (&HostName, ReplicaOrigin)> {
        self.0.iter().map(|(host, origin)| (host, *origin))
    }
}

impl FromIterator<(HostName, ReplicaOrigin)> for Assigned {
    fn from_iter<I: IntoIterator<Item = (HostName, ReplicaOrigin)>>(on: I) -> Self {
        Self(on.into_iter().collect())
    }
}

/// Hosts of which nobody has said why.
impl FromIterator<HostName> for Assigned {
    fn from_iter<I: IntoIterator<Item = HostName>>(hosts: I) -> Self {
        hosts.into_iter().map(|host| (host, ReplicaOrigin::default())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_replica_has_its_own_origin() {
        let host = |name: &str| -> HostName { name.parse().unwrap() };
        let why = |plan| ReplicaOrigin { plan, at: 9, why: 4 };
        let on = [(host("b"), why(2)), (host("a"), why(1)), (host("c"), ReplicaOrigin::default())];
        let assigned: Assigned = on.into_iter().collect();
        assert_eq!(assigned.origin(&host("a")), Some(why(1)));
        assert_eq!(assigned.origin(&host("b")), Some(why(2)));
        assert_eq!(assigned.origin(&host("c")), Some(ReplicaOrigin::default()));
        assert_eq!(assigned.origin(&host("d")), None);
        let unknown: Assigned = [host("a"), host("b")].into_iter().collect();
        assert_eq!(unknown.with_origins().count(), 2);
        assert_eq!(size_of::<ReplicaOrigin>(), 12);
    }
}
