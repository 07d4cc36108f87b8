//! `steerage events`: what happened on a host, the evidence, and what to do about it.
//! Prints what the host tells; what an event means is written where it arises.

use std::pin::pin;

use anyhow::Context as _;
use futures_util::StreamExt as _;

use super::again::following;
use super::args::Events;
use super::screen::{Screen, Tone};
use super::visible::visible;
use super::{human, remote, sources};
use crate::api::wire;

/// Runs the verb.
pub(super) async fn run(args: &Events) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let app = args.app.as_deref();
    let host = args.of.host.as_deref();
    let cannot = || match app {
        Some(app) => format!("cannot read the events of {app}"),
        None => "cannot read the host's events".to_owned(),
    };
    if !args.follow {
        let told = client.events(app, args.lines, host).await.with_context(cannot)?;
        sources::tell(screen, told.sources.as_ref());
        return told.events.iter().try_for_each(|event| print(screen, event));
    }
    let mut events =
        pin!(following(screen, args.lines, |n_events| client.follow_events(app, n_events, host)));
    while let Some(event) = events.next().await {
        print(screen, &event.with_context(cannot)?)?;
    }
    Ok(())
}

/// Prints one event, as data or as text.
pub(super) fn print(screen: Screen, event: &wire::Event) -> anyhow::Result<()> {
    if screen.is_json() {
        screen.json_line(event)
    } else {
        screen.say(&text(screen, event, human::now()))
    }
}

/// The event in one line, with the date where it was not today, then its evidence and advice, indented.
pub(super) fn text(screen: Screen, event: &wire::Event, now: u64) -> String {
    let at = screen.paint(Tone::Faint, &human::clock_of(event.at, now));
    let app = event.app.as_deref().unwrap_or("host");
    let host = event.host.as_ref().map_or_else(String::new, |host| format!("  {host}"));
    let tone = if event.severity == wire::Severity::Info { Tone::Good } else { Tone::Bad };
    let kind = screen.paint(tone, &event.kind);
    let times = match event.count {
        0 | 1 => String::new(),
        count => format!(" ({count} times since {})", human::clock_of(event.first_at, now)),
    };
    // Indented, so that no line of a message can pass for an event of its own.
    let told = |text: &str| visible(text).replace('\n', "\n        ");
    let mut text = format!("{at}{host}  {app}  {kind}  {}{times}", told(&event.message));
    for (name, value) in &event.evidence {
        text.push_str(&format!("\n    {name}: {}", told(value)));
    }
    if let Some(call) = &event.call {
        // As `logs` and `calls` show it.
        text.push_str(&format!("\n    call: {}", call.get(..8).unwrap_or(call)));
    }
    if let Some(advice) = &event.advice {
        text.push_str(&format!("\n    next: {}", told(advice)));
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;
    use crate::cli::args::Print;

    #[test]
    fn a_burst_says_since_when_and_which_call_to_look_up() {
        let event = json!({
            "id": 7, "first_at": "2026-11-25T17:04:05.120Z", "at": "2026-11-25T17:09:00.001Z",
            "kind": "trapped", "severity": "error", "app": "shop", "generation": 3,
            "call": "45bbf4d1b0546ee29ac160d8dbb46513", "count": 40, "message": "it panicked",
            "evidence": {}, "advice": "see `steerage logs shop`"
        });
        let event: wire::Event = serde_json::from_value(event).unwrap();
        let print = Print { output: crate::cli::args::Format::Table, quiet: false };
        expect![[r#"
            17:09:00.001Z  shop  trapped  it panicked (40 times since 17:04:05.120Z)
                call: 45bbf4d1
                next: see `steerage logs shop`"#]]
        .assert_eq(&text(Screen::new(print), &event, event.at));
    }
}
