//! The tape of one call: what its guest is told is written down on it as it is told, or said again from it.
//! Does not know clocks, bodies or requests: whoever tells a guest something asks the tape.
//!
//! Of what is written down each kind is a list of its own, so that a component that was mended, and looks at
//! the clock once more, is still told the same of everything else.

mod exchanges;

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steerage_core::capsule::{CapsuleFate, LARGEST};
use steerage_core::trace::TraceParent;

use super::bytes::CapsuleBytes;
use super::recording::{
    BodyEnd, Headers, RecordedAnswer, RecordedBody, RecordedBodyOf, Recording, TooLarge,
};

/// About what a number takes in a capsule.
const NUMBER: usize = 20;
/// How long a replay waits for what was ready when the call ran first, once something else is; half of the guest's
/// time where that is less, or the guest could not go on after it. What others answered is ready at once, so it is a
/// timer that takes longer, or what never comes.
const AWAITED_FOR: Duration = Duration::from_secs(2);
/// What the length of a piece of a body takes.
const PIECE: usize = 8;
/// What a header takes in memory besides its name and its value.
const HEADER: usize = 48;
/// What a list of what is ready takes in memory besides its places.
const POLL: usize = 32;

/// The tape of one call. Clones are the same tape.
#[derive(Clone, Debug)]
pub struct Tape(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    seed: [u8; 32],
    mode: TapeMode,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
enum TapeMode {
    Recording,
    Playing { awaited_for: Duration },
}

/// What a guest is to be told of its own request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Planned {
    /// This.
    Answer(RecordedAnswer),
    /// Nothing came while the call ran.
    Never,
    /// It sent no such request then.
    Unknown,
}

#[derive(Debug, Default)]
struct State {
    recording: Recording,
    /// About what it takes in a capsule.
    n_bytes: usize,
    is_too_large: bool,
    is_taken: bool,
    /// What the guest used whose answers are not written down.
    unwritten: Option<CapsuleFate>,
    /// How far each list was said again.
    position: Position,
}

#[derive(Debug, Default)]
struct Position {
    wall: Clock,
    monotonic: Clock,
    polls: usize,
    readiness_checks: (usize, u32),
    write_permits: usize,
    /// Which of the guest's own requests were sent again.
    sent: Vec<bool>,
    /// Whether the guest did something else than then: what is ready is no longer known.
    is_otherwise: bool,
}

/// How far the readings of a clock were said again, and how it goes on after the last.
#[derive(Debug, Default)]
struct Clock {
    n: usize,
    /// What its last reading was ahead of the clock here.
    ahead: Option<u64>,
}

impl Tape {
    /// An empty one, to write on. Random numbers come of the seed.
    #[must_use]
    pub fn recording(seed: [u8; 32]) -> Self {
        let recording = Recording { seed: CapsuleBytes(seed.to_vec()), ..Recording::default() };
        let state = State { recording, ..State::default() };
        let mode = TapeMode::Recording;
        Self(Arc::new(Inner { seed, mode, state: Mutex::new(state) }))
    }

    /// One to be said again to a guest that has so much time.
    #[must_use]
    pub fn playing(recording: Recording, timeout: Duration) -> Self {
        let mut seed = [0; 32];
        for (byte, from) in seed.iter_mut().zip(&recording.seed.0) {
            *byte = *from;
        }
        let state = State { recording, ..State::default() };
        let mode = TapeMode::Playing { awaited_for: AWAITED_FOR.min(timeout / 2) };
        Self(Arc::new(Inner { seed, mode, state: Mutex::new(state) }))
    }

    /// What random numbers come of.
    #[must_use]
    pub fn seed(&self) -> [u8; 32] {
        self.0.seed
    }

    /// Whether it says again what was told.
    #[must_use]
    pub fn is_playing(&self) -> bool {
        matches!(self.0.mode, TapeMode::Playing { .. })
    }

    /// How long a replay waits for what was ready when the call ran first, once something else is.
    #[must_use]
    pub fn awaited_for(&self) -> Duration {
        match self.0.mode {
            TapeMode::Recording => Duration::ZERO,
            TapeMode::Playing { awaited_for } => awaited_for,
        }
    }

    /// All that was told, or that it was too much, once; nothing is written down any more.
    #[must_use]
    pub fn take(&self) -> Option<Result<Recording, TooLarge>> {
        let mut state = self.state();
        if mem::replace(&mut state.is_taken, true) {
            return None;
        }
        Some(if state.is_too_large { Err(TooLarge) } else { Ok(mem::take(&mut state.recording)) })
    }

    /// What the wall clock says, which is this now.
    #[must_use]
    pub fn wall(&self, now: u64) -> u64 {
        let mut state = self.state();
        if self.is_playing() {
            let State { recording, position, .. } = &mut *state;
            return position.wall.next(&recording.wall_ns, now);
        }
        if state.has_room(NUMBER) {
            state.recording.wall_ns.push(now);
        }
        now
    }

    /// What the other clock says, which is this now.
    #[must_use]
    pub fn monotonic(&self, now: u64) -> u64 {
        let mut state = self.state();
        if self.is_playing() {
            let State { recording, position, .. } = &mut *state;
            return position.monotonic.next(&recording.monotonic_ns, now);
        }
        if state.has_room(NUMBER) {
            state.recording.monotonic_ns.push(now);
        }
        now
    }

    /// Which of so many things are to be ready for which the guest waits, where that is known.
    #[must_use]
    pub fn planned_poll(&self, n_things: usize) -> Option<Vec<u32>> {
        if !self.is_playing() {
            return None;
        }
        let mut state = self.state();
        let State { recording, position, .. } = &mut *state;
        // What was ready then may never be where other requests were sent before.
        if position.is_otherwise {
            return None;
        }
        let planned = recording.polls.get(position.polls)?;
        position.polls += 1;
        let fits = planned.iter().all(|place| (*place as usize) < n_things);
        (fits && !planned.is_empty()).then(|| planned.clone())
    }

    /// Which were ready.
    pub fn note_poll(&self, ready: &[u32]) {
        let mut state = self.state();
        if !self.is_playing() && state.has_room(POLL + 4 * ready.len()) {
            state.recording.polls.push(ready.to_vec());
        }
    }

    /// What was ready then is not any more.
    pub fn forget_polls(&self) {
        self.state().position.is_otherwise = true;
    }

    /// Whether the guest, which looks without waiting, is to be told that there is something, where that is
    /// known.
    #[must_use]
    pub fn planned_readiness(&self) -> Option<bool> {
        if !self.is_playing() {
            return None;
        }
        let mut state = self.state();
        let State { recording, position, .. } = &mut *state;
        let (run, n_said) = &mut position.readiness_checks;
        while recording.readiness_checks.get(*run)? <= n_said {
            (*run, *n_said) = (*run + 1, 0);
        }
        *n_said += 1;
        Some(*run % 2 == 1)
    }

    /// Whether there was.
    pub fn note_readiness(&self, is_there: bool) {
        let mut state = self.state();
        // A look that says the same as the one before takes no memory, and still costs time in a replay.
        let is_same = !state.recording.readiness_checks.is_empty()
            && state.recording.readiness_checks.len().is_multiple_of(2) == is_there;
        let n_bytes = if is_same { 1 } else { 4 };
        if self.is_playing() || !state.has_room(n_bytes) {
            return;
        }
        let readiness_checks = &mut state.recording.readiness_checks;
        if readiness_checks.is_empty() {
            readiness_checks.push(0);
        }
        if readiness_checks.len().is_multiple_of(2) != is_there {
            readiness_checks.push(0);
        }
        if let Some(run) = readiness_checks.last_mut() {
            *run = run.saturating_add(1);
        }
    }

    /// How much the guest may write: so much now, and so much then.
    #[must_use]
    pub fn write_permit(&self, now: u64) -> u64 {
        let mut state = self.state();
        if self.is_playing() {
            let State { recording, position, .. } = &mut *state;
            let planned = recording.write_permits.get(position.write_permits).copied();
            position.write_permits += 1;
            return planned.unwrap_or(now);
        }
        if state.has_room(8) {
            state.recording.write_permits.push(now);
        }
        now
    }

    /// The span of the call, which is this now.
    #[must_use]
    pub fn span_context(&self, now: TraceParent) -> TraceParent {
        let mut state = self.state();
        if self.is_playing() {
            let planned = state.recording.span_context.as_ref();
            return planned.and_then(|said| TraceParent::parse(said.as_bytes())).unwrap_or(now);
        }
        let said = now.text();
        // It is the same however often the guest asks.
        if state.recording.span_context.is_none() && state.has_room(said.len()) {
            state.recording.span_context = Some(String::from_utf8_lossy(&said).into_owned());
        }
        now
    }

    /// Whether the guest is told everything by this tape. If not, nothing is kept: it could not be replayed.
    pub fn keep_if_complete(&self, is_complete: bool) {
        if !is_complete {
            self.state().is_taken = true;
        }
    }

    /// The guest uses something whose answers are not written down, so no replay could be told the same. `fate`
    /// says what.
    pub fn note_unwritten(&self, fate: CapsuleFate) {
        self.state().unwritten = Some(fate);
    }

    /// What the guest has used of that kind.
    #[must_use]
    pub fn unwritten(&self) -> Option<CapsuleFate> {
        self.state().unwritten
    }

    /// Whether they are the same tape.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The head of the request is kept as well: these headers, and so many bytes besides.
    pub fn note_head(&self, headers: &Headers, n_bytes: usize) {
        self.state().has_room(size(headers).saturating_add(n_bytes));
    }

    /// A piece of a body.
    pub fn note_piece(&self, of: RecordedBodyOf, piece: &[u8]) {
        let mut state = self.state();
        if !self.is_playing()
            && state.has_room(piece.len() + PIECE)
            && let Some(body) = state.recording.body_of(of)
        {
            body.bytes.0.extend_from_slice(piece);
            body.pieces.push(piece.len());
        }
    }

    /// What came after the last piece.
    pub fn note_trailers(&self, of: RecordedBodyOf, trailers: Headers) {
        let mut state = self.state();
        if !self.is_playing()
            && state.has_room(size(&trailers))
            && let Some(body) = state.recording.body_of(of)
        {
            body.trailers = trailers;
        }
    }

    /// How a body ended.
    pub fn note_end(&self, of: RecordedBodyOf, end: BodyEnd) {
        let mut state = self.state();
        let words = if let BodyEnd::Broken { error } = &end { error.len() } else { 0 };
        if !self.is_playing()
            && state.has_room(words)
            && let Some(body) = state.recording.body_of(of)
        {
            body.end = end;
        }
    }

    /// The body of the request, to be said again.
    #[must_use]
    pub fn body(&self) -> RecordedBody {
        self.state().recording.body.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether so much more fits. What does not fit whole is not kept in part.
    fn has_room(&mut self, n_bytes: usize) -> bool {
        if self.is_too_large || self.is_taken {
            return false;
        }
        self.n_bytes = self.n_bytes.saturating_add(n_bytes);
        if self.n_bytes > LARGEST {
            self.is_too_large = true;
            self.recording = Recording::default();
        }
        !self.is_too_large
    }
}

impl Clock {
    fn next(&mut self, readings: &[u64], now: u64) -> u64 {
        if let Some(reading) = readings.get(self.n) {
            self.n += 1;
            self.ahead = Some(reading.wrapping_sub(now));
            return *reading;
        }
        // It goes on from its last reading.
        now.wrapping_add(self.ahead.unwrap_or(0))
    }
}

fn size(headers: &Headers) -> usize {
    headers.iter().map(|(name, value)| name.len() + value.0.len() + HEADER).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(1);

    fn recorded(tell: impl FnOnce(&Tape)) -> Result<Recording, TooLarge> {
        let tape = Tape::recording([7; 32]);
        tell(&tape);
        tape.take().unwrap()
    }

    #[test]
    fn what_was_told_is_said_again_and_clocks_go_on_after_it() {
        let recording = recorded(|tape| {
            assert_eq!((tape.wall(10), tape.wall(12), tape.monotonic(3)), (10, 12, 3));
            tape.note_poll(&[1]);
            tape.note_poll(&[0, 2]);
            for is_there in [true, true, false, true] {
                tape.note_readiness(is_there);
            }
            assert_eq!(tape.write_permit(65_536), 65_536);
            assert_eq!(tape.planned_poll(3), None, "it is not known beforehand");
        });
        let recording = recording.unwrap();
        assert_eq!(recording.readiness_checks, [0, 2, 1, 1]);
        let tape = Tape::playing(recording, TIMEOUT);
        assert_eq!((tape.seed(), tape.awaited_for()), ([7; 32], TIMEOUT / 2));
        assert_eq!((tape.wall(1000), tape.wall(1001), tape.wall(1004)), (10, 12, 15));
        assert_eq!((tape.monotonic(50), tape.monotonic(51)), (3, 4));
        assert_eq!((tape.planned_poll(2), tape.planned_poll(3)), (Some(vec![1]), Some(vec![0, 2])));
        assert_eq!(tape.planned_poll(3), None);
        let readiness_checks: Vec<_> = (0..5).map(|_| tape.planned_readiness()).collect();
        assert_eq!(readiness_checks, [Some(true), Some(true), Some(false), Some(true), None]);
        assert_eq!((tape.write_permit(5), tape.write_permit(5)), (65_536, 5));
    }

    #[test]
    fn of_a_list_of_other_things_it_is_not_known_which_are_ready() {
        let tape = Tape::playing(recorded(|tape| tape.note_poll(&[2])).unwrap(), TIMEOUT);
        assert_eq!(tape.planned_poll(2), None);
    }

    #[test]
    fn what_is_too_much_is_kept_in_no_part() {
        let recording = recorded(|tape| {
            for _ in 0..64 {
                tape.note_piece(RecordedBodyOf::Request, &[0; 1024]);
            }
            assert_eq!(tape.wall(1), 1, "it goes on without a tape");
        });
        assert_eq!(recording, Err(TooLarge));
        let recording =
            recorded(|tape| tape.note_piece(RecordedBodyOf::Request, &[0; 60 << 10])).unwrap();
        assert_eq!(recording.body.pieces, [60 << 10]);
    }

    #[test]
    fn answers_belong_to_their_requests() {
        let recording = recorded(|tape| {
            assert_eq!(tape.begin_exchange("GET", "http://a:80"), Some(0));
            assert_eq!(tape.begin_exchange("POST", "http://b:80"), Some(1));
            tape.note_answer(1, RecordedAnswer::Failed { error: "connection-refused".to_owned() });
            tape.note_piece(RecordedBodyOf::Answer(0), b"of no answer");
        });
        let recording = recording.unwrap();
        let tape = Tape::playing(recording, TIMEOUT);
        let answer = |method, to| tape.planned_answer(tape.begin_exchange(method, to));
        assert_eq!(answer("GET", "http://a:80"), Planned::Never);
        assert!(matches!(
            answer("POST", "http://b:80"),
            Planned::Answer(RecordedAnswer::Failed { .. })
        ));
        assert_eq!(answer("POST", "http://b:80"), Planned::Unknown);
        assert_eq!(tape.take().unwrap().unwrap().body, RecordedBody::default());
        assert!(tape.take().is_none(), "it is taken once");
        let tape = Tape::recording([0; 32]);
        tape.keep_if_complete(false);
        assert!(tape.take().is_none(), "it does not have everything");
    }

    #[test]
    fn a_mended_component_that_asks_in_another_order_is_told_the_same_by_each() {
        let answers = [("GET", "http://a:80"), ("GET", "http://b:80"), ("GET", "http://a:80")];
        let recording = recorded(|tape| {
            for (number, (method, to)) in answers.into_iter().enumerate() {
                let number_there = tape.begin_exchange(method, to).unwrap();
                let error = format!("{number} of {to}");
                tape.note_answer(number_there, RecordedAnswer::Failed { error });
            }
            tape.note_poll(&[0]);
            tape.note_poll(&[1]);
        });
        let recording = recording.unwrap();
        let failed =
            |error: &str| Planned::Answer(RecordedAnswer::Failed { error: error.to_owned() });
        let tape = Tape::playing(recording.clone(), TIMEOUT);
        let answer = |to| tape.planned_answer(tape.begin_exchange("GET", to));
        assert_eq!(answer("http://a:80"), failed("0 of http://a:80"));
        assert_eq!(tape.planned_poll(2), Some(vec![0]));
        assert_eq!(answer("http://a:80"), failed("2 of http://a:80"));
        assert_eq!(tape.planned_poll(2), None, "what is ready now is another thing");
        assert_eq!(answer("http://c:80"), Planned::Unknown);
        assert_eq!(answer("http://b:80"), failed("1 of http://b:80"));
        assert_eq!(
            tape.planned_answer(tape.begin_exchange("PUT", "http://b:80")),
            Planned::Unknown
        );
        // A host whose name is a value of the environment is not in the capsule.
        let mut masked = recording;
        masked.outbound[1].to = "http://xxxxxxxx:80".to_owned();
        let tape = Tape::playing(masked, TIMEOUT);
        let answer = tape.planned_answer(tape.begin_exchange("GET", "http://server-b:80"));
        assert_eq!(answer, failed("1 of http://b:80"));
    }
}
