//! What patterns may say, what they match and which of them wins, as tables.
//! The laws that hold for all tables are in `laws`.

use expect_test::{Expect, expect};

use super::*;
use crate::id::AppName;

fn shown<T: fmt::Display, E: fmt::Display>(read: Result<T, E>) -> String {
    read.map_or_else(|error| error.to_string(), |value| value.to_string())
}

fn check_parse(texts: &[&str], expect: &Expect) {
    let lines: Vec<_> = texts.iter().map(|text| shown(text.parse::<Route>())).collect();
    expect.assert_eq(&lines.join("\n"));
}

/// A table in which each route leads to its own text.
fn table(routes: &[&str]) -> RouteTable<String> {
    let owner = AppName::parse("owner").unwrap();
    let mut table = RouteTable::new();
    for route in routes {
        table.insert(&route.parse().unwrap(), &owner, (*route).to_owned()).unwrap();
    }
    table
}

/// Asks for each `host/path` and shows the winner with its parameters and rest.
fn check_find(routes: &[&str], requests: &[&str], expect: &Expect) {
    let table = table(routes);
    let line = |request: &&str| {
        let (host, path) = request.split_at(request.find(['/', '*']).unwrap_or(request.len()));
        let Some(found) = table.find(host, path) else { return format!("{request} -> nothing") };
        let mut line = format!("{request} -> {}", found.target);
        for (name, value) in &found.params {
            line.push_str(&format!(" {name}={value}"));
        }
        if let Some(rest) = found.rest {
            line.push_str(&format!(" rest={rest:?}"));
        }
        line
    };
    let lines: Vec<_> = requests.iter().map(line).collect();
    expect.assert_eq(&lines.join("\n"));
}

#[test]
fn a_route_shows_as_it_is_written_in_canonical_form() {
    check_parse(
        &[
            "/",
            "/...",
            "/a",
            "/a/:id/...",
            "example.com/",
            "Example.COM./a",
            "*.example.com/a",
            "*/a",
            "127.0.0.1/",
            "[::1]/",
            "[0:0::1]/a",
            "a_b.c/~x.y!$&'()*+,;=:@-_",
            "/caf%C3%A9",
            "/....",
            "/a...",
            "/:a-b_1",
            "/.well-known/acme",
            "/.well-known/...",
            "/.well-known/steerages",
        ],
        &expect![[r#"
            /
            /...
            /a
            /a/:id/...
            example.com/
            example.com/a
            *.example.com/a
            /a
            127.0.0.1/
            [::1]/
            [::1]/a
            a_b.c/~x.y!$&'()*+,;=:@-_
            /caf%C3%A9
            /....
            /a...
            /:a-b_1
            /.well-known/acme
            /.well-known/...
            /.well-known/steerages"#]],
    );
}

#[test]
fn what_is_no_path_is_refused_with_the_rule() {
    check_parse(
        &[
            "",
            "/a/",
            "//",
            "/a//b",
            "/./a",
            "/a/..",
            "/.../a",
            "/a?b",
            "/a#b",
            "/a b",
            "/é",
            "/:",
            "/:A",
            "/:a/:b/:a",
            "/a%2Fb",
            "/a%2fb",
            "/%61",
            "/%2E%2E",
            "/a%",
            "/a%4",
            "/a%é",
            "/a\\b",
            "/a\0b",
            "/.well-known/steerage",
            "/.well-known/steerage/x",
            "/.well-known/steerage/...",
        ],
        &expect![[r#"
            "" is not a route's path: it is empty; the root is /
            "/a/" is not a route's path: it has an empty segment; leave out doubled and trailing /
            "//" is not a route's path: it has an empty segment; leave out doubled and trailing /
            "/a//b" is not a route's path: it has an empty segment; leave out doubled and trailing /
            "/./a" is not a route's path: it has a . or .. segment
            "/a/.." is not a route's path: it has a . or .. segment
            "/.../a" is not a route's path: /... may only stand at the end
            "/a?b" is not a route's path: a route ends before the query: it has a ?
            "/a#b" is not a route's path: a route ends before the query: it has a #
            "/a b" is not a route's path: write " " as %20
            "/é" is not a route's path: write "é" as %C3%A9
            "/:" is not a route's path: a parameter needs a name, as in :id
            "/:A" is not a route's path: a parameter's name has only a-z, 0-9, _ and -
            "/:a/:b/:a" is not a route's path: it has two parameters of the name :a
            "/a%2Fb" is not a route's path: %2F is a slash to some and a letter to others
            "/a%2fb" is not a route's path: after % it needs two hexadecimal digits, letters in capitals
            "/%61" is not a route's path: write %61 as a
            "/%2E%2E" is not a route's path: write %2E as .
            "/a%" is not a route's path: after % it needs two hexadecimal digits, letters in capitals
            "/a%4" is not a route's path: after % it needs two hexadecimal digits, letters in capitals
            "/a%é" is not a route's path: after % it needs two hexadecimal digits, letters in capitals
            "/a\\b" is not a route's path: write "\\" as %5C
            "/a\0b" is not a route's path: write "\0" as %00
            "/.well-known/steerage" is not a route's path: /.well-known/steerage belongs to the host
            "/.well-known/steerage/x" is not a route's path: /.well-known/steerage belongs to the host
            "/.well-known/steerage/..." is not a route's path: /.well-known/steerage belongs to the host"#]],
    );
    assert!(PathPattern::parse(&"/a".repeat(32)).is_ok());
    assert!(PathPattern::parse(&"/a".repeat(33)).is_err());
    assert!(PathPattern::parse(&format!("/{}", "a".repeat(1024))).is_err());
}

#[test]
fn what_is_no_host_is_refused_with_the_rule() {
    check_parse(
        &[
            "example.com:80/",
            "a..b/",
            ".a/",
            "*.*.a/",
            "a.*/",
            "*a.b/",
            "-a.b/",
            "a-.b/",
            "exämple.com/",
            "*.127.0.0.1/",
            "[::1]:80/",
            "[::1/",
            "[127.0.0.1]/",
            "a b/",
        ],
        &expect![[r#"
            "example.com:80" is not a host: a port is not part of it; the host answers on its own ports
            "a..b" is not a host: each label has 1 to 63 characters
            ".a" is not a host: each label has 1 to 63 characters
            "*.*.a" is not a host: a * may only be the whole first label, as in *.example.com
            "a.*" is not a host: a * may only be the whole first label, as in *.example.com
            "*a.b" is not a host: a * may only be the whole first label, as in *.example.com
            "-a.b" is not a host: a label must not start or end with -
            "a-.b" is not a host: a label must not start or end with -
            "exämple.com" is not a host: only a-z, 0-9, -, _ and dots are allowed; write other letters as xn--
            "*.127.0.0.1" is not a host: an address has no names below it
            "[::1]:80" is not a host: brackets hold an IPv6 address and nothing follows them
            "[::1" is not a host: brackets hold an IPv6 address and nothing follows them
            "[127.0.0.1]" is not a host: brackets hold an IPv6 address and nothing follows them
            "a b" is not a host: only a-z, 0-9, -, _ and dots are allowed; write other letters as xn--"#]],
    );
    assert!(HostPattern::parse("*.").is_err());
    assert!(HostPattern::parse("").is_err());
    assert!(HostPattern::parse(&"a".repeat(64)).is_err());
    assert!(HostPattern::parse(&["a"; 127].join(".")).is_ok());
    assert!(HostPattern::parse(&["ab"; 127].join(".")).is_err());
}

#[test]
fn exact_beats_parameter_beats_wildcard_from_left_to_right() {
    check_find(
        &["/a/b", "/a/:x", "/a/...", "/:x/b", "/:x/:y", "/:x/b/...", "/...", "/a/b/..."],
        &[
            "/a/b", "/a/b/", "/a/c", "/a/c/d", "/a/b/c", "/c/b", "/c/d", "/c/b/d", "/c/d/e", "/",
            "/a",
        ],
        &expect![[r#"
            /a/b -> /a/b
            /a/b/ -> /a/b
            /a/c -> /a/:x x=c
            /a/c/d -> /a/... rest="/c/d"
            /a/b/c -> /a/b/... rest="/c"
            /c/b -> /:x/b x=c
            /c/d -> /:x/:y x=c y=d
            /c/b/d -> /:x/b/... x=c rest="/d"
            /c/d/e -> /... rest="/c/d/e"
            / -> /... rest="/"
            /a -> /a/... rest="""#]],
    );
}

#[test]
fn a_branch_without_an_end_is_stepped_back_from() {
    check_find(
        &["/a/b/c", "/:x/b/d", "/a/:y/e", "/a/..."],
        &["/a/b/c", "/a/b/d", "/a/b/e", "/z/b/d", "/z/b/c"],
        &expect![[r#"
            /a/b/c -> /a/b/c
            /a/b/d -> /a/... rest="/b/d"
            /a/b/e -> /a/:y/e y=b
            /z/b/d -> /:x/b/d x=z
            /z/b/c -> nothing"#]],
    );
}

#[test]
fn one_trailing_slash_is_not_significant() {
    check_find(
        &["/", "/cart", "/users/...", "/users/:id/edit"],
        &[
            "/",
            "//",
            "/cart",
            "/cart/",
            "/cart//",
            "/users",
            "/users/",
            "/users//",
            "/users/1",
            "/users/1/",
            "/users/1/edit/",
            "/users//edit",
            "/usersx",
        ],
        &expect![[r#"
            / -> /
            // -> /
            /cart -> /cart
            /cart/ -> /cart
            /cart// -> nothing
            /users -> /users/... rest=""
            /users/ -> /users/... rest="/"
            /users// -> /users/... rest="//"
            /users/1 -> /users/... rest="/1"
            /users/1/ -> /users/... rest="/1/"
            /users/1/edit/ -> /users/:id/edit id=1
            /users//edit -> /users/... rest="//edit"
            /usersx -> nothing"#]],
    );
}

#[test]
fn dots_and_escapes_are_matched_raw() {
    check_find(
        &["/a/...", "/b/:x", "/caf%C3%A9"],
        &["/a/../b/c", "/b/..", "/b/%2F", "/%61/x", "/caf%C3%A9", "/caf%c3%a9", "/A/x"],
        &expect![[r#"
            /a/../b/c -> /a/... rest="/../b/c"
            /b/.. -> /b/:x x=..
            /b/%2F -> /b/:x x=%2F
            /%61/x -> nothing
            /caf%C3%A9 -> /caf%C3%A9
            /caf%c3%a9 -> nothing
            /A/x -> nothing"#]],
    );
}

#[test]
fn a_more_specific_host_wins_and_falls_through_where_it_has_no_path() {
    check_find(
        &["a.example.com/x", "*.example.com/y", "*.a.example.com/y", "*.com/...", "/z", "/x"],
        &[
            "a.example.com/x",
            "A.EXAMPLE.com.:8080/x",
            "a.example.com/y",
            "a.example.com/w",
            "b.a.example.com/y",
            "c.b.a.example.com/y",
            "example.com/y",
            "com/y",
            "com/z",
            "other.org/x",
            "/z",
            ".com/x",
            ".example.com/y",
        ],
        &expect![[r#"
            a.example.com/x -> a.example.com/x
            A.EXAMPLE.com.:8080/x -> a.example.com/x
            a.example.com/y -> *.example.com/y
            a.example.com/w -> *.com/... rest="/w"
            b.a.example.com/y -> *.a.example.com/y
            c.b.a.example.com/y -> *.a.example.com/y
            example.com/y -> *.com/... rest="/y"
            com/y -> nothing
            com/z -> /z
            other.org/x -> /x
            /z -> /z
            .com/x -> /x
            .example.com/y -> nothing"#]],
    );
}

#[test]
fn an_address_is_a_host_but_has_no_suffix() {
    check_find(
        &["127.0.0.1/a", "[::1]/a", "*.1/a", "/b"],
        &[
            "127.0.0.1/a",
            "127.0.0.1:80/a",
            "[::1]/a",
            "[::1]:80/a",
            "10.0.0.1/a",
            "x.1/a",
            "[::2]/b",
        ],
        &expect![[r#"
            127.0.0.1/a -> 127.0.0.1/a
            127.0.0.1:80/a -> 127.0.0.1/a
            [::1]/a -> [::1]/a
            [::1]:80/a -> [::1]/a
            10.0.0.1/a -> nothing
            x.1/a -> *.1/a
            [::2]/b -> /b"#]],
    );
}

#[test]
fn what_is_no_path_or_belongs_to_the_host_finds_nothing() {
    check_find(
        &["/...", "/.well-known/...", "/:a/:b"],
        &[
            "*",
            "",
            "/.well-known/steerage",
            "/.well-known/steerage/",
            "/.well-known/steerage/x",
            "/.well-known/steeragex",
            "/.well-known/x",
        ],
        &expect![[r#"
            * -> nothing
             -> nothing
            /.well-known/steerage -> nothing
            /.well-known/steerage/ -> nothing
            /.well-known/steerage/x -> nothing
            /.well-known/steeragex -> /.well-known/... rest="/steeragex"
            /.well-known/x -> /.well-known/... rest="/x""#]],
    );
    assert!(table(&["/..."]).find("a", "x").is_none());
}

#[test]
fn an_overlong_host_reaches_only_the_routes_for_any_host() {
    let host = "a.".repeat(4000) + "com";
    let table = table(&["*.com/...", "/..."]);
    assert_eq!(table.find(&host, "/").unwrap().target, "/...");
}

#[test]
fn a_conflict_names_the_owner_and_changes_nothing() {
    let mut table = table(&["/users/:id", "a.b/x"]);
    let other = AppName::parse("other").unwrap();
    let mut insert = |route: &str| {
        let conflict = table.insert(&route.parse().unwrap(), &other, String::new());
        shown(conflict.map(|()| "added"))
    };
    expect!["/users/:name is taken: app owner answers /users/:id"]
        .assert_eq(&insert("/users/:name"));
    expect!["a.b/x is taken: app owner answers a.b/x"].assert_eq(&insert("a.b/x"));
    assert_eq!(insert("/users/..."), "added");
    assert_eq!(insert("*.a.b/x"), "added");
    assert_eq!(table.len(), 4);
    assert_eq!(table.find("a.b", "/users/7").unwrap().owner.as_str(), "owner");
}

#[test]
fn a_clone_keeps_what_it_had() {
    let before = table(&["/a", "/b/c"]);
    let mut after = before.clone();
    after.remove(&"/b/c".parse().unwrap()).unwrap();
    after.insert(&"/b/d".parse().unwrap(), &AppName::parse("x").unwrap(), String::new()).unwrap();
    assert!(before.find("", "/b/c").is_some() && before.find("", "/b/d").is_none());
    assert!(after.find("", "/b/c").is_none() && after.find("", "/b/d").is_some());
}

/// Routes of 24 segments, each a literal or a parameter, chosen by the bits of a number.
fn look_alikes(n_routes: u32) -> RouteTable<String> {
    let owner = AppName::parse("owner").unwrap();
    let mut table = RouteTable::new();
    let mut bits: u32 = 1;
    while table.len() < n_routes as usize {
        bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let segment =
            |at: u32| if bits >> (at + 8) & 1 == 0 { "/a".to_owned() } else { format!("/:p{at}") };
        let route: Route = (0..24).map(segment).collect::<String>().parse().unwrap();
        let _taken = table.insert(&route, &owner, route.to_string()).is_err();
    }
    table
}

#[test]
fn routes_that_resemble_each_other_do_not_make_requests_dear() {
    // 40 apps of 70 routes made a request that no route answers cost 9 ms (release), and as much for
    // each such request; a tree visited to its end would make this test take minutes.
    let table = look_alikes(2_800);
    let longer = "/a".repeat(25);
    let last_is_empty = format!("{}//", "/a".repeat(23));
    for _ in 0..2_000 {
        assert!(table.find("x", &longer).is_none());
        assert!(table.find("x", &last_is_empty).is_none());
    }
    let matched = "/a".repeat(24);
    let found = table.find("x", &matched).unwrap();
    let best = table.iter().min_by_key(|routed| routed.target.replace('a', "!")).unwrap();
    assert_eq!(*found.target, best.target);
    assert_eq!(found.params.len(), found.target.matches(':').count());
}

#[test]
fn a_host_pattern_matches_where_the_table_finds_its_route() {
    for pattern in ["*", "example.com", "*.example.com", "[::1]"] {
        let host: HostPattern = pattern.parse().unwrap();
        let routes = table(&[&format!("{host}/...")]);
        for name in [
            "example.com",
            "a.example.com",
            "b.a.example.com",
            ".example.com",
            "aexample.com",
            "[::1]",
        ] {
            let is_found = routes.find(name, "/x").is_some();
            assert_eq!(host.matches(name), is_found, "{pattern} and {name}");
        }
    }
}
