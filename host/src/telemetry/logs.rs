//! What guests print, as lines: a bounded ring per app, a rate limit, and followers.
//! Does not write to disk: whoever wants lines for good follows them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use steerage_core::id::{AppName, CallId, Generation};
use tokio::sync::broadcast;

/// Lines kept of each app.
const KEPT_LINES: usize = 1000;
/// Bytes of text kept of each app.
const KEPT_BYTES: usize = 256 << 10;
/// Lines an app may print per second, and at once after a quiet time.
const RATE: f64 = 500.0;
/// Lines a follower may fall behind before it loses some.
const FOLLOWER_LAG: usize = 1024;

/// Which of a guest's output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line that a guest printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Milliseconds since the epoch.
    pub at: u64,
    /// The deployment that printed it.
    pub generation: Generation,
    /// The call it was printed in.
    pub call: CallId,
    /// Where it was printed.
    pub stream: Stream,
    /// The line, without its end.
    pub text: String,
}

/// The lines of all apps.
#[derive(Debug, Default)]
pub struct Logs {
    apps: Mutex<BTreeMap<AppName, Arc<AppLog>>>,
}

/// The lines of one app. Costs next to nothing until the first line.
#[derive(Debug, Default)]
pub struct AppLog {
    state: Mutex<Option<Box<State>>>,
}

#[derive(Debug)]
struct State {
    lines: VecDeque<LogLine>,
    n_bytes: usize,
    followers: broadcast::Sender<LogLine>,
    rate: Rate,
}

/// A token bucket: as many lines as time has earned, no more than one second's worth at once.
#[derive(Debug)]
struct Rate {
    tokens: f64,
    at: Instant,
    n_dropped: u64,
}

impl Logs {
    /// The lines of an app; empty ones where it has printed nothing yet.
    pub fn app(&self, app: &AppName) -> Arc<AppLog> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        apps.entry(app.clone()).or_default().clone()
    }

    /// Forgets an app's lines.
    pub fn remove(&self, app: &AppName) {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner).remove(app);
    }
}

impl AppLog {
    /// Takes a line, or counts it as dropped when the app prints too fast.
    pub fn push(&self, call: CallId, generation: Generation, stream: Stream, text: &str) {
        let line = LogLine { at: now(), generation, call, stream, text: text.to_owned() };
        self.push_at(line, Instant::now());
    }

    fn push_at(&self, line: LogLine, now: Instant) {
        let mut state = self.state();
        let state = state.get_or_insert_with(|| Box::new(State::new(now)));
        let Some(n_dropped) = state.rate.take(now) else { return };
        if n_dropped > 0 {
            let text = format!("[{n_dropped} lines dropped: more than {RATE} lines a second]");
            state.keep(LogLine { stream: Stream::Stderr, text, ..line.clone() });
        }
        state.keep(line);
    }

    /// The last `n` lines, oldest first.
    #[must_use]
    pub fn tail(&self, n: usize) -> Vec<LogLine> {
        let state = self.state();
        let Some(state) = state.as_ref() else { return Vec::new() };
        state.lines.iter().skip(state.lines.len().saturating_sub(n)).cloned().collect()
    }

    /// The last `n` lines, and every line from now on.
    #[must_use]
    pub fn follow(&self, n: usize) -> (Vec<LogLine>, broadcast::Receiver<LogLine>) {
        let mut state = self.state();
        let state = state.get_or_insert_with(|| Box::new(State::new(Instant::now())));
        let skipped = state.lines.len().saturating_sub(n);
        let tail = state.lines.iter().skip(skipped).cloned().collect();
        (tail, state.followers.subscribe())
    }

    fn state(&self) -> MutexGuard<'_, Option<Box<State>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(now: Instant) -> Self {
        let (followers, _) = broadcast::channel(FOLLOWER_LAG);
        let rate = Rate { tokens: RATE, at: now, n_dropped: 0 };
        Self { lines: VecDeque::new(), n_bytes: 0, followers, rate }
    }

    fn keep(&mut self, line: LogLine) {
        self.n_bytes += line.text.len();
        self.lines.push_back(line.clone());
        while self.lines.len() > KEPT_LINES || self.n_bytes > KEPT_BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.n_bytes -= oldest.text.len();
        }
        // Nobody follows, most of the time.
        drop(self.followers.send(line));
    }
}

impl Rate {
    /// `None` when the line is too many; otherwise how many were dropped before it.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let passed: Duration = now.saturating_duration_since(self.at);
        self.at = now;
        self.tokens = passed.as_secs_f64().mul_add(RATE, self.tokens).min(RATE);
        if self.tokens < 1.0 {
            self.n_dropped += 1;
            return None;
        }
        self.tokens -= 1.0;
        Some(std::mem::take(&mut self.n_dropped))
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> LogLine {
        LogLine {
            at: 0,
            generation: Generation::FIRST,
            call: CallId::from_u128(1),
            stream: Stream::Stdout,
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_flood_is_cut_and_the_cut_is_told() {
        let log = AppLog::default();
        let start = Instant::now();
        for n in 0..2000 {
            log.push_at(line(&n.to_string()), start);
        }
        assert_eq!(log.tail(2000).len(), 500);
        log.push_at(line("later"), start + Duration::from_secs(1));
        let tail = log.tail(2);
        assert_eq!(tail[0].text, "[1500 lines dropped: more than 500 lines a second]");
        assert_eq!(tail[1].text, "later");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let log = AppLog::default();
        let start = Instant::now();
        for n in 0..100 {
            log.push_at(line(&"x".repeat(16 << 10)), start + Duration::from_secs(n));
        }
        assert_eq!(log.tail(100).len(), KEPT_BYTES / (16 << 10));
    }

    #[tokio::test]
    async fn a_follower_sees_what_was_and_what_comes() {
        let log = AppLog::default();
        log.push_at(line("before"), Instant::now());
        let (tail, mut coming) = log.follow(10);
        assert_eq!(tail.len(), 1);
        log.push_at(line("after"), Instant::now());
        assert_eq!(coming.recv().await.unwrap().text, "after");
    }
}
