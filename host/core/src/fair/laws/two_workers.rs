//! Simulated hosts with two workers on each core: a thread that reads requests and runs short slices, and
//! below it a guest thread that runs long ones while the first has nothing to do. A worker looks at its
//! queue when something happened there, as the workers of a host do, and at no other time.
//! Claims little: that an app with few callers gets what it is entitled to beside one that loops.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::super::{Charge, Common, Exchange, FIRST_ESTIMATE, Fair, FlowEntry};
use super::MICRO;
use crate::units::Weight;

const MILLI: u64 = 1000 * MICRO;
/// A small call: what it takes to read and to answer it, and its slice.
const IO: u64 = 15 * MICRO;
const CALL: u64 = 20 * MICRO;
/// How long a caller needs to ask again.
const PAUSE: u64 = 20 * MICRO;
/// The slices of the app that loops.
const LOOP: u64 = 2 * MILLI;

/// What waits or runs: of the app that is called, on the connection of this number; or of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Call(usize),
    Loop,
}

/// A charge and the queue that it was made in.
type Charged = (Charge, usize);

#[derive(Debug, Default)]
struct Core {
    /// Requests that are there to be read.
    inbox: VecDeque<usize>,
    /// What the thread that reads is at, until when; a slice, if it has been charged for one.
    reads: Option<(u64, usize, Option<Charged>)>,
    /// The slice of the guest thread, and what is left of it.
    loops: Option<(u64, Charged)>,
    inline: Exchange,
    guests: Exchange,
}

struct Host {
    now: u64,
    cores: Vec<Core>,
    queues: Vec<Fair<Item>>,
    /// Queues in which something happened since their workers looked.
    is_touched: Vec<bool>,
    called: Arc<FlowEntry>,
    looping: Arc<FlowEntry>,
    /// Where each connection is read.
    homes: Vec<usize>,
    /// Callers that are about to ask: when, and on which connection.
    away: Vec<(u64, usize)>,
    io_debt: u64,
    n_answered: u64,
}

impl Host {
    /// Members may be behind by the credit of so many cores.
    fn new(n_cores: usize, n_queues: usize, homes: Vec<usize>, credit: usize) -> Self {
        let common = Arc::new(Common::new(credit));
        let tenant = common.tenant(Weight::DEFAULT);
        let [called, looping] = [(); 2].map(|()| common.flow(&tenant, Weight::DEFAULT));
        Self {
            now: 0,
            cores: (0..n_cores).map(|_| Core::default()).collect(),
            queues: (0..n_queues).map(|_| Fair::new(common.clone())).collect(),
            is_touched: vec![true; n_queues],
            called,
            looping,
            away: (0..homes.len()).map(|number| (0, number)).collect(),
            homes,
            io_debt: 0,
            n_answered: 0,
        }
    }

    /// Has the app loop that does, with several tasks for each core.
    fn with_loops(mut self) -> Self {
        for core in 0..self.cores.len() {
            (0..8).for_each(|_| self.enqueue(self.queue_of(core), Item::Loop));
        }
        self
    }

    fn time(&self) -> Duration {
        Duration::from_nanos(self.now)
    }

    fn queue_of(&self, core: usize) -> usize {
        core * self.queues.len() / self.cores.len()
    }

    fn enqueue(&mut self, queue: usize, item: Item) {
        let (entry, estimate) = match item {
            Item::Call(_) => (&self.called, FIRST_ESTIMATE),
            Item::Loop => (&self.looping, Duration::from_nanos(LOOP)),
        };
        let fair = &mut self.queues[queue];
        fair.know(entry, estimate);
        fair.enqueue_at(entry.key(), item, Duration::from_nanos(self.now));
        self.is_touched[queue] = true;
    }

    fn settle(&mut self, (charge, queue): Charged, used: u64) {
        let time = self.time();
        self.queues[queue].settle(charge, Duration::from_nanos(used), time);
        let debt = Duration::from_nanos(std::mem::take(&mut self.io_debt));
        self.queues[queue].know(&self.called, FIRST_ESTIMATE);
        self.queues[queue].charge(self.called.key(), debt);
        self.is_touched[queue] = true;
    }

    /// What a worker runs next, as `cpu/cores/take.rs` has it.
    fn take(&mut self, core: usize, is_inline: bool) -> Option<(Item, Charged)> {
        let (own, n_queues, time) = (self.queue_of(core), self.queues.len(), self.time());
        let next = self.queues[own].is_next_short();
        let shows: Vec<bool> =
            self.queues.iter_mut().map(|fair| fair.is_next_short() == Some(is_inline)).collect();
        let first_from = |from: usize| {
            let mut circle = (0..n_queues).map(|step| (from + step) % n_queues);
            circle.find(|queue| *queue != own && shows[*queue])
        };
        let of_core = &mut self.cores[core];
        let exchange = if is_inline { &mut of_core.inline } else { &mut of_core.guests };
        let served = match next {
            Some(is_short) if is_short == is_inline => Some(own),
            Some(_) if !is_inline => None,
            _ => exchange.serves(first_from),
        }?;
        if let Some(partner) = exchange.partner(time, served, first_from) {
            let before = self.queues[served].next_standing();
            let fair = &mut self.queues[partner];
            let key = fair.rival(before.as_ref());
            if let Some(key) = key.filter(|key| fair.is_short(*key) == Some(is_inline))
                && let Some(standing) = fair.standing_of(key)
                && let Some((item, charge)) = fair.pop_of(key)
            {
                exchange.found(standing);
                return Some((item, (charge, partner)));
            }
        }
        if served != own {
            exchange.took(self.queues[served].next_standing()?);
        }
        let (item, charge) = self.queues[served].pop()?;
        self.is_touched[served] = true;
        Some((item, (charge, served)))
    }

    /// Has the thread that reads do what there is; says whether there was anything.
    fn read(&mut self, core: usize) -> bool {
        let queue = self.queue_of(core);
        if self.cores[core].reads.is_some() {
            return false;
        }
        let Some(number) = self.cores[core].inbox.pop_front() else {
            let taken = self.is_touched[queue].then(|| self.take(core, true)).flatten();
            if let Some((Item::Call(number), charged)) = taken {
                self.cores[core].reads = Some((self.now + CALL, number, Some(charged)));
                return true;
            }
            return false;
        };
        self.io_debt += IO;
        let time = self.time();
        let shows: Vec<bool> =
            self.queues.iter_mut().map(|fair| fair.is_next_short() == Some(true)).collect();
        let rival = self.cores[core].inline.rival(|from| shows[from]).copied();
        let fair = &mut self.queues[queue];
        fair.know(&self.called, FIRST_ESTIMATE);
        let charge = fair.start_before(self.called.key(), rival.as_ref(), time);
        let (until, charged) = match charge {
            Some(charge) => (self.now + IO + CALL, Some((charge, queue))),
            None => {
                self.enqueue(queue, Item::Call(number));
                (self.now + IO, None)
            }
        };
        self.cores[core].reads = Some((until, number, charged));
        true
    }

    fn dispatch(&mut self) {
        loop {
            let now = self.now;
            let asking: Vec<_> = self.away.extract_if(.., |(at, _)| *at <= now).collect();
            for (_, number) in asking {
                self.cores[self.homes[number]].inbox.push_back(number);
            }
            let mut is_any = false;
            for core in 0..self.cores.len() {
                is_any |= self.read(core);
                let queue = self.queue_of(core);
                if self.cores[core].loops.is_none()
                    && self.is_touched[queue]
                    && let Some((_, charged)) = self.take(core, false)
                {
                    self.cores[core].loops = Some((LOOP, charged));
                    is_any = true;
                }
            }
            if !is_any {
                break;
            }
        }
        self.is_touched.fill(false);
    }

    /// Runs until `end`.
    fn run(&mut self, end: u64) {
        loop {
            self.dispatch();
            let ends = self.cores.iter().filter_map(|core| match (&core.reads, &core.loops) {
                (Some((until, ..)), _) => Some(*until),
                (None, Some((left, _))) => Some(self.now + left),
                (None, None) => None,
            });
            let next = ends.chain(self.away.iter().map(|(at, _)| *at)).fold(end, u64::min);
            for core in self.cores.iter_mut().filter(|core| core.reads.is_none()) {
                if let Some((left, _)) = &mut core.loops {
                    *left -= next - self.now;
                }
            }
            self.now = next;
            if next == end {
                return;
            }
            for core in 0..self.cores.len() {
                self.end_slices(core);
            }
        }
    }

    fn end_slices(&mut self, core: usize) {
        let now = self.now;
        if let Some((_, number, charged)) =
            self.cores[core].reads.take_if(|(until, ..)| *until == now)
            && let Some(charged) = charged
        {
            self.n_answered += 1;
            self.settle(charged, CALL);
            self.away.push((now + PAUSE, number));
        }
        if self.cores[core].reads.is_none()
            && let Some((_, charged)) = self.cores[core].loops.take_if(|(left, _)| *left == 0)
        {
            self.settle(charged, LOOP);
            self.enqueue(self.queue_of(core), Item::Loop);
        }
    }
}

/// What an app with so many callers on each core is answered beside one that loops, as a part of what it is
/// answered alone.
fn part(n_cores: usize, n_queues: usize, callers: usize, credit: usize) -> f64 {
    let homes = || (0..callers * n_cores).map(|number| number % n_cores).collect();
    let mut alone = Host::new(n_cores, n_queues, homes(), credit);
    alone.run(50 * MILLI);
    let mut beside = Host::new(n_cores, n_queues, homes(), credit).with_loops();
    beside.run(20 * MILLI);
    let before = beside.n_answered;
    beside.run(70 * MILLI);
    for queue in &beside.queues {
        assert_eq!(queue.check(), Ok(()));
    }
    (beside.n_answered - before) as f64 / alone.n_answered as f64
}

/// Two callers on each core keep it busy when they are alone, so half of that is what the app is entitled to;
/// one caller needs 0.64 of a core, so it is entitled to 0.79 of what it gets alone. `--nocapture` shows the
/// figures.
#[test]
fn few_callers_beside_an_app_that_loops_get_what_they_are_entitled_to() {
    println!("cores  queues  callers a core  of that alone");
    for (n_cores, n_queues) in [(1, 1), (2, 2), (2, 1), (8, 8), (8, 1), (64, 64)] {
        for (callers, entitled) in [(1, 0.79), (2, 0.5)] {
            let part = part(n_cores, n_queues, callers, n_cores);
            println!("{n_cores:5}  {n_queues:6}  {callers:14}  {:11.0} %", part * 100.0);
            assert!(part >= 0.95 * entitled, "{part} of {entitled} on {n_cores} cores");
        }
    }
}

/// What the credit is for: without it the app loses what it is behind each time all its calls are being
/// answered at once, with one queue as with several.
#[test]
fn without_credit_few_callers_lose_what_they_are_entitled_to() {
    for (n_cores, n_queues) in [(2, 1), (2, 2), (8, 8)] {
        let [with, without] = [n_cores, 0].map(|credit| part(n_cores, n_queues, 2, credit));
        println!("{n_cores} cores, {n_queues} queues: {with:.2}, without credit {without:.2}");
        assert!(with >= without + 0.05, "{with} and {without}");
    }
}
