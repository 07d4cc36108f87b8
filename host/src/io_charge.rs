//! Charges the work of reading requests and writing responses to the app that it is done for, and
//! leaves it for later while the app is over its share. Does not know what a connection is: it
//! measures how long futures are polled.
//!
//! A slice that runs where its request was read is measured and charged for itself, so the work on
//! the connection is what comes before and after it.

pub mod backpressure;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use self::backpressure::Backpressure;
use crate::flow::Flow;
use crate::meter;

/// The connection that this thread works on.
#[derive(Default)]
struct AtHand {
    /// The app whose request it carried last.
    flow: Option<Arc<Flow>>,
    used: Duration,
}

thread_local! {
    static AT_HAND: RefCell<AtHand> = RefCell::default();
    static N_DONE: Cell<u64> = const { Cell::new(0) };
}

/// Does the work of a connection, at the cost of the app whose request it carried last. What a first
/// request costs until its app is known is charged to that app as well.
pub async fn charged<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut flow: Option<Arc<Flow>> = None;
    let mut backpressure = Backpressure::default();
    poll_fn(|context| {
        if flow.as_ref().is_some_and(|flow| backpressure.holds(flow, context.waker())) {
            return Poll::Pending;
        }
        AT_HAND.set(AtHand { flow: flow.take(), used: Duration::ZERO });
        meter::begin();
        let polled = work.as_mut().poll(context);
        let used = meter::end();
        N_DONE.set(N_DONE.get() + 1);
        let at_hand = AT_HAND.take();
        flow = at_hand.flow;
        if let Some(flow) = &flow {
            flow.charge_io(at_hand.used + used);
        }
        polled
    })
    .await
}

/// How often connections were worked on by this thread.
#[must_use]
pub fn n_done() -> u64 {
    N_DONE.get()
}

/// Says which app the work at hand is for, from now on.
pub fn is_for(flow: &Arc<Flow>) {
    AT_HAND.with_borrow_mut(|at_hand| {
        if !at_hand.flow.as_ref().is_some_and(|known| Arc::ptr_eq(known, flow)) {
            at_hand.flow = Some(flow.clone());
        }
    });
}

/// A slice begins here.
pub fn begin_slice() {
    let used = meter::next();
    AT_HAND.with_borrow_mut(|at_hand| at_hand.used += used);
}

/// The slice has ended; says what it took.
#[must_use]
pub fn end_slice() -> Duration {
    meter::next()
}
