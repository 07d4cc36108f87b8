//! `steerage plan`: what would move in a fleet that runs, what has moved and why, or what a fleet on paper would take, without
//! touching any. Only reads, asks, prints and draws; `core::place`, `core::sheet` and `core::pack` decide.

mod file;
mod history;
mod json;
mod paper;
mod running;
mod svg;
mod tell;

use anyhow::Context as _;

use self::paper::Paper;
use super::args::{Drawing, Plan};
use super::ending::{Misused, NoPlan};
use super::screen::Screen;

const EXAMPLE: &str = "--host 'm6i.large=2cpu,8GiB,0.096/h'";

/// Runs the verb.
pub(super) fn run(args: &Plan) -> anyhow::Result<()> {
    if let Some(number) = args.history {
        return super::wait(history::run(args, number));
    }
    let Some(fleet) = &args.fleet else { return super::wait(running::run(args)) };
    // Before anything can fail: who asked for JSON reads the failure as JSON.
    let screen = Screen::new(args.print);
    if args.host.is_empty() {
        let message = format!(
            "there is nothing to pack on: give each kind of machine with its name, cpu, memory and \
             price, such as {EXAMPLE}"
        );
        return Err(Misused(message).into());
    }
    let n_priced = args.host.iter().filter(|kind| kind.hourly.is_some()).count();
    if n_priced != 0 && n_priced != args.host.len() {
        let message = "some kinds of machines have a price and some have none: costs compare only \
                       where all --host have one";
        return Err(Misused(message.to_owned()).into());
    }
    let file = file::read(fleet).context(NoPlan)?;
    let paper = Paper::plan(fleet, &file, args).context(NoPlan)?;
    show(&paper, args, screen).context(NoPlan)
}

fn show(paper: &Paper, args: &Plan, screen: Screen) -> anyhow::Result<()> {
    if screen.is_json() && args.out.is_none() {
        return screen.json(&json::report(paper));
    }
    let text = match args.format {
        _ if screen.is_json() => {
            serde_json::to_string_pretty(&json::report(paper)).context("cannot write as JSON")?
        }
        Drawing::Svg => svg::draw(paper),
        Drawing::Table => tell::tell(paper, args.lines),
    };
    let Some(out) = &args.out else { return screen.say(&text) };
    std::fs::write(out, text + "\n").with_context(|| format!("cannot write {}", out.display()))?;
    screen.hint(&format!("{}\nwritten to {}", tell::headline(paper), out.display()))
}
