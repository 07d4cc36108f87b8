//! The tasks of HTTP/2 streams: each is charged and watched by itself.
//! Does not know what a stream carries.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::Executor;

use super::connection::Connection;
use super::progress::watched;
use super::room::{Entered, Room};
use super::{Service, Settings};

/// Starts what hyper does for each HTTP/2 stream.
#[derive(Debug)]
pub(super) struct Streams<S> {
    connection: Arc<Connection>,
    room: Arc<Room>,
    limit: Duration,
    may_end: bool,
    _service: PhantomData<fn() -> S>,
}

impl<S> Streams<S> {
    /// The streams of this connection, whose clients may take nothing for `limit`; the connection may
    /// end when none takes anything.
    pub(super) fn new(entered: &Entered, room: Arc<Room>, settings: &Settings) -> Self {
        let (connection, may_end) = (entered.connection.clone(), settings.ends_idle);
        let limit = settings.limits.idle;
        Self { connection, room, limit, may_end, _service: PhantomData }
    }
}

impl<S> Clone for Streams<S> {
    fn clone(&self) -> Self {
        Self {
            connection: self.connection.clone(),
            room: self.room.clone(),
            limit: self.limit,
            may_end: self.may_end,
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
        let stream = async move { drop(stream.await) };
        S::spawn(watched(stream, connection, room, self.limit, self.may_end));
    }
}
