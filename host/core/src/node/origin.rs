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

/// The hosts that an app is assigned to, each with what is known of its replica.
pub type Assigned = HostMap<ReplicaOrigin>;

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
        assert_eq!(assigned.get(&host("a")), Some(&why(1)));
        assert_eq!(assigned.get(&host("b")), Some(&why(2)));
        assert_eq!(assigned.get(&host("c")), Some(&ReplicaOrigin::default()));
        assert_eq!(assigned.get(&host("d")), None);
        let unknown: Assigned = [host("a"), host("b")].into_iter().collect();
        assert_eq!(unknown.len(), 2);
        assert_eq!(size_of::<ReplicaOrigin>(), 12);
    }
}
