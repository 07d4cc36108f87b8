//! Whom a call asks in its outbound requests, and how long it waits for each.
//! Does not send them, and does not know what else the call waits for: `time` does.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::Method;
use steerage_core::destinations::RequestEnd;

/// Destinations of one call that are told apart; which are the first. How many there are is the guest's choice.
const MOST: usize = 8;

/// Requests of one call that are told apart: those that took longest.
const MOST_REQUESTS: usize = 8;

/// The destinations that one call asks, the first of them first, and its requests. Written by its outbound
/// requests, for which a lock of the call's own is little.
#[derive(Debug, Default)]
pub struct OutboundWaits {
    each: Mutex<Vec<DestinationWait>>,
    over: Mutex<Vec<OutboundRequest>>,
}

/// What stands for a method that few know, of which anybody may make up any.
pub const OTHER_METHOD: &str = "_OTHER";

/// The name of a method that the conventions for spans know, and of all others the same.
#[must_use]
pub fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] =
        ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or(OTHER_METHOD)
}

/// One outbound request that is over.
#[derive(Clone, Debug)]
pub struct OutboundRequest {
    /// The destination, as `host:port`.
    pub destination: Arc<str>,
    /// Its method, where that is known.
    pub method: &'static str,
    /// When it began, after the start of its call.
    pub began_after: Duration,
    /// When it was over.
    pub ended_after: Duration,
    /// How long the guest waited for it meanwhile.
    pub waited: Duration,
    /// The span of its guest in which it was sent, where the guest made one.
    pub below: Option<NonZeroU64>,
    /// The status of its answer, 0 where there was none.
    pub status: u16,
    /// How it ended.
    pub end: RequestEnd,
}

#[derive(Debug)]
struct DestinationWait {
    destination: Arc<str>,
    /// What is over of it, in which at least one request was waited for.
    waited: Duration,
    /// Requests that are waited for, and since when any is.
    n_waiting: u32,
    since: Instant,
    /// How the last of its requests ended, where something was wrong with it.
    wrong: Option<RequestEnd>,
}

/// A destination that a call waited for longest: of all, or of those that gave it no good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongestWait {
    /// The destination, as `host:port`.
    pub destination: Arc<str>,
    /// How long the call waited for it, for several requests at once the time counts once.
    pub waited: Duration,
    /// How the last request to it ended, where something was wrong with it.
    pub wrong: Option<RequestEnd>,
}

impl OutboundWaits {
    /// A request to this destination is waited for from now on.
    pub fn begin(&self, destination: &Arc<str>, now: Instant) {
        let mut each = self.each();
        if let Some(wait) = each.iter_mut().find(|wait| wait.destination == *destination) {
            if wait.n_waiting == 0 {
                wait.since = now;
            }
            wait.n_waiting += 1;
        } else if each.len() < MOST {
            let destination = destination.clone();
            let (waited, wrong) = (Duration::ZERO, None);
            each.push(DestinationWait { destination, waited, n_waiting: 1, since: now, wrong });
        }
    }

    /// One that was waited for is not any more.
    pub fn pause(&self, destination: &str, now: Instant) {
        let mut each = self.each();
        let Some(wait) = each.iter_mut().find(|wait| *wait.destination == *destination) else {
            return;
        };
        if wait.n_waiting == 1 {
            wait.waited += now.saturating_duration_since(wait.since);
        }
        wait.n_waiting = wait.n_waiting.saturating_sub(1);
    }

    /// A request to this destination ended so.
    pub fn end(&self, destination: &str, end: RequestEnd) {
        let mut each = self.each();
        if let Some(wait) = each.iter_mut().find(|wait| *wait.destination == *destination) {
            wait.wrong = Some(end).filter(|end| end.is_wrong());
        }
    }

    /// This request is over.
    pub fn note_over(&self, request: OutboundRequest) {
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        if over.len() < MOST_REQUESTS {
            over.push(request);
        } else if let Some(shortest) = over.iter_mut().min_by_key(|one| one.took())
            && shortest.took() < request.took()
        {
            *shortest = request;
        }
    }

    /// The requests that are over, in the order in which they began: of many those that took longest.
    pub(super) fn requests(&self) -> Vec<OutboundRequest> {
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner).clone();
        over.sort_by_key(|request| request.began_after);
        over
    }

    /// The one that was waited for longest, and the one of those with something wrong.
    pub(super) fn longest(&self, now: Instant) -> [Option<LongestWait>; 2] {
        let each = self.each();
        let waited = |wait: &DestinationWait| {
            let last = match wait.n_waiting {
                0 => Duration::ZERO,
                _ => now.saturating_duration_since(wait.since),
            };
            wait.waited + last
        };
        let told = |wait: &DestinationWait| LongestWait {
            destination: wait.destination.clone(),
            waited: waited(wait),
            wrong: wait.wrong,
        };
        let wrong = each.iter().filter(|wait| wait.wrong.is_some());
        [each.iter().max_by_key(|wait| waited(wait)), wrong.max_by_key(|wait| waited(wait))]
            .map(|longest| longest.map(told))
    }

    fn each(&self) -> MutexGuard<'_, Vec<DestinationWait>> {
        self.each.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OutboundRequest {
    fn took(&self) -> Duration {
        self.ended_after.saturating_sub(self.began_after)
    }
}

impl LongestWait {
    /// Bytes that it takes.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        size_of::<Self>() + self.destination.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn name(number: usize) -> Arc<str> {
        format!("h{number}:80").into()
    }

    #[test]
    fn requests_at_once_are_waited_for_once_and_what_is_under_way_counts() {
        let (waits, start) = (OutboundWaits::default(), Instant::now());
        assert_eq!(waits.longest(start), [None, None]);
        waits.begin(&name(1), start);
        waits.begin(&name(1), start + MS);
        waits.pause("h1:80", start + 4 * MS);
        waits.pause("h1:80", start + 5 * MS);
        let longest = |now| {
            let [longest, _] = waits.longest(now);
            longest.map(|wait| (wait.destination, wait.waited))
        };
        assert_eq!(longest(start + 9 * MS), Some((name(1), 5 * MS)));
        waits.begin(&name(2), start + 5 * MS);
        assert_eq!(longest(start + 9 * MS), Some((name(1), 5 * MS)));
        assert_eq!(longest(start + 11 * MS), Some((name(2), 6 * MS)));
    }

    #[test]
    fn what_had_something_wrong_is_known_beside_the_longest_and_few_are_kept() {
        let (waits, start) = (OutboundWaits::default(), Instant::now());
        for number in 0..100 {
            let name = name(number);
            waits.begin(&name, start);
            waits.pause(&name, start + MS * 100);
            let end = if number == 3 { RequestEnd::Unconnected } else { RequestEnd::Answered };
            waits.end(&name, end);
        }
        waits.begin(&name(0), start);
        let [longest, wrong] = waits.longest(start + 500 * MS).map(Option::unwrap);
        assert_eq!((longest.destination, longest.waited), (name(0), 600 * MS));
        assert_eq!((wrong.destination, wrong.waited), (name(3), 100 * MS));
        assert_eq!((longest.wrong, wrong.wrong), (None, Some(RequestEnd::Unconnected)));
        // A good answer after all is what counts.
        waits.end("h3:80", RequestEnd::Answered);
        assert_eq!(waits.longest(start)[1], None);
        assert_eq!(waits.each().len(), MOST);
    }
}
