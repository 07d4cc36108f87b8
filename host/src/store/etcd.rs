//! The store over etcd: one client for each member, asked one after the other until one answers.
//! A member that is cut off from the others hangs instead of refusing, so every try has its own time.
//! Does not elect, replicate or expire anything: etcd does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{
    Client, Compare, CompareOp, ConnectOptions, Error, EventType, GetOptions, PutOptions, Txn,
    TxnOp, WatchOptions, WatchStream,
};

use super::{
    Change, Commit, Entry, Guard, LeaseId, Revision, Seen, StoreError, StoreSettings, Write,
};

/// Entries of one page: a page is one answer, and those have a bound of some MiB.
const PAGE: i64 = 1000;
/// Longest wait for one member, while another may answer.
const ONE_TRY: Duration = Duration::from_millis(800);
/// How often an idle connection is tried, and how long that may take.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(1));

#[derive(Clone)]
pub(super) struct Etcd {
    members: Arc<[(String, Client)]>,
    /// The member that answered last.
    current: Arc<AtomicUsize>,
    prefix: Arc<str>,
    timeout: Duration,
}

impl std::fmt::Debug for Etcd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let members: Vec<&str> = self.members.iter().map(|(url, _)| url.as_str()).collect();
        f.debug_struct("Etcd").field("members", &members).field("prefix", &self.prefix).finish()
    }
}

pub(super) struct EtcdWatch {
    stream: WatchStream,
    prefix: Arc<str>,
}

impl std::fmt::Debug for EtcdWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdWatch").finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(super) struct EtcdLease {
    pub(super) id: LeaseId,
    pub(super) ttl: Duration,
    etcd: Etcd,
}

impl Etcd {
    pub(super) async fn open(settings: &StoreSettings) -> Result<Self, StoreError> {
        let mut members = Vec::new();
        for url in &settings.members {
            let mut options = ConnectOptions::new()
                .with_connect_timeout(ONE_TRY)
                .with_keep_alive(KEEP_ALIVE.0, KEEP_ALIVE.1)
                .with_keep_alive_while_idle(true)
                .with_require_leader(true);
            if let Some((name, password)) = &settings.user {
                options = options.with_user(name, password);
            }
            let client = Client::connect([url], Some(options)).await;
            members.push((url.clone(), client.map_err(|error| told(&error))?));
        }
        Ok(Self {
            members: members.into(),
            current: Arc::default(),
            prefix: settings.prefix.as_str().into(),
            timeout: settings.timeout,
        })
    }

    /// Asks the members in turn, until one answers or time is over.
    async fn ask<T, F>(&self, question: impl Fn(Client) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let asked = async {
            let first = self.current.load(Ordering::Relaxed);
            let mut last = StoreError::Away { why: "no member".to_owned() };
            for offset in 0..self.members.len() {
                let place = (first + offset) % self.members.len();
                let Some((url, client)) = self.members.get(place) else { break };
                match tokio::time::timeout(ONE_TRY, question(client.clone())).await {
                    Ok(Ok(answer)) => {
                        self.current.store(place, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Ok(Err(error)) => match told(&error) {
                        StoreError::Away { why } => {
                            last = StoreError::Away { why: format!("{url}: {why}") };
                        }
                        error => return Err(error),
                    },
                    Err(_) => {
                        let why = format!("{url} said nothing for {ONE_TRY:?}");
                        last = StoreError::Away { why };
                    }
                }
            }
            self.current.store(first + 1, Ordering::Relaxed);
            Err(last)
        };
        let in_time = tokio::time::timeout(self.timeout, asked).await;
        in_time.unwrap_or_else(|_| {
            Err(StoreError::Away { why: format!("no member answered within {:?}", self.timeout) })
        })
    }

    fn whole(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    pub(super) async fn read(&self, prefix: &str) -> Result<Seen, StoreError> {
        let start = self.whole(prefix);
        let end = after_all(&start);
        let mut seen = Seen::default();
        let mut from = start.into_bytes();
        loop {
            let mut options = GetOptions::new().with_range(end.clone()).with_limit(PAGE);
            if seen.revision.0 > 0 {
                options = options.with_revision(signed(seen.revision.0));
            }
            let answer = self
                .ask(|client| {
                    let (from, options) = (from.clone(), options.clone());
                    async move { client.kv_client().get(from, Some(options)).await }
                })
                .await?;
            if seen.revision.0 == 0 {
                let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
                seen.revision = Revision(unsigned(revision));
            }
            for kv in answer.kvs() {
                seen.entries.push(self.entry(kv)?);
                from = kv.key().to_vec();
                from.push(0);
            }
            if !answer.more() {
                return Ok(seen);
            }
        }
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let key = self.whole(key);
        let answer = self
            .ask(|client| {
                let key = key.clone();
                async move { client.kv_client().get(key, None).await }
            })
            .await?;
        answer.kvs().first().map(|kv| self.entry(kv)).transpose()
    }

    pub(super) async fn watch(
        &self,
        prefix: &str,
        after: Revision,
    ) -> Result<EtcdWatch, StoreError> {
        let start = self.whole(prefix);
        let end = after_all(&start);
        let options = WatchOptions::new().with_range(end).with_start_revision(signed(after.0) + 1);
        let stream = self
            .ask(|client| {
                let (start, options) = (start.clone(), options.clone());
                async move { client.watch_client().watch(start, Some(options)).await }
            })
            .await?;
        Ok(EtcdWatch { stream, prefix: self.prefix.clone() })
    }

    pub(super) async fn commit(&self, commit: &Commit) -> Result<Revision, StoreError> {
        let answer = self
            .ask(|client| {
                let transaction = self.transaction(commit);
                async move { client.kv_client().txn(transaction).await }
            })
            .await?;
        if answer.succeeded() {
            let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
            return Ok(Revision(unsigned(revision)));
        }
        // A try whose answer was lost may have done it, and the next one found it done.
        self.is_done(commit).await?.ok_or_else(|| {
            let key = commit.writes.iter().map(|write| match write {
                Write::Put { key, .. } | Write::Delete(key) => key.clone(),
            });
            StoreError::Conflict { key: key.into_iter().next() }
        })
    }

    /// When everything that a commit puts is there, the revision of that.
    async fn is_done(&self, commit: &Commit) -> Result<Option<Revision>, StoreError> {
        let mut latest = None;
        for write in &commit.writes {
            let Write::Put { key, value, .. } = write else { continue };
            match self.get(key).await? {
                Some(entry) if entry.value == *value => latest = latest.max(Some(entry.revision)),
                _ => return Ok(None),
            }
        }
        // That of another writer, who put the same long ago, is older than what the guards name.
        let is_new = commit.guards.iter().all(|guard| match guard {
            Guard::At(_, revision) => latest > Some(*revision),
            Guard::Absent(_) => true,
        });
        Ok(latest.filter(|_| is_new))
    }

    fn transaction(&self, commit: &Commit) -> Txn {
        let guards = commit.guards.iter().map(|guard| match guard {
            Guard::Absent(key) => Compare::mod_revision(self.whole(key), CompareOp::Equal, 0),
            Guard::At(key, revision) => {
                Compare::mod_revision(self.whole(key), CompareOp::Equal, signed(revision.0))
            }
        });
        let writes = commit.writes.iter().map(|write| match write {
            Write::Put { key, value, lease } => {
                let options = lease.map(|lease| PutOptions::new().with_lease(lease.0));
                TxnOp::put(self.whole(key), value.clone(), options)
            }
            Write::Delete(key) => TxnOp::delete(self.whole(key), None),
        });
        Txn::new().when(guards.collect::<Vec<_>>()).and_then(writes.collect::<Vec<_>>())
    }

    pub(super) async fn grant(&self, ttl: Duration) -> Result<EtcdLease, StoreError> {
        let seconds = i64::try_from(ttl.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
        let answer = self
            .ask(|client| async move { client.lease_client().grant(seconds, None).await })
            .await?;
        let ttl = Duration::from_secs(unsigned(answer.ttl()));
        Ok(EtcdLease { id: LeaseId(answer.id()), ttl, etcd: self.clone() })
    }

    fn entry(&self, kv: &etcd_client::KeyValue) -> Result<Entry, StoreError> {
        Ok(Entry {
            key: relative(&self.prefix, kv.key())?,
            value: kv.value().to_vec(),
            revision: Revision(unsigned(kv.mod_revision())),
        })
    }
}

impl EtcdWatch {
    pub(super) async fn next(&mut self) -> Result<Vec<Change>, StoreError> {
        loop {
            let message = self.stream.message().await.map_err(|error| told(&error))?;
            let Some(message) = message else {
                return Err(StoreError::Away { why: "the watch ended".to_owned() });
            };
            if message.compact_revision() > 0 {
                return Err(StoreError::Compacted);
            }
            if message.canceled() {
                return Err(StoreError::Away { why: message.cancel_reason().to_owned() });
            }
            let mut changes = Vec::with_capacity(message.events().len());
            for event in message.events() {
                let Some(kv) = event.kv() else { continue };
                let is_put = event.event_type() == EventType::Put;
                changes.push(Change {
                    key: relative(&self.prefix, kv.key())?,
                    value: is_put.then(|| kv.value().to_vec()),
                    revision: Revision(unsigned(kv.mod_revision())),
                });
            }
            if !changes.is_empty() {
                return Ok(changes);
            }
        }
    }
}

impl EtcdLease {
    pub(super) async fn keep_alive(&mut self) -> Result<Duration, StoreError> {
        let id = self.id.0;
        // It reads the first answer itself, and that is all there is to know.
        let asked =
            self.etcd.ask(|client| async move { client.lease_client().keep_alive(id).await });
        asked.await.map(|_| self.ttl)
    }

    pub(super) async fn revoke(self) -> Result<(), StoreError> {
        let id = self.id.0;
        let asked = self.etcd.ask(|client| async move { client.lease_client().revoke(id).await });
        asked.await.map(drop)
    }
}

/// The first key behind all that begin with this one.
fn after_all(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

fn relative(prefix: &str, key: &[u8]) -> Result<String, StoreError> {
    let key = std::str::from_utf8(key).ok().and_then(|key| key.strip_prefix(prefix));
    key.map(str::to_owned)
        .ok_or_else(|| StoreError::Damaged { what: format!("a key below {prefix} is no text") })
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// What an error means for the caller.
fn told(error: &Error) -> StoreError {
    let why = match error {
        Error::GRpcStatus(status) => {
            let message = status.message();
            if message.contains("required revision has been compacted") {
                return StoreError::Compacted;
            }
            if message.contains("requested lease not found") {
                return StoreError::LeaseLost;
            }
            let is_refused = message.contains("authentication failed")
                || message.contains("invalid auth token")
                || message.contains("user name is empty")
                || message.contains("permission denied");
            if is_refused {
                return StoreError::Denied { why: message.to_owned() };
            }
            message.to_owned()
        }
        Error::LeaseKeepAliveError(_) => return StoreError::LeaseLost,
        Error::InvalidArgs(why) => return StoreError::BadAddress(why.clone()),
        Error::InvalidUri(uri) => return StoreError::BadAddress(uri.to_string()),
        other => other.to_string(),
    };
    StoreError::Away { why }
}
