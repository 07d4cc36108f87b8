//! What an app is configured with, as guests ask for it by name: `wasi:config/store` and the variables of Spin.
//! Both read the app's `[env]`, which guests see as their environment as well: one thing that is set in
//! one place, checked, redacted and replayed in one way.
//! Does not know where values come from.

use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, ComponentType, Linker, LinkerInstance, Lower};

use crate::sandbox::engine::Flavor;
use crate::sandbox::guest::Guest;

/// Drafts of one interface, all with the same functions: Spin has the first, wasmCloud and `wasmtime serve`
/// the second, the proposal itself the third.
const STORES: [&str; 3] = [
    "wasi:config/store@0.2.0-draft-2024-09-27",
    "wasi:config/store@0.2.0-rc.1",
    "wasi:config/store@0.2.0-draft",
];
/// The variables of SDKs of Spin before version 4.
const VARIABLES: &str = "fermyon:spin/variables@2.0.0";
/// The same as an async function, for guests of WASI 0.3.
const ASYNC_VARIABLES: &str = "spin:variables/variables@3.0.0";

/// Why there is no value: never so here, where all values are at hand.
#[derive(ComponentType, Lower)]
#[component(variant)]
#[expect(dead_code, reason = "the interface has these cases")]
enum ConfigError {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

/// Why there is no value of a variable.
#[derive(ComponentType, Lower)]
#[component(variant)]
#[expect(dead_code, reason = "the interface has these cases")]
enum VariableError {
    #[component(name = "invalid-name")]
    InvalidName(String),
    #[component(name = "undefined")]
    Undefined(String),
    #[component(name = "provider")]
    Provider(String),
    #[component(name = "other")]
    Other(String),
}

/// Links all of them that the engine can have.
///
/// # Errors
/// When a name is taken, which would be a bug.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>, flavor: Flavor) -> wasmtime::Result<()> {
    for name in STORES {
        store(&mut linker.instance(name)?)?;
    }
    linker.instance(VARIABLES)?.func_wrap(
        "get",
        |store: StoreContextMut<'_, Guest>, (name,): (String,)| {
            Ok((variable(store.data(), &name),))
        },
    )?;
    // Elsewhere there is no async function that could be asked for, but maybe types of the interface.
    let mut variables = linker.instance(ASYNC_VARIABLES)?;
    if flavor == Flavor::Concurrent {
        variables.func_wrap_concurrent("get", |guest: &Accessor<Guest>, (name,): (String,)| {
            let found = guest.with(|mut access| variable(access.get(), &name));
            Box::pin(async move { Ok((found,)) })
        })?;
    }
    Ok(())
}

fn store(interface: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    interface.func_wrap("get", |store: StoreContextMut<'_, Guest>, (key,): (String,)| {
        let found = configured(store.data(), &key).map(str::to_owned);
        Ok((Ok::<_, ConfigError>(found),))
    })?;
    interface.func_wrap("get-all", |store: StoreContextMut<'_, Guest>, (): ()| {
        Ok((Ok::<_, ConfigError>(store.data().env().to_vec()),))
    })
}

fn configured<'g>(guest: &'g Guest, name: &str) -> Option<&'g str> {
    let found = guest.env().iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

fn variable(guest: &Guest, name: &str) -> Result<String, VariableError> {
    let has_form = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    match configured(guest, name) {
        Some(value) => Ok(value.to_owned()),
        None if has_form => Err(VariableError::Undefined(format!("no variable {name} is set"))),
        None => Err(VariableError::InvalidName(
            "expected a-z, 0-9 and _, starting with a letter".to_owned(),
        )),
    }
}
