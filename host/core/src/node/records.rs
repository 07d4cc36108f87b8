//! What the store of a fleet holds, as far as decisions go by it. How it is written there, and what
//! else is written there, only the driver knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use super::origin::Assigned;
use crate::id::{AppName, HostName};

/// A moment in the store's history; later ones are larger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

impl Revision {
    /// Before anything that a store has: what a host knows from the copy on its own disk.
    pub const OF_COPY: Self = Self(0);
}

/// Names a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseId(pub i64);

/// The records that a driver keeps.
pub trait Records: Clone + Debug + Default {
    /// What operators want of an app.
    type App: AppFacts + Clone + Debug;
    /// A host that is registered.
    type Host: HostFacts + Clone + Debug;
    /// That a host has an app's code at hand.
    type Ready: ReadyFacts + Clone + Debug;
    /// What operators want of a host.
    type HostSpec: Clone + Debug;
    /// That operators want nothing to be planned.
    type Freeze: Clone + Debug;
}

/// What is to be known of what operators want of an app.
pub trait AppFacts {
    /// The deployment that is served.
    fn generation(&self) -> u64;
    /// What tells it from another of its number, where that is known.
    fn fingerprint(&self) -> Option<&str>;
    /// The deployment that is tried beside it, and what tells that from another of its number.
    fn canary(&self) -> Option<(u64, Option<&str>)>;
    /// Labels that a host must have.
    fn labels(&self) -> &BTreeMap<String, String>;
    /// Apps that must not be on the same host.
    fn apart_from(&self) -> &BTreeSet<String>;
}

/// What is to be known of a host that is registered.
pub trait HostFacts {
    /// Which of its runs this is.
    fn run(&self) -> u64;
    /// What apps may ask for.
    fn labels(&self) -> &BTreeMap<String, String>;
}

/// What is to be known of code that a host has at hand.
pub trait ReadyFacts {
    /// Of which deployment.
    fn generation(&self) -> u64;
    /// Whether it may be what this tells from another of its number; it may where that is not known.
    fn may_be(&self, fingerprint: &str) -> bool;
}

/// Where something stands in the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FleetKey {
    /// What operators want of an app.
    App(AppName),
    /// That they have removed it.
    Removed(AppName),
    /// Where it shall run.
    Assigned(AppName),
    /// That a host has its code at hand.
    Ready(HostName, AppName),
    /// A host that is registered.
    Host(HostName),
    /// What operators want of a host.
    HostWanted(HostName),
    /// That operators want nothing to be planned.
    Freeze,
}

/// What stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetValue<T> {
    /// This.
    Is(T),
    /// Nothing any more.
    Gone,
    /// Something that cannot be read here, and what can be guessed of it.
    Unreadable(Option<T>),
}

/// One thing that the store says.
#[derive(Clone, Debug)]
pub enum FleetItem<R: Records> {
    /// What operators want of an app.
    App(AppName, FleetValue<R::App>),
    /// That they have removed it, with the highest generation it had.
    Removed(AppName, FleetValue<u64>),
    /// Where it shall run.
    Assigned(AppName, FleetValue<Assigned>),
    /// That a host has its code at hand.
    Ready(HostName, AppName, FleetValue<R::Ready>),
    /// A host that is registered.
    Host(HostName, FleetValue<R::Host>),
    /// What operators want of a host.
    HostWanted(HostName, FleetValue<R::HostSpec>),
    /// That operators want nothing to be planned.
    Freeze(FleetValue<R::Freeze>),
}

impl<T> FleetValue<T> {
    /// What stands there; `None` where it is nothing. Whoever calls this has seen that it can be read.
    pub(super) fn read(self) -> Option<T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Gone | Self::Unreadable(_) => None,
        }
    }

    fn is_unreadable(&self) -> bool {
        matches!(self, Self::Unreadable(_))
    }
}

impl<R: Records> FleetItem<R> {
    /// Where it stands.
    #[must_use]
    pub fn key(&self) -> FleetKey {
        match self {
            Self::App(app, _) => FleetKey::App(app.clone()),
            Self::Removed(app, _) => FleetKey::Removed(app.clone()),
            Self::Assigned(app, _) => FleetKey::Assigned(app.clone()),
            Self::Ready(host, app, _) => FleetKey::Ready(host.clone(), app.clone()),
            Self::Host(host, _) => FleetKey::Host(host.clone()),
            Self::HostWanted(host, _) => FleetKey::HostWanted(host.clone()),
            Self::Freeze(_) => FleetKey::Freeze,
        }
    }

    /// Whether it cannot be read here.
    pub(super) fn is_unreadable(&self) -> bool {
        match self {
            Self::App(_, value) => value.is_unreadable(),
            Self::Removed(_, value) => value.is_unreadable(),
            Self::Assigned(_, value) => value.is_unreadable(),
            Self::Ready(_, _, value) => value.is_unreadable(),
            Self::Host(_, value) => value.is_unreadable(),
            Self::HostWanted(_, value) => value.is_unreadable(),
            Self::Freeze(value) => value.is_unreadable(),
        }
    }
}
