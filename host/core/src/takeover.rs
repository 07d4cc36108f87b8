//! Where the ledger of a host that is alone and its store differ, which of the two is right. The ledger is
//! what the host has served; the store is what was written down first. They differ after a kill between
//! the two, after a host of another version or a fleet has written the ledger, and at the first start with
//! a store.
//! Reads and writes neither.

use crate::id::Generation;

/// What the ledger says of an app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InLedger {
    /// The deployment that is served.
    pub current: Option<Generation>,
    /// The highest generation that it ever had.
    pub last: Option<Generation>,
    /// Whether it keeps any deployment, be it one that was on trial: after a removal it keeps none.
    pub keeps_any: bool,
}

/// What the store says of an app that shall run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InStore {
    /// The deployment that is wanted.
    pub generation: Generation,
    /// Whether it is the one that the ledger has under that number, as far as both can tell.
    pub is_same: bool,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeOver {
    /// Nothing.
    Nothing,
    /// The ledger is right: the store is told.
    Import,
    /// The store is ahead, of a deployment that the ledger has never had: it is served.
    Serve,
    /// The ledger has had what the store wants, and the app was removed since: the store is told.
    Remove,
}

/// Who is right about an app. Nothing that is served goes: what is not seen in the store may have been put
/// into the ledger by a host that knows no store. Nothing that is wanted goes unless the ledger has
/// known it.
#[must_use]
pub fn take_over(ledger: InLedger, stored: Option<InStore>) -> TakeOver {
    let last = ledger.last.max(ledger.current);
    match (ledger.current, stored) {
        (None, None) => TakeOver::Nothing,
        (Some(_), None) => TakeOver::Import,
        // Numbers are never given twice, so this one was given after all that the ledger knows.
        (_, Some(stored)) if Some(stored.generation) > last => TakeOver::Serve,
        // What was served first was not kept, and a canary was.
        (None, Some(_)) if ledger.keeps_any => TakeOver::Serve,
        (None, Some(_)) => TakeOver::Remove,
        (Some(current), Some(stored)) if current == stored.generation && stored.is_same => {
            TakeOver::Nothing
        }
        (Some(_), Some(_)) => TakeOver::Import,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(number: u64) -> Option<Generation> {
        Generation::new(number)
    }

    fn stored(generation: u64, is_same: bool) -> Option<InStore> {
        number(generation).map(|generation| InStore { generation, is_same })
    }

    #[test]
    fn each_way_to_differ_has_one_outcome() {
        for (what, current, last, store, outcome) in [
            ("both know nothing", 0, 0, stored(0, true), TakeOver::Nothing),
            ("removed long ago", 0, 7, stored(0, true), TakeOver::Nothing),
            ("the first start with a store", 3, 4, stored(0, true), TakeOver::Import),
            ("nothing happened", 3, 4, stored(3, true), TakeOver::Nothing),
            ("a kill before the ledger had a deploy", 3, 3, stored(4, false), TakeOver::Serve),
            ("a kill before it had the first one", 0, 0, stored(1, false), TakeOver::Serve),
            ("a kill before it had one after a removal", 0, 2, stored(3, false), TakeOver::Serve),
            ("a fleet has deployed since", 6, 6, stored(3, false), TakeOver::Import),
            ("a fleet has rolled back since", 2, 4, stored(4, true), TakeOver::Import),
            ("a fleet has another one of the number", 4, 4, stored(4, false), TakeOver::Import),
            ("a fleet has removed it since", 0, 4, stored(4, false), TakeOver::Remove),
        ] {
            let keeps_any = current > 0;
            let ledger = InLedger { current: number(current), last: number(last), keeps_any };
            assert_eq!(take_over(ledger, store), outcome, "{what}");
        }
        let ledger = InLedger { current: None, last: number(2), keeps_any: true };
        assert_eq!(take_over(ledger, stored(1, false)), TakeOver::Serve, "only a canary was kept");
    }

    proptest! {
        #[test]
        fn what_is_served_stays_and_what_nobody_has_had_comes(
            current in 0u64..6, last in 0u64..6, wanted in 0u64..6, is_same: bool, keeps_any: bool,
        ) {
            let keeps_any = keeps_any || current > 0;
            let ledger = InLedger { current: number(current), last: number(last), keeps_any };
            let outcome = take_over(ledger, stored(wanted, is_same));
            if keeps_any {
                prop_assert_ne!(outcome, TakeOver::Remove);
            }
            if wanted > last.max(current) {
                prop_assert_eq!(outcome, TakeOver::Serve);
            }
        }
    }
}
