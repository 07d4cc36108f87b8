//! Answers that stay open: lines of JSON, one for each thing that comes, empty ones in quiet times.
//! Does not make a slow reader's problem the host's: what it misses is counted and told.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use steerage_core::id::AppName;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::view;
use crate::shutdown::Shutdown;
use crate::telemetry::events::{Event, Severity};
use crate::telemetry::logs::{LogLine, Stream};

/// After so long without anything to tell an empty line tells that the host is still there.
const QUIET: Duration = Duration::from_secs(15);

/// Something that is told as it comes.
trait Source: Send + 'static {
    /// As it comes.
    type Item: Clone + fmt::Debug + Send + 'static;

    /// The line to send, if it concerns this follower.
    fn told(&mut self, item: Self::Item) -> Option<Bytes>;

    /// What to tell of items that were missed.
    fn missed(&mut self, n_missed: u64) -> Option<Bytes>;
}

struct Lines {
    app: AppName,
    /// The last line told, to tell where lines are missing.
    last: Option<LogLine>,
}

struct Events {
    app: Option<AppName>,
    /// Events up to this one have been told.
    last_id: u64,
}

/// What an app printed, then what it prints.
pub(super) fn lines(
    app: AppName,
    tail: Vec<LogLine>,
    coming: Receiver<LogLine>,
    shutdown: Shutdown,
) -> impl futures_util::Stream<Item = Bytes> + Send + use<> {
    let mut source = Lines { app, last: None };
    let tail = tail.into_iter().filter_map(|line| source.told(line)).collect();
    chunks(source, tail, coming, shutdown)
}

/// What happened, then what happens.
pub(super) fn events(
    app: Option<AppName>,
    recent: Vec<Event>,
    coming: Receiver<Event>,
    shutdown: Shutdown,
) -> impl futures_util::Stream<Item = Bytes> + Send + use<> {
    // They come in the order in which they last happened; what was told later has a larger id.
    let last_id = recent.iter().map(|event| event.id).max().unwrap_or(0);
    let tail = recent.into_iter().filter_map(|event| json(&view::event(event))).collect();
    chunks(Events { app, last_id }, tail, coming, shutdown)
}

impl Source for Lines {
    type Item = LogLine;

    fn told(&mut self, item: LogLine) -> Option<Bytes> {
        self.last = Some(item.clone());
        json(&view::line(&self.app, item))
    }

    fn missed(&mut self, n_missed: u64) -> Option<Bytes> {
        let last = self.last.clone()?;
        let text = format!("[{n_missed} lines missed: this follower reads too slowly]");
        json(&view::line(&self.app, LogLine { stream: Stream::Stderr, text, ..last }))
    }
}

impl Source for Events {
    type Item = Event;

    fn told(&mut self, item: Event) -> Option<Bytes> {
        let is_wanted = self.app.is_none() || item.app == self.app;
        // The recent ones were read after following had begun, so some may come twice.
        if !is_wanted || item.id <= self.last_id {
            return None;
        }
        self.last_id = item.id;
        json(&view::event(item))
    }

    fn missed(&mut self, n_missed: u64) -> Option<Bytes> {
        let message = format!("{n_missed} events were missed: this follower reads too slowly");
        let event = Event { severity: Severity::Warning, ..Event::now("missed", message) };
        json(&view::event(event))
    }
}

fn chunks<S: Source>(
    source: S,
    tail: Vec<Bytes>,
    coming: Receiver<S::Item>,
    shutdown: Shutdown,
) -> impl futures_util::Stream<Item = Bytes> + Send + use<S> {
    // Something is sent at once, so that the client knows it is being served. An empty line ends what was.
    let start = Bytes::from([tail.concat(), b"\n".to_vec()].concat());
    let following = stream::unfold((source, coming), move |(mut source, mut coming)| {
        let shutdown = shutdown.clone();
        async move {
            let line = next(&mut source, &mut coming, &shutdown).await?;
            Some((line, (source, coming)))
        }
    });
    stream::StreamExt::chain(stream::iter([start]), following)
}

/// Sends lines as they come.
pub(super) fn respond(
    chunks: impl futures_util::Stream<Item = Bytes> + Send + 'static,
) -> Response {
    let chunks = stream::StreamExt::map(chunks, Ok::<_, Infallible>);
    let headers = [(CONTENT_TYPE, "application/x-ndjson"), (CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(chunks)).into_response()
}

/// The next line to send; `None` at the end of the host or of what is followed.
async fn next<S: Source>(
    source: &mut S,
    coming: &mut Receiver<S::Item>,
    shutdown: &Shutdown,
) -> Option<Bytes> {
    let quiet = tokio::time::sleep(QUIET);
    tokio::pin!(quiet);
    loop {
        let line = tokio::select! {
            () = shutdown.begun() => return None,
            () = &mut quiet => return Some(Bytes::from_static(b"\n")),
            received = coming.recv() => match received {
                Ok(item) => source.told(item),
                Err(RecvError::Lagged(n_missed)) => source.missed(n_missed),
                Err(RecvError::Closed) => return None,
            },
        };
        if line.is_some() {
            return line;
        }
    }
}

fn json(item: &impl Serialize) -> Option<Bytes> {
    let mut line = serde_json::to_vec(item).ok()?;
    line.push(b'\n');
    Some(line.into())
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use http_body_util::BodyExt;
    use steerage_core::id::{CallId, Generation};
    use tokio::sync::broadcast;

    use super::*;

    fn line(text: &str) -> LogLine {
        LogLine {
            at: 1,
            generation: Generation::FIRST,
            call: CallId::from_u128(1),
            stream: Stream::Stdout,
            text: text.to_owned(),
        }
    }

    fn event(id: u64, app: &str) -> Event {
        Event { id, app: app.parse().ok(), ..Event::now("deployed", String::new()) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_follower_gets_what_was_then_what_comes_then_signs_of_life() {
        let (sender, coming) = broadcast::channel(2);
        let shutdown = Shutdown::default();
        let app = "shop".parse().unwrap();
        let response = respond(lines(app, vec![line("was")], coming, shutdown.clone()));
        let mut body = response.into_body().into_data_stream();
        let mut next = async || {
            let chunk = body.next().await?.unwrap();
            Some(String::from_utf8(chunk.to_vec()).unwrap())
        };
        assert!(next().await.unwrap().contains("\"text\":\"was\""));
        sender.send(line("comes")).unwrap();
        assert!(next().await.unwrap().ends_with("\"text\":\"comes\"}\n"));
        assert_eq!(next().await.unwrap(), "\n");
        for n in 0..5 {
            sender.send(line(&n.to_string())).unwrap();
        }
        assert!(next().await.unwrap().contains("[3 lines missed"));
        assert!(next().await.unwrap().contains("\"text\":\"3\""));
        assert!(next().await.unwrap().contains("\"text\":\"4\""));
        shutdown.begin();
        assert_eq!(next().await, None);
    }

    #[tokio::test]
    async fn events_come_once_and_only_those_asked_for() {
        let (sender, coming) = broadcast::channel(8);
        for (id, app) in [(1, "shop"), (2, "shop"), (3, "other"), (4, "shop")] {
            sender.send(event(id, app)).unwrap();
        }
        drop(sender);
        let recent = vec![event(1, "shop"), event(2, "shop")];
        let response = respond(events("shop".parse().ok(), recent, coming, Shutdown::default()));
        assert_eq!(response.headers()[CONTENT_TYPE], "application/x-ndjson");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let ids: Vec<u64> = String::from_utf8(body.to_vec())
            .unwrap()
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_str::<super::super::wire::Event>(line).unwrap().id)
            .collect();
        assert_eq!(ids, [1, 2, 4]);
    }
}
