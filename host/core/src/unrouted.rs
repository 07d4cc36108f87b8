//! Requests that no route was found for, counted by host name and by the first segment of their path; and routes
//! that there were. A bounded number of each: whoever asks for a million paths is not remembered a million
//! times.
//! Does not say what is wrong: `core::why` does.

use std::collections::VecDeque;

use crate::id::AppName;
use crate::route::Route;

/// As many kinds of requests are told apart, and as many former routes are known. What less than one request
/// in so many asks for may be forgotten between two of them.
const MOST: usize = 64;
/// Bytes of a name or of a segment that are kept.
const LONGEST: usize = 80;
/// What was asked for the last time so many milliseconds ago counts no more.
const WITHIN: u64 = 600_000;

/// Requests that found no route.
#[derive(Clone, Debug, Default)]
pub struct Unrouted {
    kinds: Vec<UnroutedKind>,
}

/// Requests for one host name whose paths begin with one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnroutedKind {
    /// The host name, in lower case and without a port.
    pub host: String,
    /// The first segment of the path, without slashes; empty for `/`.
    pub segment: String,
    /// The path of the last one.
    pub example: String,
    /// How many there were since `first_at`.
    pub count: u64,
    /// Milliseconds since the epoch.
    pub first_at: u64,
    /// The same of the last one.
    pub last_at: u64,
}

/// A route that an app had, until a deployment without it or until the app was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormerRoute {
    /// The route.
    pub route: Route,
    /// Whose it was.
    pub app: AppName,
    /// Until when: milliseconds since the epoch.
    pub until: u64,
}

/// The routes that went last.
#[derive(Clone, Debug, Default)]
pub struct FormerRoutes {
    routes: VecDeque<FormerRoute>,
}

impl Unrouted {
    /// A request at this time found no route.
    pub fn note(&mut self, now: u64, host: &str, path: &str) {
        let (host, segment) = (cut(host), cut(first_segment(path)));
        let known =
            self.kinds.iter_mut().find(|kind| (&*kind.host, &*kind.segment) == (host, segment));
        if let Some(known) = known {
            if is_over(known, now) {
                (known.count, known.first_at) = (0, now);
            }
            (known.count, known.last_at) = (known.count + 1, now);
            if known.example != path {
                known.example = cut(path).to_owned();
            }
            return;
        }
        let (host, segment) = (host.to_owned(), segment.to_owned());
        let example = cut(path).to_owned();
        let new = UnroutedKind { host, segment, example, count: 1, first_at: now, last_at: now };
        if self.kinds.len() < MOST {
            self.kinds.push(new);
            return;
        }
        // The rarest goes: what many ask for must not be forgotten for what a bot asks for once.
        let rarest = |kind: &&mut UnroutedKind| (!is_over(kind, now), kind.count, kind.last_at);
        if let Some(rarest) = self.kinds.iter_mut().min_by_key(rarest) {
            *rarest = new;
        }
    }

    /// What was asked for lately, the most frequent first.
    #[must_use]
    pub fn told(&self, now: u64) -> Vec<UnroutedKind> {
        let mut told: Vec<_> =
            self.kinds.iter().filter(|kind| !is_over(kind, now)).cloned().collect();
        told.sort_by(|one, other| {
            let order = other.count.cmp(&one.count);
            order.then_with(|| (&one.host, &one.segment).cmp(&(&other.host, &other.segment)))
        });
        told
    }
}

impl UnroutedKind {
    /// What would be asked for by such a request, though none came: their number is 0.
    #[must_use]
    pub fn of_nobody(now: u64, host: &str, path: &str) -> Self {
        let (host, segment) = (host.to_owned(), first_segment(path).to_owned());
        Self { host, segment, example: path.to_owned(), count: 0, first_at: now, last_at: now }
    }
}

impl FormerRoutes {
    /// An app has a route no more.
    pub fn note(&mut self, former: FormerRoute) {
        self.forget(&former.route);
        if self.routes.len() == MOST {
            self.routes.pop_front();
        }
        self.routes.push_back(former);
    }

    /// An app has a route, or has it again.
    pub fn forget(&mut self, route: &Route) {
        self.routes.retain(|known| known.route != *route);
    }

    /// All of them, the last one last.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &FormerRoute> {
        self.routes.iter()
    }
}

fn is_over(kind: &UnroutedKind, now: u64) -> bool {
    kind.last_at.saturating_add(WITHIN) < now
}

fn first_segment(path: &str) -> &str {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split('/').next().unwrap_or_default()
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_ask_for_is_known_whatever_bots_ask_for() {
        let mut unrouted = Unrouted::default();
        for n in 0..10_000_u64 {
            unrouted.note(n, "example.com", &format!("/{n}.php"));
            if n % 50 == 0 {
                unrouted.note(n, "example.com", "/shop/cart");
            }
        }
        let told = unrouted.told(10_000);
        assert_eq!(told.len(), MOST);
        assert_eq!((&*told[0].segment, told[0].count, told[0].first_at), ("shop", 200, 0));
        assert_eq!(unrouted.told(10_000 + WITHIN), [told.last().unwrap().clone()][..0]);
        unrouted.note(20_000 + WITHIN, "example.com", "/shop");
        assert_eq!(unrouted.told(20_000 + WITHIN)[0].count, 1);
    }

    #[test]
    fn long_names_are_cut() {
        let mut unrouted = Unrouted::default();
        unrouted.note(0, &"é".repeat(1000), &format!("/{}", "x".repeat(1000)));
        let told = unrouted.told(0);
        assert!(told[0].host.len() <= LONGEST && told[0].segment.len() == LONGEST);
    }

    #[test]
    fn a_former_route_is_known_once_and_the_oldest_is_forgotten() {
        let mut former = FormerRoutes::default();
        for n in 0..MOST as u64 + 10 {
            let route: Route = format!("/{n}/...").parse().unwrap();
            for until in [n, n + 1] {
                former.note(FormerRoute {
                    route: route.clone(),
                    app: "web".parse().unwrap(),
                    until,
                });
            }
        }
        assert_eq!(former.iter().count(), MOST);
        assert_eq!(former.iter().next().unwrap().until, 11);
        former.forget(&"/10/...".parse().unwrap());
        assert_eq!(former.iter().next().unwrap().until, 12);
    }
}
