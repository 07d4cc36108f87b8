//! A stream that gives up on a client which is too slow: with the head of a request, with doing
//! anything at all, or with taking its answers. Waits as long as it takes while a guest works on the
//! answer: the call's own timeout bounds that.
//!
//! One timer per direction, made at the first wait and moved when it fires, not at each request:
//! hyper's own timer for heads makes one per request, and runs while a connection is idle as well.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::connection::{Answering, Connection};
use super::progress;
use super::timer::Timer;

/// How HTTP/2 begins with prior knowledge; no method of HTTP/1 begins so.
const HTTP2_START: &[u8; 3] = b"PRI";
/// How long a body that breaks off may look as if it only had not been read yet.
const BROKEN_OFF: Duration = Duration::from_millis(200);
/// A client that is slow to take its answers must take so many bytes in each idle timeout.
const LEAST_TAKEN: usize = 16 << 10;
/// Longest piece of an answer that is handed to HTTP/2 at once, which keeps it when there is room for
/// a byte: as long as its frames are.
const LONGEST_PIECE: usize = 16 << 10;

/// How long to wait for a client.
#[derive(Clone, Copy, Debug)]
pub struct ClientTimeouts {
    /// For the head of a request, from its first byte, or from the start of the connection. And for
    /// the answer to a client that has closed its half of the connection: it may have gone.
    pub head: Duration,
    /// For anything, while nothing is being computed for it.
    pub idle: Duration,
}

/// Bounds the waits of a stream.
#[derive(Debug)]
pub struct Patient<S> {
    stream: S,
    connection: Arc<Connection>,
    limits: ClientTimeouts,
    is_http2: bool,
    /// Bytes that were read to tell the version, and are still to be given on.
    start: [u8; HTTP2_START.len()],
    n_start: usize,
    n_given: usize,
    /// How many requests had been read when the client was last heard of.
    n_requests: u64,
    /// Whether it was heard of since.
    is_heard: bool,
    /// When the head of a request began that is not complete.
    head_began_at: Option<Instant>,
    /// When it was seen that the client has closed its half.
    half_closed_at: Option<Instant>,
    reading: Timer,
    writing: Timer,
    /// When a write began to wait, and what was taken since.
    blocked_at: Option<Instant>,
    n_taken: usize,
}

/// A response body that is being made or sent until it has been taken or given up.
#[derive(Debug)]
pub struct Answer<B: Body> {
    body: B,
    is_http2: bool,
    /// What did not fit the piece before.
    rest: Option<B::Data>,
    _answering: Answering,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, connection: Arc<Connection>, limits: ClientTimeouts) -> Self {
        Self {
            stream,
            connection,
            limits,
            is_http2: false,
            start: [0; HTTP2_START.len()],
            n_start: 0,
            n_given: 0,
            n_requests: 0,
            is_heard: false,
            head_began_at: None,
            half_closed_at: None,
            reading: Timer::default(),
            writing: Timer::default(),
            blocked_at: None,
            n_taken: 0,
        }
    }

    /// What is said of HTTP/2 elsewhere is believed; requests are then streams, which this cannot see.
    pub(super) fn http2(mut self) -> Self {
        self.is_http2 = true;
        self
    }

    /// Until when the client may stay silent; `None` while it waits for us.
    fn deadline(&mut self) -> Option<Instant> {
        if self.connection.is_answering() || self.connection.is_uploading() {
            return None;
        }
        let is_heard = std::mem::replace(&mut self.is_heard, false);
        if self.is_http2 {
            // Any byte counts. Whether streams come and go forward is looked at elsewhere.
            if is_heard || self.head_began_at.is_none() {
                self.head_began_at = Some(Instant::now());
            }
            let idle_since = self.connection.idle_since();
            let last = self.head_began_at.map_or(idle_since, |last| last.max(idle_since));
            // Later than the idle connection is told to go, which is the better end.
            return Some(last + self.limits.idle + self.limits.head);
        }
        let n_requests = self.connection.n_requests();
        if n_requests != self.n_requests {
            // What was heard before was a request, which is answered.
            self.n_requests = n_requests;
            self.head_began_at = None;
        } else if is_heard && self.head_began_at.is_none() {
            self.head_began_at = Some(Instant::now());
        }
        if n_requests == 0 {
            return Some(self.connection.began_at() + self.limits.head);
        }
        Some(match self.head_began_at {
            Some(began_at) => began_at + self.limits.head,
            None => self.connection.idle_since() + self.limits.idle,
        })
    }

    /// Says that something was heard, before hyper takes it for a request.
    fn hear(&mut self) {
        self.connection.hear();
        let n_requests = self.connection.n_requests();
        if n_requests != self.n_requests {
            self.n_requests = n_requests;
            self.head_began_at = None;
        }
        self.is_heard = true;
    }

    fn give_start(&mut self, buffer: &mut ReadBuf<'_>) {
        let start = self.start.get(self.n_given..self.n_start).unwrap_or_default();
        let n_fitting = start.len().min(buffer.remaining());
        buffer.put_slice(start.get(..n_fitting).unwrap_or_default());
        self.n_given += n_fitting;
    }

    /// The client has closed its half. Who did so after a request may wait for the answer, or be
    /// gone: both look the same from here until something is sent. So it gets its answer if that
    /// comes soon. A body that somebody waits for will not come, unless it was just read and is on its
    /// way to the one who waits.
    fn poll_half_closed(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.connection.is_answering() || self.is_http2 {
            return Poll::Ready(Ok(()));
        }
        let half_closed_at = *self.half_closed_at.get_or_insert_with(Instant::now);
        self.connection.half_closed();
        loop {
            let is_wanting = self.connection.is_wanting();
            let wait = if is_wanting { BROKEN_OFF } else { self.limits.head };
            std::task::ready!(self.reading.poll(half_closed_at + wait, context));
            if is_wanting == self.connection.is_wanting() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + Unpin> Patient<S> {
    /// Whether the first bytes are those of a handshake of TLS (RFC 8446 section 5.1): a content type, and a
    /// version that begins with three. To be asked once it is known that they are not HTTP/2's.
    pub(super) fn begins_tls(&self) -> bool {
        let start = self.start.get(..self.n_start).unwrap_or_default();
        matches!(start, [22, 3, ..] | [22])
    }

    /// Waits for the first bytes and says whether they are HTTP/2's.
    pub(super) async fn begins_http2(&mut self) -> io::Result<bool> {
        std::future::poll_fn(|context| {
            loop {
                let start = self.start.get(..self.n_start).unwrap_or_default();
                if !HTTP2_START.starts_with(start) {
                    return Poll::Ready(Ok(false));
                }
                if self.n_start == HTTP2_START.len() {
                    self.is_http2 = true;
                    return Poll::Ready(Ok(true));
                }
                let free = self.start.get_mut(self.n_start..).unwrap_or_default();
                let mut buffer = ReadBuf::new(free);
                std::task::ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
                let n_read = buffer.filled().len();
                if n_read == 0 {
                    self.half_closed_at = Some(Instant::now());
                    return Poll::Ready(Ok(false));
                }
                self.n_start += n_read;
                self.hear();
            }
        })
        .await
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.n_given < this.n_start {
            this.give_start(buffer);
            return Poll::Ready(Ok(()));
        }
        if this.half_closed_at.is_some() {
            return this.poll_half_closed(context);
        }
        let n_before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) if buffer.filled().len() > n_before => {
                this.hear();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(())) if buffer.remaining() > 0 => this.poll_half_closed(context),
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => match this.deadline() {
                Some(deadline) => {
                    let silent = this.reading.poll(deadline, context);
                    silent.map(|()| Err(timed_out("no request came")))
                }
                None => {
                    this.reading.look_again(this.limits.idle, context);
                    Poll::Pending
                }
            },
        }
    }
}

impl<S: AsyncWrite + Unpin> Patient<S> {
    /// A write took some bytes, or waits for the client to take some.
    fn watch_write(
        &mut self,
        polled: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Ready(Ok(n_written)) => {
                self.n_taken += n_written;
                polled
            }
            Poll::Ready(Err(_)) => polled,
            Poll::Pending => self.wait_write(context),
        }
    }

    fn wait_write<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if self.n_taken >= LEAST_TAKEN {
            self.blocked_at = None;
        }
        let blocked_at = *self.blocked_at.get_or_insert_with(|| {
            self.n_taken = 0;
            Instant::now()
        });
        let waited = self.writing.poll(blocked_at + self.limits.idle, context);
        waited.map(|()| Err(timed_out("the client does not take its answer")))
    }

    /// hyper flushes when it has written all it has, which ends a wait.
    fn watch_flush(
        &mut self,
        polled: Poll<io::Result<()>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if polled.is_ready() {
            self.blocked_at = None;
            return polled;
        }
        self.wait_write(context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch_write(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch_write(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.watch_flush(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch_flush(polled, context)
    }
}

impl<B: Body<Data = bytes::Bytes>> Answer<B> {
    pub(super) fn new(body: B, is_http2: bool, answering: Answering) -> Self {
        progress::note_answer(body.size_hint().lower());
        Self { body, is_http2, rest: None, _answering: answering }
    }

    /// HTTP/2 keeps a whole piece when there is room for a byte of it, so it gets short ones.
    fn cut(&mut self, mut data: bytes::Bytes) -> bytes::Bytes {
        if self.is_http2 && data.len() > LONGEST_PIECE {
            self.rest = Some(data.split_off(LONGEST_PIECE));
        }
        let n_here = self.rest.as_ref().map_or(0, bytes::Bytes::len) as u64;
        progress::note_piece(data.len(), n_here.saturating_add(self.body.size_hint().lower()));
        data
    }
}

impl<B: Body<Data = bytes::Bytes> + Unpin> Body for Answer<B> {
    type Data = bytes::Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        if let Some(rest) = self.rest.take() {
            return Poll::Ready(Some(Ok(Frame::data(self.cut(rest)))));
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match polled {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(match frame.into_data() {
                Ok(data) => Frame::data(self.cut(data)),
                Err(frame) => frame,
            }))),
            Poll::Ready(other) => Poll::Ready(other),
            Poll::Pending => {
                progress::note_wait();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let n_here = self.rest.as_ref().map_or(0, bytes::Bytes::len) as u64;
        let coming = self.body.size_hint();
        let mut hint = SizeHint::default();
        hint.set_lower(coming.lower().saturating_add(n_here));
        if let Some(upper) = coming.upper() {
            hint.set_upper(upper.saturating_add(n_here));
        }
        hint
    }
}

fn timed_out(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    const HEAD: Duration = Duration::from_secs(5);
    const IDLE: Duration = Duration::from_secs(60);

    fn patient(room: usize) -> (DuplexStream, Patient<DuplexStream>, Arc<Connection>) {
        let (client, server) = tokio::io::duplex(room);
        let connection = Connection::new([192, 0, 2, 1].into());
        let limits = ClientTimeouts { head: HEAD, idle: IDLE };
        (client, Patient::new(server, connection.clone(), limits), connection)
    }

    /// How long a read waits until it gives up.
    async fn waits(patient: &mut Patient<DuplexStream>) -> Duration {
        let started_at = Instant::now();
        let error = patient.read(&mut [0; 4]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        started_at.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_nothing_is_given_up_after_the_time_for_a_head() {
        let (_client, mut patient, _) = patient(16);
        assert_eq!(waits(&mut patient).await, HEAD);
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_answered_may_be_idle_for_longer() {
        let (mut client, mut patient, connection) = patient(16);
        for _ in 0..3 {
            tokio::time::advance(HEAD / 2).await;
            client.write_all(b"x").await.unwrap();
            patient.read_exact(&mut [0]).await.unwrap();
            drop(connection.answer());
        }
        assert_eq!(waits(&mut patient).await, IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_is_given_up_however_often_it_drips() {
        let (mut client, mut patient, connection) = patient(16);
        drop(connection.answer());
        let reading = tokio::spawn(async move {
            let started_at = Instant::now();
            while patient.read(&mut [0; 4]).await.is_ok() {}
            started_at.elapsed()
        });
        for _ in 0..20 {
            tokio::time::sleep(HEAD / 4).await;
            if client.write_all(b"x").await.is_err() {
                break;
            }
        }
        assert_eq!(reading.await.unwrap(), HEAD / 4 + HEAD);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_an_answer_is_not_given_up() {
        let (mut client, mut patient, connection) = patient(16);
        let answering = connection.answer();
        let read = tokio::spawn(async move { patient.read(&mut [0; 4]).await.map(|_| patient) });
        tokio::time::advance(IDLE * 3).await;
        client.write_all(b"x").await.unwrap();
        assert!(read.await.unwrap().is_ok());
        drop(answering);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_or_next_to_nothing_is_given_up() {
        let (_client, mut silent, _) = patient(16);
        let error = silent.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let (mut client, mut patient, _) = patient(16);
        let drip = tokio::spawn(async move {
            loop {
                tokio::time::sleep(IDLE / 2).await;
                if client.read_exact(&mut [0; 4]).await.is_err() {
                    break;
                }
            }
        });
        let error = patient.write_all(&[0; 4096]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drip.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn who_closes_its_half_has_a_while_to_be_answered() {
        let (client, mut patient, connection) = patient(16);
        let answering = connection.answer();
        drop(client);
        let started_at = Instant::now();
        assert_eq!(patient.read(&mut [0; 4]).await.unwrap(), 0);
        assert_eq!(started_at.elapsed(), HEAD);
        drop(answering);
        assert_eq!(patient.read(&mut [0; 4]).await.unwrap(), 0);
        assert_eq!(started_at.elapsed(), HEAD);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_breaks_off_is_noticed_by_who_waits_for_it() {
        let (client, mut patient, connection) = patient(16);
        let (_answering, mut uploading) = (connection.answer(), connection.upload());
        uploading.want(true);
        drop(client);
        let started_at = Instant::now();
        assert_eq!(patient.read(&mut [0; 4]).await.unwrap(), 0);
        assert_eq!(started_at.elapsed(), BROKEN_OFF);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_bytes_tell_the_version_and_are_given_on() {
        for (start, is_http2) in [("PRI *", true), ("PRX", false), ("GET /", false), ("P", false)] {
            let (mut client, mut patient, _) = patient(16);
            for byte in start.as_bytes() {
                client.write_all(&[*byte]).await.unwrap();
            }
            drop(client);
            assert_eq!(patient.begins_http2().await.unwrap(), is_http2, "{start}");
            assert!(!patient.begins_tls(), "{start}");
            let mut read = String::new();
            patient.read_to_string(&mut read).await.unwrap();
            assert_eq!(read, start);
        }
        let (mut client, mut patient, _) = patient(16);
        client.write_all(&[22, 3, 1, 0, 200]).await.unwrap();
        assert!(!patient.begins_http2().await.unwrap() && patient.begins_tls());
    }
}
