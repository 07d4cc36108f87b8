//! The host's own log on stderr, written by a thread of its own. Who reads it may stand still, as a
//! terminal does after Ctrl-S, or a pipe nobody reads from: nothing else waits for that. What does not
//! fit meanwhile is left out and counted.
//! Does not choose what is logged.
//!
//! The writer of `tracing-appender` does half of this: it counts what it leaves out, and tells nobody; and
//! it is flushed by ending it only, so what a host says while it ends would be lost.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait to be written at most.
const WAITING: usize = 4096;
/// How long the end of the program waits for them.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Between two tries to take a place among those that wait.
const A_MOMENT: Duration = Duration::from_millis(5);

/// The log of this process, once there is one.
static LOG: OnceLock<Log> = OnceLock::new();

/// Where lines go. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Log {
    pieces: SyncSender<Piece>,
    n_left_out: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Piece {
    Line(Vec<u8>),
    /// Somebody waits until all that came before is written.
    Flush(SyncSender<()>),
}

impl Log {
    /// The log on stderr.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(super) fn on_stderr() -> io::Result<Self> {
        if let Some(log) = LOG.get() {
            return Ok(log.clone());
        }
        let log = Self::start(io::stderr())?;
        Ok(LOG.get_or_init(|| log).clone())
    }

    fn start(to: impl Write + Send + 'static) -> io::Result<Self> {
        let (pieces, waiting) = sync_channel(WAITING);
        let n_left_out: Arc<AtomicU64> = Arc::default();
        let counter = n_left_out.clone();
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write(to, &waiting, &counter))?;
        Ok(Self { pieces, n_left_out })
    }

    fn flush(&self, within: Duration) {
        let (ends_at, (done, is_done)) = (Instant::now() + within, sync_channel(1));
        let left = || ends_at.saturating_duration_since(Instant::now());
        let mut piece = Piece::Flush(done);
        while let Err(TrySendError::Full(unsent)) = self.pieces.try_send(piece) {
            if left().is_zero() {
                return;
            }
            piece = unsent;
            // Nobody can have answered yet: this only waits for a place.
            is_done.recv_timeout(left().min(A_MOMENT)).ok();
        }
        is_done.recv_timeout(left()).ok();
    }
}

/// Waits a moment until what was logged is written: the program is about to end.
pub(super) fn flush() {
    if let Some(log) = LOG.get() {
        log.flush(LAST_LINES);
    }
}

fn write(mut to: impl Write, waiting: &Receiver<Piece>, n_left_out: &AtomicU64) {
    for piece in waiting {
        match piece {
            // Nobody can be told that the log cannot be written.
            Piece::Line(line) => to.write_all(&line).ok(),
            Piece::Flush(done) => done.try_send(()).ok(),
        };
        let n_left_out = n_left_out.swap(0, Ordering::Relaxed);
        if n_left_out > 0 {
            let said = "lines of the log were left out: nobody took them in time";
            writeln!(to, "{n_left_out} {said}").ok();
        }
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Line<'w>;

    fn make_writer(&'w self) -> Self::Writer {
        Line(self)
    }
}

/// Takes one line of the log, which comes in one piece.
#[derive(Debug)]
pub(super) struct Line<'w>(&'w Log);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.pieces.try_send(Piece::Line(bytes.to_vec())).is_err() {
            self.0.n_left_out.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// Somebody who reads when told to.
    #[derive(Clone, Debug, Default)]
    struct Reader(Arc<Mutex<Vec<u8>>>);

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_that_nobody_reads_holds_nobody_up_and_says_what_it_left_out() {
        let reader = Reader::default();
        let log = Log::start(reader.clone()).unwrap();
        let stands_still = reader.0.lock().unwrap();
        for number in 0..3 * WAITING {
            let line = format!("line {number:08}\n");
            log.make_writer().write_all(line.as_bytes()).unwrap();
        }
        drop(stands_still);
        log.flush(Duration::from_secs(60));
        // What is counted after the line that made room.
        log.flush(Duration::from_secs(60));
        let text = String::from_utf8(reader.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let (left_out, written): (Vec<&str>, Vec<&str>) =
            lines.iter().partition(|line| line.contains("were left out"));
        assert!(written.is_sorted() && written[0] == "line 00000000", "{}", written[0]);
        let n_left_out: usize = left_out
            .iter()
            .map(|line| line.split(' ').next().unwrap().parse::<usize>().unwrap())
            .sum();
        assert_eq!(written.len() + n_left_out, 3 * WAITING);
        assert!(n_left_out >= WAITING, "{n_left_out}");
    }
}
