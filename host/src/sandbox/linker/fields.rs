//! The functions of `wasi:http/types` 0.2 on fields, weighed when something is put there: `held` looks at
//! everything only now and then. Does not do the work: `sandbox/http02/fields.rs` does.
//!
//! Names and values are read where the guest has them, and copied once they are known to be some.

use http::{HeaderName, HeaderValue};
use wasmtime::component::{LinkerInstance, Resource, ResourceType, WasmList, WasmStr};
use wasmtime_wasi_http::p2::bindings::http::types::HeaderError;

use super::entry::{Context, dropped};
use crate::sandbox::guest::Guest;
use crate::sandbox::held::fields_weight;
use crate::sandbox::http02::{Fields, Refusal, name_of, value_of};

type Handle = Resource<Fields>;
type Value = WasmList<u8>;
/// What a function returns that may be refused.
type Returned<T> = (Result<T, HeaderError>,);

/// What a guest is told of a refusal, unless that ends it.
fn told<T>(done: Result<T, Refusal>) -> wasmtime::Result<Returned<T>> {
    let refusal = match done {
        Ok(done) => return Ok((Ok(done),)),
        Err(Refusal::Immutable) => HeaderError::Immutable,
        Err(Refusal::InvalidSyntax) => HeaderError::InvalidSyntax,
        Err(Refusal::Forbidden) => HeaderError::Forbidden,
        Err(too_large @ Refusal::TooLarge) => return Err(too_large.into()),
    };
    Ok((Err(refusal),))
}

/// Does something to fields, to which so many bytes are added.
fn change(
    store: &mut Context<'_>,
    fields: &Handle,
    n_added: usize,
    change: impl FnOnce(&mut Fields) -> Result<(), Refusal>,
) -> wasmtime::Result<Returned<()>> {
    let guest = store.data_mut();
    guest.holds_more(n_added);
    told(change(guest.resources().get_mut(fields)?))
}

fn line(
    store: &Context<'_>,
    name: &WasmStr,
    value: &Value,
) -> wasmtime::Result<Result<(HeaderName, HeaderValue), Refusal>> {
    let name = name_of(&name.to_str(store)?);
    Ok(name.and_then(|name| {
        let value = value_of(&name, value.as_le_slice(store))?;
        Ok((name, value))
    }))
}

pub(super) fn link(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.resource("fields", ResourceType::host::<Fields>(), dropped::<Fields>)?;
    link_made(types)?;
    link_looks(types)?;
    link_changes(types)
}

fn link_made(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.func_wrap("[constructor]fields", |mut store: Context<'_>, ()| {
        Ok((store.data_mut().resources().push(Fields::new())?,))
    })?;
    types.func_wrap(
        "[static]fields.from-list",
        |mut store: Context<'_>, (lines,): (Vec<(WasmStr, Value)>,)| {
            let (mut fields, mut n_added) = (Fields::new(), 0);
            for (name, value) in &lines {
                let done = line(&store, name, value)?.and_then(|(name, value)| {
                    n_added += name.as_str().len() + value.len();
                    fields.append(name, value)
                });
                if let Err(refusal) = done {
                    return told(Err(refusal));
                }
            }
            let guest = store.data_mut();
            guest.holds_more(n_added);
            told(Ok(guest.resources().push(fields)?))
        },
    )?;
    types.func_wrap("[method]fields.clone", |mut store: Context<'_>, (fields,): (Handle,)| {
        let guest = store.data_mut();
        // What is shared now is copied when one of them is changed.
        let weight = fields_weight(guest.table.get(&fields)?.lines());
        guest.holds_more(weight);
        let copy = guest.resources().get_mut(&fields)?.copy();
        Ok((guest.table.push(copy)?,))
    })
}

fn link_looks(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.func_wrap(
        "[method]fields.get",
        |mut store: Context<'_>, (fields, name): (Handle, WasmStr)| {
            store.data_mut().look();
            let lines = store.data().table.get(&fields)?.lines();
            // What is no name is not there.
            let values = lines.get_all(&*name.to_str(&store)?);
            Ok((values.iter().map(|value| value.as_bytes().to_vec()).collect::<Vec<_>>(),))
        },
    )?;
    types.func_wrap(
        "[method]fields.has",
        |mut store: Context<'_>, (fields, name): (Handle, WasmStr)| {
            store.data_mut().look();
            let lines = store.data().table.get(&fields)?.lines();
            Ok((lines.contains_key(&*name.to_str(&store)?),))
        },
    )?;
    types.func_wrap("[method]fields.entries", |mut store: Context<'_>, (fields,): (Handle,)| {
        let lines = store.data_mut().resources().get(&fields)?.lines().iter();
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), value.as_bytes().to_vec())
        };
        Ok((lines.map(line).collect::<Vec<_>>(),))
    })
}

fn link_changes(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.func_wrap(
        "[method]fields.append",
        |mut store: Context<'_>, (fields, name, value): (Handle, WasmStr, Value)| {
            let (name, value) = match line(&store, &name, &value)? {
                Ok(line) => line,
                Err(refusal) => return told(Err(refusal)),
            };
            let n_added = name.as_str().len() + value.len();
            change(&mut store, &fields, n_added, |fields| fields.append(name, value))
        },
    )?;
    types.func_wrap(
        "[method]fields.set",
        |mut store: Context<'_>, (fields, name, values): (Handle, WasmStr, Vec<Value>)| {
            let values = name_of(&name.to_str(&store)?).and_then(|name| {
                let value = |value: &Value| value_of(&name, value.as_le_slice(&store));
                let values = values.iter().map(value).collect::<Result<Vec<_>, _>>()?;
                Ok((name, values))
            });
            let (name, values) = match values {
                Ok(line) => line,
                Err(refusal) => return told(Err(refusal)),
            };
            let n_added = name.as_str().len() + values.iter().map(HeaderValue::len).sum::<usize>();
            change(&mut store, &fields, n_added, |fields| fields.set(name, values))
        },
    )?;
    types.func_wrap(
        "[method]fields.delete",
        |mut store: Context<'_>, (fields, name): (Handle, WasmStr)| match name_of(
            &name.to_str(&store)?,
        ) {
            Ok(name) => change(&mut store, &fields, 0, |fields| fields.delete(&name)),
            Err(refusal) => told(Err(refusal)),
        },
    )
}
