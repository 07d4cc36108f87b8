//! Following what a host tells, across its restarts: connects again, says so, and shows nothing twice.
//! Does not print what comes and does not know what it is.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};

use super::screen::Screen;
use crate::api::wire;
use crate::client::ClientError;

/// First wait before the host is asked again, doubled up to the second one.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// What is asked for after a break: all that the host may have kept meanwhile.
const MISSED: u32 = 1_000;

type Items<T> = Pin<Box<dyn Stream<Item = Result<T, ClientError>> + Send>>;

/// Something with a moment that a host tells.
pub(super) trait StreamItem: Clone + PartialEq {
    /// Milliseconds since the epoch.
    fn at(&self) -> u64;
}

impl StreamItem for wire::LogLine {
    fn at(&self) -> u64 {
        self.at
    }
}

impl StreamItem for wire::Event {
    fn at(&self) -> u64 {
        self.at
    }
}

struct Following<T, C> {
    screen: Screen,
    connect: C,
    n_items: u32,
    items: Option<Items<T>>,
    /// What was shown of the latest moment: told again after a break, it is not shown again.
    latest: Vec<T>,
    was_connected: bool,
    is_over: bool,
}

/// The last `n_items` and then all that comes. Ends only with a failure that waiting does not mend: the
/// first connection fails, the host refuses (a wrong token, an app that is gone).
pub(super) fn following<T, C, F, S>(
    screen: Screen,
    n_items: u32,
    connect: C,
) -> impl Stream<Item = Result<T, ClientError>>
where
    T: StreamItem,
    C: Fn(u32) -> F,
    F: Future<Output = Result<S, ClientError>>,
    S: Stream<Item = Result<T, ClientError>> + Send + 'static,
{
    let following = Following {
        screen,
        connect,
        n_items,
        items: None,
        latest: Vec::new(),
        was_connected: false,
        is_over: false,
    };
    stream::unfold(following, |mut following| async move {
        if following.is_over {
            return None;
        }
        let next = following.next().await;
        following.is_over = next.is_err();
        Some((next, following))
    })
}

impl<T, C, F, S> Following<T, C>
where
    T: StreamItem,
    C: Fn(u32) -> F,
    F: Future<Output = Result<S, ClientError>>,
    S: Stream<Item = Result<T, ClientError>> + Send + 'static,
{
    async fn next(&mut self) -> Result<T, ClientError> {
        let mut wait = FIRST_WAIT;
        loop {
            let Some(items) = &mut self.items else {
                match (self.connect)(self.n_items).await {
                    Ok(items) => {
                        if self.was_connected {
                            self.screen.note("connected again");
                        }
                        self.items = Some(Box::pin(items));
                        self.was_connected = true;
                    }
                    Err(error) if self.was_connected && may_pass(&error) => {
                        tokio::time::sleep(wait).await;
                        wait = (wait * 2).min(LONGEST_WAIT);
                    }
                    Err(error) => return Err(error),
                }
                continue;
            };
            match items.next().await {
                Some(Ok(item)) => {
                    if self.is_new(&item) {
                        return Ok(item);
                    }
                }
                broken => {
                    let why = match broken {
                        Some(Err(error)) if !may_pass(&error) => return Err(error),
                        Some(Err(error)) => format!("{error}"),
                        _ => "the host ended the connection".to_owned(),
                    };
                    self.screen.note(&format!("{why}; connecting again"));
                    self.items = None;
                    self.n_items = MISSED;
                }
            }
        }
    }

    fn is_new(&mut self, item: &T) -> bool {
        let latest_at = self.latest.first().map_or(0, StreamItem::at);
        if item.at() < latest_at && self.n_items == MISSED {
            return false;
        }
        if item.at() == latest_at && self.latest.contains(item) {
            return false;
        }
        if item.at() > latest_at {
            self.latest.clear();
        }
        if item.at() >= latest_at {
            self.latest.push(item.clone());
        }
        true
    }
}

/// Whether a later try may go better.
fn may_pass(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } | ClientError::Broken { .. } => true,
        ClientError::Refused(problem) => problem.status >= 500,
        ClientError::BadUrl { .. }
        | ClientError::BadToken
        | ClientError::File { .. }
        | ClientError::Write { .. }
        | ClientError::NotAdmin { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;

    use futures_util::pin_mut;

    use super::*;
    use crate::cli::args::{Format, Print};

    fn line(at: u64, text: &str) -> wire::LogLine {
        wire::LogLine {
            at,
            app: "shop".to_owned(),
            generation: 1,
            call: "c".to_owned(),
            stream: wire::Stream::Stdout,
            text: text.to_owned(),
            host: None,
        }
    }

    fn unreachable() -> ClientError {
        ClientError::Unreachable { url: "http://h".to_owned(), source: "refused".into() }
    }

    type Try = Result<Vec<wire::LogLine>, ClientError>;

    async fn texts(tries: Vec<Try>) -> (Vec<String>, ClientError) {
        let tries = RefCell::new(VecDeque::from(tries));
        let screen = Screen::new(Print { output: Format::Table, quiet: true });
        let lines = following(screen, 1, |_| {
            let next = tries.borrow_mut().pop_front().unwrap_or(Err(ClientError::BadToken));
            async move { next.map(|lines| stream::iter(lines.into_iter().map(Ok))) }
        });
        pin_mut!(lines);
        let mut shown = Vec::new();
        loop {
            match lines.next().await.expect("it ends with an error only") {
                Ok(line) => shown.push(line.text),
                Err(error) => return (shown, error),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_is_back_goes_on_where_it_was() {
        let (shown, _) = texts(vec![
            Ok(vec![line(1, "a"), line(2, "b"), line(2, "c")]),
            Err(unreachable()),
            Err(unreachable()),
            Ok(vec![line(1, "a"), line(2, "b"), line(2, "c"), line(2, "d"), line(3, "e")]),
            Ok(vec![line(4, "f")]),
        ])
        .await;
        assert_eq!(shown, ["a", "b", "c", "d", "e", "f"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_connection_that_fails_is_told_at_once() {
        let (shown, error) = texts(vec![Err(unreachable()), Ok(vec![line(1, "a")])]).await;
        assert!(shown.is_empty());
        assert!(matches!(error, ClientError::Unreachable { .. }));
    }
}
