//! The store over etcd: one client for each member, asked one after the other until one answers.
//! A member that is cut off from the others hangs instead of refusing, so every try has its own time.
//! Does not elect, replicate or expire anything: etcd does.

mod error;
mod lease;
mod many;
mod member;
mod pages;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{
    Client, Compare, CompareOp, Error, GetOptions, KeyValue, PutOptions, ResponseHeader, Txn,
    TxnOp, TxnOpResponse, TxnResponse, WatchOptions,
};

use self::error::Trouble;
pub(super) use self::lease::EtcdLease;
use self::member::Member;
pub(super) use self::watch::EtcdWatch;
use super::{Commit, Entry, EtcdSettings, Fill, Guard, Revision, StoreError, Write};

/// Longest answer that is taken: a first page of the largest values that are written.
const MOST_ANSWER: usize = 256 << 20;
/// Longest wait for one member, while another may answer.
const ONE_TRY: Duration = Duration::from_millis(800);
/// How long members are left alone that are choosing a leader.
const ELECTION_PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone, Debug)]
pub(super) struct Etcd {
    members: Arc<[Member]>,
    /// The member that answered last.
    current: Arc<AtomicUsize>,
    prefix: Arc<str>,
    timeout: Duration,
}

impl Etcd {
    pub(super) async fn open(settings: &EtcdSettings) -> Result<Self, StoreError> {
        Ok(Self {
            members: member::all(settings).await?.into(),
            current: Arc::default(),
            prefix: settings.prefix.as_str().into(),
            timeout: settings.timeout,
        })
    }

    pub(super) fn with_own_connections(&self) -> Self {
        let members = self.members.iter().map(Member::unconnected);
        Self { members: members.collect(), current: Arc::default(), ..self.clone() }
    }

    /// Asks the members in turn until one answers or time is over. They are asked again only while
    /// they choose a leader: one that cannot be reached now will not be in a moment.
    async fn ask<T, F>(&self, question: impl Fn(Client) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let asked = async {
            loop {
                match self.ask_each(&question).await {
                    Err(Trouble::NoLeader(_)) => tokio::time::sleep(ELECTION_PAUSE).await,
                    Err(trouble) => return Err(trouble.into()),
                    Ok(answer) => return Ok(answer),
                }
            }
        };
        let in_time = tokio::time::timeout(self.timeout, asked).await;
        in_time.unwrap_or_else(|_| {
            let members: Vec<&str> = self.members.iter().map(|member| &*member.address).collect();
            let why = format!("no answer from {} within {:?}", members.join(" and "), self.timeout);
            Err(StoreError::Away { why })
        })
    }

    async fn ask_each<T, F>(&self, question: &impl Fn(Client) -> F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let first = self.current.load(Ordering::Relaxed);
        let mut worst: Option<Trouble> = None;
        for offset in 0..self.members.len() {
            let place = first.wrapping_add(offset) % self.members.len();
            let Some(member) = self.members.get(place) else { break };
            // An only one is waited for: a store that takes a second is slow, and not away.
            let within = if self.members.len() == 1 { self.timeout / 10 * 9 } else { ONE_TRY };
            match one_try(member, question, within).await {
                Ok(answer) => {
                    self.current.store(place, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(Trouble::Answer(answer)) => return Err(Trouble::Answer(answer)),
                // Another one may do better.
                Err(trouble) => {
                    worst = Some(match worst {
                        Some(worst) => worst.or(trouble),
                        None => trouble,
                    });
                }
            }
        }
        self.current.store(first.wrapping_add(1), Ordering::Relaxed);
        Err(worst.unwrap_or_else(|| Trouble::Away("it has no members".to_owned())))
    }

    fn whole(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// As it is now, or was at a revision.
    pub(super) async fn get(
        &self,
        key: &str,
        at: Option<Revision>,
    ) -> Result<Option<Entry>, StoreError> {
        let key = self.whole(key);
        let options = at.map(|at| GetOptions::new().with_revision(signed(at.0)));
        let asked = self.ask(|client| {
            let (key, options) = (key.clone(), options.clone());
            async move { client.kv_client().get(key, options).await }
        });
        Ok(asked.await?.kvs().first().and_then(|kv| self.entry(kv)))
    }

    pub(super) async fn watch(
        &self,
        prefix: &str,
        after: Revision,
    ) -> Result<EtcdWatch, StoreError> {
        let start = self.whole(prefix);
        let end = after_all(&start);
        let options = WatchOptions::new().with_range(end).with_start_revision(signed(after.0) + 1);
        let asked = self.ask(|client| {
            let (start, options) = (start.clone(), options.clone());
            let mut watches = client.watch_client().max_decoding_message_size(MOST_ANSWER);
            async move { watches.watch(start, Some(options)).await }
        });
        Ok(EtcdWatch::new(asked.await?, after, self.clone()))
    }

    pub(super) async fn commit(&self, commit: &Commit) -> Result<Revision, StoreError> {
        let tries = AtomicUsize::new(0);
        let asked = self.ask(|client| {
            tries.fetch_add(1, Ordering::Relaxed);
            let transaction = self.transaction(commit);
            async move { client.kv_client().txn(transaction).await }
        });
        let answer = asked.await?;
        if answer.succeeded() {
            return Ok(revision(answer.header()));
        }
        // A try whose answer was lost may have done it, and the next one found it done.
        if tries.into_inner() > 1
            && let Some(done) = self.is_done(commit).await?
        {
            return Ok(done);
        }
        Err(StoreError::Conflict { key: broken_guard(commit, &answer) })
    }

    /// When everything that a commit puts is there, written at once under the same leases and later
    /// than what it was guarded by: the revision of that.
    async fn is_done(&self, commit: &Commit) -> Result<Option<Revision>, StoreError> {
        let asked = self.ask(|client| {
            let gets = commit.writes.iter().map(|write| TxnOp::get(self.whole(write.key()), None));
            let transaction = Txn::new().and_then(gets.collect::<Vec<_>>());
            async move { client.kv_client().txn(transaction).await }
        });
        let answer = asked.await?;
        let mut done = None;
        for (write, got) in commit.writes.iter().zip(gets(&answer)) {
            match (write, got) {
                (Write::Delete(_), None) => {}
                (Write::Put { value, lease, .. }, Some(kv)) => {
                    let is_same = kv.value() == *value
                        && kv.lease() == lease.map_or(0, |lease| lease.0)
                        && done.is_none_or(|done| done == kv.mod_revision());
                    if !is_same {
                        return Ok(None);
                    }
                    done = Some(kv.mod_revision());
                }
                _ => return Ok(None),
            }
        }
        let done = done.map(|done| Revision(unsigned(done)));
        let guarded = commit.guards.iter().filter_map(|guard| match guard {
            Guard::At(_, revision) => Some(*revision),
            Guard::Absent(_) => None,
        });
        Ok(done.filter(|done| guarded.max().is_none_or(|guarded| *done > guarded)))
    }

    fn transaction(&self, commit: &Commit) -> Txn {
        let guards = commit.guards.iter().map(|guard| {
            let revision = match guard {
                Guard::Absent(_) => 0,
                Guard::At(_, revision) => signed(revision.0),
            };
            Compare::mod_revision(self.whole(guard.key()), CompareOp::Equal, revision)
        });
        let writes = commit.writes.iter().map(|write| match write {
            Write::Put { key, value, lease } => {
                let options = lease.map(|lease| PutOptions::new().with_lease(lease.0));
                TxnOp::put(self.whole(key), value.clone(), options)
            }
            Write::Delete(key) => TxnOp::delete(self.whole(key), None),
        });
        // So that a conflict can say what it is about.
        let looks = commit.guards.iter().map(|guard| {
            TxnOp::get(self.whole(guard.key()), Some(GetOptions::new().with_keys_only()))
        });
        Txn::new()
            .when(guards.collect::<Vec<_>>())
            .and_then(writes.collect::<Vec<_>>())
            .or_else(looks.collect::<Vec<_>>())
    }

    pub(super) async fn compact(&self, before: Revision) -> Result<(), StoreError> {
        let revision = signed(before.0);
        let asked =
            self.ask(|client| async move { client.kv_client().compact(revision, None).await });
        asked.await.map(drop)
    }

    /// How full the member is that is asked; an alarm is of all of them. It is taken from the status,
    /// since only an administrator of etcd may ask for alarms.
    pub(super) async fn fill(&self) -> Result<Fill, StoreError> {
        let asked = self.ask(|client| async move { client.maintenance_client().status().await });
        let status = asked.await?;
        Ok(Fill {
            bytes: unsigned(status.db_size()),
            quota: Some(unsigned(status.db_size_quota())).filter(|quota| *quota > 0),
            is_full: status.errors().iter().any(|alarm| alarm.contains("NOSPACE")),
        })
    }

    /// `None` where the key is no text.
    fn entry(&self, kv: &KeyValue) -> Option<Entry> {
        Some(Entry {
            key: self.relative(kv.key())?,
            value: kv.value().to_vec(),
            revision: Revision(unsigned(kv.mod_revision())),
        })
    }

    fn relative(&self, key: &[u8]) -> Option<String> {
        std::str::from_utf8(key).ok()?.strip_prefix(&*self.prefix).map(str::to_owned)
    }
}

async fn one_try<T, F>(
    member: &Member,
    question: &impl Fn(Client) -> F,
    within: Duration,
) -> Result<T, Trouble>
where
    F: Future<Output = Result<T, Error>>,
{
    let asked = async { question(member.client().await?).await };
    let trouble = match tokio::time::timeout(within, asked).await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(error)) => Trouble::of(&error, &member.address),
        Err(_) => Trouble::Away(format!("no answer from {} within {within:?}", member.address)),
    };
    if !matches!(trouble, Trouble::Answer(_)) {
        // A connection that leads nowhere would be waited for again and again.
        member.forget();
    }
    Err(trouble)
}

/// The first guard that did not hold, going by what the transaction found.
fn broken_guard(commit: &Commit, answer: &TxnResponse) -> Option<String> {
    let found = gets(answer).map(|kv| kv.map_or(0, |kv| unsigned(kv.mod_revision())));
    let broken = commit.guards.iter().zip(found).find(|(guard, found)| match guard {
        Guard::Absent(_) => *found > 0,
        Guard::At(_, revision) => *found != revision.0,
    });
    broken.map(|(guard, _)| guard.key().to_owned())
}

/// What each look of a transaction found.
fn gets(answer: &TxnResponse) -> impl Iterator<Item = Option<KeyValue>> {
    answer.op_responses().into_iter().filter_map(|response| match response {
        TxnOpResponse::Get(got) => Some(got.kvs().first().cloned()),
        _ => None,
    })
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

fn revision(header: Option<&ResponseHeader>) -> Revision {
    Revision(header.map_or(0, |header| unsigned(header.revision())))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
