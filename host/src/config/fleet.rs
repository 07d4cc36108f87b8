//! What an operator says about the fleet that a host belongs to, and what must be said together.
//! Does not reach anybody.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use steerage_core::id::HostName;
use steerage_core::manifest;
use steerage_core::place::Policy;
use steerage_core::replicas;
use steerage_core::units::parse_duration;

use super::Settings;
use super::check::{address, bounded};
use super::said::Said;
use crate::kernel;
use crate::store::StoreSettings;

/// The lease: etcd grants no shorter one than 2 s with its defaults.
const LEASES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(600));
/// 3 s: long enough for a machine that is busy, short enough that apps come back before a person has
/// looked twice.
const LEASE: Duration = Duration::from_secs(3);
/// 20 %: what Autopilot's users ask for beyond what they use in the 95th of a hundred looks is twice
/// that; instances cost little to start elsewhere, so less is enough.
const HEADROOM: u32 = 20;
const MOST_HEADROOM: u32 = 1000;
/// 5 min: what a machine that is given back saves is counted in hours, and what moves is as good as
/// new after seconds.
const QUIET: Duration = Duration::from_secs(300);
/// 5 min, as Kubernetes keeps of its etcd: a host that stood still for less goes on with its watch.
const HISTORY: Duration = Duration::from_secs(300);
/// The longest time in which hosts may come back: calls of what ran there are served by others meanwhile.
const GRACE: Duration = Duration::from_secs(3600);
/// Two a second: what starts elsewhere is brought, compiled and called for the first time there.
const MOVE_RATE: u32 = 120;
const MOVE_RATES: (u32, u32) = (1, 1_000_000);
/// The longest time in which replicas stay that load does not want any more.
const SCALE_DOWN: Duration = Duration::from_secs(86_400);
const QUIETS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(7 * 86_400));

/// The fleet that a host belongs to.
#[derive(Clone, Debug)]
pub struct FleetSettings {
    /// What all hosts share.
    pub store: StoreSettings,
    /// This host's name in it.
    pub name: HostName,
    /// What fails together with it.
    pub zone: String,
    /// What apps may ask for.
    pub labels: BTreeMap<String, String>,
    /// Where it takes requests of other hosts; port 0 takes a free one.
    pub peer: SocketAddr,
    /// Where other hosts reach it, if that is not where it listens.
    pub peer_address: Option<SocketAddr>,
    /// How long the others take it for alive that do not hear of it.
    pub lease: Duration,
    /// The folder with the certificates by which hosts know each other; `None` for plain text.
    pub identity: Option<PathBuf>,
    /// The key of the authority, where this host signs the certificates of others.
    pub authority_key: Option<PathBuf>,
    /// What is kept free beyond what apps use, in percent of that.
    pub headroom: u32,
    /// How long nothing must have moved before hosts are emptied that others can take the replicas of;
    /// `None` for never.
    pub consolidate: Option<Duration>,
    /// How long a host that ended or was lost may take to come back before its replicas are moved.
    pub grace: Duration,
    /// How many replicas are moved in a minute at most that could stay where they are.
    pub move_rate: u32,
    /// How long fewer replicas have to be enough for an app's load before some go.
    pub scale_down: Duration,
    /// Which of the hosts that would do gets a replica.
    pub policy: Policy,
    /// How much of the store's history is kept; `None` where whoever runs it sees to that.
    pub history: Option<Duration>,
}

/// Reads what was said of a fleet; `None` where there is none.
pub(super) fn read(said: &mut Said<'_, '_>, settings: &Settings) -> Option<FleetSettings> {
    let store = said.take("fleet.store", StoreSettings::parse);
    let password_file = said.take("fleet.store_password_file", |text| {
        if text.is_empty() { Err("is empty: expected a file") } else { Ok(PathBuf::from(text)) }
    });
    let insecure_store = said.take("fleet.insecure_store", |text| {
        text.parse().map_err(|_| format!("{text:?} is neither true nor false"))
    });
    let fleet = said.take("fleet.fleet", label);
    let name = said.take("fleet.name", HostName::parse);
    let zone = said.take("fleet.zone", label).unwrap_or_else(|| "default".to_owned());
    let labels = said.take("fleet.labels", labels).unwrap_or_default();
    let peer = said.take("fleet.peer", address);
    let peer_address = said.take("fleet.peer_address", address);
    let lease = said.take("fleet.lease", |text| {
        let lease = parse_duration(text).map_err(|error| error.to_string())?;
        bounded(lease, LEASES.0, LEASES.1, |lease| steerage_core::units::show_duration(*lease))
    });
    let identity = said.take("fleet.identity", |text| {
        if text.is_empty() { Err("is empty: expected a folder") } else { Ok(PathBuf::from(text)) }
    });
    let authority_key = said.take("fleet.authority_key", |text| {
        if text.is_empty() { Err("is empty: expected a file") } else { Ok(PathBuf::from(text)) }
    });
    let insecure = said.take("fleet.insecure_peers", |text| {
        text.parse().map_err(|_| format!("{text:?} is neither true nor false"))
    });
    let planning = planning(said);
    let history = said.take("fleet.store_history", quiet);
    if !said.has("fleet.store") {
        lonely(said);
        return None;
    }
    let store = store.map(|store| {
        reach(said, store, password_file, insecure_store == Some(true), fleet.as_deref())
    });
    if identity.is_none() && insecure != Some(true) && !said.has("fleet.identity") {
        said.wrong(
            "fleet.store",
            "needs --identity DIR, made by `steerage cert issue`: hosts speak mutual TLS with each \
             other; --insecure-peers true is for trying out on one machine"
                .to_owned(),
        );
    }
    if authority_key.is_some() && (identity.is_none() || insecure == Some(true)) {
        let message = "needs --identity too: who asks for a certificate shows the one that it has";
        said.wrong("fleet.authority_key", message.to_owned());
    }
    let peer = peer.unwrap_or_else(|| SocketAddr::new(settings.listen.ip(), DEFAULT_PEER_PORT));
    if peer.ip().is_unspecified() && peer_address.is_none() {
        said.wrong(
            "fleet.peer",
            format!("is {peer}: other hosts need one address; say it with --peer-address"),
        );
    }
    let name = name.or_else(|| HostName::parse(&kernel::machine_name()).ok());
    if name.is_none() && !said.has("fleet.name") {
        said.wrong(
            "fleet.store",
            "needs --name: this machine's own name cannot be a host's".to_owned(),
        );
    }
    Some(FleetSettings {
        store: store?,
        name: name?,
        zone,
        labels,
        peer,
        peer_address,
        lease: lease.unwrap_or(LEASE),
        identity: if insecure == Some(true) { None } else { identity },
        authority_key,
        headroom: planning.headroom,
        consolidate: planning.consolidate,
        grace: planning.grace,
        policy: planning.policy,
        move_rate: planning.move_rate,
        scale_down: planning.scale_down,
        history: history.unwrap_or(Some(HISTORY)),
    })
}

/// What is said of how the fleet is planned.
struct Planning {
    headroom: u32,
    consolidate: Option<Duration>,
    grace: Duration,
    policy: Policy,
    move_rate: u32,
    scale_down: Duration,
}

fn planning(said: &mut Said<'_, '_>) -> Planning {
    let headroom = said.take("fleet.headroom", |text| {
        let number = text.strip_suffix('%').unwrap_or(text).trim();
        let percent = number.parse().map_err(|_| format!("{text:?} is no percentage"))?;
        bounded(percent, 0, MOST_HEADROOM, |percent| format!("{percent}%"))
    });
    let consolidate = said.take("fleet.consolidate", quiet);
    let grace = said.take("fleet.grace", |text| {
        let grace = parse_duration(text).map_err(|error| error.to_string())?;
        bounded(grace, Duration::ZERO, GRACE, |grace| steerage_core::units::show_duration(*grace))
    });
    let move_rate = said.take("fleet.move_rate", |text| {
        let rate = text.parse().map_err(|_| format!("{text:?} is no number of moves"))?;
        bounded(rate, MOVE_RATES.0, MOVE_RATES.1, u32::to_string)
    });
    let scale_down = said.take("fleet.scale_down", |text| {
        let window = parse_duration(text).map_err(|error| error.to_string())?;
        let show = |window: &Duration| steerage_core::units::show_duration(*window);
        bounded(window, Duration::ZERO, SCALE_DOWN, show)
    });
    let policy = said.take("fleet.placement", |text| match text {
        "pack" => Ok(Policy::Pack),
        "spread" => Ok(Policy::Spread),
        other => Err(format!("{other:?} is neither pack nor spread")),
    });
    if policy == Some(Policy::Spread) && matches!(consolidate, Some(Some(_))) {
        let message = "empties hosts, which --placement spread fills again: say never, or pack";
        said.wrong("fleet.consolidate", message.to_owned());
    }
    let quiet_time = if policy == Some(Policy::Spread) { None } else { Some(QUIET) };
    Planning {
        headroom: headroom.unwrap_or(HEADROOM),
        consolidate: consolidate.unwrap_or(quiet_time),
        grace: grace.unwrap_or_default(),
        policy: policy.unwrap_or_default(),
        move_rate: move_rate.unwrap_or(MOVE_RATE),
        scale_down: scale_down.unwrap_or(replicas::WINDOW),
    }
}

/// The store with all that was said of the way to it.
fn reach(
    said: &mut Said<'_, '_>,
    store: StoreSettings,
    password_file: Option<PathBuf>,
    is_insecure: bool,
    fleet: Option<&str>,
) -> StoreSettings {
    let StoreSettings::Etcd(mut etcd) = store else { return store };
    if let Some(member) = etcd.exposed().filter(|_| !is_insecure) {
        let message = format!(
            "speaks plain text with {member}, which is not on this machine, and what it holds are \
             manifests with their [env]: write etcds://, or say --insecure-store true where nobody \
             else is on the network"
        );
        said.wrong("fleet.store", message);
    }
    match (&etcd.user, &password_file) {
        (Some((user, password)), None) if password.is_empty() => {
            let message = format!("names {user}, whose password belongs in --store-password-file");
            said.wrong("fleet.store", message);
        }
        (Some((_, password)), Some(_)) if !password.is_empty() => {
            said.wrong("fleet.store_password_file", "--store holds a password too".to_owned());
        }
        (None, Some(_)) => {
            let message = "needs a user in --store: etcd://USER@HOST:PORT".to_owned();
            said.wrong("fleet.store_password_file", message);
        }
        _ => {}
    }
    etcd.password_file = password_file;
    if let Some(fleet) = fleet {
        etcd.keep_apart(fleet);
    }
    StoreSettings::Etcd(etcd)
}

/// Where other hosts come in unless somebody says.
const DEFAULT_PEER_PORT: u16 = 8082;

/// What only says something about a fleet is a mistake without one: it would be silently ignored.
fn lonely(said: &mut Said<'_, '_>) {
    let of_fleets = ["name", "fleet", "peer", "identity", "authority_key", "labels"];
    for key in of_fleets.map(|key| format!("fleet.{key}")) {
        let key = &*key;
        if said.has(key) {
            said.wrong(key, "needs --store too: without one this host is alone".to_owned());
        }
    }
}

fn quiet(text: &str) -> Result<Option<Duration>, String> {
    if text == "never" {
        return Ok(None);
    }
    let wrong = |error: &dyn std::fmt::Display| format!("{error}; or never");
    let quiet = parse_duration(text).map_err(|error| wrong(&error))?;
    let show = |quiet: &Duration| steerage_core::units::show_duration(*quiet);
    bounded(quiet, QUIETS.0, QUIETS.1, show).map(Some)
}

fn label(text: &str) -> Result<String, String> {
    match manifest::check_label(text) {
        Some(broken) => Err(broken.to_string()),
        None => Ok(text.to_owned()),
    }
}

/// `NAME=VALUE`, with commas between.
fn labels(text: &str) -> Result<BTreeMap<String, String>, String> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let read = pairs.map(|pair| {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| format!("{pair:?} is no label: expected NAME=VALUE"))?;
        Ok((label(name)?, label(value)?))
    });
    read.collect()
}
