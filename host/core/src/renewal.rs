//! When a host asks for its certificate to be made again, who may be asked to sign it, and how long what is
//! signed is valid. Does not look at clocks or certificates, and signs nothing.

use std::time::Duration;

use crate::id::HostName;
use crate::revoked::{BACKDATED, CertificateFacts, Revoked};

/// A certificate is renewed after two thirds of its life.
const AGE: (i64, i64) = (2, 3);
/// And for up to one part of so many more, so that the hosts of a fleet, whose certificates were made one
/// after the other, do not all ask at once.
const SPREAD: i64 = 10;
/// After a failure it is asked again after one part of so many of what is left.
const TRIES: i64 = 20;
/// And no sooner or later than this, in seconds.
const PAUSE: (i64, i64) = (1, 3600);
/// What is signed for a host counts as made so long before, in seconds. A host that signs may hear of a
/// revocation a moment after it was made: what it signed meanwhile is revoked as well.
const DOUBT: i64 = 60;

/// When a certificate begins and ends, in seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateLife {
    /// As the certificate says, which is dated back.
    pub begins: i64,
    /// When its time is over.
    pub ends: i64,
}

/// Why nothing is signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignRefusal {
    /// The host shows a certificate that is revoked.
    #[error("the certificate that it shows is revoked")]
    Revoked,
    /// It names no host.
    #[error("the certificate that it shows names no host")]
    NoHost,
    /// The time of it is over, or has not begun.
    #[error("the certificate that it shows is not valid now")]
    NotValid,
    /// This host cannot know what is revoked.
    #[error("the store is away, so it cannot be known what is revoked")]
    Unknown,
    /// The authority is not believed by all, so certificates of it cannot be shown yet.
    #[error("the authority is not believed by {} yet", names(.0))]
    NotBelieved(Vec<HostName>),
    /// It was made a moment ago, or the authority ends as soon.
    #[error("another one would end no later than the one that it shows")]
    EndsNoLater,
}

impl CertificateLife {
    /// When it was made, as far as that can be told: tools date certificates back.
    fn made(self) -> i64 {
        let dated = self.begins.saturating_add(backdated());
        if dated < self.ends { dated } else { self.begins }
    }

    /// From when on it is to be made again; `jitter` is any number, the same for one host each time.
    #[must_use]
    pub fn due_at(self, jitter: u64) -> i64 {
        let life = self.ends.saturating_sub(self.made()).max(0);
        let spread = life / SPREAD;
        let later = i64::try_from(jitter % 1_000).unwrap_or(0).saturating_mul(spread) / 1_000;
        self.made().saturating_add(life / AGE.1 * AGE.0).saturating_add(later)
    }

    /// How long to wait after nobody signed.
    #[must_use]
    pub fn pause(self, now: i64) -> Duration {
        let left = self.ends.saturating_sub(now) / TRIES;
        Duration::from_secs(left.clamp(PAUSE.0, PAUSE.1).unsigned_abs())
    }
}

/// When what is signed for a host begins and ends: it is valid for as long as the one that the host shows
/// was, and no longer than the authority.
///
/// # Errors
/// Why nothing is signed; see [`SignRefusal`].
pub fn sign(
    shown: (&CertificateFacts, CertificateLife),
    revoked: Option<&Revoked>,
    not_believed_by: Vec<HostName>,
    (authority_ends, now): (i64, i64),
) -> Result<CertificateLife, SignRefusal> {
    let (facts, validity) = shown;
    let revoked = revoked.ok_or(SignRefusal::Unknown)?;
    if facts.host.is_none() {
        return Err(SignRefusal::NoHost);
    }
    if revoked.covers(facts) {
        return Err(SignRefusal::Revoked);
    }
    if now < validity.begins || now >= validity.ends {
        return Err(SignRefusal::NotValid);
    }
    if !not_believed_by.is_empty() {
        return Err(SignRefusal::NotBelieved(not_believed_by));
    }
    let made = now.saturating_sub(DOUBT);
    let ends = made.saturating_add(validity.ends.saturating_sub(validity.made()));
    let ends = ends.min(authority_ends);
    if ends <= validity.ends {
        return Err(SignRefusal::EndsNoLater);
    }
    Ok(CertificateLife { begins: made.saturating_sub(backdated()), ends })
}

fn backdated() -> i64 {
    i64::try_from(BACKDATED.as_secs()).unwrap_or(i64::MAX)
}

fn names(hosts: &[HostName]) -> String {
    hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::revoked::Revocation;

    const DAY: i64 = 86_400;
    const HOUR: i64 = 3_600;

    fn host(name: &str) -> HostName {
        name.parse().unwrap()
    }

    fn facts(begins: i64) -> CertificateFacts {
        CertificateFacts { host: Some(host("ada")), begins, fingerprint: "f".to_owned() }
    }

    /// A certificate that was made at this time for so long.
    fn made(at: i64, life: i64) -> CertificateLife {
        CertificateLife { begins: at - HOUR, ends: at + life }
    }

    #[test]
    fn a_certificate_is_made_again_after_two_thirds_of_its_life_and_a_little() {
        let year = made(1_000_000, 360 * DAY);
        assert_eq!(year.due_at(0), 1_000_000 + 240 * DAY);
        assert_eq!(year.due_at(500), 1_000_000 + 258 * DAY);
        assert!(year.due_at(999) < 1_000_000 + 276 * DAY);
        // Of one of another tool, that is not dated back and ends within the hour.
        let short = CertificateLife { begins: 0, ends: 1_800 };
        assert_eq!(short.due_at(0), 1_200);
    }

    #[test]
    fn the_less_is_left_the_sooner_it_is_asked_again() {
        let (now, ends) = (0, |ends| CertificateLife { begins: 0, ends });
        assert_eq!(ends(100 * DAY).pause(now), Duration::from_secs(3_600));
        assert_eq!(ends(HOUR).pause(now), Duration::from_secs(180));
        assert_eq!(ends(5).pause(now), Duration::from_secs(1));
        assert_eq!(ends(-DAY).pause(now), Duration::from_secs(1));
    }

    #[test]
    fn nothing_is_signed_for_whom_it_must_not() {
        let (now, ends) = (10_000_000, 10_000_000 + 900 * DAY);
        let shown = made(now - 20 * DAY, 30 * DAY);
        let ask = |facts: &CertificateFacts, revoked: Option<&Revoked>, without: &[&str]| {
            let without = without.iter().map(|name| host(name)).collect();
            sign((facts, shown), revoked, without, (ends, now))
        };
        let (own, nobody) = (facts(shown.begins), Revoked::default());
        let signed = ask(&own, Some(&nobody), &[]).unwrap();
        assert_eq!(signed.ends, now - DOUBT + 30 * DAY);
        assert_eq!(ask(&own, None, &[]), Err(SignRefusal::Unknown));
        let no_host = CertificateFacts { host: None, ..own.clone() };
        assert_eq!(ask(&no_host, Some(&nobody), &[]), Err(SignRefusal::NoHost));
        let without = Err(SignRefusal::NotBelieved(vec![host("bo")]));
        assert_eq!(ask(&own, Some(&nobody), &["bo"]), without);
        let mut revoked = Revoked::default();
        let revocation = Revocation { before: now - HOUR, certificates: BTreeSet::new() };
        revoked.add(host("ada"), revocation);
        assert_eq!(ask(&own, Some(&revoked), &[]), Err(SignRefusal::Revoked));
        // What was signed a moment before the revocation was heard of is revoked with it.
        let signed = CertificateFacts { begins: signed.begins, ..own.clone() };
        assert!(revoked.covers(&signed));
        let over = sign((&own, shown), Some(&nobody), Vec::new(), (ends, shown.ends));
        assert_eq!(over, Err(SignRefusal::NotValid));
        let early = sign((&own, shown), Some(&nobody), Vec::new(), (ends, shown.begins - 1));
        assert_eq!(early, Err(SignRefusal::NotValid));
        let late = sign((&own, shown), Some(&nobody), Vec::new(), (shown.ends, now));
        assert_eq!(late, Err(SignRefusal::EndsNoLater));
    }

    proptest! {
        #[test]
        fn it_is_asked_for_while_the_old_one_is_valid_and_the_new_one_ends_later_and_in_time(
            life in 200..2_000 * DAY, jitter: u64, authority in 0..4_000 * DAY,
        ) {
            let shown = made(5_000_000, life);
            let now = shown.due_at(jitter);
            prop_assert!(now < shown.ends && now >= 5_000_000 + life * 3 / 5);
            let (facts, ends) = (facts(shown.begins), 5_000_000 + authority);
            if let Ok(new) = sign((&facts, shown), Some(&Revoked::default()), Vec::new(), (ends, now)) {
                prop_assert!(new.ends > shown.ends && new.ends <= ends && new.begins < now);
                prop_assert!(new.ends - now <= life);
                prop_assert!(new.due_at(jitter) > now || new.ends == ends);
            }
        }
    }
}
