//! Holds back the work on connections whose apps were given more than others that ask, until the
//! thread has nothing of those to do. Does not know what the work is.
//!
//! Beside an app that always asks on sixty connections, a thread read and wrote for a third of a
//! millisecond between two looks at its sockets, and whoever else asked waited for it (measured). So
//! an app that is over its share has one of its connections worked on between two looks.
//!
//! All of it happens on one thread. A connection that is held is woken by its flag and its waker, in
//! this order: who is polled for another reason finds the flag.

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use steerage_core::fair::FlowKey;
use tokio::sync::Notify;

use crate::flow::{Flow, Order};

/// How many apps are compared to find the one that was given least.
const LOOKED_AT: usize = 64;

/// How many connections are let go on between two looks at what there is to read.
const RELEASED: usize = 8;

/// A connection that waits, and how it is told to go on.
type Waiting = (Arc<AtomicBool>, Waker);

/// The connections of this thread that are held.
#[derive(Default)]
struct Held {
    /// Tells who lets them go on; without it none is held.
    releaser: Option<Arc<Notify>>,
    by_app: HashMap<FlowKey, VecDeque<Waiting>>,
    /// The apps in `by_app`.
    turns: VecDeque<FlowKey>,
}

thread_local! {
    static HELD: RefCell<Held> = RefCell::default();
}

/// Whether one connection is held.
#[derive(Default)]
pub(super) struct Backpressure {
    /// Tells it to go on. Made when it is held for the first time.
    pass: Option<Arc<AtomicBool>>,
    is_held: bool,
}

impl Backpressure {
    /// Whether the connection is to wait, whose app's flow this is, and which is woken then.
    pub(super) fn holds(&mut self, flow: &Flow, waker: &Waker) -> bool {
        self.is_held = if self.is_held {
            !self.pass.as_ref().is_none_or(|pass| pass.load(Ordering::Relaxed))
        } else {
            flow.is_over_share() && self.enter(flow.key(), waker)
        };
        self.is_held
    }

    fn enter(&mut self, key: FlowKey, waker: &Waker) -> bool {
        HELD.with_borrow_mut(|held| {
            let Some(releaser) = &held.releaser else { return false };
            if held.turns.is_empty() {
                releaser.notify_one();
            }
            let pass = self.pass.get_or_insert_default();
            pass.store(false, Ordering::Relaxed);
            let of_app = held.by_app.entry(key).or_default();
            if of_app.is_empty() {
                held.turns.push_back(key);
            }
            of_app.push_back((pass.clone(), waker.clone()));
            true
        })
    }
}

/// Lets connections of this thread go on that are held, those first whose apps were given least: a few
/// whose apps are over their share no more, or else one. Says whether more are held.
pub fn release(order: &dyn Order) -> bool {
    for n_released in 0..RELEASED {
        let Some((key, index)) = HELD.with_borrow(|held| held.least(order)) else {
            return false;
        };
        if n_released > 0 && order.is_over_share(key) {
            return true;
        }
        let Some((pass, waker)) = HELD.with_borrow_mut(|held| held.take(key, index)) else {
            return false;
        };
        pass.store(true, Ordering::Relaxed);
        waker.wake();
    }
    HELD.with_borrow(|held| !held.turns.is_empty())
}

/// Says how to tell who releases connections on this thread. While nobody does, none is held.
pub fn released_by(releaser: Option<Arc<Notify>>) {
    let by_app = HELD.with_borrow_mut(|held| {
        held.releaser = releaser;
        held.turns.clear();
        std::mem::take(&mut held.by_app)
    });
    for (pass, waker) in by_app.into_values().flatten() {
        pass.store(true, Ordering::Relaxed);
        waker.wake();
    }
}

impl Held {
    /// The app to be served first, and where it is in `turns`.
    fn least(&self, order: &dyn Order) -> Option<(FlowKey, usize)> {
        let mut keys = self.turns.iter().copied().take(LOOKED_AT);
        let index = if self.turns.len() < 2 { 0 } else { order.least(&mut keys)? };
        self.turns.get(index).map(|key| (*key, index))
    }

    /// Takes the connection of an app that has waited longest.
    fn take(&mut self, key: FlowKey, index: usize) -> Option<Waiting> {
        let Entry::Occupied(mut of_app) = self.by_app.entry(key) else { return None };
        let next = of_app.get_mut().pop_front();
        if of_app.get().is_empty() {
            of_app.remove();
            self.turns.remove(index);
        }
        // Where there are more than are compared, the others come next.
        self.turns.rotate_left(LOOKED_AT.min(self.turns.len()));
        next
    }
}

#[cfg(test)]
mod tests {
    use steerage_core::fair::Fair;
    use steerage_core::units::Weight;

    use super::*;

    /// An order in which whoever comes first was given the least.
    #[derive(Debug)]
    struct FirstIsLeast;

    impl Order for FirstIsLeast {
        fn is_contended(&self) -> bool {
            true
        }

        fn is_over_share(&self, _: FlowKey) -> bool {
            true
        }

        fn least(&self, keys: &mut dyn Iterator<Item = FlowKey>) -> Option<usize> {
            keys.next().map(|_| 0)
        }
    }

    #[test]
    fn among_many_apps_all_are_looked_at() {
        let mut fair: Fair<()> = Fair::default();
        let tenant = fair.add_tenant(Weight::DEFAULT);
        let keys: Vec<_> = (0..3 * LOOKED_AT).map(|_| fair.add(tenant, Weight::DEFAULT)).collect();
        let mut held = Held::default();
        for key in &keys {
            let waiting = || (Arc::default(), Waker::noop().clone());
            // More of each than can have their turn here.
            held.by_app.insert(*key, (0..keys.len()).map(|_| waiting()).collect());
            held.turns.push_back(*key);
        }
        let mut windows = std::collections::HashSet::new();
        for _ in 0..6 {
            let (key, index) = held.least(&FirstIsLeast).unwrap();
            windows.insert(keys.iter().position(|known| *known == key).unwrap() / LOOKED_AT);
            held.take(key, index).unwrap();
        }
        assert_eq!(windows.len(), 3, "apps behind the first {LOOKED_AT} are never looked at");
    }
}
