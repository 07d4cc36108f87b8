//! Spans and log records on their way from where they are made into batches for a collector.
//! Does not make them, and does not know what is in them.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::delivery::Delivery;
use super::message::ResourceMessage;

/// While records come, the task that sends looks after them this often: to be woken for each would cost more than
/// all the rest. With 2,048 places that is room for 40,000 a second.
const REST: Duration = Duration::from_millis(50);

/// Where records wait. It has a bound of its own, and whoever puts one there does not wait.
pub(super) trait RecordSource: Send {
    /// What waits there, as messages; nothing where there is none.
    fn try_next(&mut self) -> Option<Vec<Bytes>>;

    /// The same, which waits for one; `None` where none can come any more. May be dropped while it waits.
    fn next(&mut self) -> impl Future<Output = Option<Vec<Bytes>>> + Send;

    /// Whether none waits there.
    fn is_empty(&self) -> bool;
}

/// Sends what waits at a source.
#[derive(Debug)]
pub(super) struct RecordDriver<S> {
    delivery: Delivery,
    source: S,
    resource: ResourceMessage,
    encode: fn(&ResourceMessage, &[Bytes]) -> Bytes,
    /// What came together and the batch had no room for.
    left: VecDeque<Bytes>,
    /// Records came since it last rested.
    is_busy: bool,
}

impl<S: RecordSource> RecordDriver<S> {
    /// `encode` makes the message of a batch.
    pub(super) fn new(
        delivery: Delivery,
        source: S,
        resource: ResourceMessage,
        encode: fn(&ResourceMessage, &[Bytes]) -> Bytes,
    ) -> Self {
        Self { delivery, source, resource, encode, left: VecDeque::new(), is_busy: false }
    }

    /// Sends what comes, until nothing can come any more or somebody asks for the end. It can be begun again
    /// when it has failed: a batch that was on its way then may have arrived.
    pub(super) async fn run(&mut self) {
        self.delivery.resume();
        loop {
            self.fill();
            let (resource, encode) = (&self.resource, self.encode);
            self.delivery.send_due(Duration::MAX, |batch| encode(resource, batch)).await;
            self.delivery.tell();
            if self.is_empty() && self.delivery.is_ending() {
                self.delivery.finish(!self.delivery.has_lost_since());
                return;
            }
            let Some(due) = self.delivery.until_due() else { continue };
            let is_busy = std::mem::take(&mut self.is_busy);
            let has_room = self.delivery.room() > 0;
            tokio::select! {
                () = tokio::time::sleep(REST), if is_busy && has_room => {}
                records = self.source.next(), if !is_busy && has_room => match records {
                    Some(records) => self.take(records),
                    None => self.delivery.end_by_itself(),
                },
                () = self.delivery.until_end() => {}
                () = due => {}
            }
        }
    }

    fn take(&mut self, records: Vec<Bytes>) {
        self.is_busy = true;
        self.left.extend(records);
    }

    /// Adds to the batch what there is room for.
    fn fill(&mut self) {
        while self.delivery.room() > 0 {
            if let Some(record) = self.left.pop_front() {
                self.delivery.add(record);
            } else if let Some(records) = self.source.try_next() {
                self.take(records);
            } else {
                return;
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.delivery.n_held() == 0 && self.left.is_empty() && self.source.is_empty()
    }
}
