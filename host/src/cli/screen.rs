//! Where verbs print: data to stdout, hints and progress to stderr.
//! Decides on colour and quiet once; no other module of the program writes to the terminal.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::args::{Format, Print};
use super::visible::{visible, visible_but, visible_json};

/// How one run prints.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    format: Format,
    quiet: bool,
    colour: bool,
}

/// The meaning of a coloured word.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tone {
    /// It went well.
    Good,
    /// It went wrong.
    Bad,
    /// Of lesser weight than what is beside it.
    Faint,
    /// A heading.
    Strong,
}

/// What becomes of what a compiler or another tool says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tools {
    /// It goes to stderr as it comes.
    Shown,
    /// It is shown if the tool fails.
    Gathered,
}

/// How each tone begins, in the order of their declaration, and how all of them end.
const COLOURS: [&str; 5] = ["\u{1b}[32m", "\u{1b}[31m", "\u{1b}[2m", "\u{1b}[1m", "\u{1b}[0m"];

/// Whether this run prints JSON. Failures are printed where no screen is at hand any more, and who
/// asked for JSON reads them as JSON, too.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Whether this run prints JSON.
pub(super) fn is_json() -> bool {
    IS_JSON.load(Ordering::Relaxed)
}

impl Screen {
    /// The screen that these flags ask for.
    pub(super) fn new(print: Print) -> Self {
        if print.output == Format::Json {
            IS_JSON.store(true, Ordering::Relaxed);
        }
        Self {
            format: print.output,
            quiet: print.quiet,
            colour: colours_wanted() && io::stdout().is_terminal(),
        }
    }

    /// A screen for a verb that prints no data.
    pub(super) fn plain(quiet: bool) -> Self {
        Self::new(Print { output: Format::Table, quiet })
    }

    /// Whether data is wanted as JSON.
    pub(super) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Prints a line of data. What a terminal would obey is shown as its code: much of what is
    /// printed was written by guests, by callers, or by who deployed an app.
    pub(super) fn say(self, line: &str) -> anyhow::Result<()> {
        let colours: &[&str] = if self.colour { &COLOURS } else { &[] };
        print(&visible_but(line, colours))
    }

    /// Shows a text in place of what the terminal shows; below it where there is no terminal.
    pub(super) fn redraw(self, text: &str) -> anyhow::Result<()> {
        if !io::stdout().is_terminal() {
            return self.say(&format!("{text}\n"));
        }
        // Home, the text with the rest of each line cleared, and then all below.
        let colours: &[&str] = if self.colour { &COLOURS } else { &[] };
        let text = visible_but(text, colours).replace('\n', "\u{1b}[K\n");
        print(&format!("\u{1b}[H{text}\u{1b}[K\u{1b}[J"))
    }

    /// How many lines the terminal has; `None` where there is none.
    pub(super) fn n_lines(self) -> Option<usize> {
        let terminal = console::Term::stdout();
        terminal.size_checked().map(|(lines, _)| lines.into())
    }

    /// How many columns the terminal has; `None` where there is none.
    pub(super) fn n_columns(self) -> Option<usize> {
        let terminal = console::Term::stdout();
        terminal.size_checked().map(|(_, columns)| columns.into())
    }

    /// Prints a whole document of JSON.
    pub(super) fn json(self, value: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(value).context("cannot write as JSON")?;
        print(&visible_json(&text))
    }

    /// Prints one JSON object on a line of its own.
    pub(super) fn json_line(self, value: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string(value).context("cannot write as JSON")?;
        print(&visible_json(&text))
    }

    /// Tells people what to know or do next; programs and `--quiet` are spared.
    pub(super) fn hint(self, line: &str) -> anyhow::Result<()> {
        if self.quiet || self.is_json() { Ok(()) } else { self.say(line) }
    }

    /// Tells of something on the way, beside the data.
    pub(super) fn note(self, line: &str) {
        if !self.quiet {
            warn(line);
        }
    }

    /// The word in the colour of its meaning, where colours are wanted.
    pub(super) fn paint(self, tone: Tone, word: &str) -> String {
        if !self.colour || self.is_json() {
            return word.to_owned();
        }
        let [good, bad, faint, strong, end] = COLOURS;
        let start = match tone {
            Tone::Good => good,
            Tone::Bad => bad,
            Tone::Faint => faint,
            Tone::Strong => strong,
        };
        format!("{start}{}{end}", visible(word))
    }

    /// Where the tools that a verb runs say what they do: nowhere, with `--quiet`, until they fail.
    pub(super) fn tools(self) -> Tools {
        if self.quiet { Tools::Gathered } else { Tools::Shown }
    }

    /// A bar that fills as bytes are sent; hidden when nobody watches.
    pub(super) fn bar(self, what: &str, length: u64) -> ProgressBar {
        let style = "{msg:10} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}";
        self.progress(ProgressBar::new(length), style, what)
    }

    /// A sign of life for work of unknown length; hidden when nobody watches.
    pub(super) fn spinner(self, what: &str) -> ProgressBar {
        let spinner = self.progress(ProgressBar::new_spinner(), "{spinner} {msg} {elapsed}", what);
        spinner.enable_steady_tick(Duration::from_millis(100));
        spinner
    }

    fn progress(self, bar: ProgressBar, style: &str, what: &str) -> ProgressBar {
        // indicatif hides itself when stderr is no terminal.
        if self.quiet || self.is_json() {
            return ProgressBar::hidden();
        }
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_owned());
        bar
    }

    /// A line of stdin, and whether a person typed it, who is asked for it with these words; `None` at its end.
    pub(super) fn line(self, prompt: &str) -> anyhow::Result<Option<(String, bool)>> {
        let is_typed = io::stdin().is_terminal() && io::stderr().is_terminal();
        if is_typed {
            let mut stderr = io::stderr().lock();
            let asked = write!(stderr, "{prompt}").and_then(|()| stderr.flush());
            asked.context("cannot write to the terminal")?;
        }
        let mut line = String::new();
        let n_read = io::stdin().lock().read_line(&mut line).context("cannot read stdin")?;
        Ok((n_read > 0).then_some((line, is_typed)))
    }

    /// Asks a question that only `y` or `yes` agrees to; `None` when nobody can be asked.
    pub(super) fn confirm(self, question: &str) -> anyhow::Result<Option<bool>> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Ok(None);
        }
        let mut stderr = io::stderr().lock();
        write!(stderr, "{question} [y/N] ")
            .and_then(|()| stderr.flush())
            .context("cannot write to the terminal")?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
        Ok(Some(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")))
    }
}

/// Writes a line to stderr. A terminal that is gone is no reason to fail.
pub(super) fn warn(line: &str) {
    writeln!(io::stderr().lock(), "{}", visible(line)).ok();
}

/// The same for a JSON document: what a terminal would obey is escaped as JSON has it.
pub(super) fn warn_json(value: &serde_json::Value) {
    writeln!(io::stderr().lock(), "{}", visible_json(&value.to_string())).ok();
}

/// Writes all lines at once where the pipe has room: who reads only the first of them, as `head` does, may close it.
fn print(line: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let whole = format!("{line}\n");
    let written = stdout.write_all(whole.as_bytes()).and_then(|()| stdout.flush());
    written.context("cannot write to stdout")
}

/// The colour convention of <https://no-color.org>, and the older one for simple terminals.
fn colours_wanted() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
