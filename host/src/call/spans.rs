//! The spans that a guest makes of parts of its call (`wasi:otel`), kept until the call is over.
//! Does not send them: `otlp` does. Does not know what a guest is.

use std::num::NonZeroU64;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use steerage_core::trace::TraceParent;

/// Spans that are kept of one call, and bytes that they take: what calls leave waits for its collector, and how
/// much a guest says is the guest's choice.
const MOST_SPANS: usize = 64;
/// Bytes of these spans, in all.
const MOST_SPAN_BYTES: usize = 32 << 10;
/// Spans of one call that are told to have begun and not ended, of which the last one is where the guest is.
const MOST_OPEN: usize = 32;

/// The spans of one call. Most guests make none, and then it is a few words.
#[derive(Debug, Default)]
pub struct GuestSpans {
    /// The span of the call, below which those of the guest are; not set where spans are told nobody.
    of_call: OnceLock<TraceParent>,
    /// Only for a guest that says something. The guest's functions and its requests come here, one call at a time.
    state: OnceLock<Box<Mutex<State>>>,
}

#[derive(Debug, Default)]
struct State {
    over: Vec<GuestSpan>,
    open: Vec<NonZeroU64>,
    n_bytes: usize,
    n_left_out: u64,
}

/// One span of a guest that is over.
#[derive(Clone, Debug, Default)]
pub struct GuestSpan {
    /// Its id; never 0.
    pub id: u64,
    /// The span that it is below.
    pub parent: Option<NonZeroU64>,
    /// What it is called.
    pub name: String,
    /// Its kind, by the number that OTLP has for it.
    pub kind: i32,
    /// When it began and ended, since 1970.
    pub times: (Duration, Duration),
    /// What is said of it: names, and values as JSON.
    pub attributes: Vec<(String, String)>,
    /// What happened meanwhile.
    pub events: Vec<GuestSpanEvent>,
    /// Whether it failed or is well, where the guest says so: 1 is well, 2 failed.
    pub status: Option<(i32, String)>,
    /// Attributes, events and links that are not here.
    pub n_dropped: [u32; 3],
}

/// Something that happened in a span.
#[derive(Clone, Debug, Default)]
pub struct GuestSpanEvent {
    /// What.
    pub name: String,
    /// When, since 1970.
    pub at: Duration,
    /// What is said of it: names, and values as JSON.
    pub attributes: Vec<(String, String)>,
}

impl GuestSpans {
    /// The call has this span, and what its guest says of its own is told somebody.
    pub fn tell_below(&self, of_call: TraceParent) {
        // It is said once, before the guest begins.
        self.of_call.set(of_call).ok();
    }

    /// The span of the call, where spans are told.
    #[must_use]
    pub fn of_call(&self) -> Option<TraceParent> {
        self.of_call.get().copied()
    }

    /// The guest has begun a span. Of spans that are too many it is not known where the guest is.
    pub fn begin(&self, id: NonZeroU64) {
        let mut state = self.state();
        if state.open.len() < MOST_OPEN {
            state.open.push(id);
        }
    }

    /// The span in which the guest is, if it says so.
    #[must_use]
    pub fn open(&self) -> Option<NonZeroU64> {
        let state = self.state.get()?.lock().unwrap_or_else(PoisonError::into_inner);
        state.open.last().copied()
    }

    /// A span is over. One that there is no room for, or that is nobody's to be told, is left out and counted.
    pub fn end(&self, span: GuestSpan, is_of_call: bool) {
        let mut state = self.state();
        state.open.retain(|open| open.get() != span.id);
        let n_bytes = state.n_bytes.saturating_add(span.n_bytes());
        if !is_of_call || state.over.len() >= MOST_SPANS || n_bytes > MOST_SPAN_BYTES {
            state.n_left_out = state.n_left_out.saturating_add(1);
            return;
        }
        state.n_bytes = n_bytes;
        state.over.push(span);
    }

    /// Bytes that they take.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        self.state.get().map_or(0, |_| self.state().n_bytes)
    }

    /// All that are over, and how many were left out. They are given once.
    #[must_use]
    pub fn take(&self) -> (Vec<GuestSpan>, u64) {
        if self.state.get().is_none() {
            return (Vec::new(), 0);
        }
        let mut state = self.state();
        (std::mem::take(&mut state.over), state.n_left_out)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.state.get_or_init(Box::default);
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GuestSpan {
    /// Bytes that it takes.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        let of_status = self.status.as_ref().map_or(0, |(_, why)| why.len());
        let of_events: usize = self
            .events
            .iter()
            .map(|event| {
                size_of::<GuestSpanEvent>() + event.name.len() + n_bytes(&event.attributes)
            })
            .sum();
        let own = size_of::<Self>() + self.name.len() + of_status;
        own + n_bytes(&self.attributes) + of_events
    }
}

fn n_bytes(attributes: &[(String, String)]) -> usize {
    let of_one =
        |(name, value): &(String, String)| size_of::<(String, String)>() + name.len() + value.len();
    attributes.iter().map(of_one).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: u64, n_bytes: usize) -> GuestSpan {
        GuestSpan { id, name: "x".repeat(n_bytes), ..GuestSpan::default() }
    }

    #[test]
    fn a_guest_that_says_nothing_has_none_and_takes_no_room() {
        let spans = GuestSpans::default();
        assert_eq!((spans.open(), spans.n_bytes(), spans.take().1), (None, 0, 0));
        assert!(spans.state.get().is_none(), "nothing is made for it");
    }

    #[test]
    fn however_much_a_guest_says_so_much_is_kept_and_the_rest_is_counted() {
        let many = GuestSpans::default();
        (0..1_000).for_each(|id| many.end(span(id, 1), true));
        let (over, n_left_out) = many.take();
        assert_eq!(over.len() as u64 + n_left_out, 1_000);
        assert!(over.len() <= MOST_SPANS && !over.is_empty());

        let large = GuestSpans::default();
        (0..1_000).for_each(|id| large.end(span(id, 5_000), true));
        assert!(large.n_bytes() <= MOST_SPAN_BYTES, "{}", large.n_bytes());
        assert_eq!((large.take().0.len(), large.take().0.len()), (6, 0), "they are given once");

        let open = GuestSpans::default();
        (1..1_000).filter_map(NonZeroU64::new).for_each(|id| open.begin(id));
        assert_eq!(open.state().open.len(), MOST_OPEN);
    }

    #[test]
    fn where_a_guest_is_it_says_by_what_it_began_last_and_has_not_ended() {
        let spans = GuestSpans::default();
        let id = |id| NonZeroU64::new(id);
        [1, 2, 3].into_iter().filter_map(id).for_each(|id| spans.begin(id));
        spans.end(span(2, 0), true);
        assert_eq!(spans.open(), id(3));
        spans.end(span(3, 0), false);
        assert_eq!(spans.open(), id(1));
        let (over, n_left_out) = spans.take();
        assert_eq!((over.len(), over[0].id, n_left_out), (1, 2, 1), "that of another trace is out");
    }
}
