//! stub
#![allow(missing_docs, clippy::unused_async, clippy::todo, unused)]
use std::path::PathBuf;
use std::time::Duration;
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: String,
    pub value: Vec<u8>,
    pub revision: Revision,
}
#[derive(Clone, Debug)]
pub struct Seen {
    pub entries: Vec<Entry>,
    pub revision: Revision,
}
#[derive(Clone, Debug)]
pub struct Change {
    pub key: String,
    pub value: Option<Vec<u8>>,
    pub revision: Revision,
}
#[derive(Clone, Debug)]
pub enum Guard {
    Absent(String),
    At(String, Revision),
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseId(pub i64);
#[derive(Clone, Debug)]
pub enum Write {
    Put { key: String, value: Vec<u8>, lease: Option<LeaseId> },
    Delete(String),
}
#[derive(Clone, Debug, Default)]
pub struct Commit {
    pub guards: Vec<Guard>,
    pub writes: Vec<Write>,
}
pub const MOST_WRITES: usize = 100;
#[derive(Clone, Debug)]
pub struct Store;
#[derive(Clone, Debug)]
pub struct StoreSettings;
impl StoreSettings {
    pub fn parse(_: &str) -> Result<Self, String> {
        todo!()
    }
}
#[derive(Debug)]
pub struct Watch;
impl Watch {
    pub async fn next(&mut self) -> Result<Vec<Change>, StoreError> {
        todo!()
    }
}
#[derive(Debug)]
pub struct Lease;
impl Lease {
    pub fn id(&self) -> LeaseId {
        todo!()
    }
    pub fn ttl(&self) -> Duration {
        todo!()
    }
    pub async fn keep_alive(&mut self) -> Result<Duration, StoreError> {
        todo!()
    }
    pub async fn revoke(self) -> Result<(), StoreError> {
        todo!()
    }
}
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("c")]
    Conflict { key: Option<String> },
    #[error("away {why}")]
    Away { why: String },
    #[error("x")]
    Compacted,
    #[error("l")]
    LeaseLost,
    #[error("d {what}")]
    Damaged { what: String },
}
impl Store {
    pub async fn open(_: &StoreSettings) -> Result<Self, StoreError> {
        todo!()
    }
    pub async fn read(&self, _: &str) -> Result<Seen, StoreError> {
        todo!()
    }
    pub async fn get(&self, _: &str) -> Result<Option<Entry>, StoreError> {
        todo!()
    }
    pub async fn watch(&self, _: &str, _: Revision) -> Result<Watch, StoreError> {
        todo!()
    }
    pub async fn commit(&self, _: Commit) -> Result<Revision, StoreError> {
        todo!()
    }
    pub async fn grant(&self, _: Duration) -> Result<Lease, StoreError> {
        todo!()
    }
}
