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
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use self::backpressure::Backpressure;
use crate::flow::Flow;
use crate::meter;

/// The connection, or the stream of one, that this thread works on.
#[derive(Default)]
struct AtHand {
    /// Whether there is one.
    is_any: bool,
    /// The app whose request it carried last.
    flow: Option<Arc<Flow>>,
    used: Duration,
    /// What its streams say, where it has begun some: they are worked on by themselves.
    of_streams: Option<Arc<LastApp>>,
    /// Where it says itself for which app it is, where it is a stream.
    tells: Option<Arc<LastApp>>,
}

/// The app of the stream that a connection began last to work on.
#[derive(Debug, Default)]
struct LastApp(Mutex<Option<Arc<Flow>>>);

impl LastApp {
    fn set(&self, flow: &Arc<Flow>) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !last.as_ref().is_some_and(|known| Arc::ptr_eq(known, flow)) {
            // Dropped without the lock: the last that holds a flow takes that of the run queue.
            let before = last.replace(flow.clone());
            drop(last);
            drop(before);
        }
    }

    fn get(&self) -> Option<Arc<Flow>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

thread_local! {
    static AT_HAND: RefCell<AtHand> = RefCell::default();
    static N_DONE: Cell<u64> = const { Cell::new(0) };
}

/// Does the work of a connection, at the cost of the app whose request it carried last. What a first
/// request costs until its app is known is charged to that app as well.
///
/// What is made while a connection is worked on is a stream of it, which is charged by itself. What then
/// remains to the connection, reading and writing frames, is charged to the app of the stream that was
/// begun last; and never waits for that app, since other apps' streams would wait with it.
pub fn charged<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let tells = AT_HAND.with_borrow_mut(|at_hand| {
        at_hand.is_any.then(|| at_hand.of_streams.get_or_insert_default().clone())
    });
    work_at_cost(work, tells)
}

async fn work_at_cost<T>(work: impl Future<Output = T>, tells: Option<Arc<LastApp>>) -> T {
    let mut work = pin!(work);
    let mut flow: Option<Arc<Flow>> = None;
    let mut of_streams: Option<Arc<LastApp>> = None;
    let mut backpressure = Backpressure::default();
    poll_fn(|context| {
        if flow.as_ref().is_some_and(|flow| backpressure.holds(flow, context.waker())) {
            return Poll::Pending;
        }
        AT_HAND.set(AtHand {
            is_any: true,
            flow: flow.take(),
            used: Duration::ZERO,
            of_streams: of_streams.take(),
            tells: tells.clone(),
        });
        meter::begin();
        let polled = work.as_mut().poll(context);
        let used = meter::end();
        N_DONE.set(N_DONE.get() + 1);
        let at_hand = AT_HAND.take();
        (flow, of_streams) = (at_hand.flow, at_hand.of_streams);
        if let Some(flow) = &flow {
            flow.charge_io(at_hand.used + used);
        } else if let Some(flow) = of_streams.as_ref().and_then(|streams| streams.get()) {
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
        if let Some(connection) = &at_hand.tells {
            connection.set(flow);
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

#[cfg(test)]
mod tests {
    use steerage_core::fair::{Fair, FlowKey};
    use steerage_core::units::Weight;

    use super::*;
    use crate::flow::Order;

    /// An order in which everybody asks and nobody is to wait.
    #[derive(Debug)]
    struct AllAsk;

    impl Order for AllAsk {
        fn is_contended(&self) -> bool {
            true
        }

        fn is_over_share(&self, _: FlowKey) -> bool {
            false
        }

        fn least(&self, _: &mut dyn Iterator<Item = FlowKey>) -> Option<usize> {
            None
        }

        fn remove(&self, _: FlowKey) {}
    }

    const A_WHILE: Duration = Duration::from_millis(2);

    /// Uses the CPU in one piece.
    fn work() {
        work_for(A_WHILE);
    }

    fn work_for(time: Duration) {
        let began = meter::so_far();
        while meter::so_far() < began + time {}
    }

    fn two_apps() -> [Arc<Flow>; 2] {
        let mut fair: Fair<()> = Fair::default();
        let tenant = fair.add_tenant(Weight::DEFAULT);
        let keys = [(); 2].map(|()| fair.add(tenant, Weight::DEFAULT));
        keys.map(|key| Flow::new(key, Arc::new(AllAsk)))
    }

    fn debt(flow: &Flow) -> Duration {
        flow.take_io_debt().unwrap_or_default()
    }

    #[tokio::test]
    async fn frames_are_charged_to_the_app_whose_stream_was_begun_last() {
        let [one, other] = two_apps();
        let stream_of = |flow: &Arc<Flow>| {
            let flow = flow.clone();
            // As hyper does: made while the connection is worked on, run as a task.
            drop(tokio::task::spawn(charged(async move { is_for(&flow) })));
        };
        let connection = charged(async {
            stream_of(&one);
            tokio::task::yield_now().await;
            work();
            stream_of(&other);
            tokio::task::yield_now().await;
            work();
        });
        connection.await;
        let (one, other) = (debt(&one), debt(&other));
        assert!(one >= A_WHILE && other >= A_WHILE, "{one:?} {other:?}");
    }

    #[tokio::test]
    async fn a_stream_is_charged_by_itself() {
        // What is little is told from what is much on a busy machine as well: taking this thread off its core, and
        // what then is not in its caches, costs milliseconds.
        const LONG: Duration = Duration::from_millis(100);
        let [one, other] = two_apps();
        let connection = charged(async {
            let flow = one.clone();
            let stream = tokio::task::spawn(charged(async move {
                is_for(&flow);
                work_for(LONG);
            }));
            is_for(&other);
            stream.await.unwrap();
        });
        connection.await;
        let (one, other) = (debt(&one), debt(&other));
        assert!(one >= LONG && other < LONG, "{one:?} {other:?}");
    }
}
