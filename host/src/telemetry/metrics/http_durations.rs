//! How long calls of one app took, by method, status and cause. A guest sends what status it likes, so only so
//! many kinds are counted apart, and one is for all others.
//! Does not know which methods and causes there are: both come from bounded sets.

use std::sync::OnceLock;
use std::time::Duration;

use super::buckets::Buckets;

/// So many kinds of one app are counted apart. Most apps have fewer than ten.
const MOST: usize = 24;

/// What calls are counted together by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HttpKind {
    /// One of the methods that the conventions know, or `_OTHER`.
    pub method: &'static str,
    /// The status that was sent, 0 when none was.
    pub status: u16,
    /// How the call ended, as a stable code.
    pub cause: &'static str,
}

/// Durations by kinds. Kinds find their places in the order in which they come, and keep them.
#[derive(Debug, Default)]
pub(super) struct HttpDurations {
    kinds: [OnceLock<Box<OfKind>>; MOST],
    others: OnceLock<Box<Buckets>>,
}

#[derive(Debug)]
struct OfKind {
    kind: HttpKind,
    durations: Buckets,
}

impl HttpDurations {
    /// Bytes of one that has counted nothing.
    pub(super) const SIZE: u64 = size_of::<Self>() as u64;

    /// Counts one; says how many bytes that took for good.
    pub(super) fn record(&self, kind: HttpKind, duration: Duration) -> u64 {
        for place in &self.kinds {
            let mut taken = 0;
            let of_kind = place.get_or_init(|| {
                taken = size_of::<OfKind>() as u64;
                Box::new(OfKind { kind, durations: Buckets::default() })
            });
            if of_kind.kind == kind {
                of_kind.durations.record(duration);
                return taken;
            }
        }
        let mut taken = 0;
        let others = self.others.get_or_init(|| {
            taken = size_of::<Buckets>() as u64;
            Box::default()
        });
        others.record(duration);
        taken
    }

    /// All that have a place, and `None` where there were others.
    pub(super) fn kinds(&self) -> impl Iterator<Item = Option<HttpKind>> {
        let known = self.known().map(|of_kind| Some(of_kind.kind));
        known.chain(self.others.get().map(|_| None))
    }

    /// What was counted of a kind, or of others.
    pub(super) fn of(&self, kind: Option<HttpKind>) -> Option<&Buckets> {
        match kind {
            None => self.others.get().map(|others| &**others),
            Some(kind) => {
                let mut known = self.known();
                known.find(|of_kind| of_kind.kind == kind).map(|of_kind| &of_kind.durations)
            }
        }
    }

    /// Bytes that it takes.
    pub(super) fn n_bytes(&self) -> u64 {
        let of_others = self.others.get().map_or(0, |_| size_of::<Buckets>() as u64);
        Self::SIZE + self.known().count() as u64 * size_of::<OfKind>() as u64 + of_others
    }

    fn known(&self) -> impl Iterator<Item = &OfKind> {
        self.kinds.iter().map_while(OnceLock::get).map(|of_kind| &**of_kind)
    }
}
