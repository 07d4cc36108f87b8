//! Where a pair is in the file: under its tenant, its app, its store and its key, each name before the last with its
//! length. So no name, however chosen, leads to the pairs of another app or store.
//! Does not know what a key may be: `core::key_value` does.

use steerage_core::id::{AppName, StoreLabel, TenantName};

/// Whose pairs they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoreOwner {
    /// The tenant. The same name of another tenant's app is another owner.
    pub tenant: TenantName,
    /// The app.
    pub app: AppName,
}

impl StoreOwner {
    /// What all places of this owner begin with, and those of no other.
    pub(super) fn prefix(&self) -> Vec<u8> {
        let mut prefix = Vec::with_capacity(64);
        push(&mut prefix, self.tenant.as_str());
        push(&mut prefix, self.app.as_str());
        prefix
    }

    /// What all places of one of its stores begin with, and those of no other.
    pub(super) fn store(&self, label: &StoreLabel) -> Vec<u8> {
        let mut prefix = self.prefix();
        push(&mut prefix, label.as_str());
        prefix
    }

    /// The place of one pair.
    pub(super) fn place(&self, label: &StoreLabel, key: &str) -> Vec<u8> {
        let mut place = self.store(label);
        place.extend_from_slice(key.as_bytes());
        place
    }

    /// The owner whose prefix this is.
    pub(super) fn of_prefix(prefix: &[u8]) -> Option<Self> {
        let (tenant, rest) = take(prefix)?;
        let (app, rest) = take(rest)?;
        let owner = Self { tenant: tenant.parse().ok()?, app: app.parse().ok()? };
        rest.is_empty().then_some(owner)
    }
}

/// The prefix of the owner in whose place this is, and what follows it.
pub(super) fn split(place: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, rest) = take(place)?;
    let (_, rest) = take(rest)?;
    place.split_at_checked(place.len().checked_sub(rest.len())?)
}

/// The label and the key in what follows an owner's prefix.
pub(super) fn label_and_key(rest: &[u8]) -> Option<(&str, &str)> {
    let (label, key) = take(rest)?;
    Some((label, std::str::from_utf8(key).ok()?))
}

fn push(place: &mut Vec<u8>, name: &str) {
    // Names have 63 bytes at most.
    place.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    place.extend_from_slice(name.as_bytes());
}

fn take(place: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = place.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(name).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owner(tenant: &str, app: &str) -> StoreOwner {
        StoreOwner { tenant: tenant.parse().unwrap(), app: app.parse().unwrap() }
    }

    proptest! {
        #[test]
        fn no_names_lead_to_the_pairs_of_another_store(
            one in ("[a-b]{1,3}", "[a-b]{1,3}", "[a-b]{1,3}", "[\\x00-\\x03a-b]{0,5}"),
            other in ("[a-b]{1,3}", "[a-b]{1,3}", "[a-b]{1,3}", "[\\x00-\\x03a-b]{0,5}"),
        ) {
            let place = |(tenant, app, label, key): &(String, String, String, String)| {
                owner(tenant, app).place(&label.parse().unwrap(), key)
            };
            prop_assert_eq!(place(&one) == place(&other), one == other);
            let owns = |(tenant, app, ..): &(String, String, String, String)| owner(tenant, app);
            let is_below = place(&one).starts_with(&owns(&other).prefix());
            prop_assert_eq!(is_below, (&one.0, &one.1) == (&other.0, &other.1));
            let store = owns(&other).store(&other.2.parse().unwrap());
            let is_in_store = place(&one).starts_with(&store);
            prop_assert_eq!(is_in_store, (&one.0, &one.1, &one.2) == (&other.0, &other.1, &other.2));
            let there = place(&one);
            let (prefix, rest) = split(&there).unwrap();
            prop_assert_eq!(StoreOwner::of_prefix(prefix), Some(owns(&one)));
            prop_assert_eq!(label_and_key(rest), Some((&*one.2, &*one.3)));
        }
    }
}
