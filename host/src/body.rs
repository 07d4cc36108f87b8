//! A body that a guest writes and somebody else reads, and the body of a guest's response in whichever
//! way it is made. Does not count what was promised, and does not know guests.
//!
//! A channel costs allocations for each response and a wake-up for each piece. Here pieces wait in one
//! place behind one lock: a small body that is written and ended before anybody
//! reads it is found whole, with its length, and wakes nobody. What is written in small parts is copied
//! once, to the end of a piece that grows, so that a large body is read in large pieces however it is cut.

use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use smallvec::SmallVec;
use wasmtime_wasi_http::{Error, WasiBody};

/// Most bytes of one piece. Two of them bound what a body holds.
pub const CHUNK: usize = 64 << 10;
/// Most bytes that wait to be read.
const MOST_WAITING: usize = 2 * CHUNK;
/// A whole piece that is smaller is copied to the end of what waits; and there is no room where there is
/// less than this, so that nobody writes in crumbs.
const SMALL: usize = 4 << 10;
/// A piece that is no longer than this is moved to where it can grow; a longer one is whole.
const MOVED: usize = 16 << 10;

/// The end that is written to. Clones write to the same body.
#[derive(Clone, Debug)]
pub struct Writer(Arc<Mutex<State>>);

/// The end that is read. When it is dropped, nothing that is written is taken any more.
#[derive(Debug)]
pub struct Reader(Arc<Mutex<State>>);

/// What came of bytes that were to be copied into a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    /// They are there.
    Done {
        /// How many bytes were written so far.
        n_written: u64,
        /// Whether there is no room for more.
        is_full: bool,
    },
    /// There is room for so many only, and none of them was taken.
    NoRoom(usize),
}

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
    /// Pieces that are whole.
    pieces: SmallVec<[Bytes; 2]>,
    /// What was written after them, and grows.
    tail: BytesMut,
    /// Bytes that wait in both.
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
        tail: BytesMut::new(),
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
    /// Bytes that may be written now: no more than a whole piece, and none while enough waits to be read.
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
        state.push(piece);
        let (n_written, reader) = (state.n_written, state.reader.take());
        drop(state);
        wake(reader);
        Ok(n_written)
    }

    /// Copies bytes to the end, if there is room for all of them.
    ///
    /// # Errors
    /// The reader is gone.
    pub fn append(&self, bytes: &[u8]) -> Result<Append, Closed> {
        let mut state = lock(&self.0);
        let room = state.room()?;
        if bytes.len() > room {
            return Ok(Append::NoRoom(room));
        }
        state.append(bytes);
        let done = Append::Done { n_written: state.n_written, is_full: state.room() == Ok(0) };
        let reader = state.reader.take();
        drop(state);
        wake(reader);
        Ok(done)
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
        let left = MOST_WAITING.saturating_sub(self.n_waiting);
        Ok(if left < SMALL { 0 } else { left.min(CHUNK) })
    }

    fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        if piece.len() < SMALL && self.n_waiting > 0 {
            return self.append(&piece);
        }
        self.seal();
        self.count(piece.len());
        self.pieces.push(piece);
    }

    fn append(&mut self, bytes: &[u8]) {
        let n_bytes = bytes.len();
        if self.tail.capacity() - self.tail.len() < n_bytes {
            // As much again as was written so far: a body that is written at once takes what it needs, and
            // one that goes on soon has pieces of full length.
            let as_much = usize::try_from(self.n_written).unwrap_or(CHUNK);
            if self.tail.len() > MOVED || self.tail.len() + n_bytes > CHUNK {
                self.seal();
            }
            let least = self.tail.len() + n_bytes;
            let most = self.tail.len().saturating_add(as_much).min(CHUNK);
            let mut grown = BytesMut::with_capacity(least.max(most));
            grown.extend_from_slice(&self.tail);
            self.tail = grown;
        }
        self.tail.extend_from_slice(bytes);
        self.count(n_bytes);
    }

    /// Makes a piece of what grows.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push(mem::take(&mut self.tail).freeze());
        }
    }

    fn count(&mut self, n_bytes: usize) {
        self.n_waiting += n_bytes;
        self.n_written = self.n_written.saturating_add(n_bytes as u64);
    }

    /// Takes the piece that is to be read next.
    fn next(&mut self) -> Option<Bytes> {
        let piece = if !self.pieces.is_empty() {
            self.pieces.remove(0)
        } else if self.tail.is_empty() {
            return None;
        } else if matches!(self.end, End::Open) {
            // More goes where this one ends.
            self.tail.split().freeze()
        } else {
            mem::take(&mut self.tail).freeze()
        };
        self.n_waiting -= piece.len();
        Some(piece)
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
        if let Some(piece) = state.next() {
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
        state.n_waiting == 0 && matches!(state.end, End::Finished(None) | End::Told)
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
        let (pieces, tail) = (mem::take(&mut state.pieces), mem::take(&mut state.tail));
        let writer = state.writer.take();
        state.n_waiting = 0;
        drop(state);
        drop((pieces, tail));
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
        for (size, copies) in [1, 100, SMALL, MOVED, MOVED + 1, CHUNK - 1, CHUNK]
            .into_iter()
            .flat_map(|size| [(size, true), (size, false)])
        {
            let (writer, reader) = channel();
            let mut written = 0;
            while let room @ 1.. = writer.room().unwrap() {
                let piece = bytes(size.min(room));
                written += piece.len() as u64;
                if copies {
                    let is_full = written + SMALL as u64 > MOST_WAITING as u64;
                    let done = Append::Done { n_written: written, is_full };
                    assert_eq!(writer.append(&piece), Ok(done));
                } else {
                    assert_eq!(writer.write(piece), Ok(written));
                }
            }
            let (waiting, _) = reader.look().unwrap();
            assert_eq!(waiting, written);
            assert!(waiting > CHUNK as u64 && waiting <= 2 * CHUNK as u64, "{waiting}");
            assert_eq!(writer.append(&bytes(SMALL)), Ok(Append::NoRoom(0)));
            let state = lock(&reader.0);
            let (n_pieces, n_held) = (state.pieces.len(), state.tail.capacity());
            assert!(n_pieces <= 33, "{n_pieces} pieces of {size}");
            assert!(n_held <= CHUNK, "room for {n_held} after pieces of {size}");
        }
    }

    #[tokio::test]
    async fn what_is_written_is_read_in_its_order() {
        let (writer, reader) = channel();
        let mut expected = Vec::new();
        for n in 0..300_u32 {
            let piece = n.to_string().repeat((n % 7) as usize * 40);
            expected.extend_from_slice(piece.as_bytes());
            if n % 3 == 0 {
                assert!(matches!(writer.append(piece.as_bytes()), Ok(Append::Done { .. })));
            } else {
                assert!(writer.write(piece.into()).is_ok());
            }
        }
        writer.finish(None);
        assert_eq!(reader.collect().await.unwrap().to_bytes(), expected);
    }

    #[test]
    fn what_is_written_in_small_parts_is_read_in_large_pieces() {
        let (writer, mut reader) = channel();
        let wakes = Arc::new(Count::default());
        let (mut n_pieces, mut n_read) = (0, 0);
        for n in 1..=2_048 {
            assert!(matches!(writer.append(&bytes(SMALL)), Ok(Append::Done { .. })));
            // Whoever reads comes by now and then, and takes all there is.
            if n % 31 == 0 || n == 2_048 {
                while let Poll::Ready(Some(size)) = poll(&mut reader, &wakes) {
                    n_pieces += 1;
                    n_read += size;
                }
            }
        }
        assert_eq!(n_read, 2_048 * SMALL);
        assert!(n_pieces <= 3 * (2_048 / 31 + 1), "{n_pieces} pieces");
        // Of its own size where that is all.
        let (writer, reader) = channel();
        assert!(writer.append(&bytes(20)).is_ok());
        assert_eq!(lock(&reader.0).tail.capacity(), 20);
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
        assert_eq!(writer.append(&bytes(1)), Err(Closed));
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
