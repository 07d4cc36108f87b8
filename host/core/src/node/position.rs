//! How far a host has taken what a store tells, and whether it may go on from there after it has lost the
//! store: then only what it missed is read, not all that there is. A store that was restored from an
//! earlier copy may have counted on to the same number with other changes, so the number alone proves
//! nothing. Reads no store: whoever asks brings what was found there.

use super::records::Revision;

/// How far a host has taken what one store tells, in keys `K` with values `V`.
#[derive(Clone, Debug)]
pub struct Position<K, V> {
    /// What the store calls itself.
    cluster: u64,
    /// When the mark of the fleet was written.
    mark: Revision,
    /// Everything up to here was taken.
    through: Revision,
    /// What was written last of all that was taken.
    put: Option<LastPut<K, V>>,
    /// What was deleted last, if that was after it.
    deleted: Option<(K, Revision)>,
}

#[derive(Clone, Debug)]
struct LastPut<K, V> {
    key: K,
    value: V,
    at: Revision,
}

/// What is to be looked up before a store is gone on from, to know that it has the same past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionEvidence<'p, K> {
    /// This key, as it was at this revision.
    pub put: (&'p K, Revision),
    /// This one, which was deleted at this revision: whether it is there just before, and is not then.
    pub deleted: Option<(&'p K, Revision)>,
}

/// Where a store is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreNow {
    /// What it calls itself.
    pub cluster: u64,
    /// When the mark of the fleet was written in it.
    pub mark: Revision,
    /// How far it is.
    pub revision: Revision,
}

impl<K: Clone + PartialEq, V: Clone + PartialEq> Position<K, V> {
    /// After all was read that a store held at the revision of `now` or later. Entries that were written
    /// after it come again as changes.
    pub fn read<'e>(
        now: StoreNow,
        entries: impl IntoIterator<Item = (&'e K, &'e V, Revision)>,
    ) -> Self
    where
        K: 'e,
        V: 'e,
    {
        let StoreNow { cluster, mark, revision: through } = now;
        let taken = entries.into_iter().filter(|(.., at)| *at <= through);
        let put = taken.max_by_key(|(.., at)| *at);
        let put = put.map(|(key, value, at)| LastPut::of(key, value, at));
        Self { cluster, mark, through, put, deleted: None }
    }

    /// Takes changes, which come in the order of their revisions.
    pub fn took<'e>(&mut self, changes: impl IntoIterator<Item = (&'e K, Option<&'e V>, Revision)>)
    where
        K: 'e,
        V: 'e,
    {
        let (mut put, mut deleted) = (None, None);
        for (key, value, at) in changes {
            self.through = self.through.max(at);
            match value {
                Some(value) => (put, deleted) = (Some((key, value, at)), None),
                None => deleted = Some((key, at)),
            }
        }
        if let Some((key, value, at)) = put {
            (self.put, self.deleted) = (Some(LastPut::of(key, value, at)), None);
        }
        if let Some((key, at)) = deleted {
            self.deleted = Some((key.clone(), at));
        }
    }

    /// Everything up to here was taken.
    #[must_use]
    pub fn through(&self) -> Revision {
        self.through
    }

    /// Goes on from what was proved to be the same, and returns from where. What was taken later says nothing
    /// of another past, which may have something to tell there.
    pub fn rewind(&mut self) -> Revision {
        let put = self.put.as_ref().map(|put| put.at);
        let deleted = self.deleted.as_ref().map(|(_, at)| *at);
        self.through = put.max(deleted).unwrap_or_default();
        self.through
    }

    /// What is to be looked up before the store is gone on from; nothing where all is to be read again.
    #[must_use]
    pub fn evidence(&self, now: StoreNow) -> Option<PositionEvidence<'_, K>> {
        let is_same = (self.cluster, self.mark) == (now.cluster, now.mark);
        let put = self.put.as_ref().filter(|_| is_same && now.revision >= self.through)?;
        let deleted = self.deleted.as_ref().map(|(key, at)| (key, *at));
        Some(PositionEvidence { put: (&put.key, put.at), deleted })
    }

    /// Whether what was found shows that the store has the same past as this host knows: another past would
    /// have had to write the same value under the same key, or delete the same key, as exactly the same
    /// change. `deleted` says whether the deleted key was there just before, and when it was deleted.
    pub fn is_proved_by(&self, put: Option<(&V, Revision)>, deleted: Option<(bool, bool)>) -> bool {
        let known = self.put.as_ref().map(|put| (&put.value, put.at));
        let was_deleted = self.deleted.as_ref().map(|_| (true, false));
        known.is_some() && known == put && deleted == was_deleted
    }
}

impl<K: Clone, V: Clone> LastPut<K, V> {
    fn of(key: &K, value: &V, at: Revision) -> Self {
        Self { key: key.clone(), value: value.clone(), at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: StoreNow = StoreNow { cluster: 7, mark: Revision(2), revision: Revision(10) };

    fn position() -> Position<&'static str, u8> {
        let entries = [("a", 1, Revision(4)), ("mark", 0, Revision(2)), ("b", 2, Revision(12))];
        Position::read(NOW, entries.iter().map(|(key, value, at)| (key, value, *at)))
    }

    #[test]
    fn what_was_written_last_of_all_that_was_taken_is_looked_up() {
        let mut position = position();
        assert_eq!(position.through(), Revision(10));
        // What was read later than the first part comes again.
        let evidence = position.evidence(NOW).unwrap();
        assert_eq!(evidence, PositionEvidence { put: (&"a", Revision(4)), deleted: None });
        assert!(position.is_proved_by(Some((&1, Revision(4))), None));
        // Others may have written between, and in another past it may be this fleet.
        assert_eq!((position.rewind(), position.through()), (Revision(4), Revision(4)));
        position.took([(&"c", None, Revision(11)), (&"b", Some(&2), Revision(12))]);
        let now = StoreNow { revision: Revision(20), ..NOW };
        let evidence = position.evidence(now).unwrap();
        assert_eq!((evidence.put, evidence.deleted), ((&"b", Revision(12)), None));
        assert!(position.is_proved_by(Some((&2, Revision(12))), None));
    }

    #[test]
    fn what_was_deleted_after_it_is_looked_up_as_well() {
        let mut position = position();
        position.took([(&"b", Some(&2), Revision(11)), (&"b", None, Revision(12))]);
        let now = StoreNow { revision: Revision(12), ..NOW };
        let evidence = position.evidence(now).unwrap();
        assert_eq!(evidence.deleted, Some((&"b", Revision(12))));
        assert_eq!(position.clone().rewind(), Revision(12));
        let put = Some((&2, Revision(11)));
        assert!(position.is_proved_by(put, Some((true, false))));
        // In another past it is still there, or was never.
        for deleted in [None, Some((true, true)), Some((false, false))] {
            assert!(!position.is_proved_by(put, deleted), "{deleted:?}");
        }
    }

    #[test]
    fn another_past_is_never_gone_on_from() {
        let position = position();
        for now in [
            StoreNow { cluster: 8, ..NOW },
            StoreNow { mark: Revision(11), revision: Revision(11), ..NOW },
            StoreNow { revision: Revision(9), ..NOW },
        ] {
            assert_eq!(position.evidence(now), None, "{now:?}");
        }
        for found in [None, Some((&2, Revision(4))), Some((&1, Revision(5)))] {
            assert!(!position.is_proved_by(found, None), "{found:?}");
        }
    }
}
