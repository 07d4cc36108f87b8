//! Comparing and swapping by `wasi:keyvalue/atomics` 0.2.0-draft2. A value is compared by its version, so one that
//! was changed and changed back is another one. Does not know the rest of that interface: `wasi` does.

use std::sync::Arc;

use steerage_core::id::StoreLabel;
use steerage_core::key_value::{ValueVersion, check_value};
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, ResourceType, WasmStr};

use super::{Handle, Value, WasiStoreError, get, key, opened, stores, told, value, waited};
use crate::key_value::{AppStores, KeyValueError, PairChange, PairChanged};
use crate::sandbox::guest::Guest;
use crate::sandbox::linker::entry::{Context, dropped};

const ATOMICS: &str = "wasi:keyvalue/atomics@0.2.0-draft2";

/// What a guest has seen of a key.
struct SeenValue {
    label: StoreLabel,
    key: String,
    version: Option<ValueVersion>,
}

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum CasError {
    #[component(name = "store-error")]
    StoreError(WasiStoreError),
    #[component(name = "cas-failed")]
    CasFailed(Resource<SeenValue>),
}

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut types = linker.instance(ATOMICS)?;
    types.resource("cas", ResourceType::host::<SeenValue>(), dropped::<SeenValue>)?;
    types.func_wrap(
        "[static]cas.new",
        |mut store: Context<'_>, (bucket, name): (Handle, WasmStr)| {
            let seen = get(&mut store, &bucket, &name)?;
            let (opened, key) = (opened(&mut store, &bucket)?, key(&store, &name)?);
            let seen = opened.and_then(|(_, label)| {
                let version = seen?.map(|stored| stored.version);
                Ok(SeenValue { label, key: key?, version })
            });
            let handle = seen.map(|seen| store.data_mut().table.push(seen));
            told::<_, WasiStoreError>(transposed(handle))
        },
    )?;
    types.func_wrap(
        "[method]cas.current",
        |mut store: Context<'_>, (cas,): (Resource<SeenValue>,)| {
            let seen = store.data_mut().resources().get(&cas)?;
            let (label, key) = (seen.label.clone(), seen.key.clone());
            let found = stores(&mut store, label.as_str());
            let found = found.and_then(|stores| stores.get(&label, &key));
            if let Ok(stored) = &found {
                let version = stored.as_ref().map(|stored| stored.version);
                store.data_mut().table.get_mut(&cas)?.version = version;
            }
            told::<_, WasiStoreError>(Ok(found.map(value)))
        },
    )?;
    types.func_wrap_async(
        "swap",
        |mut store: Context<'_>, (cas, new): (Resource<SeenValue>, Value)| {
            Box::new(async move {
                let seen = store.data_mut().resources().delete(cas)?;
                let (bytes, label) = (new.as_le_slice(&store), seen.label.clone());
                let new = check_value(&seen.key, bytes.len()).map(|()| bytes.to_vec());
                let stores = stores(&mut store, label.as_str());
                let swapped = match stores {
                    Ok(stores) => {
                        swap(&mut store, &stores, seen, new.map_err(KeyValueError::from)).await
                    }
                    Err(error) => Err(error),
                };
                Ok((match swapped {
                    Ok(None) => Ok(()),
                    // So that the guest can try again.
                    Ok(Some(seen)) => Err(CasError::CasFailed(store.data_mut().table.push(seen)?)),
                    Err(error) => Err(CasError::StoreError(error.into())),
                },))
            })
        },
    )
}

/// Swaps, or says what is there instead.
async fn swap(
    store: &mut Context<'_>,
    stores: &Arc<AppStores>,
    seen: SeenValue,
    new: Result<Vec<u8>, KeyValueError>,
) -> Result<Option<SeenValue>, KeyValueError> {
    let SeenValue { label, key, version } = seen;
    let change =
        PairChange::Swap { label: label.clone(), key: key.clone(), value: new?, expected: version };
    if waited(store, stores, change).await? == PairChanged::Swapped(true) {
        return Ok(None);
    }
    let version = stores.get(&label, &key)?.map(|stored| stored.version);
    Ok(Some(SeenValue { label, key, version }))
}

fn transposed<T, E>(
    handle: Result<Result<T, impl Into<wasmtime::Error>>, E>,
) -> wasmtime::Result<Result<T, E>> {
    Ok(match handle {
        Ok(pushed) => Ok(pushed.map_err(Into::into)?),
        Err(error) => Err(error),
    })
}
