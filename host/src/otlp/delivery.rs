//! Batches on their way to a collector, whatever is in them: one is sent when it is due, what became of it is counted
//! and told to operators, and whoever ends the host hears when all is sent.
//! Does not know what is in a batch, and does not decide what is done about a collector: `core::otlp` does.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::pending;
use steerage_core::otlp::{BatchAnswer, BatchCounts, BatchRules, Batches, DropReason};
use tokio::sync::mpsc;

use super::meter::BatchMeter;
use super::news::{self, ExportedThings};
use super::send::CollectorSender;
use super::settings::SignalEndpoint;
use crate::clock::RunClock;
use crate::telemetry::events::Events;

/// The batch at hand, and where it goes.
#[derive(Debug)]
pub(super) struct Delivery {
    batches: Batches<Bytes>,
    clock: RunClock,
    things: ExportedThings,
    sender: CollectorSender,
    events: Arc<Events>,
    meter: Arc<BatchMeter>,
    /// Why something was lost last, if anything was.
    why: String,
    /// How many of those that found no place are counted.
    n_left_out: u64,
    ends: mpsc::Receiver<SyncSender<bool>>,
    ending: Option<Ending>,
}

/// Who waits for the end, and how many were lost before that was asked for.
#[derive(Debug)]
struct Ending {
    done: SyncSender<bool>,
    n_lost_before: u64,
}

/// What others have of a delivery.
#[derive(Debug)]
pub(super) struct DeliveryHandle {
    ends: mpsc::Sender<SyncSender<bool>>,
    pub(super) meter: Arc<BatchMeter>,
}

/// Sends what a collector is told of one signal.
pub trait CollectorDriver: Send + 'static {
    /// Sends what comes, until somebody asks for the end or nothing can come any more. It can be begun again when it
    /// has failed: what was on its way then may have arrived.
    fn run(&mut self) -> impl Future<Output = ()> + Send;
}

/// The end of what is sent, which was asked for.
#[derive(Debug)]
pub struct LastExport(Option<Receiver<bool>>);

impl LastExport {
    /// Waits until then, and tells whether the collector took all. What is still on its way then is lost and cannot
    /// be counted any more. To be called on a thread that may wait.
    #[must_use]
    pub fn wait(self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        self.0.is_some_and(|taken| taken.recv_timeout(left).unwrap_or(false))
    }
}

impl DeliveryHandle {
    /// Has all sent that is left.
    pub(super) fn end(&self) -> LastExport {
        let (done, is_done) = sync_channel(1);
        LastExport(self.ends.try_send(done).is_ok().then_some(is_done))
    }

    /// What was sent and lost.
    pub(super) fn counts(&self) -> BatchCounts {
        self.meter.reading()
    }
}

impl Delivery {
    /// To this collector, in batches by these rules; nothing is sent yet.
    ///
    /// # Errors
    /// TLS cannot be set up, or the file of authorities cannot be used.
    pub(super) fn new(
        endpoint: &SignalEndpoint,
        rules: BatchRules,
        things: ExportedThings,
        events: &Arc<Events>,
    ) -> io::Result<(DeliveryHandle, Self)> {
        let (end, ends) = mpsc::channel(1);
        let meter = Arc::<BatchMeter>::default();
        let delivery = Self {
            batches: Batches::new(rules),
            clock: RunClock::start(),
            things,
            sender: CollectorSender::new(endpoint)?,
            events: events.clone(),
            meter: meter.clone(),
            why: "too many came at once".to_owned(),
            n_left_out: 0,
            ends,
            ending: None,
        };
        Ok((DeliveryHandle { ends: end, meter }, delivery))
    }

    /// To be called first, and where whoever drives this has failed: what was on its way then may have arrived.
    pub(super) fn resume(&mut self) {
        self.batches.done(self.clock.now(), BatchAnswer::InDoubt, 0);
        self.tell();
    }

    pub(super) fn clock(&self) -> RunClock {
        self.clock
    }

    pub(super) fn room(&self) -> usize {
        self.batches.room()
    }

    /// Adds one to the batch, for which there is room.
    pub(super) fn add(&mut self, record: Bytes) {
        let n_bytes = record.len();
        self.batches.add(self.clock.now(), record, n_bytes);
    }

    /// The same of a whole request that counts as so many.
    pub(super) fn add_request(&mut self, request: Bytes, weight: u64) {
        self.batches.add_as(self.clock.now(), request, weight);
    }

    /// So many were lost before they came here.
    pub(super) fn lose(&mut self, reason: DropReason, n_lost: u64) {
        self.batches.lose(self.clock.now(), reason, n_lost);
    }

    /// Sends the batch where it is due, within this time or the one of the settings; what became of it.
    pub(super) async fn send_due(
        &mut self,
        within: Duration,
        encode: impl FnOnce(&[Bytes]) -> Bytes,
    ) -> Option<BatchAnswer> {
        let message = encode(self.batches.next(self.clock.now())?);
        // Operators are told so unless it comes to an answer.
        self.why = format!("what sends {} here has failed", self.things.name);
        let (answer, said) = self.sender.send(message, within).await;
        self.batches.done(self.clock.now(), answer, fastrand::u64(..));
        self.why = said;
        Some(answer)
    }

    /// The time is over for the batch at hand.
    pub(super) fn give_up(&mut self) {
        self.batches.give_up(self.clock.now());
    }

    /// Tells what is new. Whoever sees a loss in the metrics finds the event.
    pub(super) fn tell(&mut self) {
        let n_before = std::mem::replace(&mut self.n_left_out, self.meter.n_left_out());
        self.lose(DropReason::QueueFull, self.n_left_out - n_before);
        let news = self.batches.news(self.clock.now());
        let counts = self.batches.counts();
        let authority = self.sender.authority();
        news::tell(&self.events, self.things, &authority, (news, counts, &self.why));
        self.meter.set(counts);
    }

    /// How many are in the batch.
    pub(super) fn n_held(&self) -> usize {
        self.batches.n_held()
    }

    /// The collector wants nothing before.
    pub(super) fn not_before(&self) -> u64 {
        self.batches.not_before()
    }

    /// Until the batch is due; `None` where it is.
    pub(super) fn until_due(&self) -> Option<impl Future<Output = ()> + use<>> {
        let left = self.batches.next_at().map(|at| self.clock.until(at));
        (left != Some(Duration::ZERO)).then_some(async move {
            match left {
                Some(left) => tokio::time::sleep(left).await,
                None => pending().await,
            }
        })
    }

    /// Waits until somebody asks for the end, unless that was asked for; from then on what there is goes at once, and
    /// once. May be dropped at any time.
    pub(super) async fn until_end(&mut self) {
        if self.is_ending() {
            pending::<()>().await;
        }
        let done = self.ends.recv().await;
        self.end(done);
    }

    /// The same where nothing more can come.
    pub(super) fn end_by_itself(&mut self) {
        if !self.is_ending() {
            self.end(None);
        }
    }

    fn end(&mut self, done: Option<SyncSender<bool>>) {
        self.batches.end();
        let done = done.unwrap_or_else(|| sync_channel(1).0);
        self.ending = Some(Ending { done, n_lost_before: self.n_lost() });
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Whether anything was lost since the end was asked for.
    pub(super) fn has_lost_since(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| self.n_lost() != ending.n_lost_before)
    }

    /// Tells whoever asked for the end that it is there, and whether all was taken.
    pub(super) fn finish(&mut self, is_taken: bool) {
        if let Some(Ending { done, .. }) = &self.ending {
            // Whoever waits may have given up.
            done.try_send(is_taken).ok();
        }
    }

    pub(super) fn n_lost(&self) -> u64 {
        self.batches.counts().dropped.iter().sum()
    }
}
