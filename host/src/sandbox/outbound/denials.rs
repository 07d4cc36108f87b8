//! Telling that an app's outbound requests are denied, and who can allow them.
//! Does not decide what is denied.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use steerage_core::id::{AppName, Generation};
use steerage_core::outbound::Denial;

use super::connect::Destination;
use crate::telemetry::events::{Event, Events, Severity};
use crate::telemetry::logs::AppLog;

/// How long after a denial was told the next ones of the same destination are only counted.
const TELL_AGAIN: Duration = Duration::from_secs(60);
/// Destinations of one deployment that are told apart. Their number is the guest's choice, so beyond
/// it denials are only counted.
const MOST_TOLD: usize = 32;
/// Bytes of a name that are shown: no name of a host has more.
pub(super) const LONGEST_NAME: usize = 255;

/// The denials of one deployment.
#[derive(Clone, Debug)]
pub struct Denials {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    app: AppName,
    generation: Generation,
    count: Arc<AtomicU64>,
    events: Arc<Events>,
    log: Option<Arc<AppLog>>,
    told: Mutex<BTreeMap<String, Instant>>,
}

impl Denials {
    /// Denials of an app, counted in `count` and told to `events`.
    #[must_use]
    pub fn new(
        app: AppName,
        generation: Generation,
        count: Arc<AtomicU64>,
        events: Arc<Events>,
    ) -> Self {
        let told = Mutex::default();
        Self { inner: Arc::new(Inner { app, generation, count, events, log: None, told }) }
    }

    /// The same, without the secrets that are in no line of this log either.
    #[must_use]
    pub fn hiding(self, log: Arc<AppLog>) -> Self {
        let Inner { app, generation, count, events, .. } = &*self.inner;
        let (count, events, log) = (count.clone(), events.clone(), Some(log));
        let (app, generation, told) = (app.clone(), *generation, Mutex::default());
        Self { inner: Arc::new(Inner { app, generation, count, events, log, told }) }
    }

    /// A name that the guest has chosen, without secrets of its app.
    pub(super) fn shown<'n>(&self, name: &'n str) -> Cow<'n, str> {
        match &self.inner.log {
            Some(log) => log.hidden().taken_out_of_name(name),
            None => Cow::Borrowed(name),
        }
    }

    /// Counts a request that was denied, and tells it unless the same was told a moment ago.
    pub(super) fn note(&self, destination: &Destination, denial: Denial) {
        self.tell("request to", destination.to_string(), denial);
    }

    /// The same of a connection of a guest's own.
    pub(super) fn note_connection(&self, address: SocketAddr, denial: Denial) {
        self.note_wanted(format!("tcp://{address}"), denial);
    }

    /// The same of one to what is `wanted`, as an entry of the manifest has it.
    pub(super) fn note_wanted(&self, wanted: String, denial: Denial) {
        self.tell("connection to", wanted, denial);
    }

    /// The same of a name that a guest wanted to look up.
    pub(super) fn note_look_up(&self, name: &str, denial: Denial) {
        let end = name.floor_char_boundary(LONGEST_NAME);
        self.tell(
            "look-up for",
            format!("tcp://{}:*", name.get(..end).unwrap_or_default()),
            denial,
        );
    }

    fn tell(&self, what: &str, wanted: String, denial: Denial) {
        let inner = &*self.inner;
        inner.count.fetch_add(1, Ordering::Relaxed);
        let wanted = self.shown(&wanted).into_owned();
        if !inner.is_news(&wanted, Instant::now()) {
            return;
        }
        inner.events.push(Event {
            severity: Severity::Warning,
            app: Some(inner.app.clone()),
            generation: Some(inner.generation),
            advice: denial.advice(&wanted),
            ..Event::now("outbound_denied", format!("a {what} {wanted} was denied: {denial}"))
        });
    }
}

impl Inner {
    fn is_news(&self, wanted: &str, now: Instant) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = match told.get(wanted) {
            Some(at) => now.saturating_duration_since(*at) >= TELL_AGAIN,
            None => told.len() < MOST_TOLD,
        };
        if is_news {
            told.insert(wanted.to_owned(), now);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denials() -> (Denials, Arc<AtomicU64>, Arc<Events>) {
        let (count, events) = (Arc::<AtomicU64>::default(), Arc::<Events>::default());
        let app = AppName::parse("shop").unwrap();
        let generation = Generation::new(1).unwrap();
        (Denials::new(app, generation, count.clone(), events.clone()), count, events)
    }

    fn destination(uri: &str) -> Destination {
        Destination::of(&uri.parse().unwrap()).unwrap()
    }

    #[test]
    fn the_event_names_the_line_to_add() {
        let (denials, _, events) = denials();
        denials.note(&destination("http://127.0.0.1:9901/stock?id=1"), Denial::NotListed);
        let event = events.recent(None, 1).remove(0);
        assert_eq!(event.kind, "outbound_denied");
        let advice = event.advice.unwrap();
        assert!(advice.contains("\"http://127.0.0.1:9901\" to allowed_outbound_hosts"), "{advice}");
    }

    #[test]
    fn denials_of_one_destination_are_told_once_and_of_many_some() {
        let (denials, count, events) = denials();
        for port in 1..1000 {
            denials.note(&destination("https://api.example.com/a"), Denial::NotListed);
            denials
                .note(&destination(&format!("https://api.example.com:{port}/")), Denial::NotListed);
        }
        assert_eq!(count.load(Ordering::Relaxed), 1998);
        let n_told = events.recent(None, 1000).len();
        assert!((2..=MOST_TOLD).contains(&n_told), "{n_told} events");
    }
}
