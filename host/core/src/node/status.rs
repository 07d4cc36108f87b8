//! How an app stands on a host, from what the fleet wants of it and what is there: what
//! [`next_step`](crate::reconcile::next_step) goes by. Looks at no disk.

use super::records::{AppFacts as _, FleetKey, Records, Revision};
use super::view::FleetView;
use crate::id::{AppName, Generation, HostName};
use crate::reconcile::{AppStatus, Wanted, Wish};

/// What a host has of an app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppHere {
    /// The deployment whose routes it serves.
    pub served: Option<Generation>,
    /// The deployment whose code it has announced to have at hand.
    pub announced: Option<Generation>,
    /// The deployment that gets a part of the calls here.
    pub tried: Option<Generation>,
}

impl<R: Records> FleetView<R> {
    /// How an app stands on the host `me`. `is_same` tells whether what is served here is what has this
    /// fingerprint: it is asked where the store says which deployment of the number is wanted.
    #[must_use]
    pub fn status(
        &self,
        me: &HostName,
        app: &AppName,
        here: AppHere,
        is_same: impl FnOnce(&str) -> bool,
    ) -> AppStatus {
        let AppHere { served, announced, tried } = here;
        let known = served.or(announced);
        let fingerprint = served.and_then(|served| self.wanted_fingerprint(app, served.get()));
        // Another deployment of the same number is not the one that is wanted.
        let served = served.filter(|_| fingerprint.is_none_or(is_same));
        AppStatus { wish: self.wish(me, app, known), served, announced, tried }
    }

    fn wish(&self, me: &HostName, app: &AppName, known: Option<Generation>) -> Wish {
        let wanted = self.rows.get(app).and_then(|row| row.wanted.as_ref());
        let wanted = wanted.and_then(|(record, revision)| {
            Some((record, revision, Generation::new(record.generation())?))
        });
        if let Some((record, revision, generation)) = wanted {
            // The copy on the disk is written some moments after a change is followed. Until the store
            // is read, it takes back nothing that the ledger has of a later number.
            if *revision == Revision::OF_COPY && known > Some(generation) {
                return Wish::Unknown;
            }
            let assigned = self.assigned_to(app);
            return Wish::Wanted(Wanted {
                generation,
                is_here: assigned.is_some_and(|hosts| hosts.contains_key(me)),
                is_placed: assigned.is_some_and(|hosts| !hosts.is_empty()),
                is_ready: self.is_ready_everywhere(app, generation.get()),
                canary: record.canary().and_then(|(canary, _)| Generation::new(canary)),
            });
        }
        let is_removed = known.is_some_and(|known| self.is_removed(app, known.get()));
        match is_removed && !self.is_unreadable(&FleetKey::App(app.clone())) {
            true => Wish::Removed,
            false => Wish::Unknown,
        }
    }
}
