//! A cell to pack: machines and tasks, from a trace's files or made up, and the rules by which others
//! place, one task after the other, computed beside ours in the same run.
//! The rules are those of the schedulers' scores over all machines, not the schedulers themselves.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use steerage_core::place::{App, Host, Room, Spread, Standing, View};
use steerage_core::units::{Bytes, Cpu};

/// What a machine has, or a task asks for: thousandths of a core, and MiB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Size {
    pub(super) cpu: u64,
    pub(super) memory: u64,
}

/// Machines and tasks.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) machines: Vec<Size>,
    pub(super) tasks: Vec<Size>,
}

/// How a scheduler chooses among machines that have room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// The one that is fullest then (the `BestFit-v3` score: the sum of ten to what is left of each).
    BestFit,
    /// The one that is emptiest then: Kubernetes' default.
    LeastAllocated,
    /// The best by `BestFit-v3` of as many random ones as the logarithm of their number: Nomad's.
    Nomad,
}

impl Cell {
    /// Reads the machines and tasks of a trace with the columns `cpu_milli` and `memory_mib`.
    pub(super) fn read(machines: &Path, tasks: &Path) -> Result<Self> {
        let cell = Self { machines: sizes(machines)?, tasks: sizes(tasks)? };
        ensure!(!cell.machines.is_empty() && !cell.tasks.is_empty(), "the trace is empty");
        Ok(cell)
    }

    /// A cell made up by this seed: machines of three sizes, many small tasks and few large ones.
    pub(super) fn made_up(n_machines: usize, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let kinds = [(32_000, 131_072), (64_000, 262_144), (96_000, 393_216)];
        let machine = |random: &mut fastrand::Rng| {
            let (cpu, memory) = random.choice(kinds).unwrap_or((32_000, 131_072));
            Size { cpu, memory }
        };
        let machines: Vec<Size> = (0..n_machines).map(|_| machine(&mut random)).collect();
        let total: u64 = machines.iter().map(|machine| machine.cpu).sum();
        let (mut tasks, mut used) = (Vec::new(), 0);
        while used < total * 7 / 10 {
            let cpu = 250u64 << random.u32(0..7);
            let memory = cpu * random.u64(2..6);
            used += cpu;
            tasks.push(Size { cpu, memory });
        }
        Self { machines, tasks }
    }

    /// The cell with its machines in another order.
    pub(super) fn shuffled(&self, seed: u64) -> Self {
        let mut cell = self.clone();
        let mut random = fastrand::Rng::with_seed(seed);
        random.shuffle(&mut cell.machines);
        random.shuffle(&mut cell.tasks);
        cell
    }

    /// The fewest of the first machines that have as much in all as the tasks ask for in all.
    pub(super) fn bound(&self) -> usize {
        let (mut cpu, mut memory) = self
            .tasks
            .iter()
            .fold((0, 0), |(cpu, memory), task| (cpu + task.cpu, memory + task.memory));
        for (n_before, machine) in self.machines.iter().enumerate() {
            if cpu == 0 && memory == 0 {
                return n_before;
            }
            cpu = cpu.saturating_sub(machine.cpu);
            memory = memory.saturating_sub(machine.memory);
        }
        self.machines.len()
    }

    /// The first machines with all tasks, as placement sees them.
    pub(super) fn view(&self, n_machines: usize) -> View {
        let hosts = self.machines.iter().take(n_machines).enumerate().map(|(number, machine)| {
            let host = Host {
                zone: "one".into(),
                labels: BTreeMap::new(),
                capacity: machine.room(),
                standing: Standing::Open,
            };
            (name(&format!("m{number:06}")), host)
        });
        let apps = self
            .tasks
            .iter()
            .enumerate()
            .map(|(number, task)| (name(&format!("t{number:07}")), app(1, task.room())));
        View {
            hosts: hosts.filter_map(|(name, host)| Some((name?, host))).collect(),
            apps: apps.filter_map(|(name, app)| Some((name?, app))).collect(),
        }
    }

    /// How many tasks have no room on the first machines, placed one by one as the rule says.
    pub(super) fn unplaced_by(&self, rule: Rule, n_machines: usize, seed: u64) -> usize {
        let machines = self.machines.get(..n_machines).unwrap_or(&self.machines);
        let mut free = machines.to_vec();
        let mut random = fastrand::Rng::with_seed(seed);
        let n_looks = usize::BITS - n_machines.max(2).saturating_sub(1).leading_zeros();
        let mut n_unplaced = 0;
        let mut feasible = Vec::new();
        for task in &self.tasks {
            feasible.clear();
            let fits = |free: &Size| free.cpu >= task.cpu && free.memory >= task.memory;
            feasible.extend(free.iter().enumerate().filter(|(_, free)| fits(free)).map(|(m, _)| m));
            if rule == Rule::Nomad {
                let n_looks = (n_looks as usize).min(feasible.len());
                for place in 0..n_looks {
                    let other = random.usize(place..feasible.len());
                    feasible.swap(place, other);
                }
                feasible.truncate(n_looks);
            }
            let score = |machine: &usize| {
                let (Some(all), Some(free)) = (machines.get(*machine), free.get(*machine)) else {
                    return f64::INFINITY;
                };
                let left = |free: u64, task: u64, all: u64| (free - task) as f64 / all as f64;
                let cpu = left(free.cpu, task.cpu, all.cpu);
                let memory = left(free.memory, task.memory, all.memory);
                match rule {
                    Rule::LeastAllocated => -(cpu + memory),
                    Rule::BestFit | Rule::Nomad => 10f64.powf(cpu) + 10f64.powf(memory),
                }
            };
            let best = feasible.iter().min_by(|one, other| score(one).total_cmp(&score(other)));
            match best.and_then(|best| free.get_mut(*best)) {
                Some(free) => {
                    free.cpu -= task.cpu;
                    free.memory -= task.memory;
                }
                None => n_unplaced += 1,
            }
        }
        n_unplaced
    }
}

impl Size {
    pub(super) fn room(self) -> Room {
        Room { cpu: Cpu::milli(self.cpu), memory: Bytes::mebi(self.memory) }
    }
}

/// An app without wishes.
pub(super) fn app(replicas: u32, demand: Room) -> App {
    App {
        replicas,
        demand,
        priority: 0,
        needs: BTreeMap::new(),
        apart_from: std::collections::BTreeSet::new(),
        on: std::collections::BTreeSet::new(),
        spread: Spread::BestEffort,
    }
}

/// The name, which is one.
pub(super) fn name<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn sizes(path: &Path) -> Result<Vec<Size>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let column = |name: &str| {
        let found = header.iter().position(|column| column.trim() == name);
        found.with_context(|| format!("{shown} has no column {name}"))
    };
    let (cpu, memory) = (column("cpu_milli")?, column("memory_mib")?);
    let mut sizes = Vec::new();
    for (number, line) in lines.enumerate() {
        let cells: Vec<&str> = line.split(',').collect();
        let amount = |column: usize| {
            let cell = cells.get(column).and_then(|cell| cell.trim().parse().ok());
            cell.with_context(|| format!("{shown}, line {}: no number", number + 2))
        };
        sizes.push(Size { cpu: amount(cpu)?, memory: amount(memory)? });
    }
    Ok(sizes)
}
