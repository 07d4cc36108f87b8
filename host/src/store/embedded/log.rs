//! What changed in the embedded store since it was opened, for whoever watches.
//! Does not wake anybody, and forgets the oldest.

use std::collections::VecDeque;

use super::super::{Change, Revision, StoreError};

/// As many changes are kept.
const MOST_CHANGES: usize = 2_000;
/// As many bytes of keys and values are kept: more than one commit may have. On a host that is alone nobody
/// watches, and idle apps must take next to no memory.
const MOST_BYTES: usize = super::super::MOST_BYTES + (64 << 10);

#[derive(Debug)]
pub(super) struct Log {
    /// Every change after this revision is here.
    since: Revision,
    latest: Revision,
    changes: VecDeque<Change>,
    bytes: usize,
}

impl Log {
    pub(super) fn since(revision: Revision) -> Self {
        Self { since: revision, latest: revision, changes: VecDeque::new(), bytes: 0 }
    }

    /// Adds the changes of one revision.
    pub(super) fn add(&mut self, changes: Vec<Change>) {
        for change in changes {
            self.latest = change.revision;
            self.bytes += size(&change);
            self.changes.push_back(change);
        }
        while self.changes.len() > MOST_CHANGES || self.bytes > MOST_BYTES {
            let Some(oldest) = self.changes.pop_front() else { break };
            self.bytes -= size(&oldest);
            // A revision that is not whole any more counts as gone.
            self.since = oldest.revision;
        }
    }

    /// The changes below a prefix after a revision, and up to which revision these are all.
    pub(super) fn after(
        &self,
        after: Revision,
        prefix: &str,
    ) -> Result<(Vec<Change>, Revision), StoreError> {
        if after < self.since {
            return Err(StoreError::Compacted);
        }
        let first = self.changes.partition_point(|change| change.revision <= after);
        let matching = |change: &&Change| change.key.starts_with(prefix);
        let changes = self.changes.range(first..).filter(matching).cloned().collect();
        Ok((changes, self.latest.max(after)))
    }
}

fn size(change: &Change) -> usize {
    change.key.len() + change.value.as_ref().map_or(0, Vec::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(key: &str, revision: u64) -> Change {
        Change { key: key.to_owned(), value: None, revision: Revision(revision) }
    }

    #[test]
    fn what_is_too_long_ago_is_gone_with_its_whole_revision() {
        let mut log = Log::since(Revision(1));
        log.add(vec![change("a", 2), change("b", 2)]);
        assert_eq!(log.after(Revision(1), "b").unwrap(), (vec![change("b", 2)], Revision(2)));
        assert!(matches!(log.after(Revision(0), ""), Err(StoreError::Compacted)));
        for revision in 3..=u64::try_from(MOST_CHANGES).unwrap() + 1 {
            log.add(vec![change("c", revision)]);
        }
        // One of the two of revision 2 had to go.
        assert!(matches!(log.after(Revision(1), ""), Err(StoreError::Compacted)));
        assert_eq!(log.after(Revision(2), "").unwrap().0.len(), MOST_CHANGES - 1);
        log.add(vec![Change { value: Some(vec![0; MOST_BYTES]), ..change("d", 99_999) }]);
        assert_eq!(log.after(Revision(99_999), "").unwrap(), (Vec::new(), Revision(99_999)));
        assert!(matches!(log.after(Revision(99_998), ""), Err(StoreError::Compacted)));
    }
}
