//! Clients that speak TLS to a door that does not, or the other way round.
//! Counts nothing itself.

use super::diagnosis::{Diagnosis, Remedy};
use crate::mistaken::Mistaken;
use crate::units::{ago, many};

/// As many connections are no accident, where most that ever came are such.
const LEAST: u64 = 5;
/// On a host that was spoken to well before, as many are none, where no other came for so many milliseconds.
const LEAST_IN_A_ROW: u64 = 20;
const IN_A_ROW_FOR: u64 = 60_000;

/// Says that clients speak the wrong protocol, where most of them do: beside those who speak the right one it
/// is bots that try. There were so many connections; `is_tls` is what the door of callers speaks.
#[must_use]
pub fn wrong_protocol(
    now: u64,
    host: &str,
    (mistaken, n_connections): (&Mistaken, u64),
    is_tls: bool,
) -> Option<Diagnosis> {
    let Mistaken { count, before, first_at, last_at } = mistaken.recent(now);
    let are_most = count >= LEAST && count * 2 > n_connections;
    let are_all = count >= LEAST_IN_A_ROW
        && count >= n_connections.saturating_sub(before)
        && first_at.saturating_add(IN_A_ROW_FOR) <= last_at;
    if !are_most && !are_all {
        return None;
    }
    let (spoken, expected, text) = if is_tls {
        let text =
            "have clients ask for https://, or have what stands before this host speak TLS with it";
        ("plain HTTP", "TLS", text)
    } else {
        let text = "have clients ask for http://, or give this host a certificate with --tls-cert and --tls-key";
        ("TLS", "plain HTTP", text)
    };
    let connections = many(usize::try_from(count).unwrap_or(usize::MAX), "connection");
    let (first, last) = (ago(now, first_at), ago(now, last_at));
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

    #[test]
    fn a_few_connections_are_nothing_and_more_are_told_with_what_to_do() {
        let mut mistaken = Mistaken::default();
        for n in 0..LEAST {
            assert_eq!(wrong_protocol(n, "this host", (&mistaken, n), false), None);
            mistaken.note(n, n);
        }
        let told = wrong_protocol(LEAST, "this host", (&mistaken, 9), false).unwrap();
        assert_eq!(
            told.claim,
            "5 connections to this host began with TLS, where plain HTTP is spoken"
        );
        assert!(told.remedy.unwrap().text.contains("http://"));
        let told = wrong_protocol(LEAST, "h1", (&mistaken, 9), true).unwrap();
        assert_eq!(told.claim, "5 connections to h1 began with plain HTTP, where TLS is spoken");
        // As many speak what is spoken here.
        assert_eq!(wrong_protocol(LEAST, "h1", (&mistaken, 10), true), None);
    }

    #[test]
    fn on_a_host_that_was_spoken_to_well_only_what_goes_on_without_a_good_one_is_told() {
        let told = |n: u64, each: u64, n_good: u64| {
            let mut mistaken = Mistaken::default();
            (0..n).for_each(|number| mistaken.note(number * each, 1_000_000 + number));
            let ever = 1_000_000 + n + n_good;
            wrong_protocol(n * each, "this host", (&mistaken, ever), false).is_some()
        };
        assert!(told(21, 3_000, 0));
        assert!(!told(21, 3_000, 1), "somebody speaks what is spoken here");
        assert!(!told(1000, 10, 0), "a burst");
        assert!(!told(10, 10_000, 0), "a few");
    }
}
