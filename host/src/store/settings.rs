//! Where the store is, as operators write it.

use std::time::Duration;

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// URLs of its members.
    pub members: Vec<String>,
    /// Who to be there, with a password.
    pub user: Option<(String, String)>,
    /// What all keys start with.
    pub prefix: String,
    /// Longest wait for one answer.
    pub timeout: Duration,
}

/// A text that says nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no store: {why}; expected etcd://HOST:PORT,HOST:PORT, or etcds:// for TLS")]
pub struct BadStore {
    text: String,
    why: &'static str,
}

/// Two seconds: a leader that is lost is replaced in one, with etcd's defaults.
const TIMEOUT: Duration = Duration::from_secs(2);

impl StoreSettings {
    /// Reads `etcd://a:2379,b:2379`, `etcds://` for TLS, with `USER:PASSWORD@` before the members.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, BadStore> {
        let bad = |why| BadStore { text: text.to_owned(), why };
        let (scheme, rest) = match text.split_once("://") {
            Some(("etcd", rest)) => ("http", rest),
            Some(("etcds", rest)) => ("https", rest),
            Some(_) => return Err(bad("its kind is not known")),
            None => return Err(bad("it does not say its kind")),
        };
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => {
                let (name, password) = user.split_once(':').ok_or(bad("a user has a password"))?;
                (Some((name.to_owned(), password.to_owned())), rest)
            }
            None => (None, rest),
        };
        let (rest, prefix) = match rest.split_once('/') {
            Some((rest, prefix)) if !prefix.trim_matches('/').is_empty() => {
                (rest, format!("/{}/", prefix.trim_matches('/')))
            }
            Some((rest, _)) => (rest, "/steerage/".to_owned()),
            None => (rest, "/steerage/".to_owned()),
        };
        let mut members = Vec::new();
        for member in rest.split(',').map(str::trim) {
            let (host, port) = member.rsplit_once(':').ok_or(bad("a member has no port"))?;
            if host.is_empty() || port.parse::<u16>().is_err() {
                return Err(bad("a member is not HOST:PORT"));
            }
            members.push(format!("{scheme}://{member}"));
        }
        Ok(Self { members, user, prefix, timeout: TIMEOUT })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_users_and_prefixes_are_read() {
        let read = StoreSettings::parse("etcd://a:1,[::1]:2").unwrap();
        assert_eq!(read.members, ["http://a:1", "http://[::1]:2"]);
        assert_eq!((read.user, &*read.prefix), (None, "/steerage/"));
        let read = StoreSettings::parse("etcds://me:p@ss@a:1/fleets/one").unwrap();
        assert_eq!(read.members, ["https://a:1"]);
        assert_eq!(read.user.unwrap(), ("me".to_owned(), "p@ss".to_owned()));
        assert_eq!(read.prefix, "/fleets/one/");
        for (bad, why) in [
            ("a:1", "kind"),
            ("zk://a:1", "kind is not known"),
            ("etcd://a", "no port"),
            ("etcd://:1", "HOST:PORT"),
            ("etcd://me@a:1", "password"),
        ] {
            let error = StoreSettings::parse(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
