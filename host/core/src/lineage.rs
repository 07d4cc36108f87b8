//! Whether a host may follow the store that it is pointed at. An empty store, another fleet's, or one
//! that went back in time looks like a fleet whose operators removed everything; so each store carries
//! the name of its fleet and an epoch, and each host keeps what it followed last.
//! Does not read the store and changes nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::id::AppName;

/// What tells one fleet from all others, for good: made by the first host of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FleetId(u128);

/// A text that is no fleet's id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no id of a fleet: expected 32 hexadecimal digits")]
pub struct BadFleetId(String);

/// The fleet that a host followed last, and how far. Kept in its data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Which fleet.
    pub id: FleetId,
    /// How often an operator has said that the store is to be followed as it is.
    pub epoch: u64,
    /// What etcd calls the cluster. One that was restored or copied has another.
    pub cluster: u64,
    /// The latest revision of the store that the host has seen.
    pub revision: u64,
}

/// What the store says of the fleet in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The fleet and its epoch; `None` where no host has written them.
    pub fleet: Option<(FleetId, u64)>,
    /// Fingerprints of the authorities that its hosts believe; none where they speak plain text.
    pub authorities: BTreeSet<String>,
    /// What etcd calls the cluster.
    pub cluster: u64,
    /// How far the store is.
    pub revision: u64,
    /// Whether it knows any app. Looked at only where the host has followed nothing.
    pub has_apps: bool,
}

/// What a host brings along.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Here {
    /// What it followed last.
    pub followed: Option<Followed>,
    /// Whether it was in a fleet before fleets had ids.
    pub was_in_fleet: bool,
    /// Whether its ledger holds apps.
    pub has_apps: bool,
    /// One of its apps whose name the store uses for something else. Looked at only where the host has
    /// followed nothing.
    pub clash: Option<AppName>,
    /// Fingerprints of the authorities that it believes.
    pub authorities: BTreeSet<String>,
}

/// What the host does about the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineageDecision {
    /// Go on where it was.
    Follow,
    /// Go on, since an operator has said that the store is to be followed as it is: numbers that it
    /// gives must be beyond all that hosts know.
    Resume,
    /// Come to a fleet that is there.
    Join,
    /// Write an id, since nobody has.
    Found,
    /// Write an id, and put the apps of the ledger into the store: it is empty, and the host has
    /// never been in a fleet.
    Import,
    /// Change nothing, serve what is known, and wait for an operator.
    Refuse(Reason),
}

/// Why a store is not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It holds no fleet, and this host is in one.
    NoFleet,
    /// It holds another fleet.
    OtherFleet {
        /// The host's own.
        ours: FleetId,
        /// The one in the store.
        found: FleetId,
    },
    /// It is this fleet as it was earlier, or a copy of it.
    WentBack {
        /// What the host has followed.
        known: Followed,
        /// The epoch in the store.
        epoch: u64,
        /// Its cluster.
        cluster: u64,
        /// Its revision.
        revision: u64,
    },
    /// The host was alone, and the fleet uses the name of one of its apps for something else.
    Clash(AppName),
    /// Hosts of this fleet believe another authority.
    OtherAuthority {
        /// Theirs.
        found: BTreeSet<String>,
        /// The host's own.
        ours: BTreeSet<String>,
    },
}

/// What a host does about a store.
#[must_use]
pub fn judge(here: &Here, stored: &Stored) -> LineageDecision {
    let verdict = judge_fleet(here, stored);
    let is_of_others = stored.fleet.is_some() && !believes(&here.authorities, &stored.authorities);
    if is_of_others && !matches!(verdict, LineageDecision::Refuse(_)) {
        let (found, ours) = (stored.authorities.clone(), here.authorities.clone());
        return LineageDecision::Refuse(Reason::OtherAuthority { found, ours });
    }
    verdict
}

/// Whether hosts with these authorities can speak with each other: one that both believe is enough,
/// so that authorities can be changed one host after the other.
fn believes(ours: &BTreeSet<String>, theirs: &BTreeSet<String>) -> bool {
    (ours.is_empty() && theirs.is_empty()) || !ours.is_disjoint(theirs)
}

fn judge_fleet(here: &Here, stored: &Stored) -> LineageDecision {
    match (here.followed, stored.fleet) {
        (Some(known), Some((id, epoch))) if known.id == id => {
            let (cluster, revision) = (stored.cluster, stored.revision);
            if epoch > known.epoch {
                LineageDecision::Resume
            } else if epoch < known.epoch || cluster != known.cluster || revision < known.revision {
                LineageDecision::Refuse(Reason::WentBack { known, epoch, cluster, revision })
            } else {
                LineageDecision::Follow
            }
        }
        (Some(known), Some((found, _))) => {
            LineageDecision::Refuse(Reason::OtherFleet { ours: known.id, found })
        }
        (Some(_), None) => LineageDecision::Refuse(Reason::NoFleet),
        (None, _) if !here.was_in_fleet && here.clash.is_some() => here
            .clash
            .clone()
            .map_or(LineageDecision::Join, |app| LineageDecision::Refuse(Reason::Clash(app))),
        (None, Some(_)) => LineageDecision::Join,
        // A fleet from before there were ids.
        (None, None) if stored.has_apps => LineageDecision::Found,
        (None, None) if here.was_in_fleet && here.has_apps => {
            LineageDecision::Refuse(Reason::NoFleet)
        }
        (None, None) if here.has_apps => LineageDecision::Import,
        (None, None) => LineageDecision::Found,
    }
}

impl Reason {
    /// What an operator can do.
    #[must_use]
    pub const fn ways(&self) -> &'static str {
        match self {
            Self::NoFleet => {
                "nothing was changed and apps are served on: see that --store and --fleet name the \
                 fleet's own store; if its data is lost, restore etcd from a snapshot, or put what \
                 this host knows into it with `steerage fleet import`"
            }
            Self::OtherFleet { .. } => {
                "nothing was changed and apps are served on: see that --store and --fleet name the \
                 fleet's own store; to leave the old fleet for this one, `steerage fleet adopt`"
            }
            Self::WentBack { .. } => {
                "nothing was changed and apps are served on: if etcd was restored on purpose, say so \
                 once for the whole fleet with `steerage fleet adopt`, then put back what the \
                 snapshot lacks with `steerage fleet import`"
            }
            Self::Clash(_) => {
                "nothing was changed and apps are served on: start this host without --store and \
                 remove the app, or take the fleet's app in its place with `steerage fleet adopt`"
            }
            Self::OtherAuthority { .. } => {
                "give this host a certificate of the fleet's own authority with `steerage cert issue`, \
                 or another fleet of its own in the same etcd with --fleet NAME"
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFleet => f.write_str("the store holds no fleet, and this host belongs to one"),
            Self::OtherFleet { ours, found } => {
                write!(f, "the store holds fleet {found}, and this host belongs to fleet {ours}")
            }
            Self::WentBack { known, epoch, .. } if *epoch < known.epoch => write!(
                f,
                "the store went back in time: it is in epoch {epoch}, and this host has followed it \
                 in epoch {}",
                known.epoch
            ),
            Self::WentBack { known, revision, .. } if *revision < known.revision => write!(
                f,
                "the store went back in time: it is at revision {revision}, and this host has seen \
                 revision {}",
                known.revision
            ),
            Self::WentBack { known, cluster, .. } => write!(
                f,
                "the store is a copy or was restored: its cluster is {cluster:x}, and this host has \
                 followed cluster {:x}",
                known.cluster
            ),
            Self::Clash(app) => write!(
                f,
                "this host was alone with an app {app}, and the fleet in the store has had another \
                 app of this name"
            ),
            Self::OtherAuthority { found, ours } => write!(
                f,
                "the hosts of this fleet believe {}, and this host believes {}",
                Authorities(found),
                Authorities(ours)
            ),
        }
    }
}

/// Shows authorities.
struct Authorities<'a>(&'a BTreeSet<String>);

impl fmt::Display for Authorities<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("each other without certificates");
        }
        f.write_str("the authority ")?;
        for (number, authority) in self.0.iter().enumerate() {
            let between = if number == 0 { "" } else { " or " };
            write!(f, "{between}{}", authority.get(..16).unwrap_or(authority))?;
        }
        Ok(())
    }
}

impl FleetId {
    /// The id of this number, which has to be drawn at random.
    #[must_use]
    pub const fn new(number: u128) -> Self {
        Self(number)
    }
}

impl fmt::Display for FleetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for FleetId {
    type Err = BadFleetId;

    fn from_str(text: &str) -> Result<Self, BadFleetId> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hex);
        number.map(Self).ok_or_else(|| BadFleetId(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: FleetId = FleetId::new(7);
    const OTHER: FleetId = FleetId::new(8);

    fn followed() -> Here {
        let followed = Some(Followed { id: OURS, epoch: 3, cluster: 1, revision: 100 });
        Here { followed, has_apps: true, ..Here::default() }
    }

    fn stored(fleet: Option<(FleetId, u64)>, cluster: u64, revision: u64) -> Stored {
        Stored { fleet, cluster, revision, ..Stored::default() }
    }

    #[test]
    fn a_host_follows_only_the_store_that_it_followed() {
        for (fleet, cluster, revision, verdict) in [
            (Some((OURS, 3)), 1, 100, "Follow"),
            (Some((OURS, 3)), 1, 4000, "Follow"),
            (Some((OURS, 4)), 1, 101, "Resume"),
            // Restored, and an operator said so.
            (Some((OURS, 4)), 2, 9, "Resume"),
            (Some((OURS, 3)), 1, 99, "revision 99, and this host has seen revision 100"),
            (Some((OURS, 3)), 2, 500, "a copy or was restored"),
            (Some((OURS, 2)), 1, 500, "epoch 2, and this host has followed it in epoch 3"),
            (Some((OTHER, 3)), 1, 500, "belongs to fleet"),
            (None, 1, 500, "holds no fleet"),
        ] {
            let found = judge(&followed(), &stored(fleet, cluster, revision));
            let told = match &found {
                LineageDecision::Refuse(reason) => reason.to_string(),
                verdict => format!("{verdict:?}"),
            };
            assert!(told.contains(verdict), "{fleet:?} {cluster} {revision}: {told}");
        }
    }

    #[test]
    fn a_host_that_was_alone_brings_its_apps_only_where_nothing_is_in_doubt() {
        let (empty, fleet) = (stored(None, 1, 1), stored(Some((OURS, 1)), 1, 9));
        let old = Stored { has_apps: true, ..empty.clone() };
        let (new, alone) = (Here::default(), Here { has_apps: true, ..Here::default() });
        let was = Here { was_in_fleet: true, ..alone.clone() };
        let clash = Here { clash: Some("shop".parse().unwrap()), ..alone.clone() };
        let clashes = LineageDecision::Refuse(Reason::Clash("shop".parse().unwrap()));
        for (here, stored, verdict) in [
            (&new, &empty, LineageDecision::Found),
            (&new, &old, LineageDecision::Found),
            (&new, &fleet, LineageDecision::Join),
            (&alone, &empty, LineageDecision::Import),
            (&alone, &old, LineageDecision::Found),
            (&alone, &fleet, LineageDecision::Join),
            (&clash, &fleet, clashes.clone()),
            (&clash, &old, clashes),
            (&was, &empty, LineageDecision::Refuse(Reason::NoFleet)),
            (&was, &old, LineageDecision::Found),
            (&was, &fleet, LineageDecision::Join),
        ] {
            assert_eq!(judge(here, stored), verdict, "{here:?} {stored:?}");
        }
    }

    #[test]
    fn hosts_of_other_authorities_stay_apart_and_authorities_can_be_changed() {
        let set = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        for (ours, theirs, may_join) in [
            (set(&[]), set(&[]), true),
            (set(&["a"]), set(&["a"]), true),
            (set(&["a", "b"]), set(&["a"]), true),
            (set(&["b"]), set(&["a", "b"]), true),
            (set(&["b"]), set(&["a"]), false),
            (set(&["b"]), set(&[]), false),
            (set(&[]), set(&["a"]), false),
        ] {
            let here = Here { authorities: ours, ..Here::default() };
            let stored = Stored { authorities: theirs, ..stored(Some((OURS, 1)), 1, 1) };
            let verdict = judge(&here, &stored);
            assert_eq!(verdict == LineageDecision::Join, may_join, "{here:?} {stored:?}");
            if let LineageDecision::Refuse(reason) = verdict {
                assert!(reason.ways().contains("--fleet NAME"), "{reason}");
            }
        }
    }

    #[test]
    fn ids_read_back() {
        assert_eq!(OURS.to_string().parse(), Ok(OURS));
        for bad in ["", "7", "+0000000000000000000000000000007", &"g".repeat(32)] {
            assert!(bad.parse::<FleetId>().is_err(), "{bad}");
        }
    }
}
