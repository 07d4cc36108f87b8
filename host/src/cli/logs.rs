//! `steerage logs`: what an app's guests wrote to stdout and stderr.
//! Prints what the host kept, then what comes; keeps nothing itself.

use std::pin::pin;

use anyhow::Context as _;
use futures_util::StreamExt as _;

use super::again::following;
use super::args::Logs;
use super::screen::{Screen, Tone};
use super::visible::visible;
use super::whose::{self, Whose};
use super::{human, remote};
use crate::api::wire;

/// Runs the verb.
pub(super) async fn run(args: &Logs) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let cannot = || format!("cannot read the log of {}", args.app);
    let whose = whose::ask(&client, Some(&args.app)).await;
    whose.tell(screen);
    if !args.follow {
        let lines = client.logs(&args.app, args.lines).await.with_context(cannot)?;
        if lines.is_empty() && args.lines > 0 {
            screen.note(&format!("{} has written nothing yet", args.app));
        }
        return lines.iter().try_for_each(|line| print(screen, &whose, line));
    }
    let mut lines =
        pin!(following(screen, args.lines, |n_lines| { client.follow_logs(&args.app, n_lines) }));
    while let Some(line) = lines.next().await {
        print(screen, &whose, &line.with_context(cannot)?)?;
    }
    Ok(())
}

/// Prints one line, as data or as text.
pub(super) fn print(screen: Screen, whose: &Whose, line: &wire::LogLine) -> anyhow::Result<()> {
    if screen.is_json() {
        return screen.json_line(&whose.seen(line));
    }
    // Panics begin with a blank line, which is a line of nothing but a time here.
    if line.text.trim().is_empty() { Ok(()) } else { screen.say(&text(screen, line)) }
}

fn text(screen: Screen, line: &wire::LogLine) -> String {
    let head = format!("{} {}", human::clock(line.at), short_call(&line.call));
    format!("{}  {}", screen.paint(Tone::Faint, &head), visible(&line.text))
}

fn short_call(call: &str) -> &str {
    call.get(..8).unwrap_or(call)
}
