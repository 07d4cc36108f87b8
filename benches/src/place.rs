//! Placement: how many machines a cell needs by cell compaction, beside the rules of others in the same
//! run, and how fast plans are made.
//! Cell compaction as in the Borg paper (Verma et al., EuroSys 2015, 5.1): machines are taken away at
//! random and everything is packed anew, until the tasks fit no more; 0.2 % of them may pend.

mod cell;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;
use steerage_core::place::{self, Aims, View};
use steerage_core::units::{Bytes, Cpu};

use self::cell::{Cell, Rule, Size, app, name};
use crate::report::{Report, Target, table};

/// Seeds, as many as in the paper, of which the 90th percentile counts.
const SEEDS: u64 = 11;
/// Tasks out of so many that may pend.
const MAY_PEND: usize = 500;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Machines of a trace, with the columns cpu_milli and memory_mib; a cell is made up when absent
    #[arg(long, value_name = "CSV", requires = "trace_tasks")]
    trace_nodes: Option<PathBuf>,
    /// Tasks of the trace
    #[arg(long, value_name = "CSV", requires = "trace_nodes")]
    trace_tasks: Option<PathBuf>,
    /// Leave out the plan of a million replicas
    #[arg(long)]
    short: bool,
    /// Also write the results as JSON to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Who packs.
#[derive(Clone, Copy, Debug)]
enum Packer {
    Ours,
    Other(Rule),
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let cell = match (&arguments.trace_nodes, &arguments.trace_tasks) {
        (Some(nodes), Some(tasks)) => Cell::read(nodes, tasks)?,
        _ => Cell::made_up(1500, 1),
    };
    let mut report = Report::new("place");
    compaction(&cell, &mut report);
    speed(arguments.short, &mut report)?;
    report.finish(arguments.json.as_deref())
}

fn compaction(cell: &Cell, report: &mut Report) {
    let packers = [
        ("steerage", Packer::Ours),
        ("best fit", Packer::Other(Rule::BestFit)),
        ("Nomad's rule", Packer::Other(Rule::Nomad)),
        ("Kubernetes' default rule", Packer::Other(Rule::LeastAllocated)),
    ];
    println!("{} machines, {} tasks, {SEEDS} seeds", cell.machines.len(), cell.tasks.len());
    let mut shown = table(&["rule", "machines", "p90", "over the bound, mean", "p90"]);
    for (who, packer) in packers {
        let mut found: Vec<(usize, f64)> = (1..=SEEDS)
            .map(|seed| {
                let cell = cell.shuffled(seed);
                let (needed, bound) = (needed(&cell, packer, seed), cell.bound());
                (needed, needed as f64 / bound as f64 * 100.0 - 100.0)
            })
            .collect();
        found.sort_by(|one, other| one.1.total_cmp(&other.1));
        let mean = found.iter().map(|(_, over)| over).sum::<f64>() / found.len() as f64;
        let ninetieth = found.get(found.len() * 9 / 10).copied().unwrap_or_default();
        let median = found.get(found.len() / 2).copied().unwrap_or_default();
        shown.add_row([
            who.to_owned(),
            median.0.to_string(),
            ninetieth.0.to_string(),
            format!("{mean:.2} %"),
            format!("{:.2} %", ninetieth.1),
        ]);
        report
            .detail(who, json!({ "over_percent": found.iter().map(|f| f.1).collect::<Vec<_>>() }));
        if let Packer::Ours = packer {
            let what = "machines over the capacity bound, 90th percentile of seeds";
            report.goal(what, ninetieth.1, "%", Target::AtMost(1.5));
        }
    }
    println!("{shown}");
}

/// The fewest of the first machines that are enough.
fn needed(cell: &Cell, packer: Packer, seed: u64) -> usize {
    let may_pend = cell.tasks.len() / MAY_PEND;
    let is_enough = |n_machines: usize| {
        let n_unplaced = match packer {
            Packer::Ours => {
                let plan = place::plan(&cell.view(n_machines), &Aims::default());
                plan.unplaced.iter().map(|unplaced| unplaced.replicas as usize).sum()
            }
            Packer::Other(rule) => cell.unplaced_by(rule, n_machines, seed),
        };
        n_unplaced <= may_pend
    };
    let (mut too_few, mut enough) = (cell.bound() * 98 / 100, cell.machines.len());
    while enough - too_few > 1 {
        let middle = usize::midpoint(too_few, enough);
        if is_enough(middle) {
            enough = middle;
        } else {
            too_few = middle;
        }
    }
    enough
}

fn speed(short: bool, report: &mut Report) -> Result<()> {
    let (view, took) = planned(5_000, 100_000)?;
    let what = "full plan of 100,000 replicas on 5,000 hosts";
    report.goal(what, took.as_secs_f64(), "s", Target::AtMost(2.0));
    loss(&view, report)?;
    let rate = decisions(&view);
    report.goal("decisions a second at 5,000 hosts", rate, "/s", Target::AtLeast(100_000.0));
    if !short {
        let (_, took) = planned(10_000, 1_000_000)?;
        let what = "full plan of 1,000,000 replicas on 10,000 hosts";
        report.goal(what, took.as_secs_f64(), "s", Target::AtMost(30.0));
    }
    Ok(())
}

/// How fast the loss of a host is planned by a planner that was kept, as the driver of a fleet keeps it:
/// long after the last plan, so that nothing of the fleet is in the processor's caches.
fn loss(view: &View, report: &mut Report) -> Result<()> {
    let mut lost = view.clone();
    let (gone, _) = lost.hosts.pop_first().context("there are hosts")?;
    let mut planner = place::Planner::new(view.clone());
    forget_caches();
    let began_at = Instant::now();
    planner.set_host(&gone, None);
    let plan = planner.plan(&Aims::default());
    let took = began_at.elapsed();
    if plan.moves.iter().any(|step| step.from.as_ref() != Some(&gone)) {
        bail!("the loss of a host moved what was not on it");
    }
    if plan != place::plan(&lost, &Aims::default()) {
        bail!("the kept planner plans otherwise than one that begins anew");
    }
    println!("the loss of one of 5,000 hosts moves {} replicas", plan.moves.len());
    let what = "plan after the loss of one of 5,000 hosts";
    report.goal(what, took.as_secs_f64() * 1e3, "ms", Target::AtMost(20.0));
    Ok(())
}

/// Fills the caches with something else.
fn forget_caches() {
    let mut large = vec![1u8; 256 << 20];
    for byte in large.iter_mut().step_by(64) {
        *byte = byte.wrapping_add(1);
    }
    std::hint::black_box(&large);
}

/// A fleet of which nothing is placed yet, planned and carried out; and how long planning took.
fn planned(n_hosts: usize, n_replicas: usize) -> Result<(View, Duration)> {
    let mut view = Cell { machines: machines(n_hosts), tasks: Vec::new() }.view(n_hosts);
    let mut random = fastrand::Rng::with_seed(7);
    let capacity: u64 = view.hosts.values().map(|host| host.capacity.cpu.as_millis()).sum();
    let each = capacity * 7 / 10 / n_replicas as u64;
    for number in 0..n_replicas / 2 {
        let cpu = random.u64(each / 2..each * 3 / 2);
        let memory = cpu * random.u64(2..6);
        let demand = place::Room { cpu: Cpu::milli(cpu), memory: Bytes::mebi(memory) };
        let name = name(&format!("a{number:07}")).context("a name")?;
        view.apps.insert(name, app(2, demand));
    }
    let began_at = Instant::now();
    let plan = place::plan(&view, &Aims::default());
    let took = began_at.elapsed();
    println!(
        "{n_replicas} replicas on {n_hosts} hosts: {:.2} s, {} hosts spare, {} apps unplaced",
        took.as_secs_f64(),
        plan.spare.len(),
        plan.unplaced.len()
    );
    view.apply(&plan);
    Ok((view, took))
}

fn machines(n_hosts: usize) -> Vec<Size> {
    (0..n_hosts).map(|_| Size { cpu: 32_000, memory: 131_072 }).collect()
}

/// How many single decisions are made a second: where one more replica goes in a fleet that is there.
fn decisions(view: &View) -> f64 {
    let mut planner = place::Planner::new(view.clone());
    let demand = place::Room { cpu: Cpu::milli(100), memory: Bytes::mebi(256) };
    let (mut n_decided, began_at) = (0u32, Instant::now());
    while began_at.elapsed() < Duration::from_secs(2) {
        for _ in 0..100 {
            std::hint::black_box(planner.decide(&demand));
            n_decided += 1;
        }
    }
    f64::from(n_decided) / began_at.elapsed().as_secs_f64()
}
