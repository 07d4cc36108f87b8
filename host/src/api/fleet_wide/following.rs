//! Lines of all hosts as they come, in one answer. Hosts that come while it lasts are followed as well;
//! of one that tells nothing any more the follower hears so, once.
//! Does not know what the lines say.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::stream::{BoxStream, SelectAll};
use futures_util::{Stream, StreamExt, stream};
use http::StatusCode;
use http_body_util::BodyExt;
use steerage_core::id::{AppName, HostName};
use tokio::time::{Instant, MissedTickBehavior};

use super::lines::{self, Next};
use super::whom::Whom;
use crate::api::wire;

/// How long the hosts may take to say what was, before what comes is told.
const TAIL_WITHIN: Duration = Duration::from_secs(2);
/// How often it is looked whether there are hosts that are not followed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// When a host is asked again that told nothing any more, and at most how long after several times.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// So many of what was are asked for of a host that comes back.
const MISSED: usize = 1_000;

/// What is followed on every host.
pub(in crate::api) struct Followed {
    /// The question, up to how many of what was are told.
    pub(in crate::api) path: String,
    /// How many of what was, of all hosts together.
    pub(in crate::api) limit: usize,
    /// In whose words it is told that a host tells nothing any more.
    pub(in crate::api) missing: Missing,
}

/// What is told where a host tells nothing any more.
pub(in crate::api) enum Missing {
    /// An event.
    Events,
    /// A line in the log of this app.
    Lines(AppName),
}

struct Following {
    whom: Whom,
    followed: Followed,
    streams: SelectAll<BoxStream<'static, (HostName, Next)>>,
    /// Those of whom lines are told or awaited.
    present: Vec<HostName>,
    /// Those who told nothing any more: when they are asked again, and after how long then.
    absent: BTreeMap<HostName, (Instant, Duration)>,
    /// What was told of each last.
    latest: BTreeMap<HostName, Latest>,
    /// When following began.
    begun_at: String,
    look: tokio::time::Interval,
    is_begun: bool,
}

/// What was told of one host at the latest moment.
#[derive(Debug)]
struct Latest {
    at: String,
    lines: Vec<Bytes>,
    /// Whether the host is asked again, and says what was first.
    is_behind: bool,
}

impl Followed {
    /// Follows those who are meant; `own` is what this host tells. Where this host is not meant, its lines
    /// are left out and its end is noticed all the same: who follows another host through it must not
    /// hold it up.
    pub(in crate::api) fn of(
        self,
        whom: Whom,
        own: impl Stream<Item = Bytes> + Send + 'static,
    ) -> impl Stream<Item = Bytes> + Send + 'static {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut following = Following {
            whom,
            followed: self,
            streams: SelectAll::new(),
            present: Vec::new(),
            absent: BTreeMap::new(),
            latest: BTreeMap::new(),
            begun_at: wire::moment(now()),
            look,
            is_begun: false,
        };
        let me = following.whom.me().clone();
        following.push(me, own.map(Ok).boxed());
        for other in following.whom.others() {
            following.ask(other, following.followed.limit);
        }
        stream::unfold(following, |mut following| async move {
            let told = following.next().await?;
            Some((told, following))
        })
    }
}

impl Following {
    /// The next lines to send; `None` once this host ends.
    async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.is_begun, true) {
            return Some(self.tail().await);
        }
        loop {
            let (host, said) = tokio::select! {
                // This host's own stream is always among them, so they end with this host only.
                said = self.streams.next() => said?,
                _ = self.look.tick() => {
                    self.ask_again();
                    continue;
                }
            };
            let is_here = host == *self.whom.me();
            match said {
                Next::Line(at, line) if self.is_news(&host, &at, &line) => return Some(line),
                Next::Line(..) => {}
                // So that the follower knows that this host lives.
                Next::Quiet if is_here => return Some(Bytes::from_static(b"\n")),
                Next::Quiet => {
                    self.absent.remove(&host);
                    self.latest(&host).is_behind = false;
                }
                Next::End(_) if is_here => return None,
                Next::End(why) => {
                    if let Some(line) = self.miss(&host, &why) {
                        return Some(line);
                    }
                }
            }
        }
    }

    /// What was, of all hosts, in the order of its time.
    async fn tail(&mut self) -> Bytes {
        let (mut awaited, mut told, mut missed) = (self.present.clone(), Vec::new(), Vec::new());
        let until = Instant::now() + TAIL_WITHIN;
        while !awaited.is_empty()
            && let Ok(Some((host, said))) =
                tokio::time::timeout_at(until, self.streams.next()).await
        {
            match said {
                Next::Line(at, line) => {
                    if self.is_news(&host, &at, &line) {
                        told.push((at, line));
                    }
                }
                Next::Quiet => awaited.retain(|waiting| *waiting != host),
                // This host ends, and whatever is followed through it.
                Next::End(_) if host == *self.whom.me() => self.streams.clear(),
                Next::End(why) => {
                    awaited.retain(|waiting| *waiting != host);
                    missed.extend(self.miss(&host, &why));
                }
            }
        }
        // RFC 3339 in one form and one time zone: the order of the texts is that of the times.
        told.sort_by(|(one, _), (other, _)| one.cmp(other));
        let first = told.len().saturating_sub(self.followed.limit);
        let lines = told.into_iter().skip(first).map(|(_, line)| line).chain(missed);
        let lines: Vec<Bytes> = lines.chain([Bytes::from_static(b"\n")]).collect();
        lines.concat().into()
    }

    /// What was told of a host last; of one that told nothing all that was before is taken for told.
    fn latest(&mut self, host: &HostName) -> &mut Latest {
        let begun = || Latest { at: self.begun_at.clone(), lines: Vec::new(), is_behind: false };
        self.latest.entry(host.clone()).or_insert_with(begun)
    }

    /// Whether a line is wanted and was not told before, which those of a host are that is asked again;
    /// keeps what was told last.
    fn is_news(&mut self, host: &HostName, at: &str, line: &Bytes) -> bool {
        if host == self.whom.me() && !self.whom.is_here() {
            return false;
        }
        let latest = self.latest(host);
        if latest.is_behind && (at < &*latest.at || latest.lines.contains(line)) {
            return false;
        }
        match at.cmp(&latest.at) {
            Ordering::Less => {}
            Ordering::Equal => latest.lines.push(line.clone()),
            Ordering::Greater => {
                latest.at = at.to_owned();
                latest.lines = vec![line.clone()];
            }
        }
        true
    }

    /// Takes note that a host tells nothing any more; the line by which followers hear of it, unless they
    /// have.
    fn miss(&mut self, host: &HostName, why: &str) -> Option<Bytes> {
        self.present.retain(|present| present != host);
        let (shortest, longest) = RETRY;
        let before = self.absent.get(host).map(|(_, pause)| *pause);
        let pause = before.map_or(shortest, |pause| (pause * 2).min(longest));
        self.absent.insert(host.clone(), (Instant::now() + pause, pause));
        before.is_none().then(|| self.followed.missing.line(host, why)).flatten()
    }

    /// Asks those who are there and not followed.
    fn ask_again(&mut self) {
        let now = Instant::now();
        for other in self.whom.others() {
            let is_due = self.absent.get(&other).is_none_or(|(at, _)| *at <= now);
            if is_due && !self.present.contains(&other) {
                // All that it has kept meanwhile; of one that is new what has happened since.
                self.latest(&other).is_behind = true;
                self.ask(other, MISSED);
            }
        }
    }

    fn ask(&mut self, host: HostName, limit: usize) {
        let (whom, path) = (self.whom.clone(), format!("{}{limit}", self.followed.path));
        let name = host.clone();
        let chunks = async move {
            let said = match whom.request(&name, &path).await {
                Ok((response, in_flight)) if response.status() == StatusCode::OK => {
                    let chunks = response.into_body().into_data_stream().map(move |chunk| {
                        let _under_way = &in_flight;
                        chunk.map_err(|error| format!("its answer broke off: {error}"))
                    });
                    let end = stream::iter([Err("it ended".to_owned())]);
                    // A host that is stopped or cut off leaves its connection as it is.
                    let silence = async move { Err(whom.silence(&name).await) };
                    return stream::select(chunks.chain(end), stream::once(silence)).boxed();
                }
                // It does not know the app yet, or is of a version that does not tell.
                Ok((response, _)) => format!("it answers {}", response.status()),
                Err(why) => why,
            };
            stream::iter([Err(said)]).boxed()
        };
        self.push(host, stream::once(chunks).flatten().boxed());
    }

    fn push(&mut self, host: HostName, chunks: BoxStream<'static, Result<Bytes, String>>) {
        self.present.push(host.clone());
        let said = lines::of(&host, chunks).map(move |said| (host.clone(), said));
        self.streams.push(said.boxed());
    }
}

impl Missing {
    fn line(&self, host: &HostName, why: &str) -> Option<Bytes> {
        let text = format!("{host} tells nothing now: {why}");
        let at = now();
        let advice = "see `steerage hosts`; it is followed again once it answers";
        let mut line = match self {
            Self::Events => serde_json::to_vec(&wire::Event {
                id: 0,
                first_at: at,
                at,
                kind: "not_followed".to_owned(),
                severity: wire::Severity::Warning,
                app: None,
                generation: None,
                call: None,
                message: text,
                evidence: BTreeMap::new(),
                advice: Some(advice.to_owned()),
                count: 1,
                host: Some(host.to_string()),
            }),
            Self::Lines(app) => serde_json::to_vec(&wire::LogLine {
                at,
                app: app.to_string(),
                generation: 0,
                call: String::new(),
                stream: wire::Stream::Stderr,
                text: format!("[{text}]"),
                host: Some(host.to_string()),
            }),
        }
        .ok()?;
        line.push(b'\n');
        Some(line.into())
    }
}

/// Milliseconds since the epoch.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
