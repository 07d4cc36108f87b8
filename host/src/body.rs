//! A body that a guest writes and somebody else reads, and the body of a guest's response in whichever
//! way it is made. Does not count what was promised, and does not know guests.
//!
//! A channel costs allocations for each response and a wake-up for each piece. Here pieces wait in one
//! place behind one lock: a small body that is written and ended before anybody
//! reads it is found whole, with its length, and wakes nobody.

use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use smallvec::SmallVec;
use wasmtime_wasi_http::{Error, WasiBody};

/// Most bytes of one piece.
///
/// Pieces are taken while no more than this waits, so two of them bound what a body holds.
pub const CHUNK: usize = 64 << 10;
/// A piece that is smaller joins the one before it, which the reader has not asked for yet.
const SMALL: usize = 4 << 10;
/// Pieces grow no longer than this by what joins them: joining copies.
const JOINED: usize = 16 << 10;

/// The end that is written to. Clones write to the same body.
#[derive(Clone, Debug)]
pub struct Writer(Arc<Mutex<State>>);

/// The end that is read. When it is dropped, nothing that is written is taken any more.
#[derive(Debug)]
pub struct Reader(Arc<Mutex<State>>);

/// The reader is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads this body any more")]
pub struct Closed;

/// The body of a guest's response.
#[derive(Debug)]
pub enum Produced {
    /// There is none, or none any more.
    Nothing,
    /// A guest writes it piece by piece.
    Written(Reader),
    /// It comes in some other way.
    Boxed(WasiBody),
}

#[derive(Debug)]
struct State {
    pieces: SmallVec<[Bytes; 2]>,
    /// Bytes that wait in `pieces`.
    n_waiting: usize,
    /// Bytes that were ever written.
    n_written: u64,
    end: End,
    is_read: bool,
    /// Who waits for a piece or the end. The writer wakes it.
    reader: Option<Waker>,
    /// Who waits for room. The reader wakes it, once there is some or never will be.
    writer: Option<Waker>,
}

#[derive(Debug)]
enum End {
    /// More may come.
    Open,
    /// All is written, with these trailers.
    Finished(Option<Box<HeaderMap>>),
    /// What was written is not all.
    Broken,
    /// The reader has it.
    Told,
}

/// The two ends of a body.
#[must_use]
pub fn channel() -> (Writer, Reader) {
    let state = State {
        pieces: SmallVec::new(),
        n_waiting: 0,
        n_written: 0,
        end: End::Open,
        is_read: true,
        reader: None,
        writer: None,
    };
    let state = Arc::new(Mutex::new(state));
    (Writer(state.clone()), Reader(state))
}

impl Writer {
    /// Bytes that may be written now: a whole piece, or none while enough waits to be read.
    ///
    /// # Errors
    /// The reader is gone.
    pub fn room(&self) -> Result<usize, Closed> {
        lock(&self.0).room()
    }

    /// Ready when there is room, or the reader is gone. One waits at a time.
    pub fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.0);
        if state.room() != Ok(0) {
            return Poll::Ready(());
        }
        state.writer = Some(context.waker().clone());
        Poll::Pending
    }

    /// Adds a piece, whether there is room or not; says how many bytes were written so far.
    ///
    /// # Errors
    /// The reader is gone.
    pub fn write(&self, piece: Bytes) -> Result<u64, Closed> {
        let mut state = lock(&self.0);
        if !state.is_read {
            return Err(Closed);
        }
        state.n_written = state.n_written.saturating_add(piece.len() as u64);
        let n_written = state.n_written;
        state.push(piece);
        let reader = state.reader.take();
        drop(state);
        wake(reader);
        Ok(n_written)
    }

    /// How many bytes were written so far.
    #[must_use]
    pub fn n_written(&self) -> u64 {
        lock(&self.0).n_written
    }

    /// All is written. Does nothing where the body has ended.
    pub fn finish(&self, trailers: Option<HeaderMap>) {
        self.end(End::Finished(trailers.map(Box::new)));
    }

    /// What was written is not all of it. Does nothing where the body has ended.
    pub fn abort(&self) {
        self.end(End::Broken);
    }

    fn end(&self, end: End) {
        let mut state = lock(&self.0);
        if matches!(state.end, End::Open) {
            state.end = end;
            let reader = state.reader.take();
            drop(state);
            wake(reader);
        }
    }
}

impl Reader {
    /// How many bytes wait, and whether nothing comes after them.
    ///
    /// # Errors
    /// The body is broken off.
    pub fn look(&self) -> Result<(u64, bool), Error> {
        let state = lock(&self.0);
        match state.end {
            End::Broken => Err(Error::HttpProtocolError),
            End::Open => Ok((state.n_waiting as u64, false)),
            End::Finished(_) | End::Told => Ok((state.n_waiting as u64, true)),
        }
    }
}

impl State {
    fn room(&self) -> Result<usize, Closed> {
        if !self.is_read {
            return Err(Closed);
        }
        Ok(if self.n_waiting > CHUNK { 0 } else { CHUNK })
    }

    fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        self.n_waiting += piece.len();
        if piece.len() < SMALL
            && let Some(last) = self.pieces.last_mut()
            && last.len() + piece.len() <= JOINED
        {
            match mem::take(last).try_into_mut() {
                Ok(mut joined) => {
                    joined.extend_from_slice(&piece);
                    *last = joined.freeze();
                    return;
                }
                Err(shared) => *last = shared,
            }
        }
        self.pieces.push(piece);
    }
}

/// Wakes who waited. To be called without the lock, which whoever is woken takes at once.
fn wake(waiting: Option<Waker>) {
    if let Some(waiting) = waiting {
        waiting.wake();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Body for Reader {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut state = lock(&self.0);
        if !state.pieces.is_empty() {
            let piece = state.pieces.remove(0);
            state.n_waiting -= piece.len();
            let writer = if state.room() == Ok(0) { None } else { state.writer.take() };
            drop(state);
            wake(writer);
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if matches!(state.end, End::Open) {
            // hyper polls again and again with the same waker.
            match &mut state.reader {
                Some(reader) => reader.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
            return Poll::Pending;
        }
        Poll::Ready(match mem::replace(&mut state.end, End::Told) {
            End::Finished(Some(trailers)) => Some(Ok(Frame::trailers(*trailers))),
            End::Broken => Some(Err(Error::HttpProtocolError)),
            End::Finished(None) | End::Told | End::Open => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        let state = lock(&self.0);
        state.pieces.is_empty() && matches!(state.end, End::Finished(None) | End::Told)
    }

    fn size_hint(&self) -> SizeHint {
        let state = lock(&self.0);
        match state.end {
            End::Finished(None) | End::Told => SizeHint::with_exact(state.n_waiting as u64),
            // Trailers can only follow a body of unknown length.
            End::Open | End::Finished(Some(_)) | End::Broken => SizeHint::default(),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.is_read = false;
        let (pieces, writer) = (mem::take(&mut state.pieces), state.writer.take());
        state.n_waiting = 0;
        drop(state);
        drop(pieces);
        wake(writer);
    }
}

impl Body for Produced {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.get_mut() {
            Self::Nothing => Poll::Ready(None),
            Self::Written(body) => Pin::new(body).poll_frame(context),
            Self::Boxed(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Written(body) => body.is_end_stream(),
            Self::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Nothing => SizeHint::with_exact(0),
            Self::Written(body) => body.size_hint(),
            Self::Boxed(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use http_body_util::BodyExt;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What a poll with this waker gives: a piece of so many bytes, or the end.
    fn poll(reader: &mut Reader, wakes: &Arc<Count>) -> Poll<Option<usize>> {
        let waker = Waker::from(wakes.clone());
        let polled = Pin::new(reader).poll_frame(&mut Context::from_waker(&waker));
        polled.map(|frame| frame.map(|frame| frame.unwrap().into_data().unwrap().len()))
    }

    fn bytes(n: usize) -> Bytes {
        vec![7; n].into()
    }

    #[test]
    fn a_body_that_is_there_is_found_whole_and_wakes_nobody() {
        let (writer, mut reader) = channel();
        let wakes = Arc::new(Count::default());
        assert_eq!(writer.write(bytes(3)), Ok(3));
        assert_eq!(reader.look().unwrap(), (3, false));
        assert_eq!(reader.size_hint().exact(), None, "more may come");
        writer.finish(None);
        assert_eq!(reader.look().unwrap(), (3, true));
        assert_eq!(reader.size_hint().exact(), Some(3));
        assert_eq!(poll(&mut reader, &wakes), Poll::Ready(Some(3)));
        assert!(reader.is_end_stream());
        assert_eq!(poll(&mut reader, &wakes), Poll::Ready(None));
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn no_more_than_two_chunks_wait_however_they_are_cut() {
        for size in [1, 100, SMALL, JOINED, CHUNK - 1, CHUNK] {
            let (writer, reader) = channel();
            let mut written = 0;
            while writer.room() != Ok(0) {
                written += size as u64;
                assert_eq!(writer.write(bytes(size)), Ok(written));
            }
            let (waiting, _) = reader.look().unwrap();
            assert_eq!(waiting, written);
            assert!(waiting > CHUNK as u64 && waiting <= 2 * CHUNK as u64, "{waiting}");
            let n_pieces = lock(&reader.0).pieces.len();
            assert!(n_pieces <= 33, "{n_pieces} pieces of {size}");
        }
    }

    #[tokio::test]
    async fn what_is_written_is_read_in_its_order() {
        let (writer, reader) = channel();
        let mut expected = Vec::new();
        for n in 0..400_u32 {
            let piece = n.to_string().repeat((n % 7) as usize * 40);
            expected.extend_from_slice(piece.as_bytes());
            assert!(writer.write(piece.into()).is_ok());
        }
        writer.finish(None);
        assert_eq!(reader.collect().await.unwrap().to_bytes(), expected);
    }

    #[test]
    fn who_waits_is_woken_once_there_is_room_or_never_will_be() {
        let (writer, mut reader) = channel();
        let (reads, writes) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let waker = Waker::from(writes.clone());
        let mut context = Context::from_waker(&waker);
        assert_eq!(poll(&mut reader, &reads), Poll::Pending);
        assert!(writer.poll_room(&mut context).is_ready());
        for _ in 0..2 {
            assert!(writer.write(bytes(CHUNK)).is_ok());
        }
        assert_eq!(reads.0.load(Ordering::Relaxed), 1, "it is woken once and has not looked since");
        assert!(writer.poll_room(&mut context).is_pending());
        assert_eq!(poll(&mut reader, &reads), Poll::Ready(Some(CHUNK)));
        assert_eq!(writes.0.load(Ordering::Relaxed), 1);
        assert!(writer.write(bytes(CHUNK)).is_ok());
        assert!(writer.poll_room(&mut context).is_pending());
        drop(reader);
        assert_eq!(writes.0.load(Ordering::Relaxed), 2);
        assert!(writer.poll_room(&mut context).is_ready());
        assert_eq!((writer.room(), writer.write(bytes(1))), (Err(Closed), Err(Closed)));
    }

    #[tokio::test]
    async fn an_end_is_told_once_and_the_first_one_counts() {
        let (writer, reader) = channel();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", http::HeaderValue::from_static("7"));
        assert!(writer.write(bytes(2)).is_ok());
        writer.finish(Some(trailers.clone()));
        writer.abort();
        assert_eq!(reader.size_hint().exact(), None, "a length would leave no place for trailers");
        let all = reader.collect().await.unwrap();
        assert_eq!(all.trailers(), Some(&trailers));
        let (writer, mut reader) = channel();
        assert!(writer.write(bytes(2)).is_ok());
        writer.abort();
        writer.finish(None);
        assert!(reader.look().is_err());
        assert!(!reader.is_end_stream());
        assert_eq!(reader.frame().await.unwrap().unwrap().into_data().unwrap().len(), 2);
        assert!(reader.frame().await.unwrap().is_err());
        assert!(reader.frame().await.is_none());
    }
}
