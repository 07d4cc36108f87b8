//! Routing where one app has the host to itself, as in `steerage up`: it is built while callers come,
//! and they come to whatever address was printed, whichever name its routes are for.

use steerage_core::outcome::Refusal;
use steerage_core::route::{HostPattern, Match, RouteTable};

/// The route for this path, under whichever of the app's host names it has one.
pub(super) fn find<'t, 'r, T: Clone>(
    routes: &'t RouteTable<T>,
    path: &'r str,
) -> Result<Match<'t, 'r, T>, Refusal> {
    if routes.is_empty() {
        return Err(Refusal::NotBuilt);
    }
    let mut names = routes.iter().map(|routed| match &routed.route.host {
        HostPattern::Exact(name) => name.to_string(),
        HostPattern::Suffix(name) => format!("any.{name}"),
        HostPattern::Any => String::new(),
    });
    names.find_map(|name| routes.find(&name, path)).ok_or(Refusal::NoRoute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_app_answers_under_every_name() {
        let owner = "app".parse().unwrap();
        let mut routes = RouteTable::new();
        assert_eq!(find(&routes, "/").unwrap_err(), Refusal::NotBuilt);
        for route in ["a.localhost/x/:id", "*.example.com/y", "/z"] {
            routes.insert(&route.parse().unwrap(), &owner, route).unwrap();
        }
        for (path, route) in [("/x/1", 0), ("/y", 1), ("/z", 2)] {
            let expected = ["a.localhost/x/:id", "*.example.com/y", "/z"][route];
            assert_eq!(*find(&routes, path).unwrap().target, expected);
        }
        assert_eq!(find(&routes, "/else").unwrap_err(), Refusal::NoRoute);
    }
}
