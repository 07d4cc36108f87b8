//! What both sides of a call know of it. Does not send an answer and does not count sides.

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::task::AtomicWaker;
use steerage_core::id::CallId;
use steerage_core::outcome::Outcome;

use super::ids::CallIds;
use super::time::CallTime;
use super::usage::Usage;
use crate::body::Produced;
use crate::capsule::OngoingRecording;

/// What a guest answers: a response, or in one line why there is none.
pub type GuestResponse = Result<http::Response<Produced>, String>;

/// The guest has given its answer, a response or a refusal to give one.
const ANSWERED: u8 = 1;
/// The guest's side is over.
const OVER: u8 = 2;
/// The guest's side ended other than well, or the call was cut.
const FAILED: u8 = 4;
/// The guest must stop.
const STOPPED: u8 = 8;
/// The guest may have run.
const BEGUN: u8 = 16;

/// How far the guest's side of a call is.
#[derive(Debug)]
enum State {
    /// The guest may answer.
    Running,
    /// The guest has answered, or has given up its right to.
    Responding,
    /// The guest's side is over, in this way, and took this.
    Over(Outcome, Usage),
}

/// What changes while a call runs, under one lock. Nothing is dropped under the lock: a response may be
/// the last that knows of its body.
#[derive(Debug)]
struct Progress {
    state: State,
    /// What the guest has answered, until the client's side takes it.
    answer: Option<GuestResponse>,
    /// Why the call cannot go on, where that was said before the guest's side was over.
    cut: Option<Outcome>,
}

/// What a call is recorded by once it is over, and all that it is told of until then.
pub trait Recorder: fmt::Debug + Send + Sync {
    /// Both sides of the call are gone. Called once.
    fn record(&self, call: &Call);
}

/// One call, held by the task that runs the guest and by the response body. Its record lies within, so
/// that it is one allocation: `Arc<Call<R>>` becomes `Arc<Call>` by itself.
///
/// What is so once stays so, which is what `marks` says: they are set under the lock of `progress`, but for
/// `BEGUN`, and looked at without it. Whoever sets one wakes whom it concerns afterwards; whoever waits
/// registers before looking. The guest's side says how it ended before it drops its store, so that whoever
/// sees the body end can tell a finished response from a cut one.
#[derive(Debug)]
pub struct Call<R: ?Sized = dyn Recorder> {
    /// The call's id.
    pub id: CallId,
    /// Its sides that are not gone.
    n_sides: AtomicU32,
    marks: AtomicU8,
    progress: Mutex<Progress>,
    /// Whoever waits for the answer, and then for the end.
    client: AtomicWaker,
    /// Whoever polls the guest.
    guest: AtomicWaker,
    /// Calls that an instance had served which did not answer this one; 0 where it is not so.
    served_before: AtomicU32,
    status: AtomicU16,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    /// Apart, since what a guest waits for may be left with an instance that outlives the call.
    time: Arc<CallTime>,
    /// What its guest is told, where that is written down.
    recording: OnceLock<Box<OngoingRecording>>,
    /// Last, for any type may stand here.
    record: R,
}

/// Recorded by nobody.
impl Recorder for () {
    fn record(&self, _call: &Call) {}
}

impl<R> Call<R> {
    /// A call that came in then.
    #[must_use]
    pub fn new(id: CallId, started_at: Instant, record: R) -> Self {
        Self {
            id,
            n_sides: AtomicU32::new(0),
            marks: AtomicU8::new(0),
            progress: Mutex::new(Progress { state: State::Running, answer: None, cut: None }),
            client: AtomicWaker::new(),
            guest: AtomicWaker::new(),
            served_before: AtomicU32::new(0),
            status: AtomicU16::new(0),
            request_bytes: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
            time: Arc::new(CallTime::since(started_at)),
            recording: OnceLock::new(),
            record,
        }
    }
}

impl Call {
    /// A call that nobody records.
    #[cfg(test)]
    pub(crate) fn unrecorded(id: u128) -> Arc<Self> {
        Arc::new(Call::new(CallId::from_u128(id), Instant::now(), ()))
    }

    /// By which ids it is known.
    #[must_use]
    pub fn ids(&self) -> CallIds {
        CallIds { call: self.id, span: self.time.spans().of_call() }
    }

    /// Another side of it is there.
    pub(super) fn add_side(&self) {
        // As for an `Arc`: whoever adds one has one already, but for the first, so the count does not fall
        // to 0 meanwhile.
        self.n_sides.fetch_add(1, Ordering::Relaxed);
    }

    /// A side of it is gone. With the last one it is recorded.
    pub(super) fn drop_side(&self) {
        // Whoever is last sees all that the other sides have done before.
        if self.n_sides.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.record.record(self);
        }
    }

    /// The guest's side: it is over, this is how and what it took.
    ///
    /// What [`Call::cut`] said earlier stays; usage is always taken.
    pub fn end(&self, outcome: Outcome, usage: Usage) {
        {
            let mut progress = self.progress();
            let earlier = match mem::replace(&mut progress.state, State::Responding) {
                State::Over(earlier, _) => Some(earlier),
                State::Running | State::Responding => progress.cut.take(),
            };
            let outcome = earlier.unwrap_or(outcome);
            let failed = if outcome == Outcome::Answered { 0 } else { FAILED };
            progress.state = State::Over(outcome, usage);
            self.mark(OVER | failed);
        }
        self.client.wake();
    }

    /// The guest's side: from now on the guest may have done something.
    pub fn begin(&self) {
        self.mark(BEGUN);
    }

    /// Whether the guest may have done something. A call for which it is not so has happened nowhere.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.is(BEGUN)
    }

    /// The guest's side: what the guest is told is written down there. Said once at most.
    pub fn record_to(&self, recording: OngoingRecording) {
        drop(self.recording.set(Box::new(recording)));
    }

    /// What its guest was told, where that was written down.
    #[must_use]
    pub fn recording(&self) -> Option<&OngoingRecording> {
        self.recording.get().map(|recording| &**recording)
    }

    /// Where its time goes.
    #[must_use]
    pub fn time(&self) -> &Arc<CallTime> {
        &self.time
    }

    /// Whether the guest's side is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is(OVER)
    }

    /// Waits until the guest's side is over. One waiter at a time, for this or for the answer.
    pub async fn over(&self) {
        poll_fn(|context| {
            self.client.register(context.waker());
            if self.is_over() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// The guest's answer; `None` where it gave up its right to, or has given it before. One waiter at a
    /// time, for this or for the end.
    pub async fn answered(&self) -> Option<GuestResponse> {
        poll_fn(|context| {
            self.client.register(context.waker());
            let mut progress = self.progress();
            match progress.state {
                State::Running => Poll::Pending,
                State::Responding | State::Over(..) => Poll::Ready(progress.answer.take()),
            }
        })
        .await
    }

    /// The guest's side: this is its answer, or there is none.
    pub(super) fn answer(&self, answer: Option<GuestResponse>) {
        self.respond(answer, ANSWERED);
    }

    pub(super) fn refuse(&self, detail: String) {
        self.cut(Outcome::NoAnswer { detail });
        self.answer(None);
    }

    /// No answer comes, unless one has.
    pub(super) fn give_up_answer(&self) {
        self.respond(None, 0);
    }

    /// Takes an answer; where one was given before, or nobody would take this one, it is dropped.
    fn respond(&self, answer: Option<GuestResponse>, marks: u8) {
        let mut left = answer;
        {
            let mut progress = self.progress();
            if matches!(progress.state, State::Running) {
                progress.state = State::Responding;
                if progress.cut.is_none() {
                    progress.answer = left.take();
                }
            }
            self.mark(marks);
        }
        drop(left);
        self.client.wake();
    }

    /// The response's side: it cannot go on, for this reason. The guest is told to stop, and nobody takes
    /// its answer any more.
    ///
    /// A failure that was said first stays.
    pub fn cut(&self, outcome: Outcome) {
        let left = {
            let mut progress = self.progress();
            let Progress { state, answer, cut } = &mut *progress;
            match state {
                State::Over(said @ Outcome::Answered, _) => *said = outcome,
                State::Over(..) => {}
                State::Running | State::Responding => {
                    cut.get_or_insert(outcome);
                }
            }
            self.mark(FAILED | STOPPED);
            answer.take()
        };
        drop(left);
        self.guest.wake();
    }

    /// How the call ended so far, if it did.
    #[must_use]
    pub fn ended(&self) -> Option<(Outcome, Usage)> {
        let progress = self.progress();
        match &progress.state {
            State::Over(outcome, usage) => Some((outcome.clone(), *usage)),
            State::Running | State::Responding => {
                progress.cut.clone().map(|outcome| (outcome, Usage::default()))
            }
        }
    }

    /// Whether the guest's side ended other than well, or the call was cut.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.is(FAILED)
    }

    /// Whether the guest must stop.
    #[must_use]
    pub fn must_stop(&self) -> bool {
        self.is(STOPPED)
    }

    /// Whether the guest has given its answer.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.is(ANSWERED)
    }

    fn is(&self, mark: u8) -> bool {
        self.marks.load(Ordering::Acquire) & mark != 0
    }

    fn mark(&self, marks: u8) {
        self.marks.fetch_or(marks, Ordering::AcqRel);
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready once the guest must stop. One waiter at a time.
    pub fn poll_stop(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.must_stop() {
            return Poll::Ready(());
        }
        self.guest.register(context.waker());
        if self.must_stop() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Forgets who is to be told that the guest must stop.
    ///
    /// Whoever that is may hold this call, and would keep it, and itself, for good.
    pub fn forget_stopper(&self) {
        drop(self.guest.take());
    }

    /// The guest's side: this call was the first to show that an instance answers no more than
    /// `n_served` calls.
    pub fn note_most_served(&self, n_served: u32) {
        self.served_before.store(n_served, Ordering::Release);
    }

    /// How many calls an instance of the deployment answers, where this call was the first to show
    /// it.
    #[must_use]
    pub fn most_served(&self) -> Option<u32> {
        Some(self.served_before.load(Ordering::Acquire)).filter(|n_served| *n_served > 0)
    }

    /// Notes the status sent to the client.
    pub fn set_status(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// The status sent to the client, 0 before one was.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status.load(Ordering::Relaxed)
    }

    /// Its request has a body of so many bytes, as it says itself, or so many have come.
    pub fn note_request_bytes(&self, bytes: u64) {
        // Relaxed: it is read when the last side of the call is gone, which orders it after all of these.
        self.request_bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Bytes of request body.
    #[must_use]
    pub fn request_bytes(&self) -> u64 {
        self.request_bytes.load(Ordering::Relaxed)
    }

    /// Counts response body bytes handed to the client's connection; returns the sum.
    pub fn add_response_bytes(&self, bytes: u64) -> u64 {
        self.response_bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes)
    }

    /// Response body bytes handed to the client's connection so far.
    #[must_use]
    pub fn response_bytes(&self) -> u64 {
        self.response_bytes.load(Ordering::Relaxed)
    }
}
