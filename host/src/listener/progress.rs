//! Whether the client of an HTTP/2 stream takes its answer. hyper polls a stream whenever something
//! may have changed, and a body only when the client has room for more of it: between the two lies
//! what a client does not take, which hyper has no bound for. Pings and other streams do not count.
//!
//! A stream is polled on one thread at a time, and no other within it; so what its service and its
//! body note while they are polled is kept in a thread local, and read when the poll returns.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::connection::{Connection, Word};
use super::room::Room;

/// What a stream waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Noted {
    /// Its client, to take more of the answer; the answer itself otherwise.
    waits_for_client: bool,
    /// Bytes of the answer that are here and were not handed on.
    n_left: u64,
    /// Bytes that were handed on, empty pieces counted as one.
    n_handed: u64,
}

thread_local! {
    static NOTED: Cell<Noted> = const { Cell::new(Noted { waits_for_client: false, n_left: 0, n_handed: 0 }) };
}

/// An answer is there, of which so much is here already.
pub(super) fn note_answer(n_left: u64) {
    NOTED.set(Noted { waits_for_client: true, n_left, ..NOTED.get() });
}

/// A piece of the answer was handed on, and so much is still here.
pub(super) fn note_piece(length: usize, n_left: u64) {
    let n_handed = NOTED.get().n_handed + (length as u64).max(1);
    NOTED.set(Noted { waits_for_client: true, n_left, n_handed });
}

/// The next piece of the answer is not there yet.
pub(super) fn note_wait() {
    NOTED.set(Noted { waits_for_client: false, n_left: 0, ..NOTED.get() });
}

/// Bytes of a stream that its client leaves, counted for its connection and for all.
struct Untaken<'r> {
    room: &'r Room,
    connection: &'r Connection,
    n_bytes: u64,
}

impl Untaken<'_> {
    fn set(&mut self, n_bytes: u64) {
        if self.n_bytes != n_bytes {
            self.room.untaken(self.connection, self.n_bytes, n_bytes);
            self.n_bytes = n_bytes;
        }
    }
}

impl Drop for Untaken<'_> {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Drives a stream until it ends, or until its client has taken nothing for `limit`: the stream is
/// reset then. When none of the connection's streams went forward either and it `may_end`, it takes no
/// more requests, and ends with the last that a guest still works on.
pub(super) async fn watched(
    stream: impl Future<Output = ()>,
    connection: Arc<Connection>,
    room: Arc<Room>,
    limit: Duration,
    may_end: bool,
) {
    let mut stream = pin!(stream);
    let mut untaken = Untaken { room: &room, connection: &connection, n_bytes: 0 };
    let mut noted = Noted::default();
    let mut since: Option<Instant> = None;
    // Made at the first wait for the client, and then only moved when it fires.
    let mut timer: Option<std::pin::Pin<Box<Sleep>>> = None;
    let is_stuck = poll_fn(|context| {
        NOTED.set(noted);
        if stream.as_mut().poll(context).is_ready() {
            return Poll::Ready(false);
        }
        let before = std::mem::replace(&mut noted, NOTED.get());
        if !noted.waits_for_client {
            since = None;
            untaken.set(0);
            return Poll::Pending;
        }
        let now = Instant::now();
        if noted.n_handed != before.n_handed {
            connection.moved(now);
            since = None;
        }
        untaken.set(noted.n_left);
        let deadline = *since.get_or_insert(now) + limit;
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        while timer.as_mut().poll(context).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(true);
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    })
    .await;
    if is_stuck {
        tracing::debug!(remote = %connection.address(), "a stream was reset: its client takes nothing");
        if may_end && since.is_some_and(|since| connection.moved_at() <= since) {
            connection.tell(Word::Finish);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    fn connection() -> (Arc<Connection>, Arc<Room>) {
        (Connection::new([192, 0, 2, 1].into()), Room::new(1, u64::MAX))
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_its_client_leaves_is_given_up_with_its_connection() {
        let (connection, room) = connection();
        let left = async {
            note_answer(100);
            std::future::pending::<()>().await;
        };
        let started_at = Instant::now();
        watched(left, connection.clone(), room, LIMIT, true).await;
        assert_eq!(started_at.elapsed(), LIMIT);
        assert_eq!(connection.told(), Some(Word::Finish));
        assert_eq!(connection.n_untaken.load(std::sync::atomic::Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_other_streams_go_forward_stays() {
        let (connection, room) = connection();
        let goes_on = async {
            note_answer(100);
            for n_left in (0..8).rev() {
                tokio::time::sleep(LIMIT / 2).await;
                note_piece(1, n_left);
            }
        };
        let left = async {
            note_answer(100);
            std::future::pending::<()>().await;
        };
        tokio::join!(
            watched(goes_on, connection.clone(), room.clone(), LIMIT, true),
            watched(left, connection.clone(), room.clone(), LIMIT, true),
        );
        assert_eq!(connection.told(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_a_guest_has_no_bound_here() {
        let (connection, room) = connection();
        let slow = async {
            tokio::time::sleep(LIMIT * 3).await;
            note_answer(1);
            note_piece(1, 0);
            note_wait();
            tokio::time::sleep(LIMIT * 3).await;
        };
        let started_at = Instant::now();
        watched(slow, connection.clone(), room, LIMIT, true).await;
        assert_eq!(started_at.elapsed(), LIMIT * 6);
        assert_eq!(connection.told(), None);
    }
}
