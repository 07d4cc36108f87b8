//! States of a host that last, such as a full disk. Each begins with one event and ends with another.
//! Tells nothing itself.

/// The event that begins a state, and one that ends it. Whoever tells the first tells the second in the same run of
/// the host. A worse state also ends a lesser one.
const STATES: [(&str, &str); 10] = [
    ("disk_full", "disk_has_room"),
    ("disk_near_bound", "disk_below_bound"),
    ("events_not_kept", "events_kept"),
    ("history_not_kept", "history_kept"),
    ("receiver_failing", "receiver_works"),
    ("collector_failing", "collector_works"),
    ("plan_failed", "plan_written"),
    ("store_filling", "store_full"),
    ("store_filling", "store_has_room"),
    ("store_full", "store_has_room"),
];
/// A host may have several of what is in one of these states: the event that ends it is of one of them.
const OF_SEVERAL: [&str; 2] = ["receiver_failing", "collector_failing"];

/// The states that last now, each with the event that began it and where that was.
#[derive(Clone, Debug)]
pub struct Lasting<P, E> {
    begun: Vec<(String, P, E)>,
}

impl<P, E> Default for Lasting<P, E> {
    fn default() -> Self {
        Self { begun: Vec::new() }
    }
}

impl<P: PartialEq, E> Lasting<P, E> {
    /// Something is told of the host, by its kind and where it was. As many last at most as there are kinds that do,
    /// and receivers.
    pub fn note(&mut self, kind: &str, place: P, event: impl FnOnce() -> E) {
        let is_of = |begun: &str, at: &P| !OF_SEVERAL.contains(&begun) || *at == place;
        self.begun.retain(|(begun, at, _)| {
            !(STATES.contains(&(begun.as_str(), kind)) && is_of(begun, at))
        });
        let lasts = STATES.iter().any(|(begins, _)| *begins == kind);
        // What is told again began the first time.
        let is_known = |(begun, at, _): &(String, P, E)| begun == kind && is_of(begun, at);
        if lasts && !self.begun.iter().any(is_known) {
            self.begun.push((kind.to_owned(), place, event()));
        }
    }

    /// What lasts, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.begun.iter().map(|(.., event)| event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of these events last, by their number; each is told where its number is.
    fn after(kinds: &[&str]) -> Vec<usize> {
        let mut lasting = Lasting::default();
        let mut note = |(number, kind): (usize, &&str)| lasting.note(kind, number, || number);
        kinds.iter().enumerate().for_each(&mut note);
        lasting.iter().copied().collect()
    }

    #[test]
    fn what_lasts_is_known_until_it_is_over_and_since_it_began() {
        assert_eq!(after(&["started", "disk_full", "deployed", "disk_full"]), [1]);
        assert_eq!(after(&["disk_full", "disk_has_room"]), [0; 0]);
        assert_eq!(after(&["disk_full", "disk_has_room", "disk_full"]), [2]);
        // The end of one is not that of another, and an end without a beginning is nothing.
        assert_eq!(after(&["plan_failed", "disk_full", "events_kept", "disk_has_room"]), [0]);
        assert_eq!(after(&["store_filling", "store_full"]), [1]);
        assert_eq!(after(&["store_full", "store_has_room", "store_filling"]), [2]);
        // The bound of the components' own is another than that of the disk.
        assert_eq!(after(&["disk_near_bound", "disk_full", "disk_has_room"]), [0]);
    }

    #[test]
    fn of_several_receivers_each_has_its_own_state() {
        let mut lasting = Lasting::default();
        for (kind, receiver) in [
            ("receiver_failing", "webhook"),
            ("receiver_failing", "alertmanager"),
            ("receiver_failing", "webhook"),
            ("receiver_works", "webhook"),
        ] {
            lasting.note(kind, receiver, || receiver);
        }
        assert_eq!(lasting.iter().copied().collect::<Vec<_>>(), ["alertmanager"]);
        // Spans and metrics may go to different collectors.
        for (kind, of) in [("failing", "spans"), ("failing", "metrics"), ("works", "metrics")] {
            lasting.note(&format!("collector_{kind}"), of, || of);
        }
        assert_eq!(lasting.iter().copied().collect::<Vec<_>>(), ["alertmanager", "spans"]);
    }
}
