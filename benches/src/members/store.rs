//! The store of the fleet as the bench sees it: it puts apps there in bulk, and sees what placement
//! writes.
//! The records are copies of those that a host wrote for one app that was deployed, with other names:
//! what they are made of only hosts know.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use etcd_client::{Client, EventType, GetOptions, PutOptions, Txn, TxnOp, WatchOptions};
use sha2::{Digest as _, Sha256};
use tokio::runtime::{Builder, Runtime};

/// What all keys of a fleet start with.
const PREFIX: &str = "/steerage/";
/// Writes of one commit, of 128 that etcd takes.
const AT_ONCE: usize = 120;

/// A connection to etcd.
pub(crate) struct Store {
    runtime: Runtime,
    client: Client,
}

/// Which app has been placed anew, and when that was heard of.
pub(crate) type Placed = Vec<(Instant, String)>;

impl Store {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let connected = Client::connect([format!("http://{address}")], None);
        let client = runtime.block_on(connected).context("cannot connect to etcd")?;
        Ok(Self { runtime, client })
    }

    /// Everything below a prefix, page by page.
    fn read(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let start = format!("{PREFIX}{prefix}");
        let mut kv = self.client.kv_client().max_decoding_message_size(256 << 20);
        let options = GetOptions::new().with_prefix();
        let answer = self.runtime.block_on(kv.get(start, Some(options)))?;
        let entries = answer.kvs().iter();
        let entries = entries.map(|kv| Ok((kv.key_str()?.to_owned(), kv.value().to_vec())));
        entries.collect()
    }

    /// How many keys there are below a prefix.
    pub(crate) fn count(&self, prefix: &str) -> Result<u64> {
        let mut kv = self.client.kv_client();
        let options = GetOptions::new().with_prefix().with_count_only();
        let answer = self.runtime.block_on(kv.get(format!("{PREFIX}{prefix}"), Some(options)))?;
        Ok(u64::try_from(answer.count())?)
    }

    /// The number of the last change.
    pub(crate) fn revision(&self) -> Result<i64> {
        let mut kv = self.client.kv_client();
        let answer = self.runtime.block_on(kv.get(format!("{PREFIX}fleet/mark"), None))?;
        Ok(answer.header().context("an answer without a header")?.revision())
    }

    /// Puts apps into the store like one that a host has put there. All names are of one length.
    pub(crate) fn copy_app(&self, from: &str, digest: [u8; 32], names: &[String]) -> Result<()> {
        let all = self.read("desired/")?;
        let of_one = all.into_iter().filter(|(key, _)| key.contains(from));
        let template: Vec<(String, String)> = of_one
            .map(|(key, value)| Ok((key, String::from_utf8(value)?)))
            .collect::<Result<_>>()?;
        ensure!(template.len() >= 4, "{from} has only {} records", template.len());
        let manifest = template.iter().find_map(|(_, value)| manifest(value));
        let manifest = manifest.context("no record holds a manifest")?;
        let own = fingerprint(digest, &manifest);
        let is_known = template.iter().any(|(_, value)| value.contains(&own));
        ensure!(is_known, "hosts make fingerprints otherwise than this bench");
        let copies = names.iter().flat_map(|name| {
            let other = fingerprint(digest, &manifest.replace(from, name));
            let copied = |text: &str| text.replace(from, name).replace(&own, &other);
            template.iter().map(|(key, value)| (copied(key), copied(value))).collect::<Vec<_>>()
        });
        let copies: Vec<(String, String)> = copies.collect();
        for batch in copies.chunks(AT_ONCE) {
            let puts = batch
                .iter()
                .map(|(key, value)| TxnOp::put(key.as_str(), value.as_str(), None::<PutOptions>));
            let all = Txn::new().and_then(puts.collect::<Vec<_>>());
            self.runtime.block_on(self.client.kv_client().txn(all))?;
        }
        Ok(())
    }

    /// The apps that are placed on a host.
    pub(crate) fn placed_on(&self, host: &str) -> Result<BTreeSet<String>> {
        let quoted = format!("\"{host}\"");
        let all = self.read("assigned/")?.into_iter();
        let on = all.filter(|(_, value)| String::from_utf8_lossy(value).contains(&quoted));
        Ok(on.filter_map(|(key, _)| app_of(&key)).collect())
    }

    /// Does something, and hears of what is placed anew until all of these apps were, or time is over.
    pub(crate) fn placed_after(
        &self,
        mut apps: BTreeSet<String>,
        within: Duration,
        change: impl FnOnce() -> Result<()>,
    ) -> Result<Placed> {
        let options = WatchOptions::new().with_prefix();
        let mut watches = self.client.watch_client().max_decoding_message_size(256 << 20);
        let watching = watches.watch(format!("{PREFIX}assigned/"), Some(options));
        let mut stream = self.runtime.block_on(watching)?;
        change()?;
        let mut placed = Placed::new();
        let until = tokio::time::Instant::now() + within;
        while !apps.is_empty() {
            let heard = self
                .runtime
                .block_on(async { tokio::time::timeout_at(until, stream.message()).await });
            let Ok(heard) = heard else { break };
            let message = heard?.context("etcd ended the watch")?;
            let puts = message.events().iter().filter(|it| it.event_type() == EventType::Put);
            for kv in puts.filter_map(|event| event.kv()) {
                let app = app_of(kv.key_str()?).unwrap_or_default();
                if apps.remove(&app) {
                    placed.push((Instant::now(), app));
                }
            }
        }
        Ok(placed)
    }
}

/// The app that a record about its place is of.
fn app_of(key: &str) -> Option<String> {
    key.rsplit('/').next().map(str::to_owned)
}

/// The manifest in a record, where that is a deployment's.
fn manifest(record: &str) -> Option<String> {
    let record: serde_json::Value = serde_json::from_str(record).ok()?;
    record.get("manifest")?.as_str().map(str::to_owned)
}

/// How hosts tell one deployment from another.
fn fingerprint(digest: [u8; 32], manifest: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(digest);
    hasher.update(manifest.as_bytes());
    hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
