//! What tells a guest something that differs from run to run, where that is written down or said again: clocks,
//! random numbers and bodies. Calls without a tape use none of it.
//! Does not know what a tape is for, nor when a call has one.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};
use wasmtime_wasi_http::{Error, WasiBody};

use super::recorded_error::{code, of_code};
use crate::capsule::{BodyEnd, CapsuleBytes, Headers, RecordedBody, RecordedBodyOf, Tape};

/// What a clock says of itself: the least step that it can take, as Linux says it.
const RESOLUTION: Duration = Duration::from_nanos(1);

/// Has a guest be told by the tape what its clocks and its random numbers say.
pub(super) fn attach_tape(tape: &Tape, wasi: &mut WasiCtxBuilder) {
    // Three that have nothing to do with each other, of one seed.
    let seed = |number: u8| {
        let mut seed = tape.seed();
        if let Some(first) = seed.first_mut() {
            *first = first.wrapping_add(number);
        }
        seed
    };
    let [low, high] = [seed(2), seed(3)].map(|seed| u128::from(StdRng::from_seed(seed).next_u64()));
    wasi.wall_clock(TapedWall(tape.clone()))
        .monotonic_clock(TapedMonotonic { tape: tape.clone(), made_at: Instant::now() })
        .secure_random(StdRng::from_seed(seed(0)))
        .insecure_random(StdRng::from_seed(seed(1)))
        .insecure_random_seed(high << 64 | low);
}

/// A seed that nobody can guess, as the guest's random numbers must not be guessed either.
pub(super) fn new_seed() -> [u8; 32] {
    rand::random()
}

struct TapedWall(Tape);

impl HostWallClock for TapedWall {
    fn resolution(&self) -> Duration {
        RESOLUTION
    }

    fn now(&self) -> Duration {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Duration::from_nanos(self.0.wall(nanoseconds(now)))
    }
}

struct TapedMonotonic {
    tape: Tape,
    made_at: Instant,
}

impl HostMonotonicClock for TapedMonotonic {
    fn resolution(&self) -> u64 {
        nanoseconds(RESOLUTION)
    }

    fn now(&self) -> u64 {
        self.tape.monotonic(nanoseconds(self.made_at.elapsed()))
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A body that is written down as it is read.
pub(super) struct TapedBody {
    body: WasiBody,
    tape: Tape,
    of: RecordedBodyOf,
}

impl TapedBody {
    pub(super) fn new(body: WasiBody, tape: Tape, of: RecordedBodyOf) -> Self {
        if body.is_end_stream() {
            tape.note_end(of, BodyEnd::Whole);
        }
        Self { body, tape, of }
    }
}

impl Body for TapedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let come = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &come {
            None => self.tape.note_end(self.of, BodyEnd::Whole),
            Some(Err(error)) => self.tape.note_end(self.of, BodyEnd::Broken { error: code(error) }),
            Some(Ok(frame)) => {
                if let Some(piece) = frame.data_ref() {
                    self.tape.note_piece(self.of, piece);
                } else if let Some(trailers) = frame.trailers_ref() {
                    self.tape.note_trailers(self.of, written(trailers));
                    self.tape.note_end(self.of, BodyEnd::Whole);
                }
            }
        }
        Poll::Ready(come)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body that comes again as it came, piece by piece.
pub(super) struct PlayedBody {
    pieces: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    end: BodyEnd,
}

impl PlayedBody {
    pub(super) fn new(recorded: RecordedBody) -> Self {
        let mut bytes = Bytes::from(recorded.bytes.0);
        let lengths = recorded.pieces.iter();
        let pieces = lengths.map(|length| bytes.split_to((*length).min(bytes.len()))).collect();
        let trailers = (!recorded.trailers.is_empty()).then(|| read(&recorded.trailers));
        Self { pieces, trailers, end: recorded.end }
    }
}

impl Body for PlayedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(piece) = self.pieces.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if let Some(trailers) = self.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        match &self.end {
            BodyEnd::Whole => Poll::Ready(None),
            BodyEnd::Broken { error } => {
                let error = of_code(error);
                self.end = BodyEnd::Whole;
                Poll::Ready(Some(Err(error)))
            }
            // Nobody has read on, or nothing came as long as the call ran.
            BodyEnd::Unread => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.trailers.is_none() && self.end == BodyEnd::Whole
    }
}

/// Headers as a capsule has them.
pub(super) fn written(headers: &HeaderMap) -> Headers {
    let each = headers.iter();
    each.map(|(name, value)| (name.to_string(), CapsuleBytes(value.as_bytes().to_vec()))).collect()
}

/// Headers from a capsule. One that is none is left out: somebody has changed it by hand.
pub(super) fn read(headers: &Headers) -> HeaderMap {
    let mut read = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&value.0)) {
            read.append(name, value);
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[test]
    fn random_numbers_come_of_a_seed_in_the_same_way_in_every_version() {
        // Whoever sees this fail counts up the version of capsules: they hold seeds.
        let mut random = StdRng::from_seed([7; 32]);
        assert_eq!(random.next_u64(), 2_363_194_108_971_422_454);
    }

    #[tokio::test]
    async fn a_body_breaks_off_again_for_the_same_reason() {
        let frames = [Ok(Frame::data(Bytes::from("ab"))), Err(Error::ConnectionTerminated)];
        let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
        let tape = Tape::recording([0; 32]);
        let taped = TapedBody::new(body.boxed_unsync(), tape.clone(), RecordedBodyOf::Request);
        assert!(taped.collect().await.is_err());
        let mut played = PlayedBody::new(tape.take().unwrap().unwrap().body);
        assert_eq!(played.frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
        let error = played.frame().await.unwrap().unwrap_err();
        assert!(matches!(error, Error::ConnectionTerminated), "{error:?}");
    }

    #[tokio::test]
    async fn a_body_comes_again_in_the_same_pieces() {
        let frames = ["ab", "", "cde"].map(|piece| Ok(Frame::data(Bytes::from(piece))));
        let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
        let tape = Tape::recording([0; 32]);
        let taped = TapedBody::new(body.boxed_unsync(), tape.clone(), RecordedBodyOf::Request);
        assert_eq!(taped.collect().await.unwrap().to_bytes(), "abcde");
        let recorded = tape.take().unwrap().unwrap().body;
        assert_eq!((&*recorded.pieces, &recorded.end), (&[2, 0, 3][..], &BodyEnd::Whole));
        let mut played = PlayedBody::new(recorded);
        for piece in ["ab", "", "cde"] {
            let frame = played.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), piece);
        }
        assert!(played.is_end_stream() && played.frame().await.is_none());
    }
}
