//! Keeping the store's history short: every change of every key stays in etcd until somebody says up to
//! where it may be forgotten, and etcd takes no more writes at its quota. The host that plans says so,
//! as Kubernetes' API server does of its own etcd; two who do so at once are harmless.
//! Does not defragment: what was compacted is room for what comes, and the file stays as it is.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use steerage_core::units::Bytes;

use super::Member;
use crate::fleet::keys;
use crate::placement;
use crate::store::{Fill, Revision, StoreError};
use crate::telemetry::chain;
use crate::telemetry::events::Severity;

/// It is looked so often in the time that is kept.
const LOOKS: u32 = 5;
/// Within these bounds.
const EVERY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(60));
/// What etcd takes unless it was told otherwise, and unless it says (3.6 and later).
const QUOTA: u64 = 2 << 30;
/// It is told that the store fills when this percentage of its quota is taken.
const FILLING: u64 = 80;

/// Revisions of the last while, the oldest first.
#[derive(Debug, Default)]
struct Past {
    seen: VecDeque<(Instant, Revision)>,
    compacted: Revision,
}

/// What was told of the store's fill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    #[default]
    Room,
    Filling,
    Full,
}

/// Keeps it short until it is dropped.
pub(super) async fn keep_short(member: &Member) {
    let (mut past, mut told, mut has_failed) = (Past::default(), Level::default(), false);
    let mut has_looked = false;
    let every = member.history.map_or(EVERY.1, |kept| kept / LOOKS).clamp(EVERY.0, EVERY.1);
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let plans = placement::is_planner(&member.fleet);
        // At its start every host looks: it may be the only one that anybody watches. Who has told that there
        // is no room looks on until there is.
        if (plans || !has_looked || told != Level::Room)
            && let Ok(fill) = member.fleet.store().fill().await
        {
            told = tell_fill(member, told, fill);
            has_looked = true;
        }
        if !plans {
            past = Past::default();
            continue;
        }
        let Some(kept) = member.history else { continue };
        match compact(member, &mut past, kept).await {
            Ok(()) => has_failed = false,
            Err(error) => {
                tracing::warn!(error = chain(&error), "the store's history cannot be compacted");
                let is_news = !std::mem::replace(&mut has_failed, true);
                if is_news && !matches!(error, StoreError::Away { .. }) {
                    let detail = format!("the store's history grows: {}", chain(&error));
                    let advice = "let this host's user compact, or say --store-history never and run \
                                  etcd with --auto-compaction-retention";
                    member.tell("store_not_compacted", Severity::Warning, detail, advice);
                }
            }
        }
    }
}

async fn compact(member: &Member, past: &mut Past, kept: Duration) -> Result<(), StoreError> {
    let store = member.fleet.store();
    // The smallest thing to read: it is about the revision that comes along.
    let revision = store.read(keys::HOSTS_WANTED).await?.revision;
    let Some(before) = past.see(Instant::now(), revision, kept) else { return Ok(()) };
    match store.compact(before).await {
        Ok(()) => tracing::debug!(before = before.0, "compacted the store's history"),
        // Somebody else was first.
        Err(StoreError::Compacted) => {}
        Err(error) => return Err(error),
    }
    past.compacted = before;
    Ok(())
}

impl Past {
    /// Notes the revision of this moment; the one before which all may be forgotten, if that is more
    /// than was forgotten already.
    fn see(&mut self, now: Instant, revision: Revision, kept: Duration) -> Option<Revision> {
        self.seen.push_back((now, revision));
        let is_old = |(at, _): &(Instant, Revision)| now.saturating_duration_since(*at) >= kept;
        let mut before = None;
        while let Some((_, revision)) = self.seen.pop_front_if(|seen| is_old(seen)) {
            before = Some(revision);
        }
        before.filter(|before| *before > self.compacted)
    }
}

fn level(fill: Fill) -> Level {
    let quota = fill.quota.unwrap_or(QUOTA);
    match fill {
        Fill { is_full: true, .. } => Level::Full,
        Fill { bytes, .. } if bytes / FILLING >= quota / 100 => Level::Filling,
        Fill { .. } => Level::Room,
    }
}

/// Tells of a level that was not told yet; returns what is told by now.
fn tell_fill(member: &Member, told: Level, fill: Fill) -> Level {
    let now = level(fill);
    let bytes = Bytes::new(fill.bytes >> 20 << 20);
    let has_room_again = told > now && (now == Level::Room || told == Level::Full);
    if has_room_again {
        let detail = format!("the store takes changes, at {bytes}");
        tracing::info!("{detail}");
        member.tell("store_has_room", Severity::Info, detail, "");
    }
    // A store that was full and has little room again is told as filling, too.
    if now > told || has_room_again && now == Level::Filling {
        let (kind, detail) = match now {
            Level::Full => (
                "store_full",
                format!(
                    "the store is full at {bytes}: it takes no change, and what is lost is not replaced"
                ),
            ),
            _ => {
                let whose = if fill.quota.is_some() { "its quota" } else { "etcd's default quota" };
                let quota = Bytes::new(fill.quota.unwrap_or(QUOTA));
                ("store_filling", format!("the store has {bytes}; {whose} is {quota}"))
            }
        };
        let advice = "see how much of it is in use (`etcdctl endpoint status`); if it is little, \
                      `etcdctl defrag` gives the rest back, else raise --quota-backend-bytes; once it is \
                      full, `etcdctl alarm disarm` after that";
        let severity = if now == Level::Full { Severity::Error } else { Severity::Warning };
        tracing::warn!("{detail}");
        member.tell(kind, severity, detail, advice);
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_what_is_kept_is_forgotten_once() {
        let (start, kept) = (Instant::now(), Duration::from_secs(300));
        let mut past = Past::default();
        let mut see = |seconds: u64, revision: u64| {
            let before = past.see(start + Duration::from_secs(seconds), Revision(revision), kept);
            past.compacted = before.unwrap_or(past.compacted);
            before.map(|before| before.0)
        };
        assert_eq!(see(0, 10), None);
        assert_eq!(see(60, 20), None);
        assert_eq!(see(299, 30), None);
        assert_eq!(see(300, 40), Some(10));
        // It stood still for a while.
        assert_eq!(see(600, 50), Some(40));
        // Nothing has changed since.
        assert_eq!(see(900, 50), Some(50));
        assert_eq!(see(1200, 50), None);
    }

    #[test]
    fn a_store_that_fills_is_told_before_it_is_full() {
        let fill = |mebi: u64, quota: Option<u64>, is_full| {
            level(Fill { bytes: mebi << 20, quota: quota.map(|mebi| mebi << 20), is_full })
        };
        assert_eq!(fill(1600, None, false), Level::Room);
        assert_eq!(fill(1640, None, false), Level::Filling);
        assert_eq!(fill(1640, Some(8192), false), Level::Room);
        assert_eq!(fill(7000, Some(8192), false), Level::Filling);
        assert_eq!(fill(10, None, true), Level::Full);
    }
}
