//! Write HTTP services for Steerage in Rust.
//!
//! A service is one function under [`#[handler]`](handler), over the types of the [`http`] crate.
//! This crate does not bring a server, an async runtime or a framework: the host does the serving,
//! and the function is called once for each request.
//!
//! # A first service
//!
//! `steerage new greeter` makes it, with the SDK's source in `steerage-sdk`. `Cargo.toml` names that
//! and asks for a library that the host can load; the profile makes it small and quick to start:
//!
//! ```toml
//! [package]
//! name = "greeter"
//! edition = "2024"
//!
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! steerage-sdk = { path = "steerage-sdk" }
//!
//! [profile.release]
//! opt-level = "s"
//! lto = true
//! codegen-units = 1
//! panic = "abort"
//! strip = "debuginfo"      # keeps the names that make a backtrace readable
//! ```
//!
//! `src/lib.rs` is the service:
//!
//! ```
//! use steerage_sdk::{Method, Params, Request, Response, Result, Router, get, handler, query};
//!
//! static ROUTES: Router = Router::new(&[get("/", home), get("/hello/:name", greet)]);
//!
//! #[handler]
//! fn serve(request: Request) -> Result {
//!     ROUTES.serve(request)
//! }
//!
//! fn home(_request: Request, _params: Params) -> Result {
//!     Ok(Response::new("Try /hello/you\n".into()))
//! }
//!
//! fn greet(request: Request, params: Params) -> Result {
//!     let greeting = query(request.uri(), "greeting").unwrap_or("Hello".into());
//!     let name = params.parse::<String>("name")?;
//!     Ok(Response::new(format!("{greeting}, {name}!\n").into()))
//! }
//! # let request = http::Request::get("/hello/Ada?greeting=Good+day").body("".into()).unwrap();
//! # let text = serve(request).unwrap().into_body().text().unwrap();
//! # assert_eq!(text, "Good day, Ada!\n");
//! # let _ = Method::GET;
//! ```
//!
//! `steerage.toml` says how it is deployed, and `steerage up` builds and runs it:
//!
//! ```toml
//! name = "greeter"
//! version = "0.1.0"
//! source = "greeter.wasm"
//!
//! [[route]]
//! host = "greeter.localhost"
//! path = "/..."
//! ```
//!
//! # A handler pays for what it names
//!
//! A handler takes up to four values, each an [`Argument`]: the whole [`Request`], or only its
//! [`Method`], [`Uri`], [`HeaderMap`] or [`Body`]. What it does not name is never read from the
//! host. It returns any [`Reply`]: text, bytes, a status, a [`Response`], or a [`Result`] of one.
//! A service that takes nothing and returns a `&'static str` costs what it would cost written on
//! the bare bindings; a test holds it to that.
//!
//! # Waiting
//!
//! Handlers are plain functions. Reading a body or waiting for another service looks like blocking;
//! in truth the host sets the instance aside and runs other calls meanwhile, so there is nothing
//! that async would add but bytes. To wait for several things at once, [`outbound::start`] them all
//! and then wait for each.
//!
//! # Bodies and their limits
//!
//! A [`Body`] is read as it comes in and written as it goes out, and never held whole unless you
//! ask ([`Body::bytes`], [`Body::text`], `Body::json`). Limits are the host's, from the manifest's
//! `[limits]`: reading past `request_body` fails with an error that the host answers with 413, and
//! writing past `response_body` cuts the response.
//!
//! # Failing
//!
//! [`Error`] says which failures are the caller's (the message is the answer) and which are the
//! service's own (the message is logged and the answer is a 500). A panic ends the instance; the
//! host answers 500 and keeps the backtrace.
//!
//! # Testing
//!
//! Handlers run in an ordinary `cargo test`: call them with a [`Request`] made by hand and read the
//! response's body. There [`variable`] reads the environment of the test, and an outbound request
//! gets the answer that the test gives with `testing::answer_outbound`, or else an error.

mod argument;
mod body;
mod convert;
mod error;
mod export;
#[cfg(feature = "json")]
mod json;
pub mod outbound;
mod query;
mod reply;
mod router;
mod sink;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

/// The crate whose types handlers use.
pub use http;
#[doc(no_inline)]
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
pub use steerage_sdk_macros::handler;

pub use argument::{Argument, Incoming};
pub use body::Body;
pub use error::{Error, Result};
#[doc(hidden)]
pub use export::__private;
#[cfg(feature = "json")]
pub use json::Json;
pub use query::query;
pub use reply::{Reply, Responder};
pub use router::{Params, Route, RouteHandler, Router, any, delete, get, patch, post, put, route};
pub use sink::Sink;

/// A request: the `http` crate's, with a [`Body`].
pub type Request = http::Request<Body>;
/// A response: the `http` crate's, with a [`Body`].
pub type Response = http::Response<Body>;

/// The value the manifest's `[env]` gives `name`, if it gives one. Elsewhere than on WebAssembly,
/// as in a test, it is that of the process's own environment.
///
/// It asks the host each time and nothing else; `std::env::var` works too and costs a kilobyte.
#[must_use]
pub fn variable(name: &str) -> Option<String> {
    #[cfg(target_arch = "wasm32")]
    let found = {
        let variables = wasip2::cli::environment::get_environment();
        variables.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    };
    #[cfg(not(target_arch = "wasm32"))]
    let found = std::env::var(name).ok();
    found
}
