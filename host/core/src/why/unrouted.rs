//! Why requests find no route: an app had the route a while ago, or they ask for something that is nearly what
//! a route says. What is near nothing that there is, as bots ask for it, is nobody's mistake here.
//! Finds no routes itself.

use super::diagnosis::{Diagnosis, Remedy};
use crate::id::AppName;
use crate::route::{HostPattern, Route, RouteTable, Segment};
use crate::units::{ago, many};
use crate::unrouted::{FormerRoute, UnroutedKind};

/// As many requests for the same are no accident.
const LEAST: u64 = 5;
/// A route went so many milliseconds ago at most.
const LATELY: u64 = 86_400_000;
/// As many letters may be wrong in what is near, and no more than one in so many.
const WRONG: usize = 2;
const LETTERS_FOR_ONE: usize = 4;
/// As many routes are looked at: among a hundred thousand apps something is always near.
const LOOKED_AT: usize = 10_000;
/// The most frequent kinds of requests that are looked at: each is compared with all routes.
const KINDS: usize = 8;
/// Stands for whatever segment.
const ANY: &str = "...";

/// Says of the most frequent of these requests for which it is known, why they find no route. `is_routed` says
/// whether there is a route by now for a host and a path.
pub fn unrouted<'r>(
    now: u64,
    kinds: &[UnroutedKind],
    former: &[FormerRoute],
    routes: impl Iterator<Item = (&'r Route, &'r AppName)> + Clone,
    is_routed: impl Fn(&str, &str) -> bool,
) -> Option<Diagnosis> {
    let kinds: Vec<UnroutedKind> =
        kinds.iter().filter(|kind| !is_routed(&kind.host, &kind.example)).cloned().collect();
    let whole = of_hosts(&kinds);
    let mut kinds = kinds.iter().filter(|kind| kind.count >= LEAST).chain(&whole).take(KINDS);
    kinds.find_map(|kind| of_kind(now, kind, former, routes.clone()))
}

/// Says why a path of a host has no route: an app had it, or one is near, or there is none.
pub fn no_route<'r>(
    now: u64,
    (host, path): (&str, &str),
    former: &[FormerRoute],
    routes: impl Iterator<Item = (&'r Route, &'r AppName)> + Clone,
) -> Diagnosis {
    let kind = UnroutedKind::of_nobody(now, host, path);
    of_kind(now, &kind, former, routes).unwrap_or_else(|| Diagnosis {
        claim: format!("{host}{path} has no route"),
        evidence: Vec::new(),
        remedy: Some(Remedy {
            text: "see which routes there are, and deploy an app with one for it".to_owned(),
            command: Some("steerage ps".to_owned()),
            changes: false,
        }),
    })
}

/// What is known of requests of one kind; of none that came where their number is 0.
fn of_kind<'r>(
    now: u64,
    kind: &UnroutedKind,
    former: &[FormerRoute],
    routes: impl Iterator<Item = (&'r Route, &'r AppName)>,
) -> Option<Diagnosis> {
    let lately = |former: &&FormerRoute| former.until.saturating_add(LATELY) >= now;
    // It was asked for after it went, and not before only.
    let went = former.iter().rev().filter(lately).find(|former| {
        former.until <= kind.last_at && has(&former.route, &kind.host, &kind.example)
    });
    went.map(|former| went_away(now, kind, former)).or_else(|| {
        let near = routes.take(LOOKED_AT);
        let near = near.filter_map(|(route, app)| Some((distance(route, kind)?, route, app)));
        let (_, route, app) =
            near.min_by_key(|(distance, route, _)| (*distance, (*route).clone()))?;
        Some(is_near(now, kind, route, app))
    })
}

/// Whether a route answers a path of a host.
fn has(route: &Route, host: &str, path: &str) -> bool {
    let mut table = RouteTable::new();
    let owner: Result<AppName, _> = "any".parse();
    owner.is_ok_and(|owner| table.insert(route, &owner, ()).is_ok())
        && table.find(host, path).is_some()
}

/// The requests for each host name together, where no one segment is asked for often enough.
fn of_hosts(kinds: &[UnroutedKind]) -> Vec<UnroutedKind> {
    let mut hosts: Vec<UnroutedKind> = Vec::new();
    for kind in kinds {
        if let Some(known) = hosts.iter_mut().find(|known| known.host == kind.host) {
            known.count += kind.count;
            known.first_at = known.first_at.min(kind.first_at);
            known.last_at = known.last_at.max(kind.last_at);
        } else {
            hosts.push(UnroutedKind { segment: ANY.to_owned(), ..kind.clone() });
        }
    }
    hosts.retain(|host| host.count >= LEAST);
    hosts
}

fn went_away(now: u64, kind: &UnroutedKind, former: &FormerRoute) -> Diagnosis {
    let FormerRoute { route, app, until } = former;
    Diagnosis {
        claim: format!("{}: {app} had {route}, and has not any more", asked(kind)),
        evidence: vec![format!(
            "it went {} ago, when {app} was deployed without it or removed",
            ago(now, *until)
        )]
        .into_iter()
        .chain(told_when(now, kind))
        .collect(),
        remedy: Some(Remedy {
            text: format!(
                "if it is still wanted, add it to the manifest of {app} and deploy that again"
            ),
            command: Some(format!("steerage events {app}")),
            changes: false,
        }),
    }
}

fn is_near(now: u64, kind: &UnroutedKind, route: &Route, app: &AppName) -> Diagnosis {
    Diagnosis {
        claim: format!("{}: the nearest is {route} of {app}", asked(kind)),
        evidence: told_when(now, kind).into_iter().collect(),
        remedy: Some(Remedy {
            text: format!(
                "have clients ask for {route}, or add a route for what they ask for to the manifest of {app}"
            ),
            command: Some(format!("steerage show {app}")),
            changes: false,
        }),
    }
}

fn asked(kind: &UnroutedKind) -> String {
    let UnroutedKind { host, segment, example, count, .. } = kind;
    if *count == 0 {
        return format!("{host}{example} has no route");
    }
    let requests = many(usize::try_from(*count).unwrap_or(usize::MAX), "request");
    format!("{requests} for {host}/{segment} found no route")
}

fn told_when(now: u64, kind: &UnroutedKind) -> Option<String> {
    if kind.count == 0 {
        return None;
    }
    let (first, last) = (ago(now, kind.first_at), ago(now, kind.last_at));
    Some(format!("the first came {first} ago, the last one {last} ago; all were answered 404"))
}

/// How far a route is from what was asked for; `None` where the two have nothing to do with each other. What
/// is beneath a route's first segment and finds none is no mistake in that: bots look for files everywhere.
fn distance(route: &Route, kind: &UnroutedKind) -> Option<usize> {
    let first = route.path.segments().first();
    if route.host.matches(&kind.host) {
        return match first {
            // Of a path's later segments nothing is known: there may be any, and bots try them.
            Some(Segment::Literal(literal)) if kind.segment != ANY => {
                wrong_letters(literal, &kind.segment).filter(|wrong| *wrong > 0)
            }
            _ => None,
        };
    }
    let is_under = match first {
        _ if kind.segment == ANY => true,
        Some(Segment::Literal(literal)) => **literal == *kind.segment,
        Some(Segment::Param(_)) => true,
        None => route.path.has_rest() || kind.segment.is_empty(),
    };
    match &route.host {
        HostPattern::Exact(name) | HostPattern::Suffix(name) if is_under => {
            between_hosts(name.as_str(), &kind.host)
        }
        _ => None,
    }
}

/// One name is the other with `www.` before it, or hardly differs from it.
fn between_hosts(one: &str, other: &str) -> Option<usize> {
    let is_www = |long: &str, short: &str| long.strip_prefix("www.") == Some(short);
    if is_www(one, other) || is_www(other, one) {
        return Some(1);
    }
    wrong_letters(one, other)
}

/// How many letters are wrong, where these are few.
fn wrong_letters(one: &str, other: &str) -> Option<usize> {
    // A letter has up to four bytes. Most pairs end here, before anything is counted.
    if one.len().abs_diff(other.len()) > WRONG * 4 {
        return None;
    }
    if one.eq_ignore_ascii_case(other) {
        return Some(usize::from(one != other));
    }
    let length = one.chars().count().min(other.chars().count());
    let wrong = strsim::damerau_levenshtein(one, other);
    (wrong <= WRONG && wrong * LETTERS_FOR_ONE <= length).then_some(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 100_000_000;

    fn kind(host: &str, segment: &str, count: u64) -> UnroutedKind {
        let (host, segment) = (host.to_owned(), segment.to_owned());
        let example = format!("/{segment}/x");
        UnroutedKind { host, segment, example, count, first_at: NOW - 60_000, last_at: NOW - 1000 }
    }

    fn claim(kinds: &[UnroutedKind], former: &[FormerRoute]) -> Option<String> {
        let app: AppName = "web".parse().unwrap();
        let routes =
            ["www.example.com/...", "/webshop/...", "api.example.org/v1/...", "/docs/:page"];
        let routes = routes.map(|text| text.parse::<Route>().unwrap());
        let all = routes.iter().map(|route| (route, &app));
        let is_routed = |host: &str, path: &str| routes.iter().any(|route| has(route, host, path));
        unrouted(NOW, kinds, former, all, is_routed).map(|found| found.claim)
    }

    #[test]
    fn one_path_is_explained_though_nobody_has_asked_for_it() {
        let app: AppName = "web".parse().unwrap();
        let route: Route = "example.com/shop/...".parse().unwrap();
        let told = |path: &str, former: &[FormerRoute]| {
            no_route(NOW, ("example.com", path), former, [(&route, &app)].into_iter())
        };
        let near = told("/shpo/cart", &[]);
        assert_eq!(
            near.claim,
            "example.com/shpo/cart has no route: the nearest is example.com/shop/... of web"
        );
        assert_eq!(near.evidence, [""; 0]);
        let long = format!("/shpo/{}", "x".repeat(200));
        let claim = told(&long, &[]).claim;
        assert!(claim.starts_with(&format!("example.com{long} has no route: ")), "{claim}");
        let none = told("/elsewhere", &[]);
        assert_eq!(none.claim, "example.com/elsewhere has no route");
        let former = FormerRoute {
            route: "example.com/elsewhere".parse().unwrap(),
            app: app.clone(),
            until: NOW - 5_000,
        };
        let went = told("/elsewhere", &[former]);
        assert!(
            went.claim.ends_with("web had example.com/elsewhere, and has not any more"),
            "{went:?}"
        );
    }

    #[test]
    fn what_is_nearly_a_route_is_told_with_the_route() {
        for (host, segment, route) in [
            ("10.0.0.1", "webshpo", "/webshop/..."),
            ("10.0.0.1", "WebShop", "/webshop/..."),
            ("example.com", "anything", "www.example.com/..."),
            ("wwww.example.com", "", "www.example.com/..."),
            ("api.example.org", "v2", "api.example.org/v1/..."),
        ] {
            let told = claim(&[kind(host, segment, 5)], &[]);
            if segment == "v2" {
                // Of two letters one is half.
                assert_eq!(told, None);
                continue;
            }
            let expected = format!(
                "5 requests for {host}/{segment} found no route: the nearest is {route} of web"
            );
            assert_eq!(told, Some(expected));
        }
    }

    #[test]
    fn a_wrong_host_name_is_told_whatever_paths_are_asked_for() {
        let kinds: Vec<_> = (0..9).map(|n| kind("example.com", &n.to_string(), 1)).collect();
        let expected = "9 requests for example.com/... found no route: the nearest is www.example.com/... \
                        of web";
        assert_eq!(claim(&kinds, &[]).as_deref(), Some(expected));
        let kinds: Vec<_> = (0..9).map(|n| kind("203.0.113.9", &n.to_string(), 100)).collect();
        assert_eq!(claim(&kinds, &[]), None);
    }

    #[test]
    fn what_bots_ask_for_is_near_nothing() {
        for (host, segment) in [
            ("10.0.0.1", "wp-login.php"),
            ("10.0.0.1", ".env"),
            ("", "robots.txt"),
            ("another.net", "shop"),
            ("docs.example.com", "index.php"),
            ("mail.example.com", "owa"),
            ("10.0.0.1", "docs"),
            ("10.0.0.1", "x"),
            ("10.0.0.1", "webshpo"),
        ] {
            assert_eq!(claim(&[kind(host, segment, 4)], &[]), None);
            if segment != "webshpo" {
                assert_eq!(claim(&[kind(host, segment, 4000)], &[]), None, "{host} {segment}");
            }
        }
    }

    #[test]
    fn a_route_that_went_is_told_with_whose_it_was() {
        let former = FormerRoute {
            route: "shop.example.net/cart/...".parse().unwrap(),
            app: "shop".parse().unwrap(),
            until: NOW - 180_000,
        };
        let kinds = [kind("shop.example.net", "cart", 12)];
        let told = claim(&kinds, std::slice::from_ref(&former)).unwrap();
        let expected = "12 requests for shop.example.net/cart found no route: shop had \
                        shop.example.net/cart/..., and has not any more";
        assert_eq!(told, expected);
        let long_ago = FormerRoute { until: 0, ..former.clone() };
        assert_eq!(claim(&kinds, &[long_ago]), None);
        assert_eq!(
            claim(&[kind("shop.example.net", "other", 12)], std::slice::from_ref(&former)),
            None
        );
        // What was asked for before it went found it; and what finds a route by now is no mistake.
        let later = FormerRoute { until: NOW, ..former };
        assert_eq!(claim(&kinds, &[later]), None);
        assert_eq!(claim(&[kind("10.0.0.1", "webshop", 12)], &[]), None);
    }
}
