//! What begins on a host and lasts until it is told that it is over, whatever else is told meanwhile.
//! Tells nothing itself.

/// What lasts, and what is told when it is over by who told that it began, in each run of a host. Something worse
/// ends what led to it.
const STATES: [(&str, &str); 8] = [
    ("disk_full", "disk_has_room"),
    ("disk_near_bound", "disk_below_bound"),
    ("disk_near_bound", "disk_full"),
    ("events_not_kept", "events_kept"),
    ("history_not_kept", "history_kept"),
    ("store_filling", "store_full"),
    ("store_filling", "store_has_room"),
    ("store_full", "store_has_room"),
];

/// What lasts now, each with the event that began it.
#[derive(Clone, Debug)]
pub struct Lasting<E> {
    begun: Vec<(String, E)>,
}

impl<E> Default for Lasting<E> {
    fn default() -> Self {
        Self { begun: Vec::new() }
    }
}

impl<E> Lasting<E> {
    /// Something is told of the host, by its kind. As many may last as there are kinds that do.
    pub fn note(&mut self, kind: &str, event: impl FnOnce() -> E) {
        self.begun.retain(|(begun, _)| !STATES.contains(&(begun, kind)));
        let lasts = STATES.iter().any(|(begins, _)| *begins == kind);
        // What is told again began the first time.
        if lasts && !self.begun.iter().any(|(begun, _)| begun == kind) {
            self.begun.push((kind.to_owned(), event()));
        }
    }

    /// What lasts, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.begun.iter().map(|(_, event)| event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(kinds: &[&str]) -> Vec<usize> {
        let mut lasting = Lasting::default();
        kinds.iter().enumerate().for_each(|(place, kind)| lasting.note(kind, || place));
        lasting.iter().copied().collect()
    }

    #[test]
    fn what_lasts_is_known_until_it_is_over_and_since_it_began() {
        assert_eq!(after(&["started", "disk_full", "deployed", "disk_full"]), [1]);
        assert_eq!(after(&["disk_full", "disk_has_room"]), [0; 0]);
        assert_eq!(after(&["disk_full", "disk_has_room", "disk_full"]), [2]);
        // The end of one is not that of another, and an end without a beginning is nothing.
        assert_eq!(after(&["store_full", "disk_full", "events_kept", "disk_has_room"]), [0]);
        assert_eq!(after(&["store_filling", "store_full"]), [1]);
    }
}
