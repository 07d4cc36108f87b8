//! The events on the disk, so that they are there after a restart: lines in two files of a folder, of
//! which the older is given up when the newer is full. A thread of its own writes, since a slow disk must
//! hold up nobody; what comes faster than it may write is counted and left out.
//! Decides nothing about room: `core::event_log` does. What was written may be lost with the machine, not
//! with the process.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use steerage_core::event_log::{EventLog, FILE_BYTES, Verdict};
use steerage_core::units;

use super::{Event, Events, Severity, line};

/// The folder in the data folder.
const FOLDER: &str = "events";
/// The file that is written.
const NOW: &str = "now.jsonl";
/// The one that was full.
const BEFORE: &str = "before.jsonl";
/// The last one that could not be read.
const DAMAGED: &str = "damaged.jsonl";
/// Events that wait for the disk.
const WAITING: usize = 256;
/// How often the end looks whether there is room for the last events.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// A file is read up to so many bytes; one that is longer was not written by this program.
const READ: u64 = FILE_BYTES + line::MOST as u64;

/// Where events go to be written.
#[derive(Debug)]
pub(super) struct Disk {
    news: SyncSender<News>,
    n_left_out: Arc<AtomicU64>,
}

#[derive(Debug)]
enum News {
    Told(Box<Event>),
    /// The last ones, and whom to tell that they are written.
    Ends(Vec<Event>, SyncSender<()>),
}

/// What was found on the disk.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The events in the order in which they were written.
    pub(super) events: Vec<Event>,
    /// What an operator should hear about what was found.
    pub(super) trouble: Vec<Event>,
    folder: PathBuf,
    /// How much the file that is written holds.
    kept: (u64, u64),
}

impl Found {
    /// Reads what was kept. What cannot be read is set aside and told; nothing of it is an error.
    pub(super) fn read(data: &Path) -> Self {
        let mut found = Self { folder: data.join(FOLDER), ..Self::default() };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&found.folder);
        if let Err(error) = made {
            found.tell_unusable(&found.folder.clone(), &error.to_string());
            return found;
        }
        found.read_file(BEFORE);
        found.kept = found.read_file(NOW);
        found
    }

    /// Reads one file, and mends it; how many bytes and lines it holds now.
    fn read_file(&mut self, name: &str) -> (u64, u64) {
        let path = self.folder.join(name);
        let text = match bytes(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return (0, 0),
            Err(error) => {
                self.set_aside(&path, &error.to_string());
                return (0, 0);
            }
        };
        // A process that was killed leaves a line without its end at most.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let text = text.get(..whole).unwrap_or_default();
        let (mut good, mut n_lines, mut n_bad) = (Vec::new(), 0, 0);
        for text in text.split_inclusive(|byte| *byte == b'\n') {
            match line::read(text) {
                Ok(event) => {
                    self.events.push(event);
                    good.extend_from_slice(text);
                    n_lines += 1;
                }
                Err(_) => n_bad += 1,
            }
        }
        if n_bad > 0 {
            self.set_aside(&path, &format!("{} of it are no events", units::many(n_bad, "line")));
            if let Err(error) = write_anew(&path, &good) {
                tracing::warn!(%error, path = %path.display(), "cannot write the good lines back");
            }
        } else if let Err(error) = cut(&path, whole as u64) {
            tracing::warn!(%error, path = %path.display(), "cannot cut a line without its end");
        }
        (good.len() as u64, n_lines)
    }

    /// Puts away what cannot be read, in place of what was put away before.
    fn set_aside(&mut self, path: &Path, why: &str) {
        let aside = self.folder.join(DAMAGED);
        // A folder would not be replaced by a file, nor the other way round.
        let moved = fs::rename(path, &aside).or_else(|_| {
            fs::remove_dir_all(&aside).or_else(|_| fs::remove_file(&aside))?;
            fs::rename(path, &aside)
        });
        if let Err(error) = moved {
            return self.tell_unusable(path, &format!("{why}; and it cannot be put away: {error}"));
        }
        let message = format!(
            "the events in {} could not all be read: {why}; the file is {} now",
            path.display(),
            aside.display()
        );
        let advice = "check the disk; the events that could be read are shown".to_owned();
        self.trouble.push(Event {
            severity: Severity::Warning,
            advice: Some(advice),
            ..Event::now("events_damaged", message)
        });
    }

    fn tell_unusable(&mut self, path: &Path, why: &str) {
        let message = format!("events of before cannot be read from {}: {why}", path.display());
        self.trouble.push(Event {
            severity: Severity::Warning,
            advice: Some("look at the folder and at who may write to it".to_owned()),
            ..Event::now("events_damaged", message)
        });
    }

    /// Begins to write; what goes wrong is told to `events`.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(super) fn write(&self, events: Weak<Events>) -> io::Result<Disk> {
        let (news, heard) = sync_channel(WAITING);
        let n_left_out = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        let (n_bytes, n_lines) = self.kept;
        let writer = Writer {
            folder: self.folder.clone(),
            file: None,
            end: n_bytes,
            log: EventLog::new(n_bytes, n_lines, Duration::ZERO),
            begun,
            n_left_out: n_left_out.clone(),
            n_failed: 0,
            events,
        };
        thread::Builder::new().name("events".to_owned()).spawn(move || writer.run(&heard))?;
        Ok(Disk { news, n_left_out })
    }
}

impl Disk {
    /// Has an event written some time. Waits for nothing.
    pub(super) fn write(&self, event: &Event) {
        if let Err(TrySendError::Full(_)) = self.news.try_send(News::Told(Box::new(event.clone())))
        {
            self.n_left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Has the last ones written, and waits for that so long at most.
    #[expect(
        clippy::disallowed_methods,
        reason = "the host ends, and serves nobody on this thread"
    )]
    pub(super) fn end(&self, last: Vec<Event>, patience: Duration) {
        let (ends_at, (done, is_done)) = (Instant::now() + patience, sync_channel(1));
        let mut news = News::Ends(last, done);
        // There may be no room, while the thread that writes waits for its turn.
        while let Err(TrySendError::Full(back)) = self.news.try_send(news) {
            if Instant::now() >= ends_at {
                return;
            }
            news = back;
            thread::sleep(LOOK_AGAIN);
        }
        is_done.recv_timeout(ends_at.saturating_duration_since(Instant::now())).ok();
    }
}

/// The thread that writes.
struct Writer {
    folder: PathBuf,
    file: Option<File>,
    /// Where the last whole line ends.
    end: u64,
    log: EventLog,
    begun: Instant,
    n_left_out: Arc<AtomicU64>,
    /// Lines that could not be written since the last one that could.
    n_failed: u64,
    events: Weak<Events>,
}

impl Writer {
    /// Writes until the host ends.
    fn run(mut self, heard: &Receiver<News>) {
        while let Ok(news) = heard.recv() {
            match news {
                News::Told(event) => self.take(&event),
                News::Ends(last, done) => {
                    last.iter().for_each(|event| self.take(event));
                    if let Some(file) = &self.file {
                        drop(file.sync_data());
                    }
                    done.try_send(()).ok();
                }
            }
        }
    }

    fn take(&mut self, event: &Event) {
        let n_left_out = self.n_left_out.swap(0, Ordering::Relaxed);
        if n_left_out > 0 && !self.write(&left_out(event, n_left_out)) {
            self.n_left_out.fetch_add(n_left_out, Ordering::Relaxed);
        }
        if !self.write(event) {
            self.n_left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes an event; `false` when it is not written.
    fn write(&mut self, event: &Event) -> bool {
        let Some(line) = line::of(event) else { return false };
        let n_bytes = line.len() as u64;
        let verdict = self.log.take(n_bytes, self.begun.elapsed());
        let written = match verdict {
            Verdict::LeaveOut => return false,
            Verdict::Append => self.append(&line),
            Verdict::Rotate => match self.rotate() {
                Ok(()) => self.append(&line),
                Err(error) => {
                    self.log.note_not_rotated();
                    Err(error)
                }
            },
        };
        match written {
            Ok(()) => {
                if std::mem::take(&mut self.n_failed) > 0 {
                    let message = "events are kept on the disk again".to_owned();
                    self.tell(Event::now("events_kept", message));
                }
                true
            }
            Err(error) => {
                self.log.note_not_written(n_bytes);
                self.n_failed += 1;
                if self.n_failed == 1 {
                    self.tell_failure(&error);
                }
                false
            }
        }
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => {
                let mut how = OpenOptions::new();
                let file = how.append(true).create(true).mode(0o600).open(self.folder.join(NOW))?;
                self.end = file.metadata()?.len();
                file
            }
        };
        let written = file.write_all(line);
        match &written {
            Ok(()) => self.end += line.len() as u64,
            // A part of a line may be there: the next one must not stand behind it.
            Err(_) => file.set_len(self.end)?,
        }
        self.file = Some(file);
        written
    }

    fn rotate(&mut self) -> io::Result<()> {
        if let Some(file) = self.file.take() {
            file.sync_data()?;
        }
        match fs::rename(self.folder.join(NOW), self.folder.join(BEFORE)) {
            // Somebody took it away: there is room.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            renamed => renamed,
        }
    }

    fn tell_failure(&self, error: &io::Error) {
        let folder = self.folder.display();
        let message = format!("events are not kept on the disk, in {folder}: {error}");
        tracing::warn!("{message}");
        let advice = "make room, or look at who may write there; events are shown while this host \
                      runs, and are written again when that is possible";
        self.tell(Event {
            severity: Severity::Warning,
            advice: Some(advice.to_owned()),
            ..Event::now("events_not_kept", message)
        });
    }

    fn tell(&self, event: Event) {
        if let Some(events) = self.events.upgrade() {
            events.push(event);
        }
    }
}

/// What stands in the file in place of events.
fn left_out(next: &Event, n_events: u64) -> Event {
    let message = format!(
        "{} before this were not kept on the disk: too many came at once, or the disk took none",
        units::many(usize::try_from(n_events).unwrap_or(usize::MAX), "event")
    );
    let event = Event::now("events_left_out", message);
    Event { id: next.id, at: next.at, first_at: next.at, ..event }
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for whoever writes to it.
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut text = Vec::new();
    File::open(path)?.take(READ + 1).read_to_end(&mut text)?;
    if text.len() as u64 > READ {
        return Err(io::Error::other(format!("it has more than {READ} bytes")));
    }
    Ok(text)
}

/// Cuts a file that is longer.
fn cut(path: &Path, n_bytes: u64) -> io::Result<()> {
    if fs::metadata(path)?.len() <= n_bytes {
        return Ok(());
    }
    OpenOptions::new().write(true).open(path)?.set_len(n_bytes)
}

fn write_anew(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text)
}

#[cfg(test)]
mod tests;
