//! `steerage simulate`: the history of a fleet that was made up, planned by the core that also plans
//! real ones. Only arranges what happens there.

use serde::Serialize;
use steerage_core::world::{Hour, Setup, World};

use super::args::Simulate;
use super::human;
use super::screen::Screen;
use super::table::{Facts, Table};

/// Lives through the history.
pub(super) fn run(args: &Simulate) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let setup = Setup {
        hosts: args.hosts,
        zones: args.zones,
        apps: args.apps,
        hours: args.hours,
        seed: args.seed,
        consolidate: args.consolidate,
    };
    let mut world = World::new(setup);
    let progress = screen.spinner("placing everything for the first time");
    let mut hours = Vec::new();
    for number in 1..=args.hours {
        hours.push(world.next_hour());
        progress.set_message(format!("hour {number} of {}", args.hours));
    }
    progress.finish_and_clear();
    if screen.is_json() {
        return screen.json(&Simulated {
            seed: args.seed,
            total: Total::of(&hours),
            hours: hours.iter().map(HourTold::from).collect(),
        });
    }
    screen.say(&format!("{}\n\n{}", table(&hours, args.lines), facts(args, &hours)))
}

fn table(hours: &[Hour], lines: u32) -> String {
    let mut table = Table::new(&[
        ">HOUR",
        ">HOSTS",
        ">IN USE",
        ">FAILED",
        ">BACK",
        ">APPS",
        ">LOST",
        ">MOVES",
        ">DISTURBED",
        ">NO ROOM",
        ">CPU",
        ">MEMORY",
    ]);
    let every = hours.len().div_ceil(usize::try_from(lines.max(1)).unwrap_or(usize::MAX)).max(1);
    for hour in hours.iter().step_by(every) {
        table.row([
            hour.hour.to_string(),
            hour.hosts.to_string(),
            hour.used_hosts.to_string(),
            hour.failed_hosts.to_string(),
            hour.returned_hosts.to_string(),
            hour.apps.to_string(),
            hour.lost.to_string(),
            hour.moves.to_string(),
            hour.disturbed.to_string(),
            hour.unplaced.to_string(),
            percent(hour.cpu_used.into()),
            percent(hour.memory_used.into()),
        ]);
    }
    table.render()
}

fn facts(args: &Simulate, hours: &[Hour]) -> String {
    let total = Total::of(hours);
    let count = |number: u64| human::count(number);
    let mut facts = Facts::default();
    facts.add("hosts failed", count(total.failed_hosts));
    facts.add(
        "replicas lost",
        format!("{}, all placed anew but {}", count(total.lost), count(total.unplaced_at_end)),
    );
    facts.add(
        "moves",
        format!(
            "{}, of which {} disturbed a replica that ran well",
            count(total.moves),
            count(total.disturbed)
        ),
    );
    facts.add(
        "without room",
        format!("at most {} at once", human::many(count(total.most_unplaced), "replica")),
    );
    facts.add(
        "utilisation",
        format!(
            "{} of the processors of hosts in use, {} of their memory, on average",
            percent(total.mean_cpu_used),
            percent(total.mean_memory_used)
        ),
    );
    let consolidate = if args.consolidate { " --consolidate" } else { "" };
    facts.add(
        "again",
        format!(
            "steerage simulate --hosts {} --zones {} --apps {} --hours {} --seed {}{consolidate}",
            args.hosts, args.zones, args.apps, args.hours, args.seed
        ),
    );
    facts.render()
}

/// Thousandths as percent.
fn percent(thousandths: u64) -> String {
    format!("{}.{} %", thousandths / 10, thousandths % 10)
}

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Simulated {
    seed: u64,
    total: Total,
    hours: Vec<HourTold>,
}

/// All hours together.
#[derive(Debug, Default, Serialize)]
struct Total {
    failed_hosts: u64,
    lost: u64,
    moves: u64,
    disturbed: u64,
    most_unplaced: u64,
    unplaced_at_end: u64,
    /// In thousandths, as all parts.
    mean_cpu_used: u64,
    mean_memory_used: u64,
}

impl Total {
    fn of(hours: &[Hour]) -> Self {
        let sum =
            |part: fn(&Hour) -> u32| hours.iter().map(|hour| u64::from(part(hour))).sum::<u64>();
        let n_hours = (hours.len() as u64).max(1);
        Self {
            failed_hosts: sum(|hour| hour.failed_hosts),
            lost: sum(|hour| hour.lost),
            moves: sum(|hour| hour.moves),
            disturbed: sum(|hour| hour.disturbed),
            most_unplaced: hours.iter().map(|hour| hour.unplaced.into()).max().unwrap_or(0),
            unplaced_at_end: hours.last().map_or(0, |hour| hour.unplaced.into()),
            mean_cpu_used: sum(|hour| hour.cpu_used) / n_hours,
            mean_memory_used: sum(|hour| hour.memory_used) / n_hours,
        }
    }
}

/// One hour.
#[derive(Debug, Serialize)]
struct HourTold {
    hour: u32,
    hosts: u32,
    used_hosts: u32,
    failed_hosts: u32,
    returned_hosts: u32,
    apps: u32,
    lost: u32,
    moves: u32,
    disturbed: u32,
    unplaced: u32,
    cpu_used_thousandths: u32,
    memory_used_thousandths: u32,
}

impl From<&Hour> for HourTold {
    fn from(hour: &Hour) -> Self {
        Self {
            hour: hour.hour,
            hosts: hour.hosts,
            used_hosts: hour.used_hosts,
            failed_hosts: hour.failed_hosts,
            returned_hosts: hour.returned_hosts,
            apps: hour.apps,
            lost: hour.lost,
            moves: hour.moves,
            disturbed: hour.disturbed,
            unplaced: hour.unplaced,
            cpu_used_thousandths: hour.cpu_used,
            memory_used_thousandths: hour.memory_used,
        }
    }
}
