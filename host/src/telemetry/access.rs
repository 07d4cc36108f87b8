//! The access log: one line of JSON for each call that is over, written by a thread of its own. Where the disk
//! or whoever reads it stands still, lines are left out and counted; no call waits.
//! Does not choose what is in a line: `request` does.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::events::{Event, Events, Severity};

/// Lines that wait to be written at most. One is some 400 bytes, and 1 KiB where path and host are long.
const WAITING: usize = 8192;
/// So many bytes go to the file at once, if as many wait.
const AT_ONCE: usize = 64 << 10;
/// Between two tries to take a place among those that wait.
const A_MOMENT: Duration = Duration::from_millis(5);

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessTarget {
    /// To stdout.
    Stdout,
    /// To the end of this file.
    File(PathBuf),
}

/// One call that is over. New fields may come; those that are here stay.
#[derive(Debug, Serialize)]
pub struct AccessLine<'l> {
    /// When the request came in, as RFC 3339 has it.
    pub time: String,
    /// The call.
    pub call_id: String,
    /// The address of who called.
    pub client: std::net::IpAddr,
    /// The request's method; cut when long.
    pub method: &'l str,
    /// The host it was for; cut when long.
    pub host: &'l str,
    /// Its path without the query; cut when long.
    pub path: &'l str,
    /// The version of HTTP.
    pub protocol: &'static str,
    /// The route as the manifest has it.
    pub route: &'l str,
    /// The app that served it.
    pub app: &'l str,
    /// The generation of the deployment that did.
    pub generation: u64,
    /// The status that was sent, 0 when none was.
    pub status: u16,
    /// How it ended, as a stable code.
    pub cause: &'static str,
    /// Bytes of request body: as many as it was said to have, or as had come.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// From accepting the request to the last byte, in microseconds.
    pub duration_us: u64,
    /// Where that time went, in microseconds, by phases; those of nothing are left out.
    pub time_us: std::collections::BTreeMap<&'static str, u64>,
    /// Fuel that the guest consumed.
    pub fuel: u64,
    /// CPU time of the guest in microseconds.
    pub cpu_us: u64,
    /// The most memory that the instance had, in bytes.
    pub memory_bytes: u64,
}

/// Takes lines.
#[derive(Debug)]
pub struct AccessLog {
    pieces: SyncSender<AccessPiece>,
    n_left_out: Arc<AtomicU64>,
}

#[derive(Debug)]
enum AccessPiece {
    Line(Vec<u8>),
    /// The file was moved away: another one is begun.
    Reopen,
    /// Somebody waits until all that came before is written.
    Flush(SyncSender<()>),
}

/// What the thread writes to.
struct Writer {
    target: AccessTarget,
    to: Box<dyn Write + Send>,
    buffer: Vec<u8>,
    /// The last line may be cut.
    is_torn: bool,
    is_failing: bool,
    n_left_out: Arc<AtomicU64>,
    events: Arc<Events>,
}

impl AccessTarget {
    /// Reads where lines go: a path, or `-` for stdout.
    ///
    /// # Errors
    /// It is empty.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "" => Err("is empty: expected a file, or - for stdout"),
            "-" => Ok(Self::Stdout),
            path => Ok(Self::File(PathBuf::from(path))),
        }
    }

    fn open(&self) -> io::Result<Box<dyn Write + Send>> {
        match self {
            Self::Stdout => Ok(Box::new(io::stdout())),
            Self::File(path) => open(path),
        }
    }

    /// Where that is, for messages.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Stdout => "stdout".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }
}

fn open(path: &Path) -> io::Result<Box<dyn Write + Send>> {
    // Paths and addresses of callers are nobody else's.
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    Ok(Box::new(file))
}

impl AccessLog {
    /// Opens it; what goes wrong later is told there.
    ///
    /// # Errors
    /// It cannot be opened, or the system refuses a thread.
    pub fn start(target: AccessTarget, events: Arc<Events>) -> io::Result<Self> {
        let to = target.open()?;
        let (pieces, waiting) = sync_channel(WAITING);
        let n_left_out: Arc<AtomicU64> = Arc::default();
        let writer = Writer {
            target,
            to,
            buffer: Vec::new(),
            is_torn: false,
            is_failing: false,
            n_left_out: n_left_out.clone(),
            events,
        };
        thread::Builder::new()
            .name("access log".to_owned())
            .spawn(move || writer.write_all(&waiting))?;
        Ok(Self { pieces, n_left_out })
    }

    /// Writes a line, soon.
    pub fn write(&self, line: &AccessLine<'_>) {
        let Ok(mut text) = serde_json::to_vec(line) else { return };
        text.push(b'\n');
        if self.pieces.try_send(AccessPiece::Line(text)).is_err() {
            self.n_left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Begins a file of the same name; whoever moved the old one away has all lines up to here in it. Waits
    /// while lines wait for a slow disk, so it is to be called on a thread that may.
    pub fn reopen(&self) {
        // The thread that writes ends only with the host.
        self.pieces.send(AccessPiece::Reopen).ok();
    }

    /// Waits until all is written, for so long at most.
    pub fn flush(&self, within: Duration) {
        let ends_at = Instant::now() + within;
        let (done, is_done) = sync_channel(1);
        let mut piece = AccessPiece::Flush(done);
        while let Err(unsent) = self.pieces.try_send(piece) {
            let TrySendError::Full(unsent) = unsent else { return };
            if Instant::now() >= ends_at {
                return;
            }
            piece = unsent;
            thread::park_timeout(A_MOMENT);
        }
        is_done.recv_timeout(ends_at.saturating_duration_since(Instant::now())).ok();
    }

    /// Lines that were left out.
    #[must_use]
    pub fn n_left_out(&self) -> u64 {
        self.n_left_out.load(Ordering::Relaxed)
    }
}

impl Writer {
    fn write_all(mut self, waiting: &Receiver<AccessPiece>) {
        while let Ok(first) = waiting.recv() {
            self.take(first);
            while let Ok(piece) = waiting.try_recv() {
                self.take(piece);
            }
            self.flush();
        }
    }

    fn take(&mut self, piece: AccessPiece) {
        match piece {
            AccessPiece::Line(line) => {
                self.buffer.extend_from_slice(&line);
                if self.buffer.len() >= AT_ONCE {
                    self.flush();
                }
            }
            AccessPiece::Reopen => {
                self.flush();
                match self.target.open() {
                    Ok(to) => (self.to, self.is_torn) = (to, false),
                    Err(error) => self.fail(&error),
                }
            }
            AccessPiece::Flush(done) => {
                self.flush();
                done.try_send(()).ok();
            }
        }
    }

    fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        if self.is_torn {
            // So that a line which was cut takes none with it.
            self.buffer.insert(0, b'\n');
        }
        let mut n_written = 0;
        let written = write_counting(&mut self.to, &self.buffer, &mut n_written);
        match written {
            Ok(()) => {
                (self.is_torn, self.is_failing) = (false, false);
            }
            Err(error) => {
                let last = n_written.checked_sub(1).and_then(|last| self.buffer.get(last));
                self.is_torn = last.map_or(self.is_torn, |last| *last != b'\n');
                // Of a line that lacks only its end all is there: the end comes with what is written next.
                let left_out = self.buffer.get(n_written + 1..).unwrap_or_default();
                let n_left_out = left_out.iter().filter(|byte| **byte == b'\n').count();
                self.n_left_out.fetch_add(n_left_out as u64, Ordering::Relaxed);
                self.fail(&error);
            }
        }
        self.buffer.clear();
    }

    /// Told once until lines can be written again.
    fn fail(&mut self, error: &io::Error) {
        if std::mem::replace(&mut self.is_failing, true) {
            return;
        }
        let message =
            format!("the access log cannot be written to {}: {error}", self.target.shown());
        tracing::error!("{message}");
        let advice =
            "make room, or mend the path and send SIGHUP; access_log_lines_left_out_total counts \
                      what is missing"
                .to_owned();
        let (severity, advice) = (Severity::Error, Some(advice));
        self.events.push(Event { severity, advice, ..Event::now("access_log_failing", message) });
    }
}

/// Writes all of it, and counts what was written before it could not go on.
fn write_counting(to: &mut impl Write, bytes: &[u8], n_written: &mut usize) -> io::Result<()> {
    while let Some(left) = bytes.get(*n_written..).filter(|left| !left.is_empty()) {
        match to.write(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(more) => *n_written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    to.flush()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn line(path: &str) -> AccessLine<'_> {
        AccessLine {
            time: String::new(),
            call_id: String::new(),
            client: [127, 0, 0, 1].into(),
            method: "GET",
            host: "a",
            path,
            protocol: "HTTP/1.1",
            route: "/...",
            app: "web",
            generation: 1,
            status: 200,
            cause: "answered",
            request_bytes: 7,
            response_bytes: 0,
            duration_us: 1,
            time_us: [("guest", 1)].into(),
            fuel: 1,
            cpu_us: 1,
            memory_bytes: 1,
        }
    }

    #[test]
    fn what_nobody_takes_is_left_out_and_counted_and_nobody_waits() {
        let folder = tempfile::tempdir().unwrap();
        // Nobody reads from it, so writing stands still once some lines are in it.
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let log = AccessLog::start(AccessTarget::File(path), Arc::default()).unwrap();
        let long = "x".repeat(1000);
        let n_lines = 2 * WAITING as u64;
        (0..n_lines).for_each(|_| log.write(&line(&long)));
        let n_left_out = log.n_left_out();
        assert!((1..n_lines).contains(&n_left_out), "{n_left_out}");
        drop(reader);
    }

    /// Takes so many bytes and no more.
    struct Narrow {
        n_left: usize,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n_taken = bytes.len().min(self.n_left);
            if n_taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.n_left -= n_taken;
            self.taken.lock().unwrap().extend_from_slice(&bytes[..n_taken]);
            Ok(n_taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Three lines go to a disk that takes so many bytes, then none, then as many as there are; which of five
    /// lines are whole in the end, and how many are counted as left out.
    fn written(n_bytes: usize) -> (Vec<String>, u64) {
        let (taken, n_left_out): (Arc<Mutex<Vec<u8>>>, Arc<AtomicU64>) = Default::default();
        let narrow = |n_left| Box::new(Narrow { n_left, taken: taken.clone() });
        let mut writer = Writer {
            target: AccessTarget::Stdout,
            to: narrow(n_bytes),
            buffer: Vec::new(),
            is_torn: false,
            is_failing: false,
            n_left_out: n_left_out.clone(),
            events: Arc::default(),
        };
        for line in ["\"1\"\n", "\"2\"\n", "\"3\"\n"] {
            writer.take(AccessPiece::Line(line.into()));
        }
        writer.flush();
        writer.take(AccessPiece::Line("\"4\"\n".into()));
        writer.flush();
        writer.to = narrow(usize::MAX);
        writer.take(AccessPiece::Line("\"5\"\n".into()));
        writer.flush();
        let text = String::from_utf8(taken.lock().unwrap().clone()).unwrap();
        assert!(text.lines().all(|line| !line.is_empty()), "{text:?}");
        let whole = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        (whole.collect(), n_left_out.load(Ordering::Relaxed))
    }

    #[test]
    fn a_line_that_was_cut_takes_none_with_it_and_what_is_missing_is_counted() {
        for n_bytes in 0..=12 {
            let (whole, n_left_out) = written(n_bytes);
            assert_eq!(whole.len() as u64 + n_left_out, 5, "{n_bytes}: {whole:?}");
            // The end of a line, which is its last byte, is not missed.
            let n_first = (n_bytes + 1) / 4;
            assert_eq!(whole.len(), n_first + 1, "{n_bytes}: {whole:?}");
            assert_eq!(whole.last().unwrap(), "5", "{n_bytes}: {whole:?}");
        }
    }

    #[test]
    fn a_disk_that_is_full_is_told_once_and_counted() {
        let events: Arc<Events> = Arc::default();
        let full = AccessTarget::File(PathBuf::from("/dev/full"));
        let log = AccessLog::start(full, events.clone()).unwrap();
        for _ in 0..3 {
            log.write(&line("/"));
            log.flush(Duration::from_secs(60));
        }
        assert_eq!(log.n_left_out(), 3);
        let told = events.recent(None, 10);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].kind, "access_log_failing");
    }
}
