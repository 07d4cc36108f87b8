//! The certificate by which this host is known to others: read again when its files change or an
//! operator asks, told before its time is over; and told when another host cannot be reached because
//! of one.
//! Does not issue any.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use steerage_core::expiry::Expiry;

use super::Member;
use crate::identity::Identity;
use crate::telemetry::chain;
use crate::telemetry::events::Severity;

/// How often is looked whether the files are others: two looks at a folder, no reading.
const EVERY: Duration = Duration::from_secs(1);

/// What to do about an end that is near.
const RENEW: &str = "renew it where the authority is, with `steerage cert renew DIR` (`steerage cert issue \
                     NAME --out DIR` makes another), and put its files in place of these: they are read \
                     when they change";
/// What to do about another host's.
const ADVICE: &str = "calls of that host's apps are served elsewhere meanwhile; look at `steerage events` \
                      there, at both hosts' certificates and at their clocks";

/// Watches until it is dropped.
pub(super) async fn watch(member: &Member) {
    let Some(identity) = member.identity.clone() else { return };
    let (mut seen, mut told) = (stamps(&identity).await, None);
    // They may have changed since the host began, which read them first.
    let mut is_new = true;
    let mut told_of_peers = BTreeSet::new();
    let mut asked = member.reload.subscribe();
    loop {
        tell_end(member, &identity, &mut told);
        tell_peers(member, &mut told_of_peers);
        let is_asked = asked.next(EVERY).await;
        let now = stamps(&identity).await;
        // The two files are written one after the other: they are read once they stay as they are. Who
        // asks has written both.
        if now != seen && !is_asked {
            (seen, is_new) = (now, true);
            continue;
        }
        seen = now;
        if !std::mem::take(&mut is_new) && !is_asked {
            continue;
        }
        let read = identity.clone();
        match tokio::task::spawn_blocking(move || read.reload()).await {
            Ok(Ok(true)) => {
                told = None;
                let detail = format!(
                    "other hosts are shown a new certificate, valid until {}",
                    identity.ends()
                );
                tracing::info!("{detail}");
                member.tell("certificate_replaced", Severity::Info, detail, "");
            }
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                let detail = format!(
                    "the certificate for other hosts is shown as before: {}",
                    chain(&error)
                );
                tracing::warn!("{detail}");
                member.tell("certificate_unusable", Severity::Warning, detail, RENEW);
            }
            Err(error) => tracing::error!(%error, "reading the certificate failed"),
        }
    }
}

/// When the files were written, and how long they are.
async fn stamps(identity: &Identity) -> Vec<Option<(SystemTime, u64)>> {
    let files = identity.files();
    let stamp = |path: &PathBuf| {
        let known = std::fs::metadata(path).ok()?;
        Some((known.modified().ok()?, known.len()))
    };
    let looked = tokio::task::spawn_blocking(move || files.iter().map(stamp).collect());
    looked.await.unwrap_or_default()
}

/// Tells each stage once.
fn tell_end(member: &Member, identity: &Identity, told: &mut Option<Expiry>) {
    let ends = identity.ends();
    let Some(now) = Expiry::of(ends.as_second() - Timestamp::now().as_second()) else { return };
    if *told >= Some(now) {
        return;
    }
    *told = Some(now);
    let detail =
        format!("the certificate by which other hosts know this one {now}: it ends at {ends}");
    let severity = if now < Expiry::Day { Severity::Warning } else { Severity::Error };
    tracing::warn!("{detail}");
    member.tell("certificate_expires", severity, detail, RENEW);
}

/// Tells which hosts cannot be reached because of a certificate, each once until it answers.
fn tell_peers(member: &Member, told: &mut BTreeSet<String>) {
    for peer in member.fleet.peers().all() {
        let why = peer.why().filter(|why| why.is_about_certificates());
        let Some(why) = why else {
            told.remove(peer.name.as_str());
            continue;
        };
        if told.insert(peer.name.to_string()) {
            let detail = format!("{} at {} cannot be reached: {why}", peer.name, peer.address);
            tracing::warn!("{detail}");
            member.tell("peer_untrusted", Severity::Error, detail, ADVICE);
        }
    }
}
