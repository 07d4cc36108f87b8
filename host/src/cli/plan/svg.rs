//! A plan on paper as a picture: every machine a pair of bars, cpu above memory, with the apps in
//! them, today's above the packed ones.
//! Needs nothing from elsewhere: no fonts, no styles, no scripts.

use std::fmt::Write as _;

use steerage_core::pack::{MachineRoom, PackItem};
use steerage_core::xml::escaped;

use super::paper::{Paper, Tally, staying};
use super::tell;

/// Colours that are told apart beside each other on white, by people who see few colours as well.
const COLOURS: [&str; 12] = [
    "#4477aa", "#ee7733", "#228833", "#aa3377", "#ccbb44", "#66ccee", "#882255", "#44aa99",
    "#dd8899", "#997700", "#332288", "#99ddaa",
];
const OTHERS: &str = "#7d8792";
const N_COLUMNS: usize = 4;
const WIDTH: f64 = 1240.0;
const MARGIN: f64 = 28.0;
const CELL: (f64, f64) = (300.0, 62.0);
/// The longest bar: that of the machine with the most of its resource.
const BAR: f64 = 276.0;
/// How many machines of a fleet are drawn: more than anybody looks at one by one.
const MOST_DRAWN: usize = 240;

/// The bar of one resource: how much a room has of it, and where below the machine's top it is and
/// how thick.
type Bar = (fn(MachineRoom) -> u64, f64, f64);

const BARS: [Bar; 2] =
    [(|room| room.cpu.get_micro(), 21.0, 18.0), (|room| room.memory.get(), 40.0, 10.0)];

/// One machine to draw.
struct Shown<'p> {
    name: String,
    room: MachineRoom,
    holds: &'p [(usize, u32)],
}

struct Picture<'p> {
    paper: &'p Paper,
    /// The largest apps by load, the largest first, and their colours.
    colours: Vec<(usize, &'static str)>,
    /// What the longest bars stand for.
    longest: MachineRoom,
    svg: String,
    y: f64,
}

/// Draws a plan.
pub(super) fn draw(paper: &Paper) -> String {
    let today: Vec<Shown<'_>> = paper
        .today
        .machines
        .iter()
        .map(|machine| Shown {
            name: format!("{} ({})", machine.name, machine.kind),
            room: machine.room,
            holds: &machine.holds,
        })
        .collect();
    let kept: Vec<_> = paper
        .kept
        .iter()
        .filter_map(|index| paper.today.machines.get(*index))
        .map(|machine| (machine, staying(machine, &paper.packing)))
        .collect();
    let mut packed: Vec<Shown<'_>> = (1..)
        .zip(&paper.packing.machines)
        .filter_map(|(number, machine)| {
            let kind = paper.kinds.get(machine.kind)?;
            let group = tell::group(machine).map_or_else(String::new, |group| format!(", {group}"));
            let name = format!("{number} ({}{group})", kind.name);
            Some(Shown { name, room: kind.room, holds: &machine.holds })
        })
        .collect();
    packed.extend(kept.iter().map(|(machine, holds)| Shown {
        name: format!("{} ({}), kept", machine.name, machine.kind),
        room: machine.room,
        holds,
    }));
    let rooms = today.iter().chain(&packed).map(|shown| shown.room);
    let longest = rooms.reduce(|one, other| MachineRoom {
        cpu: one.cpu.max(other.cpu),
        memory: one.memory.max(other.memory),
    });
    let mut picture = Picture {
        paper,
        colours: colours(paper),
        longest: longest.unwrap_or_default(),
        svg: String::new(),
        y: MARGIN,
    };
    picture.heading();
    picture.legend();
    if let Some(before) = &paper.before {
        picture.fleet("Today", before, &today, true);
    }
    picture.fleet("Packed", &paper.after, &packed, false);
    picture.framed()
}

/// The apps that need most get colours of their own.
fn colours(paper: &Paper) -> Vec<(usize, &'static str)> {
    let all = paper.after.need;
    let mut loads: Vec<(u128, usize)> = paper
        .loads
        .iter()
        .enumerate()
        .map(|(index, load)| {
            let need = load.need.times(load.replicas);
            let share =
                |part: u64, whole: u64| u128::from(part) * 1_000_000 / u128::from(whole.max(1));
            let size = share(need.cpu.get_micro(), all.cpu.get_micro())
                + share(need.memory.get(), all.memory.get());
            (size, index)
        })
        .collect();
    loads.sort_unstable_by_key(|&(size, index)| (std::cmp::Reverse(size), index));
    loads.into_iter().map(|(_, index)| index).zip(COLOURS).collect()
}

impl Picture<'_> {
    fn text(&mut self, x: f64, size: u32, colour: &str, text: &str) {
        let (y, text) = (self.y, escaped(text));
        // A String takes whatever is written to it.
        writeln!(
            self.svg,
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" fill="{colour}">{text}</text>"#
        )
        .ok();
    }

    fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), style: &str) {
        writeln!(
            self.svg,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" {style}/>"#
        )
        .ok();
    }

    fn heading(&mut self) {
        self.y += 14.0;
        let title = format!("{}: {}", self.paper.fleet, tell::headline(self.paper));
        self.text(MARGIN, 22, "#1b1f24", &title);
        self.y += 14.0;
    }

    fn legend(&mut self) {
        let mut shown: Vec<(String, &str)> = Vec::new();
        for &(load, colour) in &self.colours {
            let name = self.paper.loads.get(load).map_or("", |load| &load.name);
            shown.push((cut(name, 24), colour));
        }
        if self.paper.loads.len() > shown.len() {
            shown.push((format!("{} others", self.paper.loads.len() - shown.len()), OTHERS));
        }
        let step = (WIDTH - 2.0 * MARGIN) / 6.0;
        for row in shown.chunks(6) {
            self.y += 20.0;
            let mut x = MARGIN;
            for (name, colour) in row {
                self.rect((x, self.y - 10.0), (12.0, 12.0), &format!(r#"rx="2" fill="{colour}""#));
                self.text(x + 18.0, 12, "#1b1f24", name);
                x += step;
            }
        }
        self.y += 26.0;
        self.text(
            MARGIN,
            12,
            "#57606a",
            "Upper bar: cpu, lower bar: memory, as long as the machine has of it. Solid: needed (measured \
             use with headroom, else what is asked for). Pale: asked for and not needed. Grey: free.",
        );
        self.y += 10.0;
    }

    fn fleet(&mut self, title: &str, tally: &Tally, machines: &[Shown<'_>], shows_asked: bool) {
        self.y += 34.0;
        let share = |part: u64, whole: u64| u128::from(part) * 100 / u128::from(whole.max(1));
        let cost = tally.hourly.filter(|hourly| hourly.get() > 0);
        let cost = cost
            .map_or_else(String::new, |hourly| format!(", {} a month", tell::cost(Some(hourly))));
        let summary = format!(
            "{title}: {} machines{cost}; {} % of the cpu and {} % of the memory are used",
            tally.n_machines,
            share(tally.used.cpu.get_micro(), tally.has.cpu.get_micro()),
            share(tally.used.memory.get(), tally.has.memory.get()),
        );
        self.text(MARGIN, 16, "#1b1f24", &summary);
        self.y += 12.0;
        let drawn = machines.get(..machines.len().min(MOST_DRAWN)).unwrap_or_default();
        for row in drawn.chunks(N_COLUMNS) {
            let mut x = MARGIN;
            for machine in row {
                self.machine(x, machine, shows_asked);
                x += CELL.0;
            }
            self.y += CELL.1;
        }
        if machines.len() > drawn.len() {
            self.y += 16.0;
            let more = format!("and {} more", machines.len() - drawn.len());
            self.text(MARGIN, 12, "#57606a", &more);
        }
    }

    fn machine(&mut self, x: f64, machine: &Shown<'_>, shows_asked: bool) {
        let top = self.y;
        self.y = top + 16.0;
        self.text(x, 12, "#1b1f24", &cut(&machine.name, 44));
        for (of, below, height) in BARS {
            let y = top + below;
            let has = of(machine.room) as f64;
            let length = BAR * has / of(self.longest).max(1) as f64;
            self.rect(
                (x, y),
                (length, height),
                r##"fill="#f4f6f8" stroke="#d0d7de" stroke-width="0.8""##,
            );
            let pieces = self.pieces(machine.holds, of, shows_asked);
            let total: f64 = pieces.iter().map(|piece| piece.1.max(piece.2)).sum();
            // What is more than there is would not fit the bar: all of it shrinks, and a red edge says so.
            let scale = length / total.max(has).max(1.0);
            let mut at = x;
            for (load, need, whole) in pieces {
                let width = need.max(whole) * scale;
                self.piece(load, (at, y), (width, height), need * scale);
                at += width;
            }
            if total > has * 1.0001 {
                self.rect(
                    (x, y),
                    (length, height),
                    r##"fill="none" stroke="#cc3311" stroke-width="1.5""##,
                );
            }
        }
        self.y = top;
    }

    /// Of each app on a machine: what it needs there, and what it asks for where that is shown.
    fn pieces(
        &self,
        holds: &[(usize, u32)],
        of: fn(MachineRoom) -> u64,
        shows_asked: bool,
    ) -> Vec<(usize, f64, f64)> {
        let piece = |(index, n): &(usize, u32)| {
            let load: &PackItem = self.paper.loads.get(*index)?;
            let asked = if shows_asked { of(load.asked.times(*n)) as f64 } else { 0.0 };
            Some((*index, of(load.need.times(*n)) as f64, asked))
        };
        holds.iter().filter_map(piece).collect()
    }

    fn piece(&mut self, index: usize, (x, y): (f64, f64), (width, height): (f64, f64), need: f64) {
        let Some(load) = self.paper.loads.get(index) else { return };
        let own = self.colours.iter().find(|(load, _)| *load == index);
        let colour = own.map_or(OTHERS, |(_, colour)| colour);
        let name = escaped(&load.name);
        writeln!(self.svg, "<g><title>{name}</title>").ok();
        let edge = r##"stroke="#ffffff" stroke-width="0.6""##;
        self.rect(
            (x, y),
            (width, height),
            &format!(r#"fill="{colour}" fill-opacity="0.3" {edge}"#),
        );
        self.rect((x, y), (need.min(width), height), &format!(r#"fill="{colour}" {edge}"#));
        if let Some(name) = fitting(&load.name, width).filter(|_| height > 12.0) {
            let below = std::mem::replace(&mut self.y, y + height - 5.5);
            let colour = if need * 2.0 > width { "#ffffff" } else { "#1b1f24" };
            self.text(x + 4.0, 10, colour, &name);
            self.y = below;
        }
        self.svg.push_str("</g>\n");
    }

    fn framed(self) -> String {
        let height = self.y + MARGIN;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" \
             font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, sans-serif\">\n\
             <title>{}</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{}</svg>",
            escaped(&tell::headline(self.paper)),
            self.svg
        )
    }
}

/// As much of a name as fits into a piece; `None` where that says nothing.
fn fitting(name: &str, width: f64) -> Option<String> {
    let fits = |most: &usize| (*most as f64 + 1.0) * 6.2 <= width;
    let most = (1..=name.chars().count()).take_while(fits).last()?;
    (most >= 4 || most == name.chars().count()).then(|| cut(name, most))
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}
