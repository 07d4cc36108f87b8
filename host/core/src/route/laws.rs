//! Laws of route tables, tested on random tables of few names, where routes often overlap.
//! Single rules and their wording are in `tests`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::id::AppName;

fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

fn hosts() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["b", "a.b", "c.a.b", "d.c.a.b", "x", "10.0.0.1"])
}

fn host_patterns() -> impl Strategy<Value = HostPattern> {
    prop_oneof![
        Just(HostPattern::Any),
        hosts().prop_map(|host| HostPattern::Exact(name(host))),
        prop::sample::select(vec!["b", "a.b", "c.a.b", "x"])
            .prop_map(|h| HostPattern::Suffix(name(h))),
    ]
}

fn path_patterns() -> impl Strategy<Value = PathPattern> {
    let segment = prop::sample::select(vec!["a", "a", "b", "b", ":"]);
    let segments = prop::collection::vec(segment, 0..5);
    (segments, any::<bool>(), "[x-z]").prop_map(|(segments, rest, param)| {
        let mut text = String::new();
        for (place, segment) in segments.into_iter().enumerate() {
            match segment {
                ":" => text.push_str(&format!("/:{param}{place}")),
                literal => text.push_str(&format!("/{literal}")),
            }
        }
        if rest {
            text.push_str("/...");
        }
        PathPattern::parse(if text.is_empty() { "/" } else { &text }).unwrap()
    })
}

fn routes() -> impl Strategy<Value = Vec<Route>> {
    let route = (host_patterns(), path_patterns()).prop_map(|(host, path)| Route { host, path });
    prop::collection::vec(route, 0..40)
}

fn paths() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "a", "b", "b", "c", "", "..", "%61", "A"]);
    (prop::collection::vec(segment, 0..6), prop::sample::select(vec!["", "/", "//"]))
        .prop_map(|(segments, end)| format!("/{}{end}", segments.join("/")))
}

fn requests() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    prop::collection::vec((hosts(), paths()), 1..20)
}

/// The table of the routes, each leading to its place in the list; those in conflict left out.
fn table(routes: &[Route]) -> RouteTable<usize> {
    let owner = AppName::parse("owner").unwrap();
    let mut table = RouteTable::new();
    for (place, route) in routes.iter().enumerate() {
        let _conflicts = table.insert(route, &owner, place).is_err();
    }
    table
}

fn winner(table: &RouteTable<usize>, host: &str, path: &str) -> Option<Route> {
    table.find(host, path).map(|found| found.route.clone())
}

/// The order in which matching routes win, stated as the documentation does.
type Rank = (HostRank, Vec<Step>);

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum HostRank {
    Exact,
    Suffix(Reverse<usize>),
    Any,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    End,
    Literal,
    Param,
    Rest,
}

/// How well a route matches, found without a tree.
fn rank(route: &Route, host: &str, path: &str) -> Option<Rank> {
    let host_rank = match &route.host {
        HostPattern::Any => HostRank::Any,
        HostPattern::Exact(name) if name.as_str() == host => HostRank::Exact,
        HostPattern::Suffix(name) if host.ends_with(&format!(".{name}")) => {
            HostRank::Suffix(Reverse(name.as_str().len()))
        }
        HostPattern::Exact(_) | HostPattern::Suffix(_) => return None,
    };
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    let given: Vec<&str> = trimmed.split('/').skip(1).collect();
    let given = if trimmed == "/" { &[][..] } else { &given };
    let wanted = route.path.segments();
    let long_enough = given.len() >= wanted.len();
    if !long_enough || (given.len() > wanted.len() && !route.path.has_rest()) {
        return None;
    }
    let mut steps = Vec::new();
    for (segment, text) in wanted.iter().zip(given) {
        steps.push(match segment {
            Segment::Literal(literal) if &**literal == *text => Step::Literal,
            Segment::Param(_) if !text.is_empty() => Step::Param,
            Segment::Literal(_) | Segment::Param(_) => return None,
        });
    }
    steps.push(if route.path.has_rest() { Step::Rest } else { Step::End });
    Some((host_rank, steps))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn the_winner_is_the_first_in_the_stated_order(routes in routes(), requests in requests()) {
        let table = table(&routes);
        for (host, path) in &requests {
            let ranked = table.iter().filter_map(|routed| {
                Some((rank(&routed.route, host, path)?, &routed.route))
            });
            let best = ranked.min_by(|(left, _), (right, _)| left.cmp(right));
            prop_assert_eq!(winner(&table, host, path), best.map(|(_, route)| route.clone()));
        }
    }

    #[test]
    fn sets_answer_as_trees_do(routes in routes(), requests in requests()) {
        let mut table = table(&routes);
        for again in [false, true] {
            for (host, path) in &requests {
                let by_tree = table.find_within(usize::MAX, host, path);
                let by_sets = table.find_within(0, host, path);
                prop_assert_eq!(by_sets.map(|found| found.route), by_tree.map(|found| found.route));
            }
            // Sets that were made go with the tree: what changes is seen.
            if !again && let Some(first) = routes.first() {
                table.remove(first);
            }
        }
    }

    #[test]
    fn insertion_order_is_irrelevant(
        (routes, shuffled) in routes().prop_flat_map(|routes| {
            let mut by_shape = BTreeMap::new();
            for route in routes {
                by_shape.insert(route.shape(), route);
            }
            let routes: Vec<_> = by_shape.into_values().collect();
            (Just(routes.clone()), Just(routes).prop_shuffle())
        }),
        requests in requests(),
    ) {
        let (first, second) = (table(&routes), table(&shuffled));
        prop_assert_eq!(first.len(), routes.len());
        prop_assert!(first.iter().map(|r| &r.route).eq(second.iter().map(|r| &r.route)));
        for (host, path) in &requests {
            prop_assert_eq!(winner(&first, host, path), winner(&second, host, path));
        }
    }

    #[test]
    fn an_added_route_changes_only_what_it_matches(
        routes in routes(),
        host in host_patterns(),
        path in path_patterns(),
        requests in requests(),
    ) {
        let added = Route { host, path };
        let before = table(&routes);
        let mut after = before.clone();
        let inserted = after.insert(&added, &AppName::parse("new").unwrap(), usize::MAX).is_ok();
        prop_assert_eq!(inserted, before.get(&added).is_none());
        for (host, path) in &requests {
            let (old, new) = (winner(&before, host, path), winner(&after, host, path));
            let untouched = !inserted || rank(&added, host, path).is_none();
            prop_assert!(old == new || (!untouched && new.as_ref() == Some(&added)));
        }
    }

    #[test]
    fn removing_undoes_inserting(
        routes in routes(),
        host in host_patterns(),
        path in path_patterns(),
    ) {
        let added = Route { host, path };
        let before = table(&routes);
        let mut after = before.clone();
        match after.insert(&added, &AppName::parse("new").unwrap(), 7) {
            Ok(()) => prop_assert_eq!(after.remove(&added), Some(7)),
            Err(conflict) => prop_assert_eq!(conflict.route.shape(), added.shape()),
        }
        // The shown form has every node, so empty ones left behind would be seen.
        prop_assert_eq!(format!("{before:?}"), format!("{after:?}"));
        prop_assert_eq!(after.remove(&added).is_some(), before.get(&added).is_some());
    }

    #[test]
    fn a_table_emptied_in_any_order_is_empty(routes in routes().prop_shuffle()) {
        let mut table = table(&routes);
        for route in &routes {
            table.remove(route);
            prop_assert!(table.get(route).is_none());
        }
        prop_assert_eq!(format!("{table:?}"), format!("{:?}", RouteTable::<usize>::new()));
    }

    #[test]
    fn parameters_and_rest_make_up_the_path(routes in routes(), requests in requests()) {
        let table = table(&routes);
        for (host, path) in &requests {
            let Some(found) = table.find(host, path) else { continue };
            let mut values = found.params.iter();
            let mut rebuilt = String::new();
            for segment in found.route.path.segments() {
                let text = match segment {
                    Segment::Literal(text) => text,
                    Segment::Param(name) => {
                        let (given, value) = values.next().unwrap();
                        prop_assert_eq!(*given, &**name);
                        *value
                    }
                };
                rebuilt.push_str(&format!("/{text}"));
            }
            match found.rest {
                Some(rest) => prop_assert_eq!(rebuilt + rest, path.as_str()),
                None => prop_assert!(matches!(path.strip_prefix(&rebuilt), Some("" | "/" | "//"))),
            }
        }
    }

    #[test]
    fn a_route_reads_back_what_it_shows(routes in routes()) {
        for route in routes {
            prop_assert_eq!(route.to_string().parse(), Ok(route));
        }
    }

    #[test]
    fn no_text_makes_a_pattern_or_a_lookup_panic(text in "\\PC{0,20}|[/.:*%a-c?]{0,20}", routes in routes()) {
        let (_, _) = (HostPattern::parse(&text).is_ok(), text.parse::<Route>().is_ok());
        let table = table(&routes);
        let (_, _) = (table.find(&text, "/a").is_some(), table.find("a.b", &text).is_some());
    }
}
