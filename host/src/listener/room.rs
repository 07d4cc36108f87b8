//! The open connections of a listener: how many there may be, and which has to go when one more
//! comes. Does not read from them: each is told, and ends itself.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::{DashMap, Entry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::connection::{Connection, Word};
use crate::shared::Shared;

/// Of connections that have sent no request, one part in so many is ended at once when all room is
/// taken: finding the oldest means looking at all, and whoever opens one such opens many.
const PART: usize = 64;
/// How often a connection that finds no room looks whether another can be ended meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The open connections.
#[derive(Debug)]
pub(super) struct Room {
    n_most: usize,
    permits: Arc<Semaphore>,
    /// Those that are open, by their numbers. None of the maps' locks is held over an await, nor with
    /// another one.
    open: DashMap<u64, Arc<Connection>>,
    last_id: AtomicU64,
    /// How many of them come from each address. None is 0.
    by_address: DashMap<IpAddr, usize>,
    began_at: Instant,
    /// When the last one ended, in microseconds after the room began; 0 before. Written before it is taken
    /// out, so that whoever finds none open knows when that was.
    ended_at: AtomicU64,
    /// Bytes that all of them hold since their clients do not take them.
    n_untaken: Shared<AtomicU64>,
    n_untaken_most: u64,
    /// How many are open, for those who only count.
    n_open: Arc<AtomicU64>,
}

/// A connection among the open ones, until it is dropped.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) connection: Arc<Connection>,
    room: Arc<Room>,
    id: u64,
    _permit: OwnedSemaphorePermit,
}

impl Room {
    /// Room for so many connections, whose clients may leave so many bytes untaken together.
    pub(super) fn new(n_most: usize, n_untaken_most: u64) -> Arc<Self> {
        Arc::new(Self {
            n_most,
            permits: Arc::new(Semaphore::new(n_most)),
            open: DashMap::new(),
            last_id: AtomicU64::new(0),
            by_address: DashMap::new(),
            began_at: Instant::now(),
            ended_at: AtomicU64::new(0),
            n_untaken: Shared::default(),
            n_untaken_most,
            n_open: Arc::default(),
        })
    }

    /// Waits for room and enters. When there is none, those who keep it without asking for anything
    /// are ended, and then those who do not ask just now; `None` when there never will be room.
    pub(super) async fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Entered> {
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.make_room().await?,
        };
        let connection = Connection::new(address);
        let id = self.last_id.fetch_add(1, Ordering::Relaxed);
        *self.by_address.entry(address).or_default() += 1;
        self.open.insert(id, connection.clone());
        self.n_open.fetch_add(1, Ordering::Relaxed);
        Some(Entered { connection, room: self.clone(), id, _permit: permit })
    }

    async fn make_room(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            self.end_some();
            let permit = self.permits.clone().acquire_owned();
            if let Ok(permit) = tokio::time::timeout(LOOK_AGAIN, permit).await {
                return permit.ok();
            }
        }
    }

    /// Ends the oldest of those that have sent no request; when there is none, the one that has been
    /// idle longest, of the address that has most.
    fn end_some(&self) {
        let all: Vec<Arc<Connection>> = self.open.iter().map(|one| one.value().clone()).collect();
        let untold = || all.iter().filter(|connection| connection.told().is_none());
        let mut silent: Vec<_> =
            untold().filter(|connection| connection.n_requests() == 0).collect();
        silent.sort_by_key(|connection| connection.began_at());
        for connection in silent.iter().take(1 + self.n_most / PART).filter(|_| !all.is_empty()) {
            connection.tell(Word::End);
        }
        if !silent.is_empty() {
            return;
        }
        let idle = untold().filter(|one| !one.is_answering() && !one.is_uploading());
        let longest = idle.max_by_key(|connection| {
            let n_siblings = self.by_address.get(&connection.address()).map_or(0, |n| *n);
            (n_siblings, std::cmp::Reverse(connection.idle_since()))
        });
        if let Some(connection) = longest {
            connection.tell(Word::Finish);
        }
    }

    /// Tells all that are open to finish what they have.
    pub(super) fn finish(&self) {
        for connection in &self.open {
            connection.tell(Word::Finish);
        }
    }

    /// How many are open, to be read whenever somebody asks.
    pub(super) fn n_open(&self) -> Arc<AtomicU64> {
        self.n_open.clone()
    }

    /// How many requests are being answered.
    pub(super) fn n_answering(&self) -> usize {
        self.open.iter().filter(|connection| connection.is_answering()).count()
    }

    /// Whether none is open, nor was for so long.
    pub(super) fn is_quiet(&self, span: Duration) -> bool {
        if !self.open.is_empty() {
            return false;
        }
        let ended_at = self.ended_at.load(Ordering::Acquire);
        ended_at == 0 || self.began_at + Duration::from_micros(ended_at) + span < Instant::now()
    }

    /// A client leaves `now` bytes untaken where it left `before`. Beyond the bound of all, the
    /// connection that leaves most is ended.
    pub(super) fn untaken(&self, connection: &Connection, before: u64, now: u64) {
        // Both counters wrap in between where threads meet; the sums are right.
        connection.n_untaken.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
        let change = now.wrapping_sub(before);
        let before_all = self.n_untaken.write().fetch_add(change, Ordering::Relaxed);
        let all = before_all.wrapping_add(change);
        if now > before && all > self.n_untaken_most {
            let left = self.open.iter().map(|one| one.value().clone());
            let left = left.max_by_key(|one| one.n_untaken.load(Ordering::Relaxed));
            // One that was told already is on its way out, and takes its bytes with it.
            if let Some(most) = left {
                most.tell(Word::End);
            }
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let room = &self.room;
        let now = u64::try_from(room.began_at.elapsed().as_micros()).unwrap_or(u64::MAX);
        room.ended_at.fetch_max(now.max(1), Ordering::Release);
        room.open.remove(&self.id);
        if let Entry::Occupied(mut of_address) = room.by_address.entry(self.connection.address()) {
            *of_address.get_mut() -= 1;
            if *of_address.get() == 0 {
                of_address.remove();
            }
        }
        room.n_open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CROWD: [u8; 4] = [192, 0, 2, 1];
    const LONE: [u8; 4] = [192, 0, 2, 2];

    async fn enter(room: &Arc<Room>, address: [u8; 4]) -> Entered {
        tokio::time::advance(Duration::from_millis(10)).await;
        room.enter(address.into()).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_asked_goes_before_who_did_and_the_oldest_first() {
        let room = Room::new(3, u64::MAX);
        let asked = enter(&room, CROWD).await;
        drop(asked.connection.answer());
        let old = enter(&room, CROWD).await;
        let young = enter(&room, LONE).await;
        room.end_some();
        let told = |entered: &Entered| entered.connection.told();
        assert_eq!((told(&asked), told(&old), told(&young)), (None, Some(Word::End), None));
    }

    #[tokio::test(start_paused = true)]
    async fn of_those_that_asked_the_largest_crowd_loses_its_longest_idle_one() {
        let room = Room::new(4, u64::MAX);
        let all = [LONE, CROWD, CROWD, CROWD].map(|address| enter(&room, address));
        let mut entered = Vec::new();
        for one in all {
            entered.push(one.await);
            drop(entered.last().unwrap().connection.answer());
        }
        let _busy = entered[1].connection.answer();
        room.end_some();
        let told: Vec<_> = entered.iter().map(|one| one.connection.told()).collect();
        assert_eq!(told, [None, None, Some(Word::Finish), None]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_to_a_full_room_is_let_in_when_one_has_gone() {
        let room = Room::new(1, u64::MAX);
        let first = enter(&room, CROWD).await;
        let gone = async {
            std::future::poll_fn(|context| first.connection.poll_told(None, context)).await;
            drop(first);
        };
        let (second, ()) = tokio::join!(room.enter(LONE.into()), gone);
        assert_eq!(second.unwrap().connection.address(), IpAddr::from(LONE));
        assert_eq!(room.n_open.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_bound_of_all_the_one_that_leaves_most_untaken_goes() {
        let room = Room::new(2, 100);
        let (some, most) = (enter(&room, CROWD).await, enter(&room, LONE).await);
        room.untaken(&most.connection, 0, 60);
        room.untaken(&some.connection, 0, 40);
        assert_eq!(most.connection.told(), None);
        room.untaken(&some.connection, 40, 50);
        assert_eq!((some.connection.told(), most.connection.told()), (None, Some(Word::End)));
        room.untaken(&most.connection, 60, 0);
        assert_eq!(room.n_untaken.load(Ordering::Relaxed), 50);
    }
}
