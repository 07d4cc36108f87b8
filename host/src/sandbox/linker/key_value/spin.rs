//! `fermyon:spin/key-value` 2.0.0, which the SDKs of Spin 2 and 3 import.
//! Does not page: the interface has one list for all keys, so there is a bound on it.

use steerage_core::key_value::MOST_BYTES_AT_ONCE;
use wasmtime::component::{
    ComponentType, Lift, Linker, LinkerInstance, Lower, ResourceType, WasmStr,
};

use super::{
    A_PAGE, Done, Handle, OpenedStore, Value, delete, exists, get, open, opened, refused, set,
    told, value,
};
use crate::key_value::KeyValueError;
use crate::sandbox::guest::Guest;
use crate::sandbox::linker::entry::{Context, dropped};
use crate::sandbox::pace;

const KEY_VALUE: &str = "fermyon:spin/key-value@2.0.0";

/// What a key takes in a list besides its bytes.
const BESIDE: usize = 24;

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum SpinStoreError {
    // Never said: how many stores a guest opens is bounded with its other resources.
    #[component(name = "store-table-full")]
    StoreTableFull,
    // Never said: a store that is not named is denied, whether or not there is one.
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "other")]
    Other(String),
}

impl From<KeyValueError> for SpinStoreError {
    fn from(error: KeyValueError) -> Self {
        match error {
            KeyValueError::NotNamed { .. } => Self::AccessDenied,
            error => Self::Other(error.to_string()),
        }
    }
}

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut types = linker.instance(KEY_VALUE)?;
    types.resource("store", ResourceType::host::<OpenedStore>(), dropped::<OpenedStore>)?;
    types.func_wrap("[static]store.open", |mut store: Context<'_>, (label,): (WasmStr,)| {
        told::<_, SpinStoreError>(open(&mut store, &label))
    })?;
    types.func_wrap(
        "[method]store.get",
        |mut store: Context<'_>, (handle, key): (Handle, WasmStr)| {
            told::<_, SpinStoreError>(Ok(get(&mut store, &handle, &key)?.map(value)))
        },
    )?;
    types.func_wrap(
        "[method]store.exists",
        |mut store: Context<'_>, (handle, key): (Handle, WasmStr)| {
            told::<_, SpinStoreError>(exists(&mut store, &handle, &key))
        },
    )?;
    link_async(&mut types)
}

fn link_async(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.func_wrap_async(
        "[method]store.set",
        |mut store: Context<'_>, (handle, key, value): (Handle, WasmStr, Value)| {
            Box::new(async move {
                told::<_, SpinStoreError>(set(&mut store, &handle, &key, &value).await)
            })
        },
    )?;
    types.func_wrap_async(
        "[method]store.delete",
        |mut store: Context<'_>, (handle, key): (Handle, WasmStr)| {
            Box::new(
                async move { told::<_, SpinStoreError>(delete(&mut store, &handle, &key).await) },
            )
        },
    )?;
    types.func_wrap_async(
        "[method]store.get-keys",
        |mut store: Context<'_>, (handle,): (Handle,)| {
            Box::new(async move { told::<_, SpinStoreError>(all_keys(&mut store, &handle).await) })
        },
    )
}

/// All keys, a page at a time, so that others run between two of them.
async fn all_keys(store: &mut Context<'_>, handle: &Handle) -> Done<Vec<String>> {
    let (stores, label) = match opened(store, handle)? {
        Ok(opened) => opened,
        Err(error) => return Ok(Err(error)),
    };
    let (mut all, mut n_bytes, mut after) = (Vec::new(), 0_usize, None);
    loop {
        let page = match stores.keys(&label, after.as_deref(), A_PAGE) {
            Ok(page) => page,
            Err(error) => return Ok(Err(error)),
        };
        let added: usize = page.keys.iter().map(|key| key.len() + BESIDE).sum();
        n_bytes = n_bytes.saturating_add(added);
        if n_bytes > MOST_BYTES_AT_ONCE {
            return Ok(Err(refused(
                "the keys have more than 4 MiB: list them by wasi:keyvalue, which has pages",
            )));
        }
        // What is held here is in no resource.
        let guest = store.data_mut();
        guest.holds_more(added);
        guest.look();
        all.extend(page.keys);
        after = page.cursor;
        if after.is_none() {
            return Ok(Ok(all));
        }
        pace::rest().await;
    }
}
