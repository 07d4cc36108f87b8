//! The table of all routes of a host: persistent, so that a copy costs nothing and a change
//! shares all that it does not touch.
//! Does not publish or lock anything: whoever owns it swaps whole tables.
//!
//! Each host pattern has a tree of path segments, with an ordered map from literals to subtrees
//! in each node. Ordered and not hashed, because that needs no random seed against crafted names;
//! measured at 10 to 100,000 routes it looks up about as fast and changes three times faster.
//!
//! A lookup walks down at most as deep as the longest pattern and steps back where a branch ends
//! without a match; it allocates only for parameters and for hosts in capital letters or
//! brackets. Stepping back visits each node that matches the start of the path, and patterns that
//! mix literals and parameters at every segment may have many: 2,800 of 24 segments cost 9 ms, in
//! which an ingress thread served nobody. So after [`MOST_VISITS`] a lookup asks sets of routes
//! instead, which are made at most once after each change.

mod children;
mod node;
mod root;
mod sets;

use imbl::OrdMap;

use self::root::Root;
use super::host::{DomainName, HostPattern, request_host, suffixes};
use super::path::is_reserved;
use super::{Route, Segment};
use crate::id::AppName;

/// Nodes that one lookup visits before it asks the sets: many times what ordinary tables need, in some
/// microseconds.
const MOST_VISITS: usize = 128;

/// Routes, each with its owner and a target of type `T`.
///
/// Cloning takes constant time; an insertion or removal copies what lies between the root and the
/// place of the change, and leaves earlier clones as they were.
///
/// ```
/// # use steerage_core::{id::AppName, route::{Route, RouteTable}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shop: AppName = "shop".parse()?;
/// let mut table = RouteTable::new();
/// table.insert(&"example.com/items/:item/...".parse::<Route>()?, &shop, "deployment 7")?;
///
/// let found = table.find("example.com:8080", "/items/42/photos").ok_or("no route")?;
/// assert_eq!(*found.target, "deployment 7");
/// assert_eq!(found.params, [("item", "42")]);
/// assert_eq!(found.rest, Some("/photos"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RouteTable<T> {
    exact: OrdMap<DomainName, Root<T>>,
    suffix: OrdMap<DomainName, Root<T>>,
    any: Root<T>,
    /// How many routes there are in all three.
    len: usize,
}

/// A route in the table, whose it is and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed<T> {
    /// The route as its owner wrote it.
    pub route: Route,
    /// The app that has it.
    pub owner: AppName,
    /// Where it leads.
    pub target: T,
}

/// A route that cannot be added, because one of the same shape is there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} is taken: app {owner} answers {route}")]
pub struct Conflict {
    /// The route that was to be added.
    pub wanted: Route,
    /// The route that is there.
    pub route: Route,
    /// Whose it is.
    pub owner: AppName,
}

/// What a lookup found.
#[derive(Clone, Debug)]
pub struct Match<'t, 'r, T> {
    /// Where the route leads.
    pub target: &'t T,
    /// The route that won.
    pub route: &'t Route,
    /// The app that has the route.
    pub owner: &'t AppName,
    /// Names and raw values of the route's parameters, from left to right.
    pub params: Vec<(&'t str, &'r str)>,
    /// What the trailing `/...` matched, raw: empty, or from its slash on. `None` where the route
    /// has no `/...`.
    pub rest: Option<&'r str>,
}

impl<T> Default for RouteTable<T> {
    fn default() -> Self {
        Self { exact: OrdMap::new(), suffix: OrdMap::new(), any: Root::default(), len: 0 }
    }
}

impl<T: Clone> RouteTable<T> {
    /// A table without routes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many routes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no routes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a route.
    ///
    /// # Errors
    ///
    /// Refuses a route while one of the same shape is there, also one of the same owner, and
    /// says whose that is. The table is then unchanged.
    pub fn insert(&mut self, route: &Route, owner: &AppName, target: T) -> Result<(), Conflict> {
        if let Some(there) = self.get(route) {
            let (route, owner, wanted) = (there.route.clone(), there.owner.clone(), route.clone());
            return Err(Conflict { wanted, route, owner });
        }
        let root = match &route.host {
            HostPattern::Exact(name) => self.exact.entry(name.clone()).or_default(),
            HostPattern::Suffix(name) => self.suffix.entry(name.clone()).or_default(),
            HostPattern::Any => &mut self.any,
        };
        let routed = Routed { route: route.clone(), owner: owner.clone(), target };
        root.insert(routed);
        self.len = self.len.saturating_add(1);
        Ok(())
    }

    /// Takes out the route of this shape and returns its target; `None` where there is none.
    pub fn remove(&mut self, route: &Route) -> Option<T> {
        self.get(route)?;
        let removed = match &route.host {
            HostPattern::Exact(name) => remove_below(&mut self.exact, name, route),
            HostPattern::Suffix(name) => remove_below(&mut self.suffix, name, route),
            HostPattern::Any => self.any.remove(&route.path),
        }?;
        self.len = self.len.saturating_sub(1);
        Some(removed.target)
    }

    /// The route of this shape, whatever its parameters are called.
    #[must_use]
    pub fn get(&self, route: &Route) -> Option<&Routed<T>> {
        let root = match &route.host {
            HostPattern::Exact(name) => self.exact.get(name)?,
            HostPattern::Suffix(name) => self.suffix.get(name)?,
            HostPattern::Any => &self.any,
        };
        root.nodes().get(&route.path)
    }

    /// The route that answers a request, by the order that the documentation of
    /// [`route`](super) states.
    ///
    /// `host` is the request's authority with or without port, `path` its raw path without query.
    #[must_use]
    pub fn find<'t, 'r>(&'t self, host: &str, path: &'r str) -> Option<Match<'t, 'r, T>> {
        self.find_within(MOST_VISITS, host, path)
    }

    /// The same, visiting so many nodes of trees before sets are asked.
    pub(super) fn find_within<'t, 'r>(
        &'t self,
        mut visits: usize,
        host: &str,
        path: &'r str,
    ) -> Option<Match<'t, 'r, T>> {
        let below_root = path.strip_prefix('/')?;
        if is_reserved(path) {
            return None;
        }
        let body = below_root.strip_suffix('/').unwrap_or(below_root);
        let segments = (!body.is_empty()).then_some(body);
        let host = request_host(host);
        let exact = self.exact.get(&*host).and_then(|root| root.find(segments, &mut visits));
        let found = exact
            .or_else(|| self.find_by_suffix(&host, segments, &mut visits))
            .or_else(|| self.any.find(segments, &mut visits))?;
        Some(Match::new(found, path))
    }

    fn find_by_suffix(
        &self,
        host: &str,
        segments: Option<&str>,
        visits: &mut usize,
    ) -> Option<&Routed<T>> {
        if self.suffix.is_empty() {
            return None;
        }
        suffixes(host).find_map(|suffix| self.suffix.get(suffix)?.find(segments, visits))
    }

    /// All routes, in an order that depends on nothing but the routes.
    pub fn iter(&self) -> impl Iterator<Item = &Routed<T>> {
        let mut all = Vec::with_capacity(self.len);
        for root in self.exact.values().chain(self.suffix.values()) {
            root.nodes().collect(&mut all);
        }
        self.any.nodes().collect(&mut all);
        all.into_iter().map(|routed| &**routed)
    }
}

fn remove_below<T: Clone>(
    roots: &mut OrdMap<DomainName, Root<T>>,
    name: &DomainName,
    route: &Route,
) -> Option<Routed<T>> {
    let root = roots.get_mut(name)?;
    let removed = root.remove(&route.path);
    if root.nodes().is_empty() {
        roots.remove(name);
    }
    removed
}

impl<'t, 'r, T> Match<'t, 'r, T> {
    /// Reads off the parameters of a route that is known to match the path.
    fn new(found: &'t Routed<T>, path: &'r str) -> Self {
        let pattern = &found.route.path;
        let mut params = Vec::new();
        let mut rest = path;
        for segment in pattern.segments() {
            let below = rest.strip_prefix('/').unwrap_or(rest);
            let end = below.find('/').unwrap_or(below.len());
            let (value, tail) = below.split_at_checked(end).unwrap_or((below, ""));
            if let Segment::Param(name) = segment {
                params.push((&**name, value));
            }
            rest = tail;
        }
        Self {
            target: &found.target,
            route: &found.route,
            owner: &found.owner,
            params,
            rest: pattern.has_rest().then_some(rest),
        }
    }
}
