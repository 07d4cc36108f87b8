//! The tasks of HTTP/2 streams: each is charged and watched by itself, and begun on the thread where it is
//! best.
//! Does not know what a stream carries.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::Executor;

use super::connection::Connection;
use super::progress::watched;
use super::room::{Entered, Room};
use super::threads::{Placed, Threads};
use super::{Service, Settings};

/// Starts what hyper does for each HTTP/2 stream.
#[derive(Debug)]
pub(super) struct Streams<S> {
    connection: Arc<Connection>,
    room: Arc<Room>,
    limit: Duration,
    may_end: bool,
    threads: Option<Arc<Threads>>,
    _service: PhantomData<fn() -> S>,
}

impl<S> Streams<S> {
    /// The streams of this connection, whose clients may take nothing for `limit`; the connection may
    /// end when none takes anything.
    pub(super) fn new(
        entered: &Entered,
        room: Arc<Room>,
        settings: &Settings,
        threads: Option<Arc<Threads>>,
    ) -> Self {
        let (connection, may_end) = (entered.connection.clone(), settings.ends_idle);
        let limit = settings.limits.idle;
        Self { connection, room, limit, may_end, threads, _service: PhantomData }
    }
}

impl<S> Clone for Streams<S> {
    fn clone(&self) -> Self {
        Self {
            connection: self.connection.clone(),
            room: self.room.clone(),
            limit: self.limit,
            may_end: self.may_end,
            threads: self.threads.clone(),
            _service: PhantomData,
        }
    }
}

impl<S, F> Executor<F> for Streams<S>
where
    S: Service,
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let (connection, room) = (self.connection.clone(), self.room.clone());
        let placed = self.threads.as_ref().map_or_else(Placed::here, |it| it.for_request());
        let (counted, start) = placed.split();
        let stream = async move {
            // It is begun.
            drop(counted);
            drop(stream.await);
        };
        start.spawn(S::task(watched(stream, connection, room, self.limit, self.may_end)));
    }
}
