//! Machines on one switch: a network namespace for each, joined by a bridge in a namespace of its
//! own, so that runs beside each other never meet. Cables can be cut, and two machines parted.
//! Needs root and `ip`, and no kernel module beyond bridges and veth pairs. Does not start programs.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where `ip netns` keeps what it names.
const NAMED: &str = "/run/netns";
/// What our namespaces begin with; the number of the process follows, then a dash.
const OURS: &str = "steerage-";
/// A neighbour that nobody is: what is sent to it is lost without a word, as on a broken way.
const NOBODY: &str = "02:00:00:00:00:99";

/// Machines and the switch between them. All of it is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Network {
    prefix: String,
    machines: Vec<Machine>,
}

#[derive(Clone, Copy, Debug)]
struct Machine {
    name: &'static str,
    address: Ipv4Addr,
}

/// Why there can be no network here; `None` where there can.
pub(crate) fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root".to_owned());
    }
    sweep();
    let trial = format!("{OURS}{}-trial", std::process::id());
    let made = ip(&["netns", "add", &trial]);
    drop(ip(&["netns", "del", &trial]));
    made.err().map(|error| format!("network namespaces cannot be made here: {error:#}"))
}

impl Network {
    /// Makes them; each machine has this number as the last of its address.
    pub(crate) fn build(machines: &[(&'static str, u8)]) -> anyhow::Result<Self> {
        let machines = machines.iter().map(|(name, number)| {
            let address = Ipv4Addr::new(10, 77, 0, *number);
            Machine { name, address }
        });
        let prefix = format!("{OURS}{}-{:04x}", std::process::id(), fastrand::u16(..));
        // Made before the first namespace is, so that what was begun is removed when the rest fails.
        let network = Self { prefix, machines: machines.collect() };
        let switch = network.namespace("switch");
        ip(&["netns", "add", &switch])?;
        batch(&switch, &["link add bridge type bridge".into(), "link set bridge up".into()])?;
        for machine in &network.machines {
            let Machine { name, address } = machine;
            let inside = network.namespace(name);
            ip(&["netns", "add", &inside])?;
            batch(
                &switch,
                &[
                    format!("link add {name} type veth peer name eth0 netns {inside}"),
                    format!("link set {name} master bridge up"),
                ],
            )?;
            batch(
                &inside,
                &[
                    "link set lo up".to_owned(),
                    format!("addr add {address}/24 dev eth0"),
                    "link set eth0 up".to_owned(),
                ],
            )?;
        }
        Ok(network)
    }

    /// A program to be run on this machine. It ends with the thread that starts it, however that
    /// ends.
    pub(crate) fn command(&self, machine: &str, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace(machine)])
            .args(["setpriv", "--pdeathsig", "KILL", "--"])
            .arg(program)
            .stdin(Stdio::null());
        command
    }

    /// Moves this thread to a machine: the sockets it makes from now on, and the programs and threads
    /// it starts, are there.
    pub(crate) fn enter(&self, machine: &str) -> anyhow::Result<()> {
        let path = Path::new(NAMED).join(self.namespace(machine));
        let file = File::open(&path).with_context(|| format!("no {}", path.display()))?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("cannot enter {}", path.display()))
    }

    pub(crate) fn address(&self, machine: &str) -> IpAddr {
        let found = self.machines.iter().find(|known| known.name == machine);
        found.map_or(Ipv4Addr::UNSPECIFIED, |machine| machine.address).into()
    }

    /// Pulls a machine's cable: nobody is told, neither there nor elsewhere.
    pub(crate) fn cut(&self, machine: &str) -> anyhow::Result<()> {
        batch(&self.namespace("switch"), &[format!("link set {machine} down")])
    }

    /// Puts the cable back.
    pub(crate) fn mend(&self, machine: &str) -> anyhow::Result<()> {
        batch(&self.namespace("switch"), &[format!("link set {machine} up")])
    }

    /// Loses whatever one machine and any of these send each other.
    pub(crate) fn part(&self, one: &str, others: &[&str]) -> anyhow::Result<()> {
        self.between(one, others, |address| {
            format!("neigh replace {address} lladdr {NOBODY} nud permanent dev eth0")
        })
    }

    /// Lets them hear each other again.
    pub(crate) fn join(&self, one: &str, others: &[&str]) -> anyhow::Result<()> {
        self.between(one, others, |address| format!("neigh del {address} dev eth0"))
    }

    fn between(
        &self,
        one: &str,
        others: &[&str],
        line: impl Fn(IpAddr) -> String,
    ) -> anyhow::Result<()> {
        for other in others {
            batch(&self.namespace(one), &[line(self.address(other))])?;
            batch(&self.namespace(other), &[line(self.address(one))])?;
        }
        Ok(())
    }

    fn namespace(&self, machine: &str) -> String {
        format!("{}-{machine}", self.prefix)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for machine in self.machines.iter().map(|machine| machine.name).chain(["switch"]) {
            // What was never made cannot be removed.
            drop(ip(&["netns", "del", &self.namespace(machine)]));
        }
    }
}

/// Removes what runs have left that were killed: nothing runs in it any more.
fn sweep() {
    for entry in fs::read_dir(NAMED).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(OURS).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            drop(ip(&["netns", "del", &name]));
        }
    }
}

fn ip(words: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip").args(words).output().context("cannot run `ip`")?;
    if !output.status.success() {
        bail!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Runs some lines of `ip` in one namespace.
fn batch(namespace: &str, lines: &[String]) -> anyhow::Result<()> {
    let mut command = Command::new("ip");
    command.args(["-n", namespace, "-batch", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot run `ip`")?;
    let text = lines.join("\n") + "\n";
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes()).context("`ip` does not read")?;
    }
    let output = child.wait_with_output().context("cannot wait for `ip`")?;
    if !output.status.success() {
        bail!("ip in {namespace}: {text}{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
