//! What a fleet would be without some of its hosts, with some drained, or with more of them: a view before
//! it is planned.
//! Plans nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::view::{Host, Room, Standing, View};
use crate::id::HostName;
use crate::units::{Bytes, Cpu};

/// Most hosts that are thought of at once.
pub const MOST_NEW_HOSTS: u32 = 10_000;

/// Hosts that are not there yet, all alike: `3x4cpu,16GiB`, with `zone=ZONE` and labels behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewHosts {
    /// How many, from 1 to 10,000.
    pub count: u32,
    /// What each has for apps.
    pub capacity: Room,
    /// What fails together with them; absent, each is in the zone that has the fewest hosts.
    pub zone: Option<String>,
    /// What apps may ask for.
    pub labels: BTreeMap<String, String>,
}

/// A text that describes no new hosts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{value:?} describes no hosts: {wrong}; expected COUNTxCPU,MEMORY such as 3x4cpu,16GiB, and zone=ZONE or LABEL=VALUE behind"
)]
pub struct BadNewHosts {
    value: String,
    wrong: &'static str,
}

impl FromStr for NewHosts {
    type Err = BadNewHosts;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |wrong| BadNewHosts { value: text.to_owned(), wrong };
        let (count, rest) = text.split_once('x').ok_or_else(|| bad("it has no x"))?;
        let count = count.trim().parse().ok().filter(|count| (1..=MOST_NEW_HOSTS).contains(count));
        let count = count.ok_or_else(|| bad("its count is no number from 1 to 10000"))?;
        let (mut cpu, mut memory, mut zone) = (None, None, None);
        let mut labels = BTreeMap::new();
        for part in rest.split(',').map(str::trim) {
            if let Some((name, value)) = part.split_once('=') {
                let is_new = match name {
                    "" => return Err(bad("a label of it has no name")),
                    "zone" => zone.replace(value.to_owned()).is_none(),
                    _ => labels.insert(name.to_owned(), value.to_owned()).is_none(),
                };
                if !is_new {
                    return Err(bad("it says something twice"));
                }
            } else if let (None, Ok(cpus)) = (cpu, Cpu::parse(part)) {
                cpu = Some(cpus);
            } else if let (None, Ok(bytes)) = (memory, Bytes::parse(part)) {
                memory = Some(bytes);
            } else {
                return Err(bad("a part of it is neither cpu nor memory nor NAME=VALUE"));
            }
        }
        let capacity = Room {
            cpu: cpu.filter(|cpu| *cpu > Cpu::ZERO).ok_or_else(|| bad("it has no cpu"))?,
            memory: memory
                .filter(|size| *size > Bytes::ZERO)
                .ok_or_else(|| bad("it has no memory"))?,
        };
        Ok(Self { count, capacity, zone, labels })
    }
}

impl fmt::Display for NewHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, capacity: Room { cpu, memory }, zone, labels } = self;
        write!(f, "{count}x{cpu}cpu,{memory}")?;
        if let Some(zone) = zone {
            write!(f, ",zone={zone}")?;
        }
        labels.iter().try_for_each(|(name, value)| write!(f, ",{name}={value}"))
    }
}

impl View {
    /// Takes a host away; whether it was there.
    pub fn take_away(&mut self, host: &HostName) -> bool {
        self.hosts.remove(host).is_some()
    }

    /// Drains a host; whether it was there.
    pub fn drain(&mut self, host: &HostName) -> bool {
        self.hosts.get_mut(host).map(|host| host.standing = Standing::Draining).is_some()
    }

    /// Opens a host that is cordoned or drained; whether it was there.
    pub fn open(&mut self, host: &HostName) -> bool {
        self.hosts.get_mut(host).map(|host| host.standing = Standing::Open).is_some()
    }

    /// Adds hosts, called `new-1` and so on after those that are there.
    pub fn add_new(&mut self, new: &NewHosts) {
        // A host that was taken away leaves its name where its apps were.
        let mut taken: BTreeSet<HostName> =
            self.apps.values().flat_map(|app| app.on.iter().cloned()).collect();
        taken.extend(self.hosts.keys().cloned());
        let names = (1u32..).filter_map(|number| HostName::parse(&format!("new-{number}")).ok());
        let names = names.filter(|name| !taken.contains(name));
        let mut n_of_zone = BTreeMap::<Arc<str>, u32>::new();
        for host in self.hosts.values() {
            *n_of_zone.entry(host.zone.clone()).or_default() += 1;
        }
        for name in names.take(new.count as usize) {
            let zone = new.zone.as_deref().map_or_else(|| emptiest(&n_of_zone), Arc::from);
            *n_of_zone.entry(zone.clone()).or_default() += 1;
            let host = Host {
                zone,
                labels: new.labels.clone(),
                capacity: new.capacity,
                standing: Standing::Open,
            };
            self.hosts.insert(name, host);
        }
    }
}

/// The zone that has the fewest hosts, the first by name of several.
fn emptiest(n_of_zone: &BTreeMap<Arc<str>, u32>) -> Arc<str> {
    let emptiest = n_of_zone.iter().min_by_key(|(_, n_hosts)| **n_hosts);
    emptiest.map_or_else(Arc::default, |(zone, _)| zone.clone())
}

#[cfg(test)]
mod tests {
    use super::super::{Aims, App, Spread, Why, plan};
    use super::*;

    fn new(text: &str) -> NewHosts {
        text.parse().unwrap()
    }

    fn app(demand: &str, on: &[&str]) -> App {
        App {
            replicas: 1,
            demand: Room { cpu: Cpu::milli(1), memory: Bytes::parse(demand).unwrap() },
            priority: 0,
            needs: BTreeMap::new(),
            apart_from: [].into(),
            on: on.iter().map(|host| host.parse().unwrap()).collect(),
            spread: Spread::BestEffort,
        }
    }

    #[test]
    fn new_hosts_are_read_as_operators_write_them_and_say_the_same_again() {
        for text in ["3x4cpu,16GiB", "3 x 4, 16GiB", "3x16GiB,4000m", "3x4cores,16384MiB"] {
            assert_eq!(new(text), new("3x4cpu,16GiB"), "{text}");
        }
        let whole = new("2x1cpu,1GiB,zone=b,disk=ssd");
        assert_eq!(whole.zone.as_deref(), Some("b"));
        assert_eq!(whole.labels["disk"], "ssd");
        assert_eq!(new(&whole.to_string()), whole);
        for (bad, wrong) in [
            ("4cpu,16GiB", "no x"),
            ("0x4cpu,16GiB", "count"),
            ("10001x4cpu,16GiB", "count"),
            ("ax4cpu,16GiB", "count"),
            ("1x4cpu", "no memory"),
            ("1x16GiB", "no cpu"),
            ("1x0,16GiB", "no cpu"),
            ("1x4cpu,0KiB", "no memory"),
            ("1x4cpu,16GiB,fast", "neither"),
            ("1x4cpu,16GiB,=b", "no name"),
            ("1x4cpu,16GiB,zone=a,zone=b", "twice"),
        ] {
            let told = bad.parse::<NewHosts>().unwrap_err().to_string();
            assert!(told.contains(wrong), "{told}");
            assert!(told.contains(bad), "{told}");
        }
    }

    #[test]
    fn a_host_that_is_taken_away_has_its_apps_move_and_new_ones_make_room() {
        let mut view = View::default();
        view.add_new(&new("2x1cpu,1GiB"));
        let names: Vec<_> = view.hosts.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["new-1", "new-2"]);
        for (name, on) in [("one", "new-1"), ("two", "new-2")] {
            view.apps.insert(name.parse().unwrap(), app("600MiB", &[on]));
        }
        assert_eq!(plan(&view, &Aims::default()).moves, []);
        assert!(view.take_away(&"new-1".parse().unwrap()));
        assert!(!view.take_away(&"new-1".parse().unwrap()));
        let without = plan(&view, &Aims::default());
        assert_eq!(without.unplaced.len(), 1);
        view.add_new(&new("1x1cpu,700MiB"));
        let with = plan(&view, &Aims::default());
        assert_eq!(with.unplaced, []);
        let step = with.moves.first().unwrap();
        assert_eq!(step.to.as_ref().unwrap().as_str(), "new-3");
        assert_eq!(step.why, Why::HostGone);
    }

    #[test]
    fn what_has_nowhere_to_go_from_a_drained_host_is_said_to_stay_on_it() {
        let mut view = View::default();
        view.add_new(&new("2x1cpu,1GiB"));
        for (name, on) in [("one", "new-1"), ("two", "new-2")] {
            view.apps.insert(name.parse().unwrap(), app("600MiB", &[on]));
        }
        let first: HostName = "new-1".parse().unwrap();
        assert!(view.drain(&first));
        assert!(!view.drain(&"new-9".parse().unwrap()));
        let drained = plan(&view, &Aims::default());
        assert_eq!(drained.moves, []);
        let stays = drained.unplaced.first().unwrap();
        assert_eq!((stays.app.as_str(), &stays.stays_on[..]), ("one", &[first][..]));
    }

    #[test]
    fn new_hosts_go_where_the_fewest_are() {
        let mut view = View::default();
        view.add_new(&new("1x1cpu,1GiB,zone=a"));
        view.add_new(&new("3x1cpu,1GiB,zone=b"));
        view.add_new(&new("4x1cpu,1GiB"));
        let in_zone = |zone: &str| view.hosts.values().filter(|host| &*host.zone == zone).count();
        assert_eq!((in_zone("a"), in_zone("b")), (4, 4));
    }
}
