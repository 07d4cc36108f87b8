//! The certificate by which this host is known to others, and the authorities that it believes: read
//! again when their files change or an operator asks, told before their time is over; and told when
//! another host cannot be reached because of one.
//! Does not issue any, and asks for none: `renewal` does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use steerage_core::expiry::Expiry;
use steerage_core::id::HostName;

use super::Member;
use crate::identity::{Identity, IdentityError, Parting, Reloaded};
use crate::placement;
use crate::telemetry::chain;
use crate::telemetry::events::{Event, EventPlace, Severity};

/// How often it is looked whether the files are others. They are read when they are, and as long as something
/// of them waits for other hosts.
const EVERY: Duration = Duration::from_secs(1);

/// After an authority was given up, what is under way on connections of who showed a certificate of it may
/// take so long.
const FINISH_WITHIN: Duration = Duration::from_secs(60);

/// What to do about an end that is near.
const RENEW: &str = "renew it where the authority is, with `steerage cert renew DIR` (`steerage cert issue \
                     NAME --out DIR` makes another), and put its files in place of these: they are read \
                     when they change. Hosts renew by themselves where one of them has the authority's \
                     key, `steerage host --authority-key FILE`";
/// The same of an authority's.
const ANOTHER: &str = "make another authority before, and have all hosts trust both: `steerage cert init \
                       --dir NEW`, then `steerage cert trust DIR --dir NEW` for each host, then `steerage \
                       cert renew DIR --dir NEW`; `steerage fleet authorities` says how far it is";
/// What to do about another host's.
const ADVICE: &str = "calls of that host's apps are served elsewhere meanwhile; look at `steerage events` \
                      there, at both hosts' certificates and at their clocks";

/// What was told already.
#[derive(Default)]
struct Told {
    own: Option<Expiry>,
    authorities: BTreeMap<String, Expiry>,
    peers: BTreeSet<String>,
    /// Why something of the files is not used.
    unused: Option<String>,
}

/// Watches until it is dropped.
pub(super) async fn watch(member: &Member) {
    let Some(identity) = member.identity.clone() else { return };
    let (mut seen, mut told) = (stamps(&identity).await, Told::default());
    // They may have changed since the host began, which read them first.
    let mut is_new = true;
    let (mut noted, mut part_at) = (BTreeSet::new(), None);
    let mut asked = member.reload.subscribe();
    loop {
        tell_ends(member, &identity, &mut told);
        tell_peers(member, &mut told.peers);
        note_authorities(member, &mut noted).await;
        if part_at.take_if(|at| *at <= Instant::now()).is_some() {
            identity.believed().part_from_strangers(Parting::Cut);
        }
        let is_asked = asked.next(EVERY).await;
        let now = stamps(&identity).await;
        // The files are written one after the other: they are read once they stay as they are. Who asks
        // has written all.
        if now != seen && !is_asked {
            (seen, is_new) = (now, true);
            continue;
        }
        seen = now;
        if !std::mem::take(&mut is_new) && !is_asked {
            continue;
        }
        let (read, others) = (identity.clone(), others(member));
        let reloaded = tokio::task::spawn_blocking(move || {
            let is_void = read.believed().revoked().covers(&read.certificate().facts)
                || read.ends() < Timestamp::now();
            // Who is believed by nobody loses nothing by being believed by some.
            read.reload(&others.needed, &if is_void { BTreeMap::new() } else { others.believes })
        });
        match reloaded.await {
            Ok(Ok(reloaded)) => {
                tell_new(member, &identity, &reloaded, &mut told);
                if reloaded.authorities {
                    part_at = Some(Instant::now() + FINISH_WITHIN);
                }
                // What it waits for is the others' to do: the files stay as they are.
                is_new = reloaded.held_back.is_some();
                tell_unused(member, &mut told, reloaded.held_back.as_ref(), is_asked);
            }
            Ok(Err(error)) => {
                told.unused = None;
                tell_unused(member, &mut told, Some(&error), is_asked);
            }
            Err(error) => tracing::error!(%error, "reading the certificate failed"),
        }
    }
}

/// What the other hosts need of the authorities, and which they believe, by their fingerprints.
struct Others {
    needed: BTreeMap<String, Vec<HostName>>,
    believes: BTreeMap<HostName, BTreeSet<String>>,
}

fn others(member: &Member) -> Others {
    let (view, me) = (member.fleet.view(), member.fleet.me());
    let mut others = Others { needed: BTreeMap::new(), believes: BTreeMap::new() };
    for (host, record) in view.all_hosts().filter(|(host, _)| *host != me) {
        // What a host does not say may be any: one of an earlier version shows a certificate, too.
        let of = match &record.certificate {
            Some(shown) => BTreeSet::from([shown.authority.clone()]),
            None => member.fleet.lineage().authorities(),
        };
        for authority in of {
            others.needed.entry(authority).or_default().push(host.clone());
        }
        // One that does not say it may believe none of them.
        others.believes.insert(host.clone(), record.believes.clone());
    }
    others
}

/// Has the fleet's mark name the authorities that its hosts believe.
async fn note_authorities(member: &Member, noted: &mut BTreeSet<String>) {
    // One host does: each change of the mark has all hosts read the store anew.
    if !placement::is_planner(&member.fleet) {
        noted.clear();
        return;
    }
    let view = member.fleet.view();
    let mut all = member.fleet.lineage().authorities();
    all.extend(view.all_hosts().flat_map(|(_, record)| record.believes.iter().cloned()));
    if all != *noted && member.desired.note_authorities(&all).await.is_ok() {
        *noted = all;
    }
}

/// Tells why something of the files is not used, once until that is another reason or somebody asks.
fn tell_unused(member: &Member, told: &mut Told, why: Option<&IdentityError>, is_asked: bool) {
    let Some(why) = why else {
        told.unused = None;
        return;
    };
    let detail = match why {
        IdentityError::Needed { .. } => chain(why),
        _ => format!("the certificate for other hosts is shown as before: {}", chain(why)),
    };
    if is_asked || told.unused.as_ref() != Some(&detail) {
        tracing::warn!("{detail}");
        member.tell("certificate_unusable", Severity::Warning, detail.clone(), RENEW);
    }
    told.unused = Some(detail);
}

fn tell_new(member: &Member, identity: &Identity, reloaded: &Reloaded, told: &mut Told) {
    if reloaded.certificate {
        told.own = None;
        let ends = identity.ends();
        let detail = format!("other hosts are shown a new certificate, valid until {ends}");
        tracing::info!("{detail}");
        member.tell("certificate_replaced", Severity::Info, detail, "");
    }
    if reloaded.authorities {
        let all = identity.authorities();
        let named: Vec<&str> = all.iter().map(|one| short(one)).collect();
        let detail =
            format!("hosts are believed that show a certificate of {}", named.join(" or "));
        tracing::info!("{detail}");
        member.tell("authorities_replaced", Severity::Info, detail, "");
        member.fleet.lineage().believe(all);
    }
}

/// Enough of a fingerprint for people.
fn short(fingerprint: &str) -> &str {
    fingerprint.get(..16).unwrap_or(fingerprint)
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

/// Tells each stage once, over restarts as well.
fn tell_ends(member: &Member, identity: &Identity, told: &mut Told) {
    let (now, own) = (Timestamp::now(), identity.ends());
    if let Some(expiry) = later(own, now, told.own) {
        told.own = Some(expiry);
        let what = "the certificate by which other hosts know this one";
        tell_end(member, "certificate_expires", (what, RENEW), (expiry, own));
    }
    for (authority, ends) in &identity.authority_ends() {
        if let Some(expiry) = later(*ends, now, told.authorities.get(authority).copied()) {
            told.authorities.insert(authority.clone(), expiry);
            let what = format!("the authority {} of the hosts' certificates", short(authority));
            tell_end(member, "authority_expires", (&what, ANOTHER), (expiry, *ends));
        }
    }
}

/// The stage, where it is later than what was told.
fn later(ends: Timestamp, now: Timestamp, told: Option<Expiry>) -> Option<Expiry> {
    Expiry::of(ends.as_second() - now.as_second()).filter(|expiry| told < Some(*expiry))
}

fn tell_end(
    member: &Member,
    kind: &'static str,
    (what, advice): (&str, &str),
    (expiry, ends): (Expiry, Timestamp),
) {
    let message = format!("{what} {expiry}: it ends at {ends}");
    let severity = if expiry < Expiry::Day { Severity::Warning } else { Severity::Error };
    let place = EventPlace::of((what, ends.as_second(), expiry.to_string()));
    let advice = Some(advice.to_owned());
    let event = Event { severity, place, advice, ..Event::now(kind, message.clone()) };
    if member.own.events.push_once(event) {
        tracing::warn!("{message}");
    }
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
