//! What guests print, as lines: a bounded ring per app, a rate limit, and followers.
//! Does not write to disk: whoever wants lines for good follows them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, MutexGuard, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dashmap::DashMap;
use steerage_core::id::{AppName, CallId, Generation};
use steerage_core::telemetry::KeptOfApp;
use steerage_core::trace::TraceParent;
use tokio::sync::broadcast;

use super::hidden::HiddenTexts;
use crate::call::CallIds;
use crate::shared::{Locked, Sum};

/// Lines kept of each app.
const KEPT_LINES: usize = 1000;
/// Bytes of text kept of each app.
const KEPT_BYTES: usize = 256 << 10;
/// What a line takes beside its text.
const LINE: usize = size_of::<LogLine>();
/// A line with more text than this is cut.
const LONGEST_TEXT: usize = 16 << 10;
/// Lines an app may print per second, and at once after a quiet time.
const RATE: f64 = 500.0;
/// While an app keeps printing too fast, this often a line tells how many were dropped.
const NOTICE_EVERY: Duration = Duration::from_secs(1);
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

/// Where a line comes from.
#[derive(Clone, Copy, Debug)]
pub struct LineOrigin {
    /// The deployment that prints it.
    pub generation: Generation,
    /// The call it is printed in.
    pub call: CallIds,
    /// Where it is printed.
    pub stream: Stream,
}

/// A line that is kept, as somebody outside is told of it.
#[derive(Clone, Copy, Debug)]
pub struct PrintedLine<'l> {
    /// The app that printed it.
    pub app: &'l AppName,
    /// When, since 1970.
    pub at: Duration,
    /// The line.
    pub line: &'l LogLine,
    /// The span of the call it was printed in, where spans are exported.
    pub span: Option<TraceParent>,
}

/// Takes each line that is kept.
pub trait LineSink: fmt::Debug + Send + Sync {
    /// Takes it, and waits for nobody: a call is printing, and its app's lines are locked.
    fn take(&self, printed: &PrintedLine<'_>);
}

/// The lines of all apps.
#[derive(Debug)]
pub struct Logs {
    apps: DashMap<AppName, Arc<AppLog>>,
    of_all: Arc<OfAllApps>,
}

/// What the logs of all apps have in common.
#[derive(Debug, Default)]
struct OfAllApps {
    /// Bytes kept of all apps.
    n_bytes: Arc<Sum>,
    /// Who takes each line, if anybody does.
    sink: OnceLock<Arc<dyn LineSink>>,
}

/// The lines of one app. Costs next to nothing until the first line, and little until somebody
/// follows: thousands of apps may log.
#[derive(Debug)]
pub struct AppLog {
    app: AppName,
    state: Locked<Option<Box<State>>>,
    of_all: Arc<OfAllApps>,
    /// What is in no line.
    hidden: HiddenTexts,
}

#[derive(Debug)]
struct State {
    lines: VecDeque<LogLine>,
    n_bytes: usize,
    n_bytes_of_all: Arc<Sum>,
    /// There while somebody follows: a channel has room for all its lines from the start.
    followers: Option<broadcast::Sender<LogLine>>,
    rate: Rate,
    dropped: Option<Dropped>,
    /// When it was last told that lines were dropped.
    noticed_at: Option<Instant>,
}

/// A token bucket: as many lines as time has earned, no more than one second's worth at once.
#[derive(Debug)]
struct Rate {
    tokens: f64,
    at: Instant,
}

/// Lines that were dropped and that nobody has been told of yet.
#[derive(Debug)]
struct Dropped {
    n_lines: u64,
    /// The last of them, without its text.
    last: LogLine,
}

impl Logs {
    /// None yet; what is kept is added to `n_bytes`.
    pub(super) fn new(n_bytes: Arc<Sum>) -> Self {
        Self { apps: DashMap::new(), of_all: Arc::new(OfAllApps { n_bytes, ..Default::default() }) }
    }

    /// Each line that is kept from now on is given there, too. To be called once.
    pub fn give_to(&self, sink: Arc<dyn LineSink>) {
        // Nobody gives a second one.
        drop(self.of_all.sink.set(sink));
    }

    /// The lines of an app; empty ones where it has printed nothing yet.
    #[must_use]
    pub fn app(&self, app: &AppName) -> Arc<AppLog> {
        let new = || Arc::new(AppLog::new(app.clone(), self.of_all.clone()));
        self.apps.entry(app.clone()).or_insert_with(new).clone()
    }

    /// Tells how much is kept of each app, and since when nothing was printed.
    pub(super) fn weigh(&self, mut tell: impl FnMut(&AppName, KeptOfApp)) {
        for log in &self.apps {
            if let Some(kept) = log.kept() {
                tell(log.key(), kept);
            }
        }
    }

    /// Drops the lines of an app; followers stay.
    pub(super) fn forget(&self, app: &AppName) {
        let log = self.apps.get(app).map(|log| log.clone());
        if let Some(log) = log {
            log.forget();
        }
    }

    /// Forgets an app's lines.
    pub fn remove(&self, app: &AppName) {
        self.apps.remove(app);
    }
}

impl AppLog {
    fn new(app: AppName, of_all: Arc<OfAllApps>) -> Self {
        Self { app, state: Locked::default(), of_all, hidden: HiddenTexts::default() }
    }

    /// The secrets of the app, which are in no line and in nothing else that is told of it.
    #[must_use]
    pub fn hidden(&self) -> &HiddenTexts {
        &self.hidden
    }

    /// The lines of an app by itself, for tests.
    #[cfg(test)]
    pub(crate) fn alone() -> Arc<Self> {
        Logs::new(Arc::default()).app(&"alone".parse().unwrap())
    }

    /// Takes a line, or counts it as dropped when the app prints too fast; says whether it took it.
    pub fn push(&self, from: &LineOrigin, text: &str) -> bool {
        self.push_at(from, text, (since_epoch(), Instant::now()))
    }

    /// Counts lines as dropped of an app that has just been found to print too fast.
    pub fn skip(&self, from: &LineOrigin, n_lines: u64) {
        let mut state = self.state();
        let new = || Box::new(State::new(Instant::now(), &self.of_all.n_bytes));
        state.get_or_insert_with(new).drop_lines(n_lines, from.line(since_epoch()));
    }

    fn push_at(&self, from: &LineOrigin, text: &str, (at, now): (Duration, Instant)) -> bool {
        let line = from.line(at);
        let mut state = self.state();
        let state = state.get_or_insert_with(|| Box::new(State::new(now, &self.of_all.n_bytes)));
        if !state.rate.take(now) {
            state.drop_lines(1, line);
            return false;
        }
        let is_due = state.noticed_at.is_none_or(|at| now.duration_since(at) >= NOTICE_EVERY);
        if is_due && let Some(dropped) = state.dropped.take() {
            state.noticed_at = Some(now);
            let notice = dropped.notice();
            self.give(&notice, Duration::from_millis(notice.at), None);
            state.keep(notice);
        }
        let line = LogLine { text: cut(&self.hidden.taken_out_of(text)), ..line };
        self.give(&line, at, from.call.span);
        state.keep(line);
        true
    }

    /// Gives a line to whoever takes all, in the order in which they are kept.
    fn give(&self, line: &LogLine, at: Duration, span: Option<TraceParent>) {
        if let Some(sink) = self.of_all.sink.get() {
            sink.take(&PrintedLine { app: &self.app, at, line, span });
        }
    }

    /// The last `n` lines, oldest first. Where lines were dropped last of all, the last one says so.
    #[must_use]
    pub fn tail(&self, n: usize) -> Vec<LogLine> {
        self.state().as_ref().map_or_else(Vec::new, |state| state.tail(n))
    }

    /// The last `n` lines, and every line from now on.
    #[must_use]
    pub fn follow(&self, n: usize) -> (Vec<LogLine>, broadcast::Receiver<LogLine>) {
        let mut state = self.state();
        let new = || Box::new(State::new(Instant::now(), &self.of_all.n_bytes));
        let state = state.get_or_insert_with(new);
        let channel = || broadcast::channel(FOLLOWER_LAG).0;
        let coming = state.followers.get_or_insert_with(channel).subscribe();
        (state.tail(n), coming)
    }

    fn kept(&self) -> Option<KeptOfApp> {
        let state = self.state();
        let state = state.as_ref()?;
        let bytes = (state.n_bytes + state.lines.len() * LINE) as u64;
        Some(KeptOfApp { last_at: state.lines.back()?.at, bytes })
    }

    /// Drops all lines; followers stay.
    fn forget(&self) {
        if let Some(state) = &mut *self.state() {
            state.drop_until(0, 0);
            state.lines.shrink_to_fit();
        }
    }

    fn state(&self) -> MutexGuard<'_, Option<Box<State>>> {
        self.state.lock()
    }
}

impl LineOrigin {
    /// A line from there without its text.
    fn line(&self, at: Duration) -> LogLine {
        let Self { generation, call: CallIds { call, .. }, stream } = *self;
        let at = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        LogLine { at, generation, call, stream, text: String::new() }
    }
}

impl State {
    fn new(now: Instant, n_bytes_of_all: &Arc<Sum>) -> Self {
        Self {
            lines: VecDeque::new(),
            n_bytes: 0,
            n_bytes_of_all: n_bytes_of_all.clone(),
            followers: None,
            rate: Rate { tokens: RATE, at: now },
            dropped: None,
            noticed_at: None,
        }
    }

    fn tail(&self, n: usize) -> Vec<LogLine> {
        let notice = self.dropped.as_ref().map(Dropped::notice);
        let n_all = self.lines.len() + usize::from(notice.is_some());
        self.lines.iter().cloned().chain(notice).skip(n_all.saturating_sub(n)).collect()
    }

    fn drop_lines(&mut self, n_lines: u64, last: LogLine) {
        let before = self.dropped.as_ref().map_or(0, |dropped| dropped.n_lines);
        self.dropped = Some(Dropped { n_lines: before.saturating_add(n_lines), last });
    }

    fn keep(&mut self, line: LogLine) {
        if let Some(followers) = &self.followers
            && followers.send(line.clone()).is_err()
        {
            // The last follower has gone.
            self.followers = None;
        }
        self.n_bytes += line.text.len();
        self.n_bytes_of_all.add((line.text.len() + LINE) as u64);
        self.lines.push_back(line);
        self.drop_until(KEPT_LINES, KEPT_BYTES);
    }

    /// Drops the oldest lines until there are no more, and no more text, than so.
    fn drop_until(&mut self, n_lines: usize, n_bytes: usize) {
        while self.lines.len() > n_lines || self.n_bytes > n_bytes {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.n_bytes -= oldest.text.len();
            self.n_bytes_of_all.subtract((oldest.text.len() + LINE) as u64);
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.drop_until(0, 0);
    }
}

impl Rate {
    /// Whether one more line may be printed now.
    fn take(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * RATE;
        self.tokens = (self.tokens + earned).min(RATE);
        self.at = now;
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

impl Dropped {
    fn notice(&self) -> LogLine {
        let n_lines = self.n_lines;
        let text = format!("[{n_lines} lines dropped: more than {RATE} lines a second]");
        LogLine { stream: Stream::Stderr, text, ..self.last.clone() }
    }
}

/// The text that is kept of a line.
fn cut(text: &str) -> String {
    if text.len() <= LONGEST_TEXT {
        return text.to_owned();
    }
    let (kept, rest) = text.split_at(text.floor_char_boundary(LONGEST_TEXT));
    format!("{kept} [{} more bytes cut]", rest.len())
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> LineOrigin {
        let call = CallIds::without_span(CallId::from_u128(1));
        LineOrigin { generation: Generation::FIRST, call, stream: Stream::Stdout }
    }

    fn push(log: &AppLog, text: &str, now: Instant) {
        log.push_at(&origin(), text, (Duration::ZERO, now));
    }

    fn texts(log: &AppLog, n: usize) -> Vec<String> {
        log.tail(n).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn a_flood_is_cut_and_the_cut_is_told() {
        let log = AppLog::alone();
        let start = Instant::now();
        for n in 0..2000 {
            push(&log, &n.to_string(), start);
        }
        let notice = "[1500 lines dropped: more than 500 lines a second]";
        // It is told even if the app never prints again.
        assert_eq!(log.tail(2000).len(), 501);
        assert_eq!(texts(&log, 2), ["499", notice]);
        push(&log, "later", start + Duration::from_secs(1));
        assert_eq!(texts(&log, 2), [notice, "later"]);
    }

    #[test]
    fn a_flood_that_goes_on_leaves_more_lines_than_notices() {
        let log = AppLog::alone();
        let start = Instant::now();
        for n in 0..20_000 {
            push(&log, "flood", start + Duration::from_micros(200) * n);
        }
        let n_notices =
            texts(&log, KEPT_LINES).iter().filter(|text| text.contains("dropped")).count();
        assert!((1..=3).contains(&n_notices), "{n_notices}");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let log = AppLog::alone();
        let start = Instant::now();
        for n in 0..100 {
            push(&log, &"x".repeat(16 << 10), start + Duration::from_secs(n));
        }
        assert_eq!(log.tail(100).len(), KEPT_BYTES / (16 << 10));
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let log = AppLog::alone();
        push(&log, &format!("x{}", "ä".repeat(LONGEST_TEXT)), Instant::now());
        let text = texts(&log, 1).remove(0);
        assert!(text.len() < LONGEST_TEXT + 40, "{}", text.len());
        assert!(text.ends_with("ä [16386 more bytes cut]"), "{}", &text[LONGEST_TEXT - 1..]);
    }

    #[tokio::test]
    async fn a_follower_sees_what_was_and_what_comes() {
        let log = AppLog::alone();
        push(&log, "before", Instant::now());
        let (tail, mut coming) = log.follow(10);
        assert_eq!(tail.len(), 1);
        push(&log, "after", Instant::now());
        assert_eq!(coming.recv().await.unwrap().text, "after");
    }

    #[tokio::test]
    async fn the_room_for_followers_goes_with_the_last_of_them() {
        let log = AppLog::alone();
        let (_, first) = log.follow(0);
        let (_, mut second) = log.follow(0);
        drop(first);
        push(&log, "one", Instant::now());
        assert_eq!(second.recv().await.unwrap().text, "one");
        drop(second);
        push(&log, "two", Instant::now());
        assert!(log.state().as_ref().unwrap().followers.is_none());
        let (_, mut third) = log.follow(0);
        push(&log, "three", Instant::now());
        assert_eq!(third.recv().await.unwrap().text, "three");
    }
}
