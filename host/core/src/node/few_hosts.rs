//! What is known of one app on the few hosts that it is on: a small map by host, sorted, in one piece of
//! memory. Each host keeps two of these for each app of its fleet, and a tree for each would take ten times
//! the memory of what is in it.
//! Not for maps of many hosts: whoever changes one copies it.

use std::fmt;
use std::sync::Arc;

use crate::id::HostName;

/// Something for each of a few hosts. Clones share it.
#[derive(Clone, PartialEq, Eq)]
pub struct HostMap<V>(
    /// In the order of the names, each name once.
    Arc<[(HostName, V)]>,
);

impl<V> HostMap<V> {
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

    /// What is kept for a host.
    #[must_use]
    pub fn get(&self, host: &HostName) -> Option<&V> {
        self.place(host).and_then(|at| self.0.get(at)).map(|(_, value)| value)
    }

    /// Whether something is kept for a host.
    #[must_use]
    pub fn contains_key(&self, host: &HostName) -> bool {
        self.place(host).is_some()
    }

    /// The hosts, in the order of their names.
    pub fn keys(&self) -> impl Iterator<Item = &HostName> + Clone {
        self.0.iter().map(|(host, _)| host)
    }

    /// The hosts and what is kept for each, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&HostName, &V)> + Clone {
        self.0.iter().map(|(host, value)| (host, value))
    }

    fn place(&self, host: &HostName) -> Option<usize> {
        self.0.binary_search_by(|(other, _)| other.cmp(host)).ok()
    }
}

impl<V: Clone> HostMap<V> {
    /// The same, with this kept for a host; without the host where it is `None`.
    #[must_use]
    pub fn with(&self, host: HostName, value: Option<V>) -> Self {
        let others = self.0.iter().filter(|(other, _)| *other != host).cloned();
        others.chain(value.map(|value| (host.clone(), value))).collect()
    }
}

impl<V> Default for HostMap<V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// Of what comes for the same host the last counts.
impl<V> FromIterator<(HostName, V)> for HostMap<V> {
    fn from_iter<I: IntoIterator<Item = (HostName, V)>>(pairs: I) -> Self {
        let mut pairs: Vec<(HostName, V)> = pairs.into_iter().collect();
        // The sort is stable, so of one host what came last comes first.
        pairs.reverse();
        pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
        pairs.dedup_by(|(next, _), (first, _)| next == first);
        // All empty ones share a piece of memory.
        if pairs.is_empty() { Self::default() } else { Self(pairs.into()) }
    }
}

impl<V: fmt::Debug> fmt::Debug for HostMap<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn host(number: u8) -> HostName {
        format!("h{number}").parse().unwrap()
    }

    proptest! {
        #[test]
        fn it_is_a_map(
            pairs in prop::collection::vec((0u8..12, 0u32..9), 0..20),
            then in 0u8..12,
        ) {
            let pairs = || pairs.iter().map(|(number, value)| (host(*number), *value));
            let (model, map): (BTreeMap<_, _>, HostMap<_>) = (pairs().collect(), pairs().collect());
            prop_assert!(map.iter().eq(&model) && map.keys().eq(model.keys()));
            prop_assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
            let then = host(then);
            prop_assert_eq!(map.get(&then), model.get(&then));
            prop_assert_eq!(map.contains_key(&then), model.contains_key(&then));
            let mut changed = model.clone();
            changed.insert(then.clone(), 77);
            prop_assert!(map.with(then.clone(), Some(77)).iter().eq(&changed));
            changed.remove(&then);
            prop_assert!(map.with(then, None).iter().eq(&changed));
        }
    }
}
