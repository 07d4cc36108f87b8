//! Has this host's certificate made again before it ends, by a host that was given the authority's key, and
//! puts it in place of the old one. The part `certificate` sees the new file and shows it.
//! Does not decide when, nor who gets one: `core::renewal` does. Where nobody has the key, nothing is done:
//! operators are warned by `certificate` in time.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use jiff::Timestamp;
use steerage_core::id::HostName;
use steerage_core::renewal::CertificateLife;

use super::Member;
use crate::forward::{self, CERTIFICATES, Peer};
use crate::identity::{Identity, OwnCertificate};
use crate::telemetry::chain;
use crate::telemetry::events::Severity;

/// How often it is looked whether it is time, since an operator may have replaced the certificate, and then
/// whether somebody has the key.
const LOOK: Duration = Duration::from_secs(5);
/// How long another host may take.
const WITHIN: Duration = Duration::from_secs(10);
/// Longest answer: a certificate has some two thousand bytes.
const LONGEST: usize = 64 << 10;
/// What to do where hosts have the key and none of them signs.
const ADVICE: &str = "see whether the hosts that have the authority's key (`steerage host --authority-key`) \
                      can use it, and whether this host may write into its folder of --identity; this is \
                      tried again until the certificate ends. By hand: `steerage cert renew DIR` where the \
                      authority is, and its files in place of these";

/// Renews until it is dropped.
pub(super) async fn renew(member: &Member) {
    let Some(identity) = member.identity.clone() else { return };
    let mut told = None;
    loop {
        let shown = identity.certificate();
        let validity = CertificateLife { begins: shown.facts.begins, ends: shown.ends.as_second() };
        let now = Timestamp::now().as_second();
        let due = validity.due_at(jitter(&shown));
        // Nobody signs for a host whose certificate has ended.
        if now < due || now >= validity.ends {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        if !member.fleet.is_current() {
            // Nobody would know what is revoked, nor this host who has the key.
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        }
        let mut pause = validity.pause(now);
        match renew_once(member, &identity).await {
            // It may be that it waits for other hosts before it is shown: it is told then.
            Ok(Some((by, ends))) => {
                told = None;
                let detail = format!("{by} has signed another certificate, valid until {ends}");
                tracing::info!("{detail}");
                member.tell("certificate_renewed", Severity::Info, detail, "");
                until_shown(&identity, &shown, pause).await;
                continue;
            }
            Ok(None) => pause = LOOK,
            Err(why) if told.as_ref() == Some(&why) => {}
            Err(why) => {
                let detail =
                    format!("the certificate ends at {} and is not renewed: {why}", shown.ends);
                tracing::warn!("{detail}");
                member.tell("certificate_not_renewed", Severity::Warning, detail, ADVICE);
                told = Some(why);
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// Another number for each certificate, so that hosts ask one after the other.
fn jitter(shown: &OwnCertificate) -> u64 {
    let digits = shown.facts.fingerprint.get(..8).unwrap_or_default();
    u64::from_str_radix(digits, 16).unwrap_or(0)
}

/// Waits until the new certificate is shown instead of this one, or for so long.
async fn until_shown(identity: &Identity, before: &OwnCertificate, patience: Duration) {
    let shown = async {
        while identity.certificate() == *before {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    drop(tokio::time::timeout(patience.max(LOOK), shown).await);
}

/// Who signed, and until when it is valid; nothing where nobody has the key. Otherwise why it did not work.
async fn renew_once(
    member: &Member,
    identity: &Identity,
) -> Result<Option<(HostName, Timestamp)>, String> {
    let peers = signers(member);
    if member.signer.is_none() && peers.is_empty() {
        return Ok(None);
    }
    let own = identity.clone();
    let request = on_disk(move || own.signing_request().map_err(|error| chain(&error))).await?;
    let mut refused = Vec::new();
    if let Some(signer) = member.signer.clone() {
        let (me, fleet) = (member.fleet.me().clone(), member.fleet.clone());
        let (asked, shown) = (request.clone(), identity.shown());
        let is_current = fleet.is_current();
        let without = move |authority: &str| fleet.not_believing(authority);
        let signed = on_disk(move || {
            let shown = shown.ok_or_else(|| "this host shows no certificate".to_owned())?;
            let signed = signer.sign(&shown, asked.as_bytes(), is_current, without);
            signed.map_err(|error| chain(&error))
        });
        match signed.await {
            Ok(certificate) => match take(identity, me, certificate).await {
                Ok(taken) => return Ok(Some(taken)),
                Err(why) => refused.push(why),
            },
            Err(why) => refused.push(format!("this host does not sign it: {why}")),
        }
    }
    for peer in peers {
        match ask(&peer, &request).await {
            Ok(certificate) => match take(identity, peer.name.clone(), certificate).await {
                Ok(taken) => return Ok(Some(taken)),
                Err(why) => refused.push(why),
            },
            Err(why) => refused.push(format!("{} does not sign it: {why}", peer.name)),
        }
    }
    // They are asked in any order, and the same reasons are told once.
    refused.sort();
    Err(refused.join("; "))
}

/// The other hosts that have the key, in any order: none is asked by all.
fn signers(member: &Member) -> Vec<Arc<Peer>> {
    let (fleet, view) = (&member.fleet, member.fleet.view());
    let signers = view.all_hosts().filter(|(host, record)| record.signs && *host != fleet.me());
    let mut signers: Vec<_> = signers.filter_map(|(host, _)| fleet.peers().named(host)).collect();
    fastrand::shuffle(&mut signers);
    signers
}

async fn ask(peer: &Arc<Peer>, request: &str) -> Result<String, String> {
    let body = forward::whole_body(request.to_owned());
    let request = Request::post(format!("http://fleet{CERTIFICATES}")).body(body);
    let request = request.map_err(|error| error.to_string())?;
    let answered = async {
        let response = peer.send_apart(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        let text = String::from_utf8(body.to_vec()).map_err(|error| error.to_string())?;
        if status == StatusCode::OK { Ok(text) } else { Err(text) }
    };
    let answered = tokio::time::timeout(WITHIN, answered).await;
    answered.unwrap_or_else(|_| Err(format!("it said nothing for {} s", WITHIN.as_secs())))
}

async fn take(
    identity: &Identity,
    by: HostName,
    certificate: String,
) -> Result<(HostName, Timestamp), String> {
    let own = identity.clone();
    let ends =
        on_disk(move || own.take_renewed(certificate.as_bytes()).map_err(|error| chain(&error)));
    let ends = ends.await.map_err(|why| format!("what {by} signed is not used: {why}"))?;
    Ok((by, ends))
}

/// Does something that reads or writes files, elsewhere.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work);
    done.await.unwrap_or_else(|error| Err(error.to_string()))
}
