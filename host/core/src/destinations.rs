//! What an app's outbound requests came to, of each destination that it asked: how they ended, how long they
//! took, and how long calls waited for them.
//! Reads no clock and sends nothing. Keeps no more than a few destinations, since which ones there are is
//! the guest's choice.

mod end;
mod reason;

use std::collections::VecDeque;
use std::time::Duration;

pub use self::end::RequestEnd;
pub use self::reason::EndReason;
use crate::latency::Latencies;

/// Destinations that are kept apart. All others are one.
pub const MOST: usize = 16;
/// What those are called that are not kept apart. No host has this name: a destination has a port.
pub const OTHERS: &str = "others";
/// A destination gives its place to a new one when nobody has asked it for so long: milliseconds. So what is
/// kept does not change faster than somebody can read it.
const QUIET: u64 = 600_000;
/// Last requests that are kept of each.
pub const RECENT: usize = 32;

/// One outbound request that is over.
#[derive(Clone, Copy, Debug)]
pub struct RequestOver {
    /// How it ended.
    pub end: RequestEnd,
    /// Why, in a few words.
    pub why: &'static str,
    /// The status that was answered; 0 where none was.
    pub status: u16,
    /// From when it could be sent until the head of its answer, or until it ended without.
    pub took: Duration,
    /// How long its call waited for it, the rest of the answer included.
    pub waited: Duration,
    /// When it was over, in milliseconds since the epoch.
    pub at: u64,
}

/// What is kept of one of the last requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecentRequest {
    /// When it was over, in whole seconds since the epoch.
    at_s: u32,
    took_us: u32,
    end: RequestEnd,
}

impl RecentRequest {
    /// When it was over, in milliseconds since the epoch, to the second.
    #[must_use]
    pub fn at(&self) -> u64 {
        u64::from(self.at_s) * 1000
    }

    /// See [`RequestOver::took`]; an hour at most.
    #[must_use]
    pub fn took(&self) -> Duration {
        Duration::from_micros(self.took_us.into())
    }

    /// How it ended.
    #[must_use]
    pub fn end(&self) -> RequestEnd {
        self.end
    }
}

/// What was wrong the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastError {
    /// When, in milliseconds since the epoch.
    pub at: u64,
    /// How the request ended.
    pub end: RequestEnd,
    /// Why, in a few words.
    pub why: &'static str,
    /// The status that was answered; 0 where none was.
    pub status: u16,
}

impl LastError {
    /// In a few words: `answered 503`, `no answer in time`.
    #[must_use]
    pub fn text(&self) -> String {
        match self.status {
            0 => self.why.to_owned(),
            status => format!("answered {status}"),
        }
    }
}

/// What is counted of one destination.
#[derive(Clone, Debug, Default)]
pub struct DestinationCounts {
    by_end: [u64; RequestEnd::ALL.len()],
    running: u32,
    waited: Duration,
    latencies: Latencies,
    recent: VecDeque<RecentRequest>,
    last_at: u64,
    last_error: Option<LastError>,
}

impl DestinationCounts {
    /// Requests that are over.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.by_end.iter().sum()
    }

    /// Those that ended so.
    #[must_use]
    pub fn ended(&self, end: RequestEnd) -> u64 {
        self.by_end.get(end as usize).copied().unwrap_or(0)
    }

    /// Requests that are under way.
    #[must_use]
    pub fn running(&self) -> u32 {
        self.running
    }

    /// How long calls waited, for one request after the other: two that were waited for at once count twice.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// How long those took that were answered, timed out or broke off.
    #[must_use]
    pub fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// The last requests, the oldest first.
    pub fn recent(&self) -> impl Iterator<Item = &RecentRequest> {
        self.recent.iter()
    }

    /// When something last happened, in milliseconds since the epoch.
    #[must_use]
    pub fn last_at(&self) -> u64 {
        self.last_at
    }

    /// What was wrong last.
    #[must_use]
    pub fn last_error(&self) -> Option<LastError> {
        self.last_error
    }

    fn record(&mut self, over: &RequestOver) {
        if let Some(count) = self.by_end.get_mut(over.end as usize) {
            *count += 1;
        }
        self.waited = self.waited.saturating_add(over.waited);
        if matches!(
            over.end,
            RequestEnd::Answered
                | RequestEnd::ServerError
                | RequestEnd::TimedOut
                | RequestEnd::BrokeOff
        ) {
            self.latencies.record(over.took);
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(RecentRequest {
            at_s: u32::try_from(over.at / 1000).unwrap_or(u32::MAX),
            took_us: u32::try_from(over.took.as_micros()).unwrap_or(u32::MAX),
            end: over.end,
        });
        self.last_at = self.last_at.max(over.at);
        if over.end.is_wrong() {
            let RequestOver { end, why, status, at, .. } = *over;
            self.last_error = Some(LastError { at, end, why, status });
        }
    }

    /// Whether nothing but denials is known of it: then it is no place that the app may ask.
    fn is_denied_only(&self) -> bool {
        self.running == 0 && self.ended(RequestEnd::Denied) == self.requests()
    }
}

/// Where a request is counted that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountedAs {
    /// As one of its destination.
    Itself,
    /// As one of the others.
    Others,
}

/// The destinations of one app, in the order in which they got their places, and the others.
#[derive(Clone, Debug, Default)]
pub struct DestinationTable {
    known: Vec<(Box<str>, DestinationCounts)>,
    others: Option<Box<DestinationCounts>>,
}

impl DestinationTable {
    /// A request to a destination is under way since `now`, in milliseconds since the epoch.
    pub fn begin(&mut self, name: &str, now: u64) -> CountedAs {
        let place = self.place_of(name, now, false);
        let counts = self.counts_at(place);
        counts.running = counts.running.saturating_add(1);
        counts.last_at = counts.last_at.max(now);
        if place.is_some() { CountedAs::Itself } else { CountedAs::Others }
    }

    /// A request is over. `begun` says how it was counted when it began; one that was never under way, since
    /// it was not let go, was not.
    pub fn record(&mut self, name: &str, begun: Option<CountedAs>, over: &RequestOver) {
        let place = match begun {
            Some(CountedAs::Others) => None,
            _ => self.place_of(name, over.at, over.end == RequestEnd::Denied),
        };
        let counts = self.counts_at(place);
        if begun.is_some() {
            counts.running = counts.running.saturating_sub(1);
        }
        counts.record(over);
    }

    /// Each destination with what is counted of it; the others last, by the name of [`OTHERS`].
    pub fn each(&self) -> impl Iterator<Item = (&str, &DestinationCounts)> {
        let others = self.others.as_deref().map(|counts| (OTHERS, counts));
        self.known.iter().map(|(name, counts)| (&**name, counts)).chain(others)
    }

    /// When something last happened, in milliseconds since the epoch.
    #[must_use]
    pub fn last_at(&self) -> u64 {
        self.each().map(|(_, counts)| counts.last_at).max().unwrap_or(0)
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn n_bytes(&self) -> u64 {
        let of = |counts: &DestinationCounts| {
            size_of::<(Box<str>, DestinationCounts)>()
                + counts.recent.capacity() * size_of::<RecentRequest>()
        };
        let all = self.each().map(|(name, counts)| name.len() + of(counts)).sum::<usize>();
        (size_of::<Self>() + all) as u64
    }

    /// The place of a destination, a new one where there is room or somebody gives way; `None` where it is
    /// one of the others. What is only denied takes nobody's place: its name may be made up.
    fn place_of(&mut self, name: &str, now: u64, is_denied: bool) -> Option<usize> {
        if let Some(place) = self.known.iter().position(|(known, _)| **known == *name) {
            return Some(place);
        }
        if self.known.len() >= MOST {
            let gives_way = |counts: &DestinationCounts| {
                let is_quiet = counts.last_at.saturating_add(QUIET) <= now;
                counts.running == 0 && (is_quiet || counts.is_denied_only() && !is_denied)
            };
            let all = self.known.iter().enumerate();
            let quiet = all.filter(|(_, (_, counts))| gives_way(counts));
            let (place, _) = quiet.min_by_key(|(_, (_, counts))| counts.last_at)?;
            // Its past goes with it: added to that of the others, it would look as if that had just happened.
            self.known.remove(place);
        }
        self.known.push((name.into(), DestinationCounts::default()));
        Some(self.known.len() - 1)
    }

    fn counts_at(&mut self, place: Option<usize>) -> &mut DestinationCounts {
        match place.and_then(|place| self.known.get_mut(place)) {
            Some((_, counts)) => counts,
            None => self.others.get_or_insert_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn over(end: RequestEnd, at: u64) -> RequestOver {
        let took = Duration::from_millis(20);
        RequestOver { end, why: "why", status: 0, took, waited: took, at }
    }

    fn ask(table: &mut DestinationTable, name: &str, end: RequestEnd, at: u64) {
        let begun = (end != RequestEnd::Denied).then(|| table.begin(name, at));
        table.record(name, begun, &over(end, at));
    }

    fn names(table: &DestinationTable) -> Vec<String> {
        table.each().map(|(name, _)| name.to_owned()).collect()
    }

    #[test]
    fn a_destination_is_told_with_its_errors_and_its_latency() {
        let mut table = DestinationTable::default();
        for at in 0..9 {
            ask(&mut table, "api:443", RequestEnd::Answered, at * 1000);
        }
        let begun = Some(table.begin("api:443", 9_000));
        let failed = RequestOver {
            end: RequestEnd::ServerError,
            status: 503,
            took: Duration::from_secs(2),
            ..over(RequestEnd::ServerError, 11_000)
        };
        assert_eq!(table.each().next().unwrap().1.running(), 1);
        table.record("api:443", begun, &failed);
        let (name, counts) = table.each().next().unwrap();
        assert_eq!((name, counts.requests(), counts.running()), ("api:443", 10, 0));
        assert_eq!(counts.ended(RequestEnd::ServerError), 1);
        assert_eq!(counts.waited(), Duration::from_millis(200));
        assert_eq!(counts.latencies().longest(), Duration::from_secs(2));
        let median = counts.latencies().percentile(50).unwrap().as_millis();
        assert!((18..=22).contains(&median), "{median} ms");
        let error = counts.last_error().unwrap();
        assert_eq!((error.at, &*error.text()), (11_000, "answered 503"));
        let last = counts.recent().last().unwrap();
        assert_eq!((last.at(), last.end()), (11_000, RequestEnd::ServerError));
    }

    #[test]
    fn a_new_destination_takes_the_place_of_a_quiet_one_and_of_no_other() {
        let mut table = DestinationTable::default();
        for number in 0..MOST as u64 {
            ask(&mut table, &format!("h{number}:80"), RequestEnd::Answered, number);
        }
        ask(&mut table, "new:80", RequestEnd::Unconnected, 1000);
        assert_eq!(table.each().count(), MOST + 1);
        assert_eq!(names(&table).last().map(String::as_str), Some(OTHERS));
        // The first is quiet now, the second asked for again.
        ask(&mut table, "h1:80", RequestEnd::Answered, QUIET);
        ask(&mut table, "new:80", RequestEnd::Answered, QUIET + 1);
        let known = names(&table);
        assert!(!known.contains(&"h0:80".to_owned()), "{known:?}");
        assert!(known.contains(&"h1:80".to_owned()) && known.contains(&"new:80".to_owned()));
        let (_, others) = table.each().last().unwrap();
        // They have what happened as theirs, and not the past of who gave up its place.
        assert_eq!((others.requests(), others.ended(RequestEnd::Unconnected)), (1, 1));
    }

    #[test]
    fn names_that_are_only_denied_take_no_place_from_those_that_are_asked() {
        let mut table = DestinationTable::default();
        for number in 0..100 {
            ask(&mut table, &format!("made-up-{number}:80"), RequestEnd::Denied, 0);
        }
        assert_eq!(table.each().count(), MOST + 1);
        for number in 0..MOST {
            ask(&mut table, &format!("h{number}:80"), RequestEnd::Answered, 1);
        }
        let known = names(&table);
        assert!((0..MOST).all(|number| known.contains(&format!("h{number}:80"))), "{known:?}");
        ask(&mut table, "made-up-0:80", RequestEnd::Denied, 2);
        assert_eq!(names(&table), known);
    }

    proptest! {
        #[test]
        fn others_count_what_happens_as_theirs_and_the_table_stays_small(
            requests in prop::collection::vec((0_usize..40, 0_usize..8, 0_u64..QUIET), 0..300),
        ) {
            let mut table = DestinationTable::default();
            let (mut now, mut under_way) = (0, Vec::new());
            let of_others = |table: &DestinationTable| {
                table.others.as_ref().map_or(0, |counts| counts.requests())
            };
            for (number, (host, end, later)) in requests.iter().enumerate() {
                now += later / 4;
                let (name, end) = (format!("h{host}:80"), RequestEnd::ALL[*end]);
                let begun = (end != RequestEnd::Denied).then(|| table.begin(&name, now));
                under_way.push((name, begun, end));
                if number % 3 == 0 {
                    for (name, begun, end) in under_way.drain(..) {
                        let before = of_others(&table);
                        table.record(&name, begun, &over(end, now));
                        let is_known = table.known.iter().any(|(known, _)| **known == *name);
                        let is_others = begun == Some(CountedAs::Others) || !is_known;
                        prop_assert_eq!(of_others(&table) - before, u64::from(is_others));
                    }
                }
                prop_assert!(table.each().count() <= MOST + 1);
                let running: u32 = table.each().map(|(_, counts)| counts.running()).sum();
                let n_begun = under_way.iter().filter(|(_, begun, _)| begun.is_some()).count();
                prop_assert_eq!(running as usize, n_begun);
                prop_assert!(table.n_bytes() < 20_000, "{} bytes", table.n_bytes());
            }
            let n_over = requests.len() - under_way.len();
            let all: u64 = table.each().map(|(_, counts)| counts.requests()).sum();
            prop_assert!(all <= n_over as u64);
        }
    }
}
