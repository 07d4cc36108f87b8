//! `wasi:keyvalue`, as its two drafts have it: 0.2.0-draft2, which Spin's SDKs import, and 0.2.0-draft, whose cursors
//! and counters have other types. Does not know how a value is compared and swapped: `cas` does.

use wasmtime::component::{
    ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType, WasmStr,
};

use super::{
    A_PAGE, Done, Handle, OpenedStore, Value, WasiStoreError, change, delete, exists, get, key,
    keys, open, opened, pair, set, told, unsigned, value,
};
use crate::key_value::{KeyPage, KeyValueError, PairChange, PairChanged, StoredValue};
use crate::sandbox::guest::Guest;
use crate::sandbox::linker::entry::{Context, dropped};
use crate::sandbox::pace;

/// Which of the drafts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Draft {
    First,
    Second,
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct NumberedPage {
    keys: Vec<String>,
    cursor: Option<u64>,
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct NamedPage {
    keys: Vec<String>,
    cursor: Option<String>,
}

/// What a function returns.
type Told<T> = (Result<T, WasiStoreError>,);

/// Links the interfaces of one draft.
pub(super) fn link(linker: &mut Linker<Guest>, draft: Draft) -> wasmtime::Result<()> {
    let version = match draft {
        Draft::First => "0.2.0-draft",
        Draft::Second => "0.2.0-draft2",
    };
    let mut store = linker.instance(&format!("wasi:keyvalue/store@{version}"))?;
    link_store(&mut store)?;
    link_writes(&mut store)?;
    match draft {
        Draft::First => link_numbered_pages(&mut store)?,
        Draft::Second => link_named_pages(&mut store)?,
    }
    let mut atomics = linker.instance(&format!("wasi:keyvalue/atomics@{version}"))?;
    match draft {
        Draft::First => link_unsigned_counter(&mut atomics)?,
        Draft::Second => link_counter(&mut atomics)?,
    }
    let mut batch = linker.instance(&format!("wasi:keyvalue/batch@{version}"))?;
    link_batch(&mut batch, draft)
}

fn link_store(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let ty = ResourceType::host::<OpenedStore>();
    types.resource("bucket", ty, dropped::<OpenedStore>)?;
    types.func_wrap("open", |mut store: Context<'_>, (label,): (WasmStr,)| {
        told::<_, WasiStoreError>(open(&mut store, &label))
    })?;
    types.func_wrap(
        "[method]bucket.get",
        |mut store: Context<'_>, (bucket, key): (Handle, WasmStr)| {
            told::<_, WasiStoreError>(Ok(get(&mut store, &bucket, &key)?.map(value)))
        },
    )?;
    types.func_wrap(
        "[method]bucket.exists",
        |mut store: Context<'_>, (bucket, key): (Handle, WasmStr)| {
            told::<_, WasiStoreError>(exists(&mut store, &bucket, &key))
        },
    )
}

fn link_writes(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.func_wrap_async(
        "[method]bucket.set",
        |mut store: Context<'_>, (bucket, key, value): (Handle, WasmStr, Value)| {
            Box::new(async move {
                told::<_, WasiStoreError>(set(&mut store, &bucket, &key, &value).await)
            })
        },
    )?;
    types.func_wrap_async(
        "[method]bucket.delete",
        |mut store: Context<'_>, (bucket, key): (Handle, WasmStr)| {
            Box::new(
                async move { told::<_, WasiStoreError>(delete(&mut store, &bucket, &key).await) },
            )
        },
    )
}

fn page(store: &mut Context<'_>, bucket: &Handle, after: Option<String>) -> Done<KeyPage> {
    pace::look_soon();
    let opened = opened(store, bucket)?;
    Ok(opened.and_then(|(stores, label)| stores.keys(&label, after.as_deref(), A_PAGE)))
}

fn link_named_pages(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.func_wrap(
        "[method]bucket.list-keys",
        |mut store: Context<'_>, (bucket, cursor): (Handle, Option<WasmStr>)| {
            let after = cursor.map(|cursor| key(&store, &cursor)).transpose()?.transpose();
            let listed = match after {
                Ok(after) => page(&mut store, &bucket, after)?,
                Err(error) => Err(error),
            };
            told::<_, WasiStoreError>(Ok(
                listed.map(|page| NamedPage { keys: page.keys, cursor: page.cursor })
            ))
        },
    )
}

fn link_numbered_pages(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.func_wrap(
        "[method]bucket.list-keys",
        |mut store: Context<'_>, (bucket, cursor): (Handle, Option<u64>)| {
            let listed = match store.data_mut().resources().get(&bucket)?.after(cursor) {
                Ok(after) => page(&mut store, &bucket, after)?,
                Err(error) => Err(error),
            };
            let bucket = store.data_mut().table.get_mut(&bucket)?;
            told::<_, WasiStoreError>(Ok(listed.map(|page| {
                let n_listed = cursor.unwrap_or(0).saturating_add(page.keys.len() as u64);
                bucket.listed = page.cursor.map(|last| (n_listed, last));
                NumberedPage {
                    keys: page.keys,
                    cursor: bucket.listed.as_ref().map(|(listed, _)| *listed),
                }
            })))
        },
    )
}

async fn increment(
    store: &mut Context<'_>,
    bucket: &Handle,
    name: &WasmStr,
    (delta, least): (Result<i64, KeyValueError>, i64),
) -> Done<i64> {
    let key = key(store, name)?;
    let made = change(store, bucket, |label| {
        Ok(PairChange::Increment { label, key: key?, delta: delta?, least })
    });
    Ok(made
        .await?
        .map(|changed| if let PairChanged::Number(number) = changed { number } else { 0 }))
}

fn link_counter(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.func_wrap_async(
        "increment",
        |mut store: Context<'_>, (bucket, key, delta): (Handle, WasmStr, i64)| {
            Box::new(async move {
                let by = (Ok(delta), i64::MIN);
                told::<_, WasiStoreError>(increment(&mut store, &bucket, &key, by).await)
            })
        },
    )
}

fn link_unsigned_counter(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.func_wrap_async(
        "increment",
        |mut store: Context<'_>, (bucket, key, delta): (Handle, WasmStr, u64)| {
            Box::new(async move {
                let by = (unsigned(delta), 0);
                let sum = increment(&mut store, &bucket, &key, by).await?;
                told::<_, WasiStoreError>(Ok(sum.map(i64::cast_unsigned)))
            })
        },
    )
}

/// The values of several keys, each with its key.
fn get_many(
    store: &mut Context<'_>,
    bucket: &Handle,
    names: &[WasmStr],
) -> Done<Vec<(String, Option<StoredValue>)>> {
    pace::look_soon();
    let (opened, keys) = (opened(store, bucket)?, keys(store, names)?);
    Ok(opened.and_then(|(stores, label)| {
        let keys = keys?;
        let found = stores.get_many(&label, &keys)?;
        Ok(keys.into_iter().zip(found).collect())
    }))
}

fn link_batch(types: &mut LinkerInstance<'_, Guest>, draft: Draft) -> wasmtime::Result<()> {
    type Pairs = Vec<(String, Option<Vec<u8>>)>;
    type Found = Vec<Option<(String, Vec<u8>)>>;
    type Asked = (Resource<OpenedStore>, Vec<WasmStr>);
    match draft {
        Draft::First => types.func_wrap(
            "get-many",
            |mut store: Context<'_>, (bucket, names): Asked| -> wasmtime::Result<Told<Found>> {
                told(Ok(get_many(&mut store, &bucket, &names)?.map(|pairs| {
                    let pairs = pairs.into_iter();
                    pairs.map(|(key, stored)| value(stored).map(|value| (key, value))).collect()
                })))
            },
        )?,
        Draft::Second => types.func_wrap(
            "get-many",
            |mut store: Context<'_>, (bucket, names): Asked| -> wasmtime::Result<Told<Pairs>> {
                told(Ok(get_many(&mut store, &bucket, &names)?.map(|pairs| {
                    pairs.into_iter().map(|(key, stored)| (key, value(stored))).collect()
                })))
            },
        )?,
    }
    types.func_wrap_async(
        "set-many",
        |mut store: Context<'_>, (bucket, pairs): (Handle, Vec<(WasmStr, Value)>)| {
            Box::new(async move {
                let pairs = pairs.iter().map(|(key, value)| pair(&store, key, value));
                let pairs: Result<Vec<_>, KeyValueError> =
                    pairs.collect::<wasmtime::Result<_>>()?;
                let made = change(&mut store, &bucket, |label| {
                    Ok(PairChange::Set { label, pairs: pairs?, ttl_ms: None })
                });
                let made = made.await;
                told::<_, WasiStoreError>(made.map(|made| made.map(drop)))
            })
        },
    )?;
    types.func_wrap_async(
        "delete-many",
        |mut store: Context<'_>, (bucket, names): (Handle, Vec<WasmStr>)| {
            Box::new(async move {
                let keys = keys(&store, &names)?;
                let made = change(&mut store, &bucket, |label| {
                    Ok(PairChange::Delete { label, keys: keys? })
                });
                let made = made.await;
                told::<_, WasiStoreError>(made.map(|made| made.map(drop)))
            })
        },
    )
}
