//! A stream that gives up on a client that moves no byte for too long.
//! Waits as long as it takes while a guest works on the answer: the call's own timeout bounds that.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Bounds the waits of a stream.
#[derive(Debug)]
pub struct Patient<S> {
    stream: S,
    limit: Duration,
    activity: Activity,
    reading: Wait,
    writing: Wait,
}

/// Whether something is being computed for the client right now.
#[derive(Clone, Debug, Default)]
pub struct Activity(Arc<AtomicUsize>);

/// Lives while something is being computed for the client.
#[derive(Debug)]
pub struct Working(Activity);

/// A response body that is being computed until it has been taken or given up.
#[derive(Debug)]
pub struct Computed<B> {
    body: B,
    _working: Working,
}

/// One direction's wait. The timer is made at the first wait and moved on later ones.
#[derive(Debug, Default)]
struct Wait {
    timer: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

impl<S> Patient<S> {
    /// Waits at most `limit` for each byte.
    pub fn new(stream: S, limit: Duration) -> Self {
        let activity = Activity::default();
        Self { stream, limit, activity, reading: Wait::default(), writing: Wait::default() }
    }

    /// Where to say that something is being computed.
    pub fn activity(&self) -> Activity {
        self.activity.clone()
    }
}

impl Activity {
    /// Something is being computed until the value is dropped.
    #[must_use]
    pub fn enter(&self) -> Working {
        self.0.fetch_add(1, Ordering::Relaxed);
        Working(self.clone())
    }

    fn is_idle(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Working {
    /// Goes on while this body comes.
    pub fn on<B>(self, body: B) -> Computed<B> {
        Computed { body, _working: self }
    }
}

impl<B: Body + Unpin> Body for Computed<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Wait {
    /// Ready when the wait has lasted too long.
    fn poll(&mut self, limit: Duration, context: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if !self.armed {
            timer.as_mut().reset(Instant::now() + limit);
            self.armed = true;
        }
        timer.as_mut().poll(context)
    }

    /// The wait restarts: the clock runs from now.
    fn restart(&mut self) {
        self.armed = false;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(result) => {
                this.reading.restart();
                Poll::Ready(result)
            }
            Poll::Pending => {
                while this.reading.poll(this.limit, context).is_ready() {
                    if this.activity.is_idle() {
                        return Poll::Ready(Err(timed_out("no byte came")));
                    }
                    this.reading.restart();
                }
                Poll::Pending
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Patient<S> {
    fn watch_write<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.writing.restart();
            return polled;
        }
        self.writing.poll(self.limit, context).map(|()| Err(timed_out("the client reads nothing")))
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
        self.watch_write(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch_write(polled, context)
    }
}

fn timed_out(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_nothing_is_given_up() {
        let (_client, server) = tokio::io::duplex(16);
        let mut patient = Patient::new(server, LIMIT);
        let started_at = Instant::now();
        let error = patient.read(&mut [0; 4]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started_at.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_waits_for_its_answer_is_not() {
        let (mut client, server) = tokio::io::duplex(16);
        let mut patient = Patient::new(server, LIMIT);
        let working = patient.activity().enter();
        let read = tokio::spawn(async move { patient.read(&mut [0; 4]).await.map(|_| patient) });
        tokio::time::advance(LIMIT * 3).await;
        client.write_all(b"x").await.unwrap();
        assert!(read.await.unwrap().is_ok());
        drop(working);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_given_up() {
        let (_client, server) = tokio::io::duplex(16);
        let mut patient = Patient::new(server, LIMIT);
        let error = patient.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
