//! Holds back the work on connections whose apps were given more than others that ask, until the
//! thread has nothing of those to do. Does not know what the work is.
//!
//! Beside an app that always asks on sixty connections, a thread read and wrote for a third of a
//! millisecond between two looks at its sockets, and whoever else asked waited for it (measured). So
//! an app that is ahead has one of its connections worked on between two looks.

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use steerage_core::fair::FlowKey;

use super::Gate;
use super::helper::Bell;
use super::line::Line;

/// How many apps are compared to find the one that was given least.
const LOOKED_AT: usize = 64;

/// How many connections are let go on between two looks at what there is to read.
const RELEASED: usize = 8;

/// A connection that waits, and how it is told to go on.
type Waiting = (Arc<AtomicBool>, Waker);

/// The connections of this thread that are held.
#[derive(Default)]
struct Held {
    /// Who lets them go on; without it none is held.
    helper: Option<Arc<Bell>>,
    lines: HashMap<FlowKey, VecDeque<Waiting>>,
    /// The apps in `lines`.
    order: VecDeque<FlowKey>,
}

thread_local! {
    static HELD: RefCell<Held> = RefCell::default();
}

/// Whether one connection is held.
#[derive(Default)]
pub(super) struct Hold {
    /// Tells it to go on. Made when it is held for the first time.
    pass: Option<Arc<AtomicBool>>,
    is_held: bool,
}

impl Hold {
    /// Whether the connection is to wait, whose app's gate this is, and which is woken then.
    pub(super) fn holds(&mut self, gate: &Gate, waker: &Waker) -> bool {
        self.is_held = if self.is_held {
            !self.pass.as_ref().is_none_or(|pass| pass.load(Ordering::Relaxed))
        } else {
            gate.is_ahead() && self.enter(gate.key(), waker)
        };
        self.is_held
    }

    fn enter(&mut self, key: FlowKey, waker: &Waker) -> bool {
        HELD.with_borrow_mut(|held| {
            let Some(helper) = &held.helper else { return false };
            if held.order.is_empty() {
                helper.ring();
            }
            let pass = self.pass.get_or_insert_default();
            pass.store(false, Ordering::Relaxed);
            let of_app = held.lines.entry(key).or_default();
            if of_app.is_empty() {
                held.order.push_back(key);
            }
            of_app.push_back((pass.clone(), waker.clone()));
            true
        })
    }
}

/// Lets connections of this thread go on that are held, those first whose apps were given least: a few
/// whose apps are ahead no more, or else one. Says whether more are held.
pub(super) fn release(line: &Line) -> bool {
    for n_released in 0..RELEASED {
        let Some((key, index)) = HELD.with_borrow(|held| held.least(line)) else {
            return false;
        };
        if n_released > 0 && line.is_ahead(key) {
            return true;
        }
        let Some((pass, waker)) = HELD.with_borrow_mut(|held| held.take(key, index)) else {
            return false;
        };
        pass.store(true, Ordering::Relaxed);
        waker.wake();
    }
    HELD.with_borrow(|held| !held.order.is_empty())
}

/// Says who releases connections on this thread. While nobody does, none is held.
pub(super) fn served_by(helper: Option<Arc<Bell>>) {
    let lines = HELD.with_borrow_mut(|held| {
        held.helper = helper;
        held.order.clear();
        std::mem::take(&mut held.lines)
    });
    for (pass, waker) in lines.into_values().flatten() {
        pass.store(true, Ordering::Relaxed);
        waker.wake();
    }
}

impl Held {
    /// The app to be served first, and where it is in `order`.
    fn least(&self, line: &Line) -> Option<(FlowKey, usize)> {
        let looked_at = self.order.iter().copied().take(LOOKED_AT).zip(0..);
        if self.order.len() < 2 {
            return looked_at.last();
        }
        let queue = line.queue();
        looked_at.min_by_key(|(key, _)| queue.fair.standing(*key))
    }

    /// Takes the connection of an app that has waited longest.
    fn take(&mut self, key: FlowKey, index: usize) -> Option<Waiting> {
        let Entry::Occupied(mut of_app) = self.lines.entry(key) else { return None };
        let next = of_app.get_mut().pop_front();
        if of_app.get().is_empty() {
            of_app.remove();
            self.order.remove(index);
        }
        // Where there are more than are compared, the others come next.
        self.order.rotate_left(LOOKED_AT.min(self.order.len()));
        next
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use steerage_core::id::TenantName;
    use steerage_core::limits::Limits;
    use steerage_core::units::Weight;

    use super::super::{GuestThreads, Room, Schedule};
    use super::*;

    #[test]
    fn among_many_apps_all_are_looked_at() {
        let threads = GuestThreads::start(1).unwrap();
        let schedule = Schedule::new(&threads, Room { slots: 4, queue: 4 }, BTreeMap::new());
        let tenant = TenantName::default();
        let gates: Vec<_> = (0..3 * LOOKED_AT)
            .map(|_| schedule.gate(&Limits::default(), &tenant, Weight::DEFAULT))
            .collect();
        let mut held = Held::default();
        for gate in &gates {
            let waiting = || (Arc::default(), Waker::noop().clone());
            // More of each than can have their turn here.
            held.lines.insert(gate.key(), (0..gates.len()).map(|_| waiting()).collect());
            held.order.push_back(gate.key());
        }
        let mut windows = std::collections::HashSet::new();
        for _ in 0..6 {
            let (key, index) = held.least(gates[0].line()).unwrap();
            windows.insert(gates.iter().position(|gate| gate.key() == key).unwrap() / LOOKED_AT);
            held.take(key, index).unwrap();
        }
        assert_eq!(windows.len(), 3, "apps behind the first {LOOKED_AT} are never looked at");
        threads.stop();
    }
}
