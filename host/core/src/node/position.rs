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
    last: Option<LastPut<K, V>>,
}

#[derive(Clone, Debug)]
struct LastPut<K, V> {
    key: K,
    value: V,
    at: Revision,
    /// Whether it was deleted since.
    is_gone: bool,
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
        let last = taken.max_by_key(|(.., at)| *at);
        let last = last.map(|(key, value, at)| LastPut::of(key, value, at));
        Self { cluster, mark, through, last }
    }

    /// Takes changes, which come in the order of their revisions.
    pub fn took<'e>(&mut self, changes: impl IntoIterator<Item = (&'e K, Option<&'e V>, Revision)>)
    where
        K: 'e,
        V: 'e,
    {
        let mut last: Option<(&K, &V, Revision)> = None;
        let mut deleted = Vec::new();
        for (key, value, at) in changes {
            self.through = self.through.max(at);
            match value {
                Some(value) => last = Some((key, value, at)),
                None => deleted.push((key, at)),
            }
        }
        if let Some((key, value, at)) = last {
            self.last = Some(LastPut::of(key, value, at));
        }
        if let Some(last) = &mut self.last {
            let is_gone = deleted.iter().any(|(key, at)| **key == last.key && *at > last.at);
            last.is_gone |= is_gone;
        }
    }

    /// Everything up to here was taken.
    #[must_use]
    pub fn through(&self) -> Revision {
        self.through
    }

    /// The key to be looked up, and the revision at which, before the store is gone on from; nothing where
    /// all is to be read again. It is late where it can be: older revisions may be forgotten.
    #[must_use]
    pub fn evidence(&self, now: StoreNow) -> Option<(&K, Revision)> {
        let is_same = (self.cluster, self.mark) == (now.cluster, now.mark);
        let last = self.last.as_ref().filter(|_| is_same && now.revision >= self.through)?;
        Some((&last.key, if last.is_gone { last.at } else { self.through }))
    }

    /// Whether what was found there shows that the store has the same past as this host knows: another
    /// past would have had to write the same value under the same key as exactly the same change.
    pub fn is_proved_by(&self, found: Option<(&V, Revision)>) -> bool {
        let last = self.last.as_ref().map(|last| (&last.value, last.at));
        last.is_some() && last == found
    }
}

impl<K: Clone, V: Clone> LastPut<K, V> {
    fn of(key: &K, value: &V, at: Revision) -> Self {
        Self { key: key.clone(), value: value.clone(), at, is_gone: false }
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
        assert_eq!(position.evidence(NOW), Some((&"a", Revision(10))));
        assert!(position.is_proved_by(Some((&1, Revision(4)))));
        position.took([(&"b", Some(&2), Revision(12)), (&"c", None, Revision(13))]);
        let now = StoreNow { revision: Revision(20), ..NOW };
        assert_eq!(position.evidence(now), Some((&"b", Revision(13))));
        assert!(position.is_proved_by(Some((&2, Revision(12)))));
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
            assert!(!position.is_proved_by(found), "{found:?}");
        }
    }

    #[test]
    fn what_was_deleted_is_looked_up_as_it_was_before() {
        let mut position = position();
        let now = StoreNow { revision: Revision(12), ..NOW };
        position.took([(&"b", Some(&2), Revision(11)), (&"b", None, Revision(12))]);
        assert_eq!(position.evidence(now), Some((&"b", Revision(11))));
        assert!(position.is_proved_by(Some((&2, Revision(11)))));
        assert!(!position.is_proved_by(None));
        let mut position = self::position();
        position.took([(&"c", None, Revision(12))]);
        assert_eq!(position.evidence(now), Some((&"a", Revision(12))));
        position.took([(&"a", None, Revision(12))]);
        assert_eq!(position.evidence(now), Some((&"a", Revision(4))));
    }
}
