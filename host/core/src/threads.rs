//! Which of the threads that read requests takes a new connection, and which begins a request that came on
//! a connection of another. Knows no threads: it is told what each has to do.
//!
//! The kernel deals connections out by a hash, so eight of them may be on three of 64 threads. And all
//! requests of an HTTP/2 connection, such as a load balancer's, are read by one thread, which could then
//! answer no more of them than one core can.
//!
//! Handing something over costs a wake of the other thread, some microseconds, where a small call costs some
//! tens. So a thread keeps what it will come to soon, and hands over to threads only that do nothing.

/// Requests that wait to be begun on the thread that read them, before another one is handed over.
const KEPT: u32 = 2;

/// A thread may have so many connections more than the one that has fewest, as a part of those: otherwise
/// nearly every second one would be handed over where there are many, for nothing.
const SLACK: u32 = 8;

/// What a thread has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadLoad {
    /// Requests that it is to begin and has not.
    pub n_ready: u32,
    /// Whether it waits for something to do.
    pub is_idle: bool,
}

/// Where a connection goes that came on a thread with so many of them already: the place of another thread
/// in the list of how many those have, or nowhere.
#[must_use]
pub fn for_connection(own: u32, others: impl IntoIterator<Item = u32>) -> Option<usize> {
    let others = others.into_iter().enumerate();
    let (place, least) = others.min_by_key(|(place, n_connections)| (*n_connections, *place))?;
    (own > least.saturating_add(least / SLACK)).then_some(place)
}

/// Whether a thread on which so many requests wait to be begun looks for another that begins the next.
#[must_use]
pub fn is_to_share(n_ready: u32) -> bool {
    n_ready >= KEPT
}

/// Where a request is begun that came on a thread on which so many wait to be begun: the place of another
/// thread in the list of what those have to do, or nowhere.
#[must_use]
pub fn for_request(n_ready: u32, others: impl IntoIterator<Item = ThreadLoad>) -> Option<usize> {
    let has_less =
        |load: &ThreadLoad| load.is_idle && is_to_share(n_ready.saturating_sub(load.n_ready));
    let others = others.into_iter().enumerate().filter(|(_, load)| has_less(load));
    others.min_by_key(|(place, load)| (load.n_ready, *place)).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn idle(n_ready: u32) -> ThreadLoad {
        ThreadLoad { n_ready, is_idle: true }
    }

    #[test]
    fn connections_go_where_there_are_fewest() {
        assert_eq!(for_connection(0, [0, 0]), None);
        assert_eq!(for_connection(1, [2, 0, 0]), Some(1));
        assert_eq!(for_connection(1, [1, 1]), None);
        assert_eq!(for_connection(110, [100, 105]), None);
        assert_eq!(for_connection(113, [100, 105]), Some(0));
        assert_eq!(for_connection(9, []), None, "a thread alone keeps all");
    }

    #[test]
    fn requests_stay_until_some_wait_and_another_thread_does_nothing() {
        let busy = ThreadLoad { n_ready: 0, is_idle: false };
        assert_eq!(for_request(1, [idle(0)]), None, "it will come to it soon");
        assert_eq!(for_request(2, [busy, idle(0), idle(0)]), Some(1));
        assert_eq!(for_request(9, [busy, busy]), None);
        assert_eq!(for_request(3, [idle(2)]), None, "who is about to wake has enough");
        assert_eq!(for_request(100, []), None);
    }

    proptest! {
        #[test]
        fn connections_that_stay_are_spread_evenly_wherever_they_came_in(
            came_in in proptest::collection::vec(0..64_usize, 0..500),
            n_threads in 1..64_usize,
        ) {
            let mut counts = vec![0; n_threads];
            for own in came_in {
                let own = own % n_threads;
                let others: Vec<usize> = (1..n_threads).map(|n| (own + n) % n_threads).collect();
                let place = for_connection(counts[own], others.iter().map(|other| counts[*other]));
                counts[place.map_or(own, |place| others[place])] += 1;
            }
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            prop_assert!(*most <= least + least / SLACK + 1, "{counts:?}");
        }

        #[test]
        fn a_batch_of_requests_is_shared_among_those_that_do_nothing(
            n_requests in 0..300_u32,
            are_idle in proptest::collection::vec(any::<bool>(), 0..64),
        ) {
            let mut others: Vec<_> =
                are_idle.iter().map(|is_idle| ThreadLoad { n_ready: 0, is_idle: *is_idle }).collect();
            let mut own = 0;
            for _ in 0..n_requests {
                match for_request(own, others.iter().copied()) {
                    Some(place) => others[place].n_ready += 1,
                    None => own += 1,
                }
            }
            for other in &others {
                prop_assert!(other.is_idle || other.n_ready == 0);
                prop_assert!(!other.is_idle || own <= other.n_ready + KEPT, "{own} {others:?}");
                prop_assert!(other.n_ready <= own);
            }
        }
    }
}
