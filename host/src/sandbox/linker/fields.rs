//! What a guest of 0.2 puts into headers and into the words of a request, weighed when it is put there:
//! `held` looks at everything only now and then. The work is `wasmtime-wasi-http`'s.

use wasmtime::component::{LinkerInstance, Resource};
use wasmtime_wasi_http::p2::HeaderResult;
use wasmtime_wasi_http::p2::bindings::http::types::{
    HeaderError, HostFields, HostOutgoingRequest as _, Method, Scheme,
};
use wasmtime_wasi_http::p2::types::HostOutgoingRequest;
use wasmtime_wasi_http::{FieldMap, WasiHttpView};

use super::entry::Context;
use crate::sandbox::guest::Guest;
use crate::sandbox::held::fields_weight;

type Fields = Resource<FieldMap>;
type Request = Resource<HostOutgoingRequest>;
type Value = Vec<u8>;

/// What a guest is told of a failure, unless the failure ends it.
fn told<T>(result: HeaderResult<T>) -> wasmtime::Result<(Result<T, HeaderError>,)> {
    match result {
        Ok(done) => Ok((Ok(done),)),
        Err(error) => error.downcast().map(|told| (Err(told),)),
    }
}

pub(super) fn link(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.func_wrap(
        "[static]fields.from-list",
        |mut store: Context<'_>, (entries,): (Vec<(String, Value)>,)| {
            let line = |(name, value): &(String, Value)| name.len().saturating_add(value.len());
            let guest = store.data_mut();
            guest.holds_more(entries.iter().map(line).sum());
            told(guest.http().from_list(entries))
        },
    )?;
    types.func_wrap(
        "[method]fields.set",
        |mut store: Context<'_>, (fields, name, values): (Fields, String, Vec<Value>)| {
            let guest = store.data_mut();
            guest.holds_more(name.len() + values.iter().map(Vec::len).sum::<usize>());
            told(guest.http().set(fields, name, values))
        },
    )?;
    types.func_wrap(
        "[method]fields.append",
        |mut store: Context<'_>, (fields, name, value): (Fields, String, Value)| {
            let guest = store.data_mut();
            guest.holds_more(name.len() + value.len());
            told(guest.http().append(fields, name, value))
        },
    )?;
    types.func_wrap("[method]fields.clone", |mut store: Context<'_>, (fields,): (Fields,)| {
        let guest = store.data_mut();
        let weight = fields_weight(guest.table.get(&fields)?);
        guest.holds_more(weight);
        Ok((HostFields::clone(&mut guest.http(), fields)?,))
    })?;
    link_words(types)
}

/// The words of a request, each of which may be as long as a guest likes.
fn link_words(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store: Context<'_>, (request, method): (Request, Method)| {
            let guest = store.data_mut();
            if let Method::Other(method) = &method {
                guest.holds_more(method.len());
            }
            Ok((guest.http().set_method(request, method)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-scheme",
        |mut store: Context<'_>, (request, scheme): (Request, Option<Scheme>)| {
            let guest = store.data_mut();
            if let Some(Scheme::Other(scheme)) = &scheme {
                guest.holds_more(scheme.len());
            }
            Ok((guest.http().set_scheme(request, scheme)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-path-with-query",
        |mut store: Context<'_>, (request, path): (Request, Option<String>)| {
            let guest = store.data_mut();
            guest.holds_more(path.as_ref().map_or(0, String::len));
            Ok((guest.http().set_path_with_query(request, path)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store: Context<'_>, (request, authority): (Request, Option<String>)| {
            let guest = store.data_mut();
            guest.holds_more(authority.as_ref().map_or(0, String::len));
            Ok((guest.http().set_authority(request, authority)?,))
        },
    )
}
