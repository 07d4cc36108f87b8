//! What an error of etcd, or of the way to it, means for the caller.
//! Goes by the texts of etcd's messages, which its own clients go by too.

use std::error::Error as _;

use etcd_client::Error;

use super::super::{MOST_BYTES, StoreError};

/// Why a question has no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Every member would say the same.
    Answer(StoreError),
    /// This member has no leader at the moment; in a moment it may.
    NoLeader(String),
    /// This member cannot be reached, or not so.
    Away(String),
    /// This member cannot be spoken with until somebody changes something.
    Misled(StoreError),
}

impl Trouble {
    pub(super) fn of(error: &Error, address: &str) -> Self {
        match error {
            Error::GRpcStatus(status) if status.source().is_none() => {
                Self::told(status.message(), address)
            }
            Error::LeaseKeepAliveError(_) => Self::Answer(StoreError::LeaseLost),
            error => broken(&causes(error), address),
        }
    }

    /// What etcd itself said.
    pub(super) fn told(message: &str, address: &str) -> Self {
        let says = |text: &str| message.contains(text);
        if says("required revision has been compacted") {
            Self::Answer(StoreError::Compacted)
        } else if says("requested lease not found") {
            Self::Answer(StoreError::LeaseLost)
        } else if says("request is too large") || says("too many operations") {
            // Its bounds were set lower than it comes with.
            Self::Answer(StoreError::BadAddress(format!(
                "{address} takes less at once than {MOST_BYTES} bytes ({message}): see its \
                 --max-request-bytes and --max-txn-ops"
            )))
        } else if says("authentication failed") || says("authentication is not enabled") {
            denied(message, address, "see user and password in --store, and etcd's `auth status`")
        } else if says("user name is empty") {
            denied(
                message,
                address,
                "write etcd://USER@... in --store, and its password in --store-password-file",
            )
        } else if says("permission denied") {
            denied(message, address, "grant the user's role readwrite on the prefix")
        } else if says("database space exceeded") {
            let next = "compact and defragment it, then disarm its alarm with etcdctl";
            Self::Away(format!("{address} is full ({message}): {next}"))
        } else if says("no leader") || says("leader changed") || says("request timed out") {
            Self::NoLeader(format!("{address} has no quorum ({message})"))
        } else {
            Self::Away(format!("{address}: {message}"))
        }
    }

    /// Which of two members' troubles is worth telling.
    pub(super) fn or(self, other: Self) -> Self {
        if self.weight() >= other.weight() { self } else { other }
    }

    fn weight(&self) -> u32 {
        match self {
            Self::Away(_) => 0,
            Self::Misled(_) => 1,
            Self::NoLeader(_) => 2,
            Self::Answer(_) => 3,
        }
    }
}

impl From<Trouble> for StoreError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Answer(error) | Trouble::Misled(error) => error,
            Trouble::NoLeader(why) | Trouble::Away(why) => Self::Away { why },
        }
    }
}

/// The connection failed.
fn broken(causes: &str, address: &str) -> Trouble {
    let says = |text: &str| causes.contains(text);
    if says("invalid peer certificate") {
        let next = "etcd's certificate must be of the authority in ?ca=, valid now, and name the \
                    address that --store says";
        Trouble::Misled(StoreError::Untrusted { why: format!("{address}: {causes}: {next}") })
    } else if says("InvalidContentType") {
        let next = "it speaks no TLS there: write etcd:// instead of etcds://";
        Trouble::Misled(StoreError::BadAddress(format!("{address}: {next}")))
    } else if says("received fatal alert") {
        let next = "etcd does not take this host's certificate: see ?cert= and ?key=, and etcd's \
                    --trusted-ca-file";
        Trouble::Misled(StoreError::Denied { why: format!("{address}: {causes}: {next}") })
    } else if ["closed", "broken pipe", "reset", "invalid size", "eof"].into_iter().any(says) {
        // A member that ends does the same, so this is no proof.
        let next = match address.split_once("://") {
            Some(("https", _)) => {
                "if it always hangs up, it does not take this host's certificate: see ?cert= and \
                 ?key= in --store, and etcd's --trusted-ca-file; or it may speak no TLS: write \
                 etcd://"
            }
            Some(_) => "if it always hangs up, it may speak TLS only: write etcds:// in --store",
            None => "it hung up",
        };
        Trouble::Away(format!("{address}: {causes}; {next}"))
    } else {
        Trouble::Away(format!("{address}: {causes}"))
    }
}

fn denied(message: &str, address: &str, next: &str) -> Trouble {
    Trouble::Answer(StoreError::Denied { why: format!("{address}: {message}; {next}") })
}

/// The error and what is behind it, each said once.
pub(super) fn causes(error: &Error) -> String {
    let first: &dyn std::error::Error = match error {
        Error::GRpcStatus(status) => match status.source() {
            Some(source) => source,
            None => return status.message().to_owned(),
        },
        Error::TransportError(error) => error,
        other => return other.to_string(),
    };
    let mut said: Vec<String> = Vec::new();
    let mut next = Some(first);
    while let Some(error) = next {
        let text = error.to_string();
        if !said.iter().any(|said| said.contains(&text)) {
            said.push(text);
        }
        next = error.source();
    }
    said.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_is_about_what_went_wrong() {
        let user = ["etcdctl user get", "--store-password-file"];
        let runs = ["members run"];
        for (message, words) in [
            ("etcdserver: authentication failed, invalid user ID or password", &user[..]),
            ("etcdserver: authentication is not enabled", &user),
            ("etcdserver: user name is empty", &user),
            ("etcdserver: permission denied", &user),
            ("etcdserver: request timed out", &runs),
            ("connection refused", &runs),
        ] {
            let error = StoreError::from(Trouble::told(message, "10.0.0.7:2379"));
            for word in words {
                assert!(error.advice().contains(word), "{message}: {}", error.advice());
            }
            let is_away = matches!(error, StoreError::Away { .. });
            assert_eq!(error.advice().contains("run"), is_away, "{message}: {}", error.advice());
        }
        let foreign =
            StoreError::from(broken("invalid peer certificate: Expired", "10.0.0.7:2379"));
        assert!(foreign.advice().contains("?ca="), "{}", foreign.advice());
        let plain = StoreError::from(broken("InvalidContentType", "10.0.0.7:2379"));
        assert!(plain.advice().contains("--store"), "{}", plain.advice());
    }
}
