//! `steerage top`: which apps use a host's CPU, memory and slots, again and again.
//! Makes rates of two readings of the host's counters; the host keeps none.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use super::args::{Sort, Top};
use super::screen::{Screen, Tone};
use super::table::Table;
use super::{history, human, remote, sources};
use crate::api::wire::{AppUsage, HostUsage, Latency, Sources, Usage};

/// Apps shown where neither the operator nor a terminal says how many.
const LINES: usize = 20;
/// Two readings of one moment are no reason to divide by nothing.
const LEAST_SECONDS: f64 = 0.001;
/// Lines of the terminal that are not apps: the host's, a gap, the header, the cursor's.
const OTHER_LINES: usize = 6;

/// What was used in one interval.
#[derive(Debug, PartialEq, Serialize)]
struct Interval {
    /// Which hosts of the fleet told; nothing where the host is alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    sources: Option<Sources>,
    interval_s: f64,
    /// Cores' worth of CPU time that the whole process took.
    host_cpu: f64,
    host: HostUsage,
    /// How many apps there are to show, shown or not.
    apps_active: usize,
    apps: Vec<Row>,
}

/// What one app used in one interval.
#[derive(Debug, PartialEq, Serialize)]
struct Row {
    app: String,
    /// Cores' worth of CPU time.
    cpu: f64,
    memory_bytes: u64,
    calls_per_s: f64,
    failed_per_s: f64,
    errors_per_s: f64,
    refused_per_s: f64,
    /// How long the calls took that ended in the interval; all 0 where none did.
    latency: Latency,
    /// Refused calls of the interval, by cause.
    refused: BTreeMap<String, u64>,
    running: u32,
    waiting: u32,
}

/// Runs the verb.
pub(super) async fn run(args: &Top) -> anyhow::Result<()> {
    if let Some(at) = args.at {
        return history::at(args, at).await;
    }
    tokio::select! {
        ended = watch(args) => ended,
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot wait for Ctrl-C"),
    }
}

async fn watch(args: &Top) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let cannot = "cannot read what the host uses";
    let host = args.of.host.as_deref();
    let mut before = client.usage(host).await.context(cannot)?;
    loop {
        tokio::time::sleep(args.interval).await;
        let now = client.usage(host).await.context(cannot)?;
        let mut interval = Interval::between(&before, &now, args.sort);
        let missing: Vec<String> = sources::missing(now.sources.as_ref()).collect();
        let missing: String = missing.iter().map(|line| format!("\n{line}")).collect();
        let n_other_lines = OTHER_LINES + missing.lines().count();
        if screen.is_json() {
            interval.apps.truncate(args.lines.unwrap_or(usize::MAX));
            screen.json_line(&interval)?;
        } else {
            let fitting = || screen.n_lines().map(|n_lines| n_lines.saturating_sub(n_other_lines));
            interval.apps.truncate(args.lines.or_else(fitting).unwrap_or(LINES));
            let text = format!("{}{missing}", show(screen, client.url(), &now, &interval));
            if args.once { screen.say(&text)? } else { screen.redraw(&text)? }
        }
        if args.once {
            return Ok(());
        }
        before = now;
    }
}

impl Interval {
    fn between(before: &Usage, now: &Usage, sort: Sort) -> Self {
        let used = if now.each.is_empty() {
            Used::between(before, now)
        } else {
            // Of each host by itself: one that is started again, or says nothing now, is no use that falls.
            let mut used = Used::default();
            for (host, usage) in &now.each {
                // Of a host that was not heard before nothing is known but what it holds now.
                used.add(Used::between(before.each.get(host).unwrap_or(usage), usage));
            }
            used
        };
        let seconds = used.seconds.max(LEAST_SECONDS);
        let mut apps: Vec<Row> = used.apps.into_values().map(|app| Row::of(app, seconds)).collect();
        sort_by(&mut apps, sort);
        Self {
            sources: now.sources.clone(),
            interval_s: seconds,
            host_cpu: used.host_cpu_seconds / seconds,
            host: now.host.clone(),
            apps_active: apps.len(),
            apps,
        }
    }
}

/// What was counted between two readings.
#[derive(Debug, Default)]
struct Used {
    seconds: f64,
    host_cpu_seconds: f64,
    apps: BTreeMap<String, AppUsage>,
}

impl Used {
    /// On one host.
    fn between(before: &Usage, now: &Usage) -> Self {
        let nothing = Usage::default();
        // A host that was started again counts from zero.
        let before = if before.uptime_ms <= now.uptime_ms { before } else { &nothing };
        let earlier: BTreeMap<&str, &AppUsage> =
            before.apps.iter().map(|app| (app.app.as_str(), app)).collect();
        let new = AppUsage::default();
        let since = |now: &AppUsage| now.since(earlier.get(&*now.app).copied().unwrap_or(&new));
        Self {
            seconds: Duration::from_millis(now.uptime_ms - before.uptime_ms).as_secs_f64(),
            host_cpu_seconds: now.host.cpu_seconds - before.host.cpu_seconds,
            apps: now.apps.iter().map(|app| (app.app.clone(), since(app))).collect(),
        }
    }

    /// Adds what was counted on another host, at about the same time.
    fn add(&mut self, other: Self) {
        self.seconds = self.seconds.max(other.seconds);
        self.host_cpu_seconds += other.host_cpu_seconds;
        for (name, app) in other.apps {
            self.apps.entry(name).or_default().add(&app);
        }
    }
}

impl Row {
    /// As rates.
    fn of(used: AppUsage, seconds: f64) -> Self {
        Self {
            cpu: used.cpu_seconds / seconds,
            memory_bytes: used.memory_bytes,
            calls_per_s: rate(used.calls, seconds),
            failed_per_s: rate(used.failed, seconds),
            errors_per_s: rate(used.errors, seconds),
            refused_per_s: rate(used.refused.values().sum(), seconds),
            running: used.running,
            waiting: used.waiting,
            refused: used.refused,
            latency: used.latency,
            app: used.app,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people; counts stay far below 2^52")]
fn rate(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// The most first; those that are equal by calls and then by name, so that lines stay in place.
fn sort_by(rows: &mut [Row], sort: Sort) {
    rows.sort_by(|a, b| {
        let first = match sort {
            Sort::Cpu => b.cpu.total_cmp(&a.cpu),
            Sort::Memory => b.memory_bytes.cmp(&a.memory_bytes),
            Sort::Calls => b.calls_per_s.total_cmp(&a.calls_per_s),
            Sort::Refused => b.refused_per_s.total_cmp(&a.refused_per_s),
        };
        let by_calls = b.calls_per_s.total_cmp(&a.calls_per_s);
        first.then(by_calls).then_with(|| a.app.cmp(&b.app))
    });
}

fn show(screen: Screen, url: &str, now: &Usage, interval: &Interval) -> String {
    let hidden = interval.apps_active - interval.apps.len();
    let table = table(&interval.apps, screen.n_columns());
    let mut text = format!("{}\n\n{table}", heading(screen, url, now, interval));
    if hidden > 0 {
        text.push_str(&format!("\n{}", screen.paint(Tone::Faint, &format!("and {hidden} more"))));
    }
    text
}

fn heading(screen: Screen, url: &str, now: &Usage, interval: &Interval) -> String {
    let host = &interval.host;
    let who = match &interval.sources {
        Some(sources) => human::many(sources.hosts.len(), "host"),
        None => format!("up {}", human::since(0, now.uptime_ms)),
    };
    let disk = match host.disk_bound_bytes {
        0 => format!("{} of disk", human::bytes(host.disk_bytes)),
        bound => format!("{} of {} of disk", human::bytes(host.disk_bytes), human::bytes(bound)),
    };
    format!(
        "{}  {who}, {} of {} cores, {} resident, {} connections, {} calls waiting\n\
         {} of {} slots, {} of {} of memory, {disk}, {}, {} of {} mapped",
        screen.paint(Tone::Strong, url),
        decimal(interval.host_cpu),
        host.cores,
        human::bytes(host.resident_bytes),
        host.connections,
        host.waiting,
        host.slots_used,
        host.slots_total,
        human::bytes(host.memory_bytes),
        human::bytes(host.memory_budget_bytes),
        human::many(host.apps, "app"),
        host.apps_mapped,
        host.apps_mapped_most
    )
}

/// Columns that a narrow terminal does without, the first first.
const LEAST: [&str; 7] = ["WAITING", "P50", "RUNNING", "P99", "MEMORY", "WHY", "P95"];

fn table(rows: &[Row], width: Option<usize>) -> String {
    let mut table = Table::new(&history::TOP_COLUMNS);
    for row in rows {
        let [p50, p95, p99] = human::percentiles(&row.latency);
        table.row([
            row.app.clone(),
            percent(row.cpu),
            human::bytes(row.memory_bytes),
            decimal(row.calls_per_s),
            decimal(row.failed_per_s),
            decimal(row.errors_per_s),
            decimal(row.refused_per_s),
            p50,
            p95,
            p99,
            row.running.to_string(),
            row.waiting.to_string(),
            why(&row.refused),
        ]);
    }
    table.fit(width, &LEAST);
    table.render()
}

/// The causes of refusals, the commonest first.
fn why(refused: &BTreeMap<String, u64>) -> String {
    let mut causes: Vec<(&String, &u64)> = refused.iter().collect();
    causes.sort_by_key(|(_, count)| Reverse(**count));
    causes.into_iter().map(|(cause, _)| cause.as_str()).collect::<Vec<_>>().join(" ")
}

/// Percent of one core.
fn percent(cores: f64) -> String {
    format!("{:.1}%", cores * 100.0)
}

/// Few digits: what is large needs none behind the point.
fn decimal(number: f64) -> String {
    if number == 0.0 {
        "0".to_owned()
    } else if number < 100.0 {
        format!("{number:.1}")
    } else {
        format!("{number:.0}")
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn app(name: &str, cpu_seconds: f64, calls: u64, refused: &[(&str, u64)]) -> AppUsage {
        AppUsage {
            app: name.to_owned(),
            cpu_seconds,
            calls,
            failed: calls / 100,
            memory_bytes: calls * 100,
            refused: refused.iter().map(|(cause, n)| ((*cause).to_owned(), *n)).collect(),
            // Those of the first reading were quick.
            latency: Latency::of(vec![
                0,
                0,
                calls.min(1_000),
                0,
                0,
                0,
                0,
                calls.saturating_sub(1_000),
            ]),
            running: 1,
            ..AppUsage::default()
        }
    }

    fn usage(uptime_ms: u64, cpu_seconds: f64, apps: Vec<AppUsage>) -> Usage {
        let host = HostUsage {
            cores: 4,
            cpu_seconds,
            resident_bytes: 80 << 20,
            memory_bytes: 5 << 20,
            memory_budget_bytes: 12 << 30,
            disk_bytes: 3 << 30,
            disk_bound_bytes: 50 << 30,
            slots_used: 3,
            slots_total: 10_079,
            apps: 1_000,
            apps_mapped: 40,
            apps_mapped_most: 1_008,
            connections: 7,
            waiting: 2,
            unrouted: 0,
        };
        Usage { uptime_ms, host, apps, ..Usage::default() }
    }

    fn two_readings() -> (Usage, Usage) {
        let before = usage(60_000, 10.0, vec![app("busy", 5.0, 1_000, &[("app_busy", 10)])]);
        let apps = vec![
            app("busy", 6.0, 1_100, &[("app_busy", 10), ("host_memory", 4), ("too_late", 6)]),
            app("idle", 0.5, 0, &[]),
            app("new", 0.01, 50, &[]),
        ];
        (before, usage(62_000, 13.0, apps))
    }

    #[test]
    fn two_readings_make_rates() {
        let (before, now) = two_readings();
        let interval = Interval::between(&before, &now, Sort::Cpu);
        let text = show(Screen::plain(true), "http://127.0.0.1:8081", &now, &interval);
        expect![[r#"
            http://127.0.0.1:8081  up 1m2s, 1.5 of 4 cores, 80.0 MiB resident, 7 connections, 2 calls waiting
            3 of 10079 slots, 5.0 MiB of 12.0 GiB of memory, 3.0 GiB of 50.0 GiB of disk, 1000 apps, 40 of 1008 mapped

            APP     CPU   MEMORY  CALLS/S  FAILED/S  5XX/S  REFUSED/S      P50      P95      P99  RUNNING  WAITING  WHY
            busy  50.0%  107 KiB     50.0       0.5      0        5.0  17.5 ms  24.2 ms  24.8 ms        1        0  too_late host_memory
            idle  25.0%      0 B        0         0      0          0                                   1        0
            new    0.5%  4.8 KiB     25.0         0      0          0   375 us   490 us   500 us        1        0"#]].assert_eq(&text);
    }

    #[test]
    fn the_most_of_what_is_asked_for_comes_first() {
        let (before, now) = two_readings();
        let order = |sort| {
            let interval = Interval::between(&before, &now, sort);
            interval.apps.into_iter().map(|row| row.app).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(order(Sort::Cpu), "busy idle new");
        assert_eq!(order(Sort::Memory), "busy new idle");
        assert_eq!(order(Sort::Calls), "busy new idle");
        assert_eq!(order(Sort::Refused), "busy new idle");
    }

    #[test]
    fn a_host_that_was_started_again_counts_from_zero() {
        let (before, now) = two_readings();
        let interval = Interval::between(&now, &before, Sort::Cpu);
        assert_eq!(interval.interval_s, 60.0);
        assert!(interval.apps.iter().all(|row| row.cpu >= 0.0 && row.calls_per_s >= 0.0));
    }
}
