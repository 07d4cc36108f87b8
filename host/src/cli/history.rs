//! `steerage show APP --since` and `steerage top --at`: what apps did at other times.
//! Adds nothing up: the hosts have.

use std::cmp::Reverse;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;

use super::args::{Moment, Show, Sort, Step, Top};
use super::screen::{Screen, Tone};
use super::table::Table;
use super::{human, remote, sources};
use crate::api::wire::{AppHistory, HistoryAt, HistorySlot, Step as SlotLength};

/// Up to so many milliseconds a table has a line for each minute.
const IN_MINUTES: u64 = 2 * 3_600_000;
/// Most apps that are asked for at once.
const MOST_APPS: usize = 10_000;
/// Apps shown where neither the operator nor a terminal says how many.
const LINES: usize = 20;
/// Lines of the terminal that are not apps.
const OTHER_LINES: usize = 5;
/// Most columns of a curve.
const COLUMNS: usize = 60;
/// From little to the most; nothing is a blank.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Shows what an app did.
pub(super) async fn of_app(args: &Show, since: Moment) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let (now, host) = (human::now(), args.of.host.as_deref());
    let since = since.before(now);
    let is_short = now.saturating_sub(since) <= IN_MINUTES;
    let step = match args.step {
        Some(Step::Minute) => "minute",
        Some(Step::Hour) => "hour",
        None if is_short => "minute",
        None => "hour",
    };
    let history = client.app_history(&args.app, (since, Some(step)), host).await;
    let history = history.with_context(|| format!("cannot read the history of {}", args.app))?;
    if screen.is_json() {
        return screen.json(&history);
    }
    sources::tell(screen, history.sources.as_ref());
    if history.slots.is_empty() {
        let since = moment(history.since);
        return screen.hint(&format!("{} was not called since {since}", args.app));
    }
    screen.say(&format!("{}\n\n{}", curves(&history), table_of_app(&history, now)))
}

/// Shows what all apps did at a moment.
pub(super) async fn at(args: &Top, at: Moment) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let (now, host) = (human::now(), args.of.host.as_deref());
    let told = client.history_at(at.before(now), MOST_APPS, host).await;
    let mut told = told.context("cannot read what the host used")?;
    sort_by(&mut told.apps, args.sort);
    let fitting = || screen.n_lines().map(|n_lines| n_lines.saturating_sub(OTHER_LINES));
    if screen.is_json() {
        told.apps.truncate(args.lines.unwrap_or(usize::MAX));
        return screen.json(&told);
    }
    sources::tell(screen, told.sources.as_ref());
    told.apps.truncate(args.lines.or_else(fitting).unwrap_or(LINES));
    screen.say(&show_at(screen, client.url(), &told, now))
}

/// What `top` tells of each app, now and at an earlier time.
pub(super) const TOP_COLUMNS: [&str; 13] = [
    "APP",
    ">CPU",
    ">MEMORY",
    ">CALLS/S",
    ">FAILED/S",
    ">5XX/S",
    ">REFUSED/S",
    ">P50",
    ">P95",
    ">P99",
    ">RUNNING",
    ">WAITING",
    "WHY",
];

fn show_at(screen: Screen, url: &str, told: &HistoryAt, now: u64) -> String {
    let length = match told.step {
        SlotLength::Minute => "minute",
        SlotLength::Hour => "hour",
    };
    let active = human::many(told.apps_active, "app");
    let url = screen.paint(Tone::Strong, url);
    let mut text = format!("{url}  the {length} of {}, {active} called", moment(told.at));
    if told.apps.is_empty() {
        return text;
    }
    let mut table = Table::new(&TOP_COLUMNS);
    for app in &told.apps {
        let seconds = seconds(told.step, told.at, now);
        let rate = |count: u64| decimal(quotient(count, seconds));
        table.row([
            app.app.clone(),
            cpu(app, seconds),
            human::bytes(app.memory_bytes),
            rate(app.calls),
            rate(app.failed),
            rate(app.errors),
            rate(app.refused),
            time(app.p50_us),
            time(app.p95_us),
            time(app.p99_us),
            app.running.to_string(),
            app.waiting.to_string(),
            why(app),
        ]);
    }
    text.push_str(&format!("\n\n{}", table.render()));
    let hidden = told.apps_active.saturating_sub(told.apps.len());
    if hidden > 0 {
        text.push_str(&format!("\n{}", screen.paint(Tone::Faint, &format!("and {hidden} more"))));
    }
    text
}

fn table_of_app(history: &AppHistory, now: u64) -> String {
    let mut table = Table::new(&[
        "TIME", ">CALLS", ">FAILED", ">5XX", ">REFUSED", ">P50", ">P95", ">P99", ">CPU", ">PEAK",
        "WHY",
    ]);
    for slot in &history.slots {
        table.row([
            moment(slot.at),
            human::count(slot.calls),
            human::count(slot.failed),
            human::count(slot.errors),
            human::count(slot.refused),
            time(slot.p50_us),
            time(slot.p95_us),
            time(slot.p99_us),
            cpu(slot, seconds(history.step, slot.at, now)),
            human::bytes(slot.memory_peak_bytes),
            why(slot),
        ]);
    }
    table.render()
}

/// A line for each of what is looked at first, from the beginning to the end of the time: the most of each
/// part.
fn curves(history: &AppHistory) -> String {
    let length = milliseconds(history.step);
    let n_slots = history.until.saturating_sub(history.since).div_ceil(length).max(1);
    let n_slots = usize::try_from(n_slots).unwrap_or(usize::MAX);
    let n_columns = n_slots.min(COLUMNS);
    let column = |slot: &HistorySlot| {
        let place = slot.at.saturating_sub(history.since) / length;
        usize::try_from(place).unwrap_or(0).saturating_mul(n_columns) / n_slots
    };
    type Value = fn(&HistorySlot) -> u64;
    type Shown = fn(u64) -> String;
    let lines: [(&str, Value, Shown); 5] = [
        ("calls", |slot| slot.calls, human::count),
        ("failed", |slot| slot.failed + slot.errors, human::count),
        ("p95", |slot| slot.p95_us.unwrap_or(0), |us| time(Some(us))),
        ("cpu", |slot| slot.cpu_us, |us| human::duration(Duration::from_micros(us))),
        ("memory", |slot| slot.memory_peak_bytes, human::bytes),
    ];
    let lines = lines.into_iter().map(|(name, value, shown)| {
        let mut values = vec![0; n_columns];
        for slot in &history.slots {
            if let Some(most) = values.get_mut(column(slot)) {
                *most = value(slot).max(*most);
            }
        }
        let most = values.iter().copied().max().unwrap_or(0);
        format!("{name:8}{}  at most {}", curve(&values, most), shown(most))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn curve(values: &[u64], most: u64) -> String {
    let level = |value: u64| {
        let steps = u128::from(value) * LEVELS.len() as u128;
        let place = steps.div_ceil(u128::from(most.max(1)));
        let place = usize::try_from(place).unwrap_or(usize::MAX).checked_sub(1);
        place.and_then(|place| LEVELS.get(place)).copied().unwrap_or(' ')
    };
    values.iter().map(|value| level(*value)).collect()
}

fn milliseconds(step: SlotLength) -> u64 {
    match step {
        SlotLength::Minute => 60_000,
        SlotLength::Hour => 3_600_000,
    }
}

/// How long a slot has lasted: one that runs is not over.
fn seconds(step: SlotLength, at: u64, now: u64) -> u64 {
    (now.saturating_sub(at).min(milliseconds(step)) / 1000).max(1)
}

/// The most first; those that are equal by calls and then by name.
fn sort_by(apps: &mut [HistorySlot], sort: Sort) {
    apps.sort_by_cached_key(|app| {
        let first = match sort {
            Sort::Cpu => app.cpu_us,
            Sort::Memory => app.memory_bytes,
            Sort::Calls => app.calls,
            Sort::Refused => app.refused,
        };
        (Reverse(first), Reverse(app.calls), app.app.clone())
    });
}

/// What did not end well, the commonest first.
fn why(slot: &HistorySlot) -> String {
    let mut causes: Vec<_> = slot.causes.iter().filter(|(cause, _)| *cause != "answered").collect();
    causes.sort_by_key(|(_, count)| Reverse(**count));
    causes.into_iter().map(|(cause, _)| cause.as_str()).collect::<Vec<_>>().join(" ")
}

fn time(us: Option<u64>) -> String {
    us.map_or_else(String::new, |us| human::duration(Duration::from_micros(us)))
}

/// Percent of one core.
fn cpu(slot: &HistorySlot, seconds: u64) -> String {
    format!("{:.1}%", quotient(slot.cpu_us, seconds) / 10_000.0)
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people; counts stay far below 2^52")]
fn quotient(count: u64, seconds: u64) -> f64 {
    count as f64 / seconds as f64
}

/// Few digits: what is large needs none behind the point.
fn decimal(number: f64) -> String {
    match number {
        0.0 => "0".to_owned(),
        small if small < 100.0 => format!("{small:.1}"),
        large => format!("{large:.0}"),
    }
}

/// A minute, with its day.
fn moment(at: u64) -> String {
    let at = i64::try_from(at).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    at.map_or_else(|| "?".to_owned(), |at| at.strftime("%Y-%m-%d %H:%MZ").to_string())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    const AT: u64 = 1_795_626_240_000;

    fn slot(minute: u64, app: &str, calls: u64) -> HistorySlot {
        HistorySlot {
            at: AT + minute * 60_000,
            app: app.to_owned(),
            calls,
            failed: calls / 10,
            errors: 1,
            refused: calls / 100,
            causes: [("answered", 90), ("trapped", 10), ("app_busy", 1)]
                .map(|(cause, count)| (cause.to_owned(), count))
                .into(),
            cpu_us: calls * 1_000,
            memory_peak_bytes: calls << 10,
            memory_bytes: 1 << 20,
            p50_us: Some(1_200),
            p95_us: Some(80_000),
            p99_us: Some(2_500_000),
            running: 2,
            ..HistorySlot::default()
        }
    }

    #[test]
    fn an_app_is_shown_minute_by_minute() {
        let history = AppHistory {
            app: "web".to_owned(),
            step: SlotLength::Minute,
            since: AT,
            until: AT + 600_000,
            slots: vec![slot(0, "web", 100), slot(1, "web", 800), slot(9, "web", 400)],
            sources: None,
        };
        let now = AT + 9 * 60_000 + 30_000;
        let text = format!("{}\n\n{}", curves(&history), table_of_app(&history, now));
        expect![[r#"
            calls   ▁█       ▄  at most 800
            failed  ▂█       ▅  at most 81
            p95     ██       █  at most 80.0 ms
            cpu     ▁█       ▄  at most 800 ms
            memory  ▁█       ▄  at most 800 KiB

            TIME               CALLS  FAILED  5XX  REFUSED     P50      P95    P99   CPU     PEAK  WHY
            2026-11-25 17:04Z    100      10    1        1  1.2 ms  80.0 ms  2.5 s  0.2%  100 KiB  trapped app_busy
            2026-11-25 17:05Z    800      80    1        8  1.2 ms  80.0 ms  2.5 s  1.3%  800 KiB  trapped app_busy
            2026-11-25 17:13Z    400      40    1        4  1.2 ms  80.0 ms  2.5 s  1.3%  400 KiB  trapped app_busy"#]].assert_eq(&text);
    }

    #[test]
    fn all_apps_are_shown_as_they_were_in_one_minute() {
        let mut apps = vec![slot(0, "small", 60), slot(0, "large", 6_000)];
        sort_by(&mut apps, Sort::Cpu);
        let told =
            HistoryAt { at: AT, step: SlotLength::Minute, apps_active: 3, apps, sources: None };
        let text = show_at(Screen::plain(true), "http://127.0.0.1:8081", &told, AT + 3_600_000);
        expect![[r#"
            http://127.0.0.1:8081  the minute of 2026-11-25 17:04Z, 3 apps called

            APP      CPU   MEMORY  CALLS/S  FAILED/S  5XX/S  REFUSED/S     P50      P95    P99  RUNNING  WAITING  WHY
            large  10.0%  1.0 MiB      100      10.0    0.0        1.0  1.2 ms  80.0 ms  2.5 s        2        0  trapped app_busy
            small   0.1%  1.0 MiB      1.0       0.1    0.0          0  1.2 ms  80.0 ms  2.5 s        2        0  trapped app_busy
            and 1 more"#]].assert_eq(&text);
    }

    #[test]
    fn a_curve_has_a_column_for_each_part_and_blanks_where_nothing_was() {
        assert_eq!(curve(&[0, 1, 50, 100], 100), " ▁▄█");
        assert_eq!(curve(&[0, 0], 0), "  ");
        assert_eq!(curve(&[u64::MAX, 1], u64::MAX), "█▁");
    }
}
