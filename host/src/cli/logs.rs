//! `steerage logs`: what an app's guests wrote to stdout and stderr.
//! Prints what the host kept, then what comes; keeps nothing itself.

use std::pin::pin;

use anyhow::Context as _;
use futures_util::StreamExt as _;

use super::again::following;
use super::args::Logs;
use super::screen::{Screen, Tone};
use super::visible::visible;
use super::{human, remote, sources};
use crate::api::wire;

/// Runs the verb.
pub(super) async fn run(args: &Logs) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let cannot = || format!("cannot read the log of {}", args.app);
    let host = args.of.host.as_deref();
    if !args.follow {
        let told = client.logs(&args.app, args.lines, host).await.with_context(cannot)?;
        sources::tell(screen, told.sources.as_ref());
        let lines = told.lines;
        if lines.is_empty() && args.lines > 0 {
            screen.note(&format!("{} has written nothing yet", args.app));
        }
        return lines.iter().try_for_each(|line| print(screen, line));
    }
    let mut lines = pin!(following(screen, args.lines, |n| client.follow_logs(&args.app, n, host)));
    while let Some(line) = lines.next().await {
        print(screen, &line.with_context(cannot)?)?;
    }
    Ok(())
}

/// Prints one line, as data or as text.
pub(super) fn print(screen: Screen, line: &wire::LogLine) -> anyhow::Result<()> {
    if screen.is_json() {
        return screen.json_line(line);
    }
    // Panics begin with a blank line, which is a line of nothing but a time here.
    if line.text.trim().is_empty() { Ok(()) } else { screen.say(&text(screen, line)) }
}

fn text(screen: Screen, line: &wire::LogLine) -> String {
    let host = line.host.as_ref().map_or_else(String::new, |host| format!("{host} "));
    let head = format!("{} {host}{}", human::clock(line.at), short_call(&line.call));
    format!("{}  {}", screen.paint(Tone::Faint, &head), visible(&line.text))
}

fn short_call(call: &str) -> &str {
    call.get(..8).unwrap_or(call)
}
