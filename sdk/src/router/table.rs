//! What can be wrong with a table of routes, found where it is compiled.
//!
//! Everything here is `const`, which rules out iterators, strings' methods and messages with values
//! in them: the compiler shows the line of the route instead.

use super::Route;

/// Refuses what is no method, or is one in small letters, which no request has.
#[track_caller]
pub(super) const fn check_method(method: &str) {
    assert!(!method.is_empty(), "a route's method is a word such as \"GET\"");
    let mut rest = method.as_bytes();
    while let Some((letter, tail)) = rest.split_first() {
        let fits = letter.is_ascii_uppercase() || letter.is_ascii_digit();
        assert!(
            fits || matches!(letter, b'-' | b'_'),
            "a route's method is a word in capitals, such as \"GET\""
        );
        rest = tail;
    }
}

/// Refuses paths that could never match, most of them written as another router wants them.
#[track_caller]
pub(super) const fn check_path(path: &str) {
    let bytes = path.as_bytes();
    assert!(matches!(bytes, [b'/', ..]), "a route's path starts with /");
    let mut rest = bytes;
    let mut is_first = true;
    while let Some((segment, tail)) = next_segment(rest) {
        let is_last = tail.is_empty();
        // A path may end with a slash, and the root is nothing else.
        assert!(!segment.is_empty() || is_last, "a route's path has a doubled /");
        assert!(!is_rest(segment) || is_last, "/... can only be the end of a route's path");
        check_letters(segment);
        if let [b':', name @ ..] = segment {
            check_name(name);
            assert!(
                !has_parameter(tail, name),
                "a route's path has two parameters of one name: give one another"
            );
        }
        is_first = false;
        rest = tail;
    }
    assert!(!is_first, "a route's path starts with /");
}

#[track_caller]
const fn check_letters(segment: &[u8]) {
    assert!(
        !matches!(segment, [b'*', ..] | [.., b'*']),
        "a route's path has no *: write :name for one segment, or /... at its end"
    );
    let mut rest = segment;
    while let Some((letter, tail)) = rest.split_first() {
        assert!(
            !matches!(letter, b'{' | b'}' | b'<' | b'>' | b'[' | b']'),
            "a parameter of a route's path is written :name, and all that follows /..."
        );
        assert!(
            !matches!(letter, b'?' | b'#'),
            "a route's path ends before the query: `query` reads that"
        );
        assert!(
            matches!(letter, b'!'..=b'~'),
            "a route's path is as it is sent: write other letters as %20 or %C3%A9"
        );
        rest = tail;
    }
}

#[track_caller]
const fn check_name(name: &[u8]) {
    assert!(!name.is_empty(), "a parameter of a route's path needs a name, as in :id");
    let mut rest = name;
    while let Some((letter, tail)) = rest.split_first() {
        let fits = letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'-');
        assert!(fits, "a parameter's name has only letters, digits, _ and -");
        rest = tail;
    }
}

/// Refuses two routes that answer the same requests, of which one would never be asked.
#[track_caller]
pub(super) const fn check_routes(routes: &[Route]) {
    let mut rest = routes;
    while let Some((route, tail)) = rest.split_first() {
        let mut others = tail;
        while let Some((other, tail)) = others.split_first() {
            let alike = same_method(route.method, other.method)
                && same_shape(route.path.as_bytes(), other.path.as_bytes());
            assert!(!alike, "two routes answer the same requests: the same method and path");
            others = tail;
        }
        rest = tail;
    }
}

const fn same_method(one: Option<&str>, other: Option<&str>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => same(one.as_bytes(), other.as_bytes()),
        _ => false,
    }
}

/// Whether two paths differ in nothing but the names of their parameters.
const fn same_shape(one: &[u8], other: &[u8]) -> bool {
    let (mut one, mut other) = (one, other);
    loop {
        match (next_segment(one), next_segment(other)) {
            (None, None) => return true,
            (Some((left, left_tail)), Some((right, right_tail))) => {
                let both_parameters = matches!((left, right), ([b':', ..], [b':', ..]));
                if !both_parameters && !same(left, right) {
                    return false;
                }
                (one, other) = (left_tail, right_tail);
            }
            _ => return false,
        }
    }
}

const fn has_parameter(path: &[u8], name: &[u8]) -> bool {
    let mut rest = path;
    while let Some((segment, tail)) = next_segment(rest) {
        if let [b':', other @ ..] = segment
            && same(other, name)
        {
            return true;
        }
        rest = tail;
    }
    false
}

const fn is_rest(segment: &[u8]) -> bool {
    matches!(segment, [b'.', b'.', b'.'])
}

/// The segment after the slash that the path starts with, and the path from the next slash on.
const fn next_segment(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let [b'/', rest @ ..] = path else { return None };
    let (mut n_bytes, mut tail) = (0, rest);
    while let [letter, more @ ..] = tail {
        if *letter == b'/' {
            break;
        }
        n_bytes += 1;
        tail = more;
    }
    match rest.split_at_checked(n_bytes) {
        Some((segment, tail)) => Some((segment, tail)),
        None => None,
    }
}

const fn same(one: &[u8], other: &[u8]) -> bool {
    let (mut one, mut other) = (one, other);
    while let (Some((left, left_tail)), Some((right, right_tail))) =
        (one.split_first(), other.split_first())
    {
        if *left != *right {
            return false;
        }
        (one, other) = (left_tail, right_tail);
    }
    one.is_empty() && other.is_empty()
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;
    use crate::{Response, get, post};

    /// The message with which it does not compile, here at run time.
    fn refusal(check: impl FnOnce() + std::panic::UnwindSafe) -> String {
        let panic = catch_unwind(check).unwrap_err();
        panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).unwrap_or_default()
    }

    #[test]
    fn paths_of_other_dialects_are_refused_with_what_to_write() {
        for (path, hint) in [
            ("", "starts with /"),
            ("users/:id", "starts with /"),
            ("users/{id}", "starts with /"),
            ("/users/{id}", "written :name"),
            ("/users/<id>", "written :name"),
            ("/users/[id]", "written :name"),
            ("/a/*", "/... at its end"),
            ("/a/*rest", "/... at its end"),
            ("/static*", "/... at its end"),
            ("/a//b", "doubled /"),
            ("/.../b", "the end"),
            ("/:", "needs a name"),
            ("/:a.b", "only letters"),
            ("/:id/x/:id", "two parameters"),
            ("/a?b", "before the query"),
            ("/a b", "%20"),
            ("/é", "%C3%A9"),
        ] {
            let said = refusal(move || check_path(path));
            assert!(said.contains(hint), "{path}: {said}");
        }
        for path in ["/", "/...", "/a/", "/a/:id/...", "/a%20b", "/a*b", "/:a/:b", "/~x/@y"] {
            check_path(path);
        }
    }

    #[test]
    fn methods_are_words_in_capitals() {
        for method in ["", "get", "GET POST", "GET,POST"] {
            assert!(refusal(move || check_method(method)).contains("\"GET\""), "{method}");
        }
        for method in ["GET", "M-SEARCH", "PROPFIND"] {
            check_method(method);
        }
    }

    #[test]
    fn a_route_that_stands_twice_is_refused() {
        let twice = [("/a", "/a"), ("/:id", "/:name"), ("/a/...", "/a/..."), ("/", "/")];
        for (one, other) in twice {
            let routes = [get(one, |_, _| Ok(Response::default())); 2];
            let routes = [routes[0], Route { path: other, ..routes[1] }];
            let said = refusal(move || check_routes(&routes));
            assert!(said.contains("same requests"), "{one} {other}: {said}");
        }
        let answer = |_, _| Ok(Response::default());
        check_routes(&[get("/a", answer), post("/a", answer), get("/a/", answer)]);
        check_routes(&[get("/:a/b", answer), get("/a/:b", answer), get("/ab", answer)]);
    }
}
