//! Judges what stands around a host: certificate and token, and who is where it wants to be.
//! Does not look at files or sockets: what was found is an argument.

use super::{Condition, Finding, Trouble, bad, ok, warn};
use crate::expiry::Expiry;

/// What the authority of the hosts' certificates is called here.
pub const AUTHORITY: &str = "authority of the hosts";

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// The certificate for callers, or why it cannot be used; `None` without one.
    pub certificate: Option<Result<Validity, String>>,
    /// The certificate for other hosts and its authorities, each under its name, or why they cannot be
    /// used; `None` without one.
    pub identity: Option<Result<Vec<(&'static str, Validity)>, String>>,
    /// Whether the operators' token is too short, or why it cannot be used; `None` without one.
    pub token: Option<Result<bool, String>>,
    /// Addresses that somebody else has.
    pub taken: Vec<Taken>,
    /// The data folder, where another host uses it.
    pub data_in_use: Option<String>,
}

/// When a certificate is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    /// When its time begins, where it has not begun.
    pub begins: Option<String>,
    /// When its time is over.
    pub ends: String,
    /// How soon that is, where somebody should hear of it.
    pub expiry: Option<Expiry>,
}

/// An address that somebody else has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The setting that wants it.
    pub key: &'static str,
    /// The address.
    pub address: String,
    /// Who has it.
    pub holder: String,
}

/// Looks at everything there is.
#[must_use]
pub fn examine(outside: &Outside) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(outside.certificate.as_ref().map(certificate));
    findings.extend(outside.identity.as_ref().map(identity).into_iter().flatten());
    findings.extend(outside.token.as_ref().map(token));
    findings.extend(outside.taken.iter().map(taken));
    findings.extend(outside.data_in_use.as_deref().map(data));
    findings
}

fn certificate(found: &Result<Validity, String>) -> Finding {
    let subject = "certificate for callers";
    let trade =
        "nothing: a host that runs reads it again by itself, or at once on SIGHUP".to_owned();
    match found {
        Ok(Validity { begins: Some(begins), .. }) => {
            let why = "its time has not begun; callers do not believe it until then".to_owned();
            let change =
                "the clock of this machine, if that is wrong, or the certificate".to_owned();
            let trouble = Trouble { why, change, trade };
            bad(Condition::Fail, subject, format!("begins at {begins}"), trouble)
        }
        Ok(Validity { ends, expiry: None, .. }) => ok(subject, format!("ends at {ends}")),
        Ok(Validity { ends, expiry: Some(expiry), .. }) => {
            let why = format!("it {expiry}; callers do not believe it then");
            let verdict = if *expiry == Expiry::Over { Condition::Fail } else { Condition::Warn };
            let change = "renew it, and write it where tls_cert and tls_key say".to_owned();
            bad(verdict, subject, format!("ends at {ends}"), Trouble { why, change, trade })
        }
        Err(why) => {
            let change = "tls_cert and tls_key: a chain in PEM, and its own key".to_owned();
            let why = format!("{why}; a host does not start with it");
            bad(Condition::Fail, subject, "cannot be used", Trouble { why, change, trade })
        }
    }
}

fn identity(found: &Result<Vec<(&'static str, Validity)>, String>) -> Vec<Finding> {
    let all = match found {
        Ok(all) => all,
        Err(why) => {
            let change =
                "the folder of --identity, as `steerage cert issue` and `steerage cert renew` \
                          make it"
                    .to_owned();
            let why = format!("{why}; a host does not start with it");
            let trade = "nothing".to_owned();
            let trouble = Trouble { why, change, trade };
            return vec![bad(Condition::Fail, "certificate for hosts", "cannot be used", trouble)];
        }
    };
    let finding = |(subject, validity): &(&'static str, Validity)| {
        let ends = format!("ends at {}", validity.ends);
        let Some(expiry) = &validity.expiry else { return ok(subject, ends) };
        let verdict = if *expiry == Expiry::Over { Condition::Fail } else { Condition::Warn };
        let why = format!("it {expiry}; the hosts of the fleet do not believe each other then");
        let (change, trade) = match *subject {
            AUTHORITY => (
                "another authority, which all hosts trust before certificates are made with it: \
                 `steerage cert trust`",
                "a step for each host; none is restarted",
            ),
            _ => (
                "renew it where the authority is, with `steerage cert renew`, and put its files in place",
                "nothing: a host that runs reads them when they change",
            ),
        };
        let trouble = Trouble { why, change: change.to_owned(), trade: trade.to_owned() };
        bad(verdict, subject, ends, trouble)
    };
    all.iter().map(finding).collect()
}

fn token(found: &Result<bool, String>) -> Finding {
    let subject = "token of operators";
    let change = "openssl rand -hex 32, into the file that token_file says".to_owned();
    let trade = "operators must be given the new one; a host reads it on SIGHUP".to_owned();
    match found {
        Ok(false) => ok(subject, "long enough"),
        Ok(true) => {
            let why = "a short one may be guessed".to_owned();
            warn(subject, "fewer than 16 characters", Trouble { why, change, trade })
        }
        Err(why) => {
            let why = format!("{why}; a host does not start with it");
            bad(Condition::Fail, subject, "cannot be used", Trouble { why, change, trade })
        }
    }
}

fn taken(taken: &Taken) -> Finding {
    let Taken { key, address, holder } = taken;
    let why = "a host that starts now is refused; all is well if this one is meant".to_owned();
    let change = format!("{key} = another address, or end {holder}");
    let trade = "callers must be told the new address".to_owned();
    warn("addresses", format!("{address} is taken by {holder}"), Trouble { why, change, trade })
}

fn data(folder: &str) -> Finding {
    let why = "another host uses it, and a host that starts now is refused; all is well if that one \
               is meant";
    let trouble = Trouble {
        why: why.to_owned(),
        change: "data = another folder, or end the host that uses this one".to_owned(),
        trade: "a host with another folder serves other apps".to_owned(),
    };
    warn("data folder", format!("{folder} is in use"), trouble)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(outside: &Outside, expected: &[(Condition, &str)]) {
        let findings = examine(outside);
        let found: Vec<_> =
            findings.iter().map(|finding| (finding.verdict, finding.found.as_str())).collect();
        assert_eq!(found, expected);
        for finding in &findings {
            assert_eq!(finding.trouble.is_some(), finding.verdict != Condition::Ok);
        }
    }

    #[test]
    fn what_is_not_there_is_not_judged() {
        check(&Outside::default(), &[]);
    }

    #[test]
    fn certificates_fail_once_they_are_over_or_unusable() {
        let of = |certificate| Outside { certificate: Some(certificate), ..Outside::default() };
        let ends = |expiry| of(Ok(Validity { begins: None, ends: "2027".to_owned(), expiry }));
        check(&ends(None), &[(Condition::Ok, "ends at 2027")]);
        check(&ends(Some(Expiry::Day)), &[(Condition::Warn, "ends at 2027")]);
        check(&ends(Some(Expiry::Over)), &[(Condition::Fail, "ends at 2027")]);
        let begins = Some("2026".to_owned());
        let not_yet = of(Ok(Validity { begins, ..Validity::default() }));
        check(&not_yet, &[(Condition::Fail, "begins at 2026")]);
        check(&of(Err("no key".to_owned())), &[(Condition::Fail, "cannot be used")]);
    }

    #[test]
    fn of_the_hosts_certificates_each_is_told_with_its_own_next_step() {
        let of = |identity| Outside { identity: Some(identity), ..Outside::default() };
        let ends = |expiry| Validity { begins: None, ends: "2027".to_owned(), expiry };
        let all =
            vec![("certificate for hosts", ends(None)), (AUTHORITY, ends(Some(Expiry::Week)))];
        check(&of(Ok(all)), &[(Condition::Ok, "ends at 2027"), (Condition::Warn, "ends at 2027")]);
        let over = vec![("certificate for hosts", ends(Some(Expiry::Over)))];
        check(&of(Ok(over)), &[(Condition::Fail, "ends at 2027")]);
        check(&of(Err("no file".to_owned())), &[(Condition::Fail, "cannot be used")]);
    }

    #[test]
    fn who_is_in_the_way_is_a_warning_since_it_may_be_the_host_itself() {
        let taken = Taken {
            key: "listen",
            address: "127.0.0.1:8080".to_owned(),
            holder: "nginx (process 7)".to_owned(),
        };
        let outside = Outside {
            token: Some(Ok(true)),
            taken: vec![taken],
            data_in_use: Some("data".to_owned()),
            ..Outside::default()
        };
        check(
            &outside,
            &[
                (Condition::Warn, "fewer than 16 characters"),
                (Condition::Warn, "127.0.0.1:8080 is taken by nginx (process 7)"),
                (Condition::Warn, "data is in use"),
            ],
        );
    }
}
