//! The tables of the file: pairs by their place, those that expire by their time, what each owner keeps, and the
//! last version that was given. Knows what a change means; does not know who waits for it.

use std::collections::BTreeMap;
use std::ops::Bound;

use redb::{
    ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction,
};
use steerage_core::key_value::{
    KeyValueQuota, KeyValueRefusal, KeyValueUsage, MOST_BYTES_AT_ONCE, UsageChange, ValueExpiry,
    ValueVersion, incremented,
};

use super::change::{KeyPage, PairChange, PairChanged, StoredValue};
use super::error::KeyValueError;
use super::place::{self, StoreOwner};

/// Version, expiry in milliseconds since 1970 or 0, and value.
type Row = (u64, u64, &'static [u8]);

const PAIRS: TableDefinition<'_, &[u8], Row> = TableDefinition::new("pairs");
const EXPIRING: TableDefinition<'_, (u64, &[u8]), ()> = TableDefinition::new("expiring");
/// Bytes and pairs.
const USAGE: TableDefinition<'_, &[u8], (u64, u64)> = TableDefinition::new("usage");
const LAST_VERSION: TableDefinition<'_, (), u64> = TableDefinition::new("last_version");

/// Rows that are looked at for one page of keys, of which some may be over.
const MOST_LOOKED_AT: usize = 4_000;
/// Pairs that are over and removed with one commit.
const MOST_SWEPT: usize = 1_000;
/// Pairs that are removed with one commit where all of an app go.
const MOST_DROPPED: usize = 1_000;

/// Makes the tables, where they are not there.
pub(super) fn make(transaction: &WriteTransaction) -> Result<(), KeyValueError> {
    Tables::open(transaction).map(drop)
}

fn stored((version, expiry, value): (u64, u64, &[u8])) -> StoredValue {
    StoredValue {
        value: value.to_vec(),
        version: ValueVersion(version),
        expiry: ValueExpiry((expiry > 0).then_some(expiry)),
    }
}

fn is_over(expiry: u64, now_ms: u64) -> bool {
    ValueExpiry((expiry > 0).then_some(expiry)).is_over(now_ms)
}

/// The pairs at one moment.
pub(super) struct PairReader(ReadOnlyTable<&'static [u8], Row>);

impl PairReader {
    pub(super) fn open(transaction: &ReadTransaction) -> Result<Self, KeyValueError> {
        Ok(Self(transaction.open_table(PAIRS).map_err(redb::Error::from)?))
    }

    pub(super) fn get(
        &self,
        place: &[u8],
        now_ms: u64,
    ) -> Result<Option<StoredValue>, KeyValueError> {
        let row = self.0.get(place).map_err(redb::Error::from)?;
        let Some(row) = row else { return Ok(None) };
        let row = row.value();
        Ok((!is_over(row.1, now_ms)).then(|| stored(row)))
    }

    pub(super) fn exists(&self, place: &[u8], now_ms: u64) -> Result<bool, KeyValueError> {
        let row = self.0.get(place).map_err(redb::Error::from)?;
        Ok(row.is_some_and(|row| !is_over(row.value().1, now_ms)))
    }

    /// Several, as long as their values are not too much together.
    pub(super) fn get_many(
        &self,
        places: &[Vec<u8>],
        now_ms: u64,
    ) -> Result<Vec<Option<StoredValue>>, KeyValueError> {
        let mut n_bytes = 0_usize;
        let mut found = Vec::with_capacity(places.len());
        for place in places {
            let row = self.0.get(&**place).map_err(redb::Error::from)?;
            let row = row.filter(|row| !is_over(row.value().1, now_ms));
            n_bytes = n_bytes.saturating_add(row.as_ref().map_or(0, |row| row.value().2.len()));
            if n_bytes > MOST_BYTES_AT_ONCE {
                return Err(KeyValueRefusal::LargeAnswer.into());
            }
            found.push(row.map(|row| stored(row.value())));
        }
        Ok(found)
    }

    /// So many of a store's keys that come after one, in the order of their bytes.
    pub(super) fn keys(
        &self,
        store: &[u8],
        after: Option<&str>,
        (most, now_ms): (usize, u64),
    ) -> Result<KeyPage, KeyValueError> {
        let mut from = store.to_vec();
        from.extend_from_slice(after.unwrap_or_default().as_bytes());
        // A key is never empty, so nothing stands at the prefix itself.
        let range = (Bound::Excluded(&*from), Bound::Unbounded);
        let mut page = KeyPage::default();
        let mut last = None;
        for (n_looked_at, row) in
            self.0.range::<&[u8]>(range).map_err(redb::Error::from)?.enumerate()
        {
            let (place, row) = row.map_err(redb::Error::from)?;
            let Some(key) = place.value().strip_prefix(store) else { break };
            if page.keys.len() >= most || n_looked_at >= MOST_LOOKED_AT {
                page.cursor = last;
                break;
            }
            let key = String::from_utf8_lossy(key).into_owned();
            if !is_over(row.value().1, now_ms) {
                page.keys.push(key.clone());
            }
            last = Some(key);
        }
        Ok(page)
    }
}

/// How much an owner keeps.
pub(super) fn usage(
    transaction: &ReadTransaction,
    owner: &StoreOwner,
) -> Result<KeyValueUsage, KeyValueError> {
    let table = transaction.open_table(USAGE).map_err(redb::Error::from)?;
    let row = table.get(&*owner.prefix()).map_err(redb::Error::from)?;
    Ok(row.map_or_else(KeyValueUsage::default, |row| of_row(row.value())))
}

/// All who keep something.
pub(super) fn owners(transaction: &ReadTransaction) -> Result<Vec<StoreOwner>, KeyValueError> {
    let table = transaction.open_table(USAGE).map_err(redb::Error::from)?;
    let mut owners = Vec::new();
    for row in table.iter().map_err(redb::Error::from)? {
        let (prefix, _) = row.map_err(redb::Error::from)?;
        owners.extend(StoreOwner::of_prefix(prefix.value()));
    }
    Ok(owners)
}

fn of_row((bytes, pairs): (u64, u64)) -> KeyValueUsage {
    KeyValueUsage { bytes, pairs }
}

/// The tables while they are changed.
pub(super) struct Tables<'t> {
    pairs: Table<'t, &'static [u8], Row>,
    expiring: Table<'t, (u64, &'static [u8]), ()>,
    usage: Table<'t, &'static [u8], (u64, u64)>,
    last_version: Table<'t, (), u64>,
}

/// What stood under a place.
struct Before {
    version: u64,
    expiry: u64,
    bytes: usize,
}

/// What shall stand under a place.
struct After<'v> {
    value: &'v [u8],
    expiry: ValueExpiry,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, KeyValueError> {
        let open = || -> Result<Self, redb::TableError> {
            Ok(Self {
                pairs: transaction.open_table(PAIRS)?,
                expiring: transaction.open_table(EXPIRING)?,
                usage: transaction.open_table(USAGE)?,
                last_version: transaction.open_table(LAST_VERSION)?,
            })
        };
        Ok(open().map_err(redb::Error::from)?)
    }

    /// Does one change whole, or says why it is not done at all. An error of the file leaves the tables half changed:
    /// then nothing of the transaction may be kept.
    pub(super) fn apply(
        &mut self,
        owner: &StoreOwner,
        change: &PairChange,
        (quota, now_ms): (KeyValueQuota, u64),
    ) -> Result<PairChanged, KeyValueError> {
        match change {
            PairChange::Set { label, pairs, ttl_ms } => {
                let expiry = ValueExpiry::after(now_ms, *ttl_ms);
                let after = |value| Some(After { value, expiry });
                // Of one key that is named twice the last value counts.
                let places = pairs.iter();
                let places = places.map(|(key, value)| (owner.place(label, key), after(&**value)));
                self.put(owner, places.collect(), quota)?;
                Ok(PairChanged::Done)
            }
            PairChange::Delete { label, keys } => {
                let places = keys.iter().map(|key| (owner.place(label, key), None));
                self.put(owner, places.collect(), quota)?;
                Ok(PairChanged::Done)
            }
            PairChange::Increment { label, key, delta, least } => {
                let place = owner.place(label, key);
                let before = self.pairs.get(&*place).map_err(redb::Error::from)?;
                let before = before.map(|row| stored(row.value()));
                let before = before.filter(|before| !before.expiry.is_over(now_ms));
                let value = before.as_ref().map(|before| &*before.value);
                let sum = incremented(key, value, *delta, *least)?;
                let digits = sum.to_string();
                // A counter that expires goes on to do so.
                let expiry = before.as_ref().map_or_else(ValueExpiry::default, |it| it.expiry);
                let after = After { value: digits.as_bytes(), expiry };
                self.put(owner, BTreeMap::from([(place, Some(after))]), quota)?;
                Ok(PairChanged::Number(sum))
            }
            PairChange::Swap { label, key, value, expected } => {
                let place = owner.place(label, key);
                let before = self.before(&place)?;
                let found = before.filter(|before| !is_over(before.expiry, now_ms));
                if found.map(|found| ValueVersion(found.version)) != *expected {
                    return Ok(PairChanged::Swapped(false));
                }
                let after = After { value, expiry: ValueExpiry::default() };
                self.put(owner, BTreeMap::from([(place, Some(after))]), quota)?;
                Ok(PairChanged::Swapped(true))
            }
            PairChange::DropSome => Ok(PairChanged::IsEmpty(self.drop_some(owner)?)),
        }
    }

    fn before(&self, place: &[u8]) -> Result<Option<Before>, KeyValueError> {
        let row = self.pairs.get(place).map_err(redb::Error::from)?;
        Ok(row.map(|row| {
            let (version, expiry, value) = row.value();
            Before { version, expiry, bytes: value.len() }
        }))
    }

    /// Puts what shall stand under these places of one owner there, if its quota has room for all of it.
    fn put(
        &mut self,
        owner: &StoreOwner,
        places: BTreeMap<Vec<u8>, Option<After<'_>>>,
        quota: KeyValueQuota,
    ) -> Result<(), KeyValueError> {
        let prefix = owner.prefix();
        let mut change = UsageChange::default();
        let mut befores = Vec::with_capacity(places.len());
        for (place, after) in &places {
            let key = place::split(place).and_then(|(_, rest)| place::label_and_key(rest));
            let key = key.map_or(0, |(_, key)| key.len());
            let before = self.before(place)?;
            if let Some(before) = &before {
                change.remove(key, before.bytes);
            }
            if let Some(after) = after {
                change.add(key, after.value.len());
            }
            befores.push(before);
        }
        let usage = quota.admit(self.usage(&prefix)?, &change)?;
        for ((place, after), before) in places.into_iter().zip(befores) {
            if let Some(before) = before.filter(|before| before.expiry > 0) {
                self.expiring.remove((before.expiry, &*place)).map_err(redb::Error::from)?;
            }
            let Some(After { value, expiry }) = after else {
                self.pairs.remove(&*place).map_err(redb::Error::from)?;
                continue;
            };
            let expiry = expiry.0.unwrap_or(0);
            if expiry > 0 {
                self.expiring.insert((expiry, &*place), ()).map_err(redb::Error::from)?;
            }
            let version = self.next_version()?;
            self.pairs.insert(&*place, (version, expiry, value)).map_err(redb::Error::from)?;
        }
        self.set_usage(&prefix, usage)
    }

    fn next_version(&mut self) -> Result<u64, KeyValueError> {
        let last = self.last_version.get(()).map_err(redb::Error::from)?.map_or(0, |it| it.value());
        let next = last.saturating_add(1);
        self.last_version.insert((), next).map_err(redb::Error::from)?;
        Ok(next)
    }

    fn usage(&self, prefix: &[u8]) -> Result<KeyValueUsage, KeyValueError> {
        let row = self.usage.get(prefix).map_err(redb::Error::from)?;
        Ok(row.map_or_else(KeyValueUsage::default, |row| of_row(row.value())))
    }

    fn set_usage(&mut self, prefix: &[u8], usage: KeyValueUsage) -> Result<(), KeyValueError> {
        if usage.pairs == 0 {
            self.usage.remove(prefix).map_err(redb::Error::from)?;
        } else {
            let row = (usage.bytes, usage.pairs);
            self.usage.insert(prefix, row).map_err(redb::Error::from)?;
        }
        Ok(())
    }

    /// Removes some of the pairs that are over; says when the next will be.
    pub(super) fn sweep(&mut self, now_ms: u64) -> Result<Option<u64>, KeyValueError> {
        for _ in 0..MOST_SWEPT {
            let first = self.expiring.first().map_err(redb::Error::from)?;
            let Some((at_ms, place)) = first.map(|(key, _)| {
                let (at_ms, place) = key.value();
                (at_ms, place.to_vec())
            }) else {
                return Ok(None);
            };
            if at_ms > now_ms {
                return Ok(Some(at_ms));
            }
            self.remove(&place)?;
        }
        Ok(Some(now_ms))
    }

    /// Removes some of an owner's pairs; says whether there are none any more.
    fn drop_some(&mut self, owner: &StoreOwner) -> Result<bool, KeyValueError> {
        let prefix = owner.prefix();
        let mut places = Vec::new();
        for row in self.pairs.range(&*prefix..).map_err(redb::Error::from)?.take(MOST_DROPPED) {
            let (place, _) = row.map_err(redb::Error::from)?;
            if !place.value().starts_with(&prefix) {
                break;
            }
            places.push(place.value().to_vec());
        }
        for place in &places {
            self.remove(place)?;
        }
        Ok(places.len() < MOST_DROPPED)
    }

    fn remove(&mut self, place: &[u8]) -> Result<(), KeyValueError> {
        let removed = self.pairs.remove(place).map_err(redb::Error::from)?;
        let removed = removed.map(|row| (row.value().1, row.value().2.len()));
        let Some((expiry, bytes)) = removed else { return Ok(()) };
        if expiry > 0 {
            self.expiring.remove((expiry, place)).map_err(redb::Error::from)?;
        }
        let Some((prefix, rest)) = place::split(place) else { return Ok(()) };
        let key = place::label_and_key(rest).map_or(0, |(_, key)| key.len());
        let mut change = UsageChange::default();
        change.remove(key, bytes);
        let usage = self.usage(prefix)?.after(&change);
        self.set_usage(prefix, usage)
    }
}
