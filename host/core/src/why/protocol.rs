//! Clients that speak TLS to a door that does not, or the other way round.
//! Counts nothing itself.

use super::diagnosis::{Diagnosis, Remedy};
use crate::mistaken::{KEPT, Mistaken};
use crate::units::{ago, many};

/// As many connections are no accident where nobody has ever called.
const LEAST: u64 = 5;
/// Where somebody has, the last so many are none, with no call for so many milliseconds.
const WITHOUT_CALLS: u64 = 60_000;

/// Says that clients speak the wrong protocol, where no call has come since: beside those who speak the right one it
/// is bots that try. `last_call` is when the last call came, in milliseconds since the epoch; `is_tls` is what the
/// door of callers speaks.
#[must_use]
pub fn wrong_protocol(
    now: u64,
    host: &str,
    (mistaken, last_call): (&Mistaken, Option<u64>),
    is_tls: bool,
) -> Option<Diagnosis> {
    let Mistaken { count, first_at, last_at, last } = mistaken;
    if mistaken.is_over(now) {
        return None;
    }
    let is_told = match (last_call, last.front()) {
        (None, _) => *count >= LEAST,
        // Bots that came before the last call say nothing of those who came after it.
        (Some(call), Some(oldest)) => {
            let is_long = oldest.saturating_add(WITHOUT_CALLS) <= now;
            last.len() == KEPT && call < *oldest && is_long
        }
        (Some(_), None) => false,
    };
    if !is_told {
        return None;
    }
    let (spoken, expected, text) = if is_tls {
        let text =
            "have clients ask for https://, or have what stands before this host speak TLS with it";
        ("something that is not TLS", "TLS", text)
    } else {
        let text = "have clients ask for http://, or give this host a certificate with --tls-cert and --tls-key";
        ("TLS", "plain HTTP", text)
    };
    let connections = many(usize::try_from(*count).unwrap_or(usize::MAX), "connection");
    let (first, last) = (ago(now, *first_at), ago(now, *last_at));
    Some(Diagnosis {
        claim: format!("{connections} to {host} began with {spoken}, where {expected} is spoken"),
        evidence: vec![format!(
            "the first came {first} ago, the last one {last} ago; none was served"
        )],
        remedy: Some(Remedy { text: text.to_owned(), command: None, changes: false }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mistaken::APART;

    #[test]
    fn a_few_connections_are_nothing_and_more_are_told_where_nobody_calls() {
        let mut mistaken = Mistaken::default();
        for n in 100..100 + LEAST {
            assert_eq!(wrong_protocol(n, "this host", (&mistaken, None), false), None);
            mistaken.note(n);
        }
        let told = wrong_protocol(200, "this host", (&mistaken, None), false).unwrap();
        assert_eq!(
            told.claim,
            "5 connections to this host began with TLS, where plain HTTP is spoken"
        );
        assert!(told.remedy.unwrap().text.contains("http://"));
        let told = wrong_protocol(200, "h1", (&mistaken, None), true).unwrap();
        assert_eq!(
            told.claim,
            "5 connections to h1 began with something that is not TLS, where TLS is spoken"
        );
    }

    #[test]
    fn beside_calls_they_are_bots() {
        let mut mistaken = Mistaken::default();
        let is_told = |mistaken: &Mistaken, now, last_call| {
            wrong_protocol(now, "h1", (mistaken, Some(last_call)), false).is_some()
        };
        // One each nine minutes, for days.
        (0..500).for_each(|n| mistaken.note(n * 540_000));
        let began = 500 * 540_000;
        assert!(!is_told(&mistaken, began, began - 1_000));
        // Then nobody calls any more, and all speak so.
        (0..KEPT as u64).for_each(|n| mistaken.note(began + n * APART));
        let later = began + KEPT as u64 * APART;
        assert!(is_told(&mistaken, later, began - 1_000));
        assert!(!is_told(&mistaken, later, began), "a call came meanwhile");
        // However fast they come and while they come, and not those that come within a moment.
        for pause in [10, 1_000, 2_999, 10_000] {
            let mut mistaken = Mistaken::default();
            let n_of_burst = 30_000 / pause;
            (0..n_of_burst).for_each(|n| mistaken.note(began + n * pause));
            assert!(!is_told(&mistaken, began + 30_000, began - 1), "a burst each {pause} ms");
            (n_of_burst..300_000 / pause).for_each(|n| mistaken.note(began + n * pause));
            assert!(is_told(&mistaken, began + 300_000, began - 1), "each {pause} ms");
        }
    }
}
