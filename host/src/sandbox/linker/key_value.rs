//! The interfaces by which guests use key-value stores: what is the same in all of them. Keys and values are looked at
//! where the guest has them, and copied once they are known to be short enough.
//! Does not keep pairs: `crate::key_value` does.

mod cas;
mod spin;
mod wasi;

use std::sync::Arc;

use steerage_core::id::StoreLabel;
use steerage_core::key_value::{check_count, check_key, check_value};
use steerage_core::spent::Phase;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, WasmList, WasmStr};

use super::entry::Context;
use crate::call::WaitedFor;
use crate::key_value::{AppStores, KeyValueError, PairChange, PairChanged, StoredValue};
use crate::sandbox::guest::Guest;
use crate::sandbox::pace;

/// Keys that one answer lists.
const A_PAGE: usize = 1_000;

/// Values of so many bytes take their time to be handed over.
const LARGE: usize = 16 << 10;

/// A store that a guest has opened.
struct OpenedStore {
    label: StoreLabel,
    /// How many keys were listed so far and the last of them: what a cursor that is a number means.
    listed: Option<(u64, String)>,
}

type Handle = Resource<OpenedStore>;
type Value = WasmList<u8>;
/// What came of it, or what ends the guest.
type Done<T> = wasmtime::Result<Result<T, KeyValueError>>;

/// What a guest of `wasi:keyvalue` is told; both drafts have the same.
#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum WasiStoreError {
    // Never said: a store that is not named is denied, whether or not there is one.
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "other")]
    Other(String),
}

impl From<KeyValueError> for WasiStoreError {
    fn from(error: KeyValueError) -> Self {
        match error {
            KeyValueError::NotNamed { .. } => Self::AccessDenied,
            error => Self::Other(error.to_string()),
        }
    }
}

/// Links all of them.
///
/// # Errors
/// When a function is there already, which would be a bug.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasi::link(linker, wasi::Draft::First)?;
    wasi::link(linker, wasi::Draft::Second)?;
    cas::link(linker)?;
    spin::link(linker)
}

/// The stores of the guest's app.
fn stores(store: &mut Context<'_>, label: &str) -> Result<Arc<AppStores>, KeyValueError> {
    let guest = store.data_mut();
    guest.look();
    let not_named = || KeyValueError::NotNamed { label: label.to_owned() };
    guest.stores().cloned().ok_or_else(not_named)
}

/// Opens a store, for the table.
fn open(store: &mut Context<'_>, label: &WasmStr) -> Done<Handle> {
    let label: String = label.to_str(&*store)?.chars().take(64).collect();
    let opened = stores(store, &label).and_then(|stores| stores.open(&label));
    Ok(match opened {
        Ok(label) => Ok(store.data_mut().table.push(OpenedStore { label, listed: None })?),
        Err(error) => Err(error),
    })
}

/// A key, once it is known to be one.
fn key(store: &Context<'_>, key: &WasmStr) -> Done<String> {
    let key = key.to_str(store)?;
    Ok(check_key(&key).map(|()| key.into_owned()).map_err(KeyValueError::from))
}

/// Several keys.
fn keys(store: &Context<'_>, all: &[WasmStr]) -> Done<Vec<String>> {
    if let Err(refusal) = check_count(all.len()) {
        return Ok(Err(refusal.into()));
    }
    all.iter().map(|text| key(store, text)).collect()
}

/// A key and its value.
fn pair(store: &Context<'_>, name: &WasmStr, value: &Value) -> Done<(String, Vec<u8>)> {
    let bytes = value.as_le_slice(store);
    Ok(key(store, name)?.and_then(|key| {
        check_value(&key, bytes.len())?;
        Ok((key, bytes.to_vec()))
    }))
}

/// The app's stores and the label of one that was opened.
fn opened(
    store: &mut Context<'_>,
    handle: &Handle,
) -> wasmtime::Result<Result<(Arc<AppStores>, StoreLabel), KeyValueError>> {
    let label = store.data_mut().resources().get(handle)?.label.clone();
    Ok(stores(store, label.as_str()).map(|stores| (stores, label)))
}

fn get(store: &mut Context<'_>, handle: &Handle, name: &WasmStr) -> Done<Option<StoredValue>> {
    let (opened, key) = (opened(store, handle)?, key(store, name)?);
    let found = opened.and_then(|(stores, label)| stores.get(&label, &key?));
    if found.iter().flatten().any(|stored| stored.value.len() >= LARGE) {
        pace::look_soon();
    }
    Ok(found)
}

fn exists(store: &mut Context<'_>, handle: &Handle, name: &WasmStr) -> Done<bool> {
    let (opened, key) = (opened(store, handle)?, key(store, name)?);
    Ok(opened.and_then(|(stores, label)| stores.exists(&label, &key?)))
}

/// Makes a change and waits until it is durable.
async fn change(
    store: &mut Context<'_>,
    handle: &Handle,
    make: impl FnOnce(StoreLabel) -> Result<PairChange, KeyValueError>,
) -> Done<PairChanged> {
    Ok(match opened(store, handle)? {
        Ok((stores, label)) => match make(label) {
            Ok(change) => waited(store, &stores, change).await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    })
}

async fn waited(
    store: &mut Context<'_>,
    stores: &AppStores,
    change: PairChange,
) -> Result<PairChanged, KeyValueError> {
    let guest = store.data_mut();
    // The guest must not go on without it, so it says no more than once that it waits.
    let time = guest.outbound.time().cloned();
    let mut waited_for = time.map(|time| WaitedFor::new(time, Phase::Store));
    if let Some(waited_for) = &mut waited_for {
        waited_for.set(true);
    }
    stores.change(change).await
}

async fn set(store: &mut Context<'_>, handle: &Handle, name: &WasmStr, value: &Value) -> Done<()> {
    let pair = pair(store, name, value)?;
    let made = change(store, handle, |label| {
        Ok(PairChange::Set { label, pairs: vec![pair?], ttl_ms: None })
    });
    Ok(made.await?.map(drop))
}

async fn delete(store: &mut Context<'_>, handle: &Handle, name: &WasmStr) -> Done<()> {
    let key = key(store, name)?;
    let made = change(store, handle, |label| Ok(PairChange::Delete { label, keys: vec![key?] }));
    Ok(made.await?.map(drop))
}

/// What a function returns to its guest.
fn told<T, E: From<KeyValueError>>(done: Done<T>) -> wasmtime::Result<(Result<T, E>,)> {
    Ok((done?.map_err(E::from),))
}

fn value(stored: Option<StoredValue>) -> Option<Vec<u8>> {
    stored.map(|stored| stored.value)
}

fn refused(message: &'static str) -> KeyValueError {
    KeyValueError::Unavailable(message)
}

/// A counter of an interface that knows no negative numbers.
fn unsigned(delta: u64) -> Result<i64, KeyValueError> {
    i64::try_from(delta).map_err(|_| refused("a counter grows by 2^63-1 at most at once"))
}

impl OpenedStore {
    /// The key after which the page begins that a number means: that of the page before, no other.
    fn after(&self, cursor: Option<u64>) -> Result<Option<String>, KeyValueError> {
        let Some(cursor) = cursor else { return Ok(None) };
        match &self.listed {
            Some((listed, last)) if *listed == cursor => Ok(Some(last.clone())),
            _ => Err(refused("the cursor is not that of the page before, of the same bucket")),
        }
    }
}
