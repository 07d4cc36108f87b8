//! What `steerage up` prints of calls that failed: each new failure whole, and those that repeat one
//! by a line for each call, since a developer wants to see what the last click did.

use std::pin::pin;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use steerage_core::id::AppName;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::api::wire;
use crate::cli::screen::{Screen, Tone};
use crate::cli::{events, human};
use crate::client::Client;
use crate::telemetry::events::Event;

/// Prints failed calls and other warnings until the host ends.
pub(super) async fn print(
    screen: Screen,
    client: &Client,
    repeats: Receiver<Event>,
) -> anyhow::Result<()> {
    tokio::select! {
        result = print_new(screen, client) => result,
        result = print_repeated(screen, repeats) => result,
    }
}

/// Deployments are events, too, but told by whoever deploys.
async fn print_new(screen: Screen, client: &Client) -> anyhow::Result<()> {
    let cannot = "cannot follow the host's events";
    let mut coming = pin!(client.follow_events(None, 0, None).await.context(cannot)?);
    while let Some(event) = coming.next().await {
        let event = event.context(cannot)?;
        if event.severity > wire::Severity::Info {
            events::print(screen, &event)?;
        }
    }
    anyhow::bail!("the host closed its events")
}

async fn print_repeated(screen: Screen, mut repeats: Receiver<Event>) -> anyhow::Result<()> {
    loop {
        match repeats.recv().await {
            Ok(event) => screen.say(&line(screen, &event))?,
            Err(RecvError::Lagged(n_missed)) => {
                screen.say(&format!("{n_missed} more failed calls are not shown"))?;
            }
            Err(RecvError::Closed) => anyhow::bail!("the host closed its events"),
        }
    }
}

fn line(screen: Screen, event: &Event) -> String {
    let at = screen.paint(Tone::Faint, &human::clock(event.at));
    let kind = screen.paint(Tone::Bad, &event.kind);
    let app = event.app.as_ref().map_or("host", AppName::as_str);
    let told = |wanted: &str| {
        let found = event.evidence.iter().find(|(name, _)| name == wanted);
        found.map_or("", |(_, value)| value.as_str())
    };
    let (method, path) = (told("method"), told("path"));
    format!("{at}  {app}  {kind}  {method} {path}: {}, as before", event.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_failure_is_one_line_that_says_which_call() {
        let evidence = [("fuel", "7"), ("method", "GET"), ("path", "/late-loop")];
        let event = Event {
            app: "hello".parse().ok(),
            evidence: evidence.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..Event::now("out_of_fuel", "the app used all of its 1B fuel".to_owned())
        };
        let line = line(Screen::plain(false), &event);
        let told = "hello  out_of_fuel  GET /late-loop: the app used all of its 1B fuel, as before";
        assert!(line.ends_with(told), "{line}");
    }
}
