//! The functions of `wasi:http` 0.2 by which a guest makes requests to others and sends them, weighed where
//! their words may be long. Does not do the work: the types in `sandbox/http02` and `outbound` do.

use std::time::Duration;

use wasmtime::component::{Linker, LinkerInstance, Resource, ResourceType};
use wasmtime_wasi_http::RequestOptions;
use wasmtime_wasi_http::p2::bindings::http::types::{Method, Scheme};

use super::entry::{Context, dropped};
use crate::sandbox::guest::Guest;
use crate::sandbox::http02::{Fields, FutureResponse, OutgoingRequest, path_of};

/// A method of more bytes than this is refused: none that is in use is half as long.
const LONGEST_METHOD: usize = 64;

/// The instance whose function sends requests; a component may name any earlier version of 0.2.
const HANDLER: &str = "wasi:http/outgoing-handler@0.2.12";

type Request = Resource<OutgoingRequest>;
type Options = Resource<RequestOptions>;
/// What a function returns that sets a word, which may be none.
type WordSet = wasmtime::Result<(Result<(), ()>,)>;

pub(super) fn link(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    link_request(types)?;
    link_words(types)?;
    link_address(types)?;
    link_options(types)
}

/// Links the function that sends them.
pub(super) fn link_handler(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.instance(HANDLER)?.func_wrap(
        "handle",
        |mut store: Context<'_>, (request, options): (Request, Option<Options>)| {
            let guest = store.data_mut();
            let table = guest.resources();
            let options = options.map(|options| table.delete(options)).transpose()?;
            let request = match table.delete(request)?.into_http() {
                Ok(request) => request,
                Err(code) => return Ok((Err(code),)),
            };
            let sent = guest.outbound.start(request, options.unwrap_or_default());
            let future = match guest.tape() {
                Some(tape) if tape.is_playing() => FutureResponse::at_once(sent),
                _ => FutureResponse::new(sent),
            };
            Ok((Ok(guest.table.push(future)?),))
        },
    )
}

fn link_request(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let ty = ResourceType::host::<OutgoingRequest>();
    types.resource("outgoing-request", ty, dropped::<OutgoingRequest>)?;
    types.func_wrap(
        "[constructor]outgoing-request",
        |mut store: Context<'_>, (headers,): (Resource<Fields>,)| {
            let table = store.data_mut().resources();
            let headers = table.delete(headers)?;
            Ok((table.push(OutgoingRequest::new(headers))?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.headers",
        |mut store: Context<'_>, (request,): (Request,)| {
            let table = store.data_mut().resources();
            let headers = table.get_mut(&request)?.headers.share();
            Ok((table.push(headers)?,))
        },
    )
}

/// Sets a word of a request, of so many bytes.
fn set(
    store: &mut Context<'_>,
    request: &Request,
    n_added: usize,
    set: impl FnOnce(&mut OutgoingRequest) -> Option<()>,
) -> WordSet {
    let guest = store.data_mut();
    guest.holds_more(n_added);
    Ok((set(guest.resources().get_mut(request)?).ok_or(()),))
}

fn link_words(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.func_wrap(
        "[method]outgoing-request.method",
        |mut store: Context<'_>, (request,): (Request,)| {
            let request = store.data_mut().resources().get(&request)?;
            Ok((Method::from(request.method.clone()),))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store: Context<'_>, (request, method): (Request, Method)| {
            let n_added = if let Method::Other(method) = &method { method.len() } else { 0 };
            set(&mut store, &request, n_added, |request| {
                request.method = method.try_into().ok().filter(|_| n_added <= LONGEST_METHOD)?;
                Some(())
            })
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.scheme",
        |mut store: Context<'_>, (request,): (Request,)| {
            let scheme = store.data_mut().resources().get(&request)?.scheme.as_ref();
            Ok((scheme.map(|scheme| match scheme.as_str() {
                "http" => Scheme::Http,
                "https" => Scheme::Https,
                other => Scheme::Other(other.to_owned()),
            }),))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-scheme",
        |mut store: Context<'_>, (request, scheme): (Request, Option<Scheme>)| {
            let n_added = if let Some(Scheme::Other(scheme)) = &scheme { scheme.len() } else { 0 };
            set(&mut store, &request, n_added, |request| {
                request.scheme = match scheme {
                    None => None,
                    Some(Scheme::Http) => Some(http::uri::Scheme::HTTP),
                    Some(Scheme::Https) => Some(http::uri::Scheme::HTTPS),
                    Some(Scheme::Other(scheme)) => Some(scheme.parse().ok()?),
                };
                Some(())
            })
        },
    )
}

fn link_address(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.func_wrap(
        "[method]outgoing-request.path-with-query",
        |mut store: Context<'_>, (request,): (Request,)| {
            let path = store.data_mut().resources().get(&request)?.path.as_ref();
            Ok((path.map(|path| path.as_str().to_owned()),))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-path-with-query",
        |mut store: Context<'_>, (request, path): (Request, Option<String>)| {
            let n_added = path.as_ref().map_or(0, String::len);
            set(&mut store, &request, n_added, |request| {
                request.path = match path {
                    // Clients that cut an address into parts say an empty path where it has none.
                    None => None,
                    Some(path) if path.is_empty() => None,
                    Some(path) => Some(path_of(path)?),
                };
                Some(())
            })
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.authority",
        |mut store: Context<'_>, (request,): (Request,)| {
            let authority = store.data_mut().resources().get(&request)?.authority.as_ref();
            Ok((authority.map(|authority| authority.as_str().to_owned()),))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store: Context<'_>, (request, authority): (Request, Option<String>)| {
            let n_added = authority.as_ref().map_or(0, String::len);
            set(&mut store, &request, n_added, |request| {
                request.authority = match authority {
                    None => None,
                    Some(authority) => Some(authority.try_into().ok()?),
                };
                Some(())
            })
        },
    )
}

/// The time that one of the options is about.
type Part = fn(&mut RequestOptions) -> &mut Option<Duration>;

fn link_options(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let ty = ResourceType::host::<RequestOptions>();
    types.resource("request-options", ty, dropped::<RequestOptions>)?;
    types.func_wrap("[constructor]request-options", |mut store: Context<'_>, ()| {
        Ok((store.data_mut().resources().push(RequestOptions::default())?,))
    })?;
    link_option(types, "connect-timeout", |options| &mut options.connect_timeout)?;
    link_option(types, "first-byte-timeout", |options| &mut options.first_byte_timeout)?;
    link_option(types, "between-bytes-timeout", |options| &mut options.between_bytes_timeout)
}

fn link_option(
    types: &mut LinkerInstance<'_, Guest>,
    name: &str,
    part: Part,
) -> wasmtime::Result<()> {
    types.func_wrap(
        &format!("[method]request-options.{name}"),
        move |mut store: Context<'_>, (options,): (Options,)| {
            let asked = *part(store.data_mut().resources().get_mut(&options)?);
            let nanoseconds = asked.map(|asked| u64::try_from(asked.as_nanos()));
            Ok((nanoseconds.transpose()?,))
        },
    )?;
    types.func_wrap(
        &format!("[method]request-options.set-{name}"),
        move |mut store: Context<'_>, (options, asked): (Options, Option<u64>)| -> WordSet {
            let options = store.data_mut().resources().get_mut(&options)?;
            *part(options) = asked.map(Duration::from_nanos);
            Ok((Ok(()),))
        },
    )
}
