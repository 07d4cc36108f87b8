//! Which function of a service answers a request.
//!
//! A table of routes is a constant: nothing is built when an instance starts, since for most
//! instances that is once a request. It is searched from front to back; a service with hundreds of
//! routes wants something else. Being a constant, it is checked where it is compiled: `table`.

mod table;

use std::str::FromStr;

use http::{HeaderValue, StatusCode, header::ALLOW};

use crate::{Error, Request, Response, Result, query};

/// A function that answers the requests of a route.
pub type RouteHandler = fn(Request, Params) -> Result;

/// The routes of a service.
///
/// Paths mean what they mean in `steerage.toml`: `/about` is itself, `:id` in `/users/:id` is any
/// one segment, and `/...` at the end is whatever follows, or nothing. Where several match, the
/// more exact one answers, whatever their order: at the first segment in which they differ, text
/// beats `:name` beats `...`. Of two routes for one path a method of its own beats `any`.
///
/// A path of another dialect and a route that stands twice do not compile:
///
/// ```compile_fail
/// # use steerage_sdk::{Response, Router, get};
/// static ROUTES: Router = Router::new(&[get("/users/{id}", |_, _| Ok(Response::default()))]);
/// ```
///
/// ```
/// use steerage_sdk::{Params, Request, Response, Result, Router, StatusCode, get, handler, put};
///
/// static ROUTES: Router = Router::new(&[
///     get("/users/:id", show),
///     put("/users/:id", store),
///     get("/files/...", file),
/// ]);
///
/// #[handler]
/// fn serve(request: Request) -> Result {
///     ROUTES.serve(request)
/// }
///
/// fn show(_request: Request, params: Params) -> Result {
///     let id: u64 = params.parse("id")?;
///     Ok(Response::new(format!("user {id}\n").into()))
/// }
///
/// fn store(request: Request, _params: Params) -> Result {
///     let _user = request.into_body().text()?;
///     Ok(Response::default())
/// }
///
/// fn file(_request: Request, params: Params) -> Result {
///     let path = params.get("...").unwrap_or_default();
///     Ok(Response::new(format!("file {path}\n").into()))
/// }
/// # let ask = |path| {
/// #     let request = http::Request::get(path).body("".into()).unwrap();
/// #     serve(request).and_then(|response| response.into_body().text())
/// # };
/// # assert_eq!(ask("/users/7").unwrap(), "user 7\n");
/// # assert_eq!(ask("/users/x").unwrap_err().status(), StatusCode::BAD_REQUEST);
/// # assert_eq!(ask("/files/a/b%20c").unwrap(), "file a/b c\n");
/// # assert_eq!(ask("/else").unwrap_err().status(), StatusCode::NOT_FOUND);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Router {
    routes: &'static [Route],
}

/// One line of a [`Router`]'s table.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// `None` is every method.
    method: Option<&'static str>,
    path: &'static str,
    handler: RouteHandler,
}

/// What the `:name`s of a route's path stood for, decoded; `...` is the rest of the path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(&'static str, String)>);

/// A route for one method, say `"PROPFIND"`.
///
/// # Panics
///
/// When the method or the path is none, where the table is compiled; so do all functions below.
#[track_caller]
pub const fn route(method: &'static str, path: &'static str, handler: RouteHandler) -> Route {
    table::check_method(method);
    table::check_path(path);
    Route { method: Some(method), path, handler }
}

/// A route for every method.
///
/// # Panics
///
/// As [`route()`].
#[track_caller]
pub const fn any(path: &'static str, handler: RouteHandler) -> Route {
    table::check_path(path);
    Route { method: None, path, handler }
}

/// A route for GET, and for HEAD, whose body the host leaves out.
///
/// # Panics
///
/// As [`route()`].
#[track_caller]
pub const fn get(path: &'static str, handler: RouteHandler) -> Route {
    route("GET", path, handler)
}

/// A route for POST.
///
/// # Panics
///
/// As [`route()`].
#[track_caller]
pub const fn post(path: &'static str, handler: RouteHandler) -> Route {
    route("POST", path, handler)
}

/// A route for PUT.
///
/// # Panics
///
/// As [`route()`].
#[track_caller]
pub const fn put(path: &'static str, handler: RouteHandler) -> Route {
    route("PUT", path, handler)
}

/// A route for PATCH.
///
/// # Panics
///
/// As [`route()`].
#[track_caller]
pub const fn patch(path: &'static str, handler: RouteHandler) -> Route {
    route("PATCH", path, handler)
}

/// A route for DELETE.
///
/// # Panics
///
/// As [`route()`].
#[track_caller]
pub const fn delete(path: &'static str, handler: RouteHandler) -> Route {
    route("DELETE", path, handler)
}

impl Router {
    /// These routes.
    ///
    /// # Panics
    ///
    /// When two of them answer the same requests, where the table is compiled.
    #[must_use]
    #[track_caller]
    pub const fn new(routes: &'static [Route]) -> Self {
        table::check_routes(routes);
        Self { routes }
    }

    /// Answers the request with the route it belongs to: 404 if there is none, 405 with `Allow` if
    /// there is none for its method. OPTIONS, where no route takes it, is answered with `Allow`.
    ///
    /// # Errors
    ///
    /// The 404, so that a caller can add something to it, and what the route's function returns.
    pub fn serve(&self, request: Request) -> Result {
        let path = request.uri().path();
        let method = request.method().as_str();
        let matching = || self.routes.iter().filter(|route| matches(route.path, path));
        let best = matching().filter(|route| route.takes(method)).min_by(|a, b| {
            let by_path = exactness(a.path).cmp(exactness(b.path));
            by_path.then_with(|| a.is_for(method).cmp(&b.is_for(method)).reverse())
        });
        match best {
            Some(route) => {
                let params = Params::read(route.path, path);
                (route.handler)(request, params)
            }
            None if matching().next().is_none() => Err(Error::not_found("nothing is here")),
            None => no_route_for(method, matching().filter_map(|route| route.method)),
        }
    }
}

impl Route {
    fn takes(&self, method: &str) -> bool {
        self.method.is_none_or(|own| own == method || (own, method) == ("GET", "HEAD"))
    }

    /// How closely it is meant for the method: more than for every one, or for GET in place of HEAD.
    fn is_for(&self, method: &str) -> u8 {
        match self.method {
            Some(own) if own == method => 2,
            Some(_) => 1,
            None => 0,
        }
    }
}

/// What a path answers to a method that none of its routes takes: which methods it does take.
fn no_route_for<'m>(method: &str, taken: impl Iterator<Item = &'m str>) -> Result {
    let mut allowed: Vec<&str> = Vec::new();
    for method in taken {
        let implied: &[&str] = if method == "GET" { &["GET", "HEAD"] } else { &[method] };
        for method in implied {
            if !allowed.contains(method) {
                allowed.push(method);
            }
        }
    }
    if !allowed.contains(&"OPTIONS") {
        allowed.push("OPTIONS");
    }
    let mut response = Response::default();
    *response.status_mut() = match method {
        "OPTIONS" => StatusCode::NO_CONTENT,
        _ => StatusCode::METHOD_NOT_ALLOWED,
    };
    response.headers_mut().insert(ALLOW, HeaderValue::from_str(&allowed.join(", "))?);
    Ok(response)
}

fn matches(pattern: &str, path: &str) -> bool {
    let (mut expected, mut actual) = (pattern.split('/'), path.split('/'));
    loop {
        match (expected.next(), actual.next()) {
            (None, None) | (Some("..."), _) => return true,
            (Some(name), Some(segment)) if name.starts_with(':') && !segment.is_empty() => {}
            (Some(text), Some(segment)) if text == segment => {}
            _ => return false,
        }
    }
}

/// Orders the routes that match one path: the least is the most exact.
fn exactness(pattern: &str) -> impl Iterator<Item = u8> {
    pattern.split('/').map(|segment| match segment {
        "..." => 2,
        name if name.starts_with(':') => 1,
        _ => 0,
    })
}

impl Params {
    fn read(pattern: &'static str, path: &str) -> Self {
        let mut params = Vec::new();
        let mut rest = path;
        for expected in pattern.split('/') {
            if expected == "..." {
                params.push((expected, query::decode(rest, false).into_owned()));
                break;
            }
            let (segment, tail) = rest.split_once('/').unwrap_or((rest, ""));
            if let Some(name) = expected.strip_prefix(':') {
                params.push((name, query::decode(segment, false).into_owned()));
            }
            rest = tail;
        }
        Self(params)
    }

    /// What `:name` stood for.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    /// What `:name` stood for, as a number or whatever else can be parsed.
    ///
    /// # Errors
    ///
    /// 400 when it cannot be parsed; 500 when the route's path has no such name.
    pub fn parse<T: FromStr>(&self, name: &str) -> Result<T> {
        let text = self
            .get(name)
            .ok_or_else(|| Error::internal(format!("the route has no parameter :{name}")))?;
        text.parse().map_err(|_| Error::bad_request(format!("{text:?} is no {name}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(name: &'static str) -> Result {
        Ok(Response::new(name.into()))
    }

    static ROUTES: Router = Router::new(&[
        any("/...", |_, _| answer("rest")),
        get("/users/:id", |_, _| answer("one")),
        get("/users/me", |_, _| answer("me")),
        post("/users/:id", |_, _| answer("stored")),
        get("/users/:id/posts/...", |_, params| Ok(Response::new(format!("{params:?}").into()))),
    ]);

    fn check(method: &str, path: &str, expected: &str) {
        assert_eq!(ask(&ROUTES, method, path).unwrap().into_body().text().unwrap(), expected);
    }

    fn ask(router: &Router, method: &str, path: &str) -> Result {
        let request = http::Request::builder().method(method).uri(path);
        router.serve(request.body(().into()).unwrap())
    }

    #[test]
    fn the_more_exact_route_answers_whatever_the_order() {
        check("GET", "/users/me", "me");
        check("GET", "/users/7", "one");
        check("GET", "/users/", "rest");
        check("GET", "/users/7/", "rest");
        check("GET", "/", "rest");
    }

    #[test]
    fn a_route_of_another_method_leaves_the_path_to_the_next() {
        check("POST", "/users/me", "stored");
        check("HEAD", "/users/me", "me");
        check("DELETE", "/users/me", "rest");
    }

    #[test]
    fn parameters_are_decoded() {
        let expected = r#"Params([("id", "a b"), ("...", "x/y")])"#;
        check("GET", "/users/a%20b/posts/x/y", expected);
        check("GET", "/users/1/posts", r#"Params([("id", "1"), ("...", "")])"#);
    }

    #[test]
    fn a_wrong_method_is_told_all_right_ones_in_one_line() {
        static METHODS: Router = Router::new(&[
            post("/form", |_, _| answer("sent")),
            get("/form", |_, _| answer("form")),
            get("/:page", |_, _| answer("page")),
            delete("/:page", |_, _| answer("gone")),
        ]);
        let check = |method, path, status: u16, allowed: &str| {
            let response = ask(&METHODS, method, path).unwrap();
            assert_eq!(response.status(), status, "{method} {path}");
            let values: Vec<_> = response.headers().get_all(ALLOW).into_iter().collect();
            assert_eq!(values, [allowed], "{method} {path}");
        };
        check("PUT", "/form", 405, "POST, GET, HEAD, DELETE, OPTIONS");
        check("PUT", "/about", 405, "GET, HEAD, DELETE, OPTIONS");
        check("OPTIONS", "/about", 204, "GET, HEAD, DELETE, OPTIONS");
        assert_eq!(ask(&METHODS, "PUT", "/").unwrap_err().status(), StatusCode::NOT_FOUND);
        assert_eq!(ask(&METHODS, "OPTIONS", "/a/b").unwrap_err().status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn a_method_of_its_own_beats_every_method_whatever_the_order() {
        static MIXED: Router = Router::new(&[
            any("/x", |_, _| answer("any")),
            get("/x", |_, _| answer("get")),
            route("HEAD", "/x", |_, _| answer("head")),
            route("OPTIONS", "/x", |_, _| answer("options")),
        ]);
        let check = |method, expected: &str| {
            let text = ask(&MIXED, method, "/x").unwrap().into_body().text().unwrap();
            assert_eq!(text, expected, "{method}");
        };
        check("GET", "get");
        check("HEAD", "head");
        check("OPTIONS", "options");
        check("PATCH", "any");
    }
}
