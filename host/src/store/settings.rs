//! Where the store is, as operators write it.
//! Does not reach it, and does not read the files it names.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreSettings {
    /// In this folder: for a host that is alone.
    Embedded(PathBuf),
    /// In etcd, for all hosts of a fleet.
    Etcd(EtcdSettings),
}

impl StoreSettings {
    /// What the keys of this fleet stand below in the store, by which it differs from others there.
    #[must_use]
    pub fn keys_below(&self) -> &str {
        match self {
            Self::Embedded(_) => "",
            Self::Etcd(etcd) => etcd.prefix.trim_matches('/'),
        }
    }
}

/// How to reach etcd, 3.4 or later.
#[derive(Clone, PartialEq, Eq)]
pub struct EtcdSettings {
    /// Its members, each `HOST:PORT`.
    pub members: Vec<String>,
    /// What all keys start with; begins and ends with a slash.
    pub prefix: String,
    /// The files for TLS; `None` speaks plain text.
    pub tls: Option<TlsFiles>,
    /// Who to be there, and the password; empty where a file holds it.
    pub user: Option<(String, String)>,
    /// The file that holds the password.
    pub password_file: Option<PathBuf>,
    /// Longest wait for one answer, over all members.
    pub timeout: Duration,
}

/// The files for TLS, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority that etcd's certificates are of.
    pub ca: PathBuf,
    /// This host's own certificate and its key, where etcd asks for one.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// A text that says nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no store: {why}; expected etcd://HOST:PORT,HOST:PORT, or for TLS \
     etcds://HOST:PORT?ca=FILE&cert=FILE&key=FILE"
)]
pub struct BadStore {
    text: String,
    why: &'static str,
}

/// Two seconds: a leader that is lost is replaced in one, with etcd's defaults.
const TIMEOUT: Duration = Duration::from_secs(2);
const PREFIX: &str = "/steerage/";

impl std::fmt::Debug for EtcdSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Settings are printed into logs; passwords are not.
        f.debug_struct("EtcdSettings")
            .field("members", &self.members)
            .field("prefix", &self.prefix)
            .field("tls", &self.tls)
            .field("user", &self.user.as_ref().map(|(name, _)| name))
            .field("password_file", &self.password_file)
            .field("timeout", &self.timeout)
            .finish()
    }
}

impl StoreSettings {
    /// Reads `etcd://USER:PASSWORD@a:2379,b:2379/PREFIX`, where user and prefix may be left out, and
    /// the password where a file holds it;
    /// `etcds://` for TLS, with `?ca=FILE` and, for a certificate of one's own,
    /// `&cert=FILE&key=FILE`.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, BadStore> {
        EtcdSettings::parse(text)
            .map(Self::Etcd)
            .map_err(|why| BadStore { text: without_password(text), why })
    }
}

impl EtcdSettings {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (is_tls, rest) = match text.split_once("://") {
            Some(("etcd", rest)) => (false, rest),
            Some(("etcds", rest)) => (true, rest),
            Some(_) => return Err("its kind is not known"),
            None => return Err("it does not say its kind"),
        };
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                if name.is_empty() {
                    return Err("a user has no name");
                }
                (Some((name.to_owned(), password.to_owned())), rest)
            }
            None => (None, rest),
        };
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (members, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = match prefix.trim_matches('/') {
            "" => PREFIX.to_owned(),
            prefix => format!("/{prefix}/"),
        };
        let members = members.split(',').map(|one| member(one.trim())).collect::<Result<_, _>>()?;
        let (tls, password_file) = (tls(is_tls, options)?, None);
        Ok(Self { members, prefix, tls, user, password_file, timeout: TIMEOUT })
    }

    /// Keeps a fleet of this name apart from others in the same etcd. Not below the prefix of the one
    /// without a name, which would hear of all of them.
    pub fn keep_apart(&mut self, fleet: &str) {
        self.prefix = format!("{}-{fleet}/", self.prefix.trim_end_matches('/'));
    }

    /// A member that is spoken with in plain text over a network.
    #[must_use]
    pub fn exposed(&self) -> Option<&str> {
        let is_near = |member: &&String| {
            let host = member.rsplit_once(':').map_or("", |(host, _)| host);
            let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
            host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
        };
        let far = self.members.iter().find(|member| !is_near(member));
        far.map(String::as_str).filter(|_| self.tls.is_none())
    }
}

/// Whether a text that says where a store is holds a password.
#[must_use]
pub fn has_password(text: &str) -> bool {
    let before = text.rsplit_once('@').map(|(before, _)| before);
    before.is_some_and(|before| {
        before.split_once("://").map_or(before, |(_, user)| user).contains(':')
    })
}

fn member(text: &str) -> Result<String, &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("a member has no port")?;
    let is_bare_ipv6 = host.contains(':') && !host.starts_with('[');
    if host.is_empty() || is_bare_ipv6 || port.parse::<u16>().is_err() {
        return Err("a member is not HOST:PORT");
    }
    Ok(text.to_owned())
}

fn tls(is_tls: bool, options: &str) -> Result<Option<TlsFiles>, &'static str> {
    let (mut ca, mut cert, mut key) = (None, None, None);
    for option in options.split('&').filter(|option| !option.is_empty()) {
        let file = match option.split_once('=') {
            Some(("ca", file)) => ca.insert(file),
            Some(("cert", file)) => cert.insert(file),
            Some(("key", file)) => key.insert(file),
            _ => return Err("behind the ? only ca=, cert= and key= are known"),
        };
        if file.is_empty() {
            return Err("a file has no name");
        }
    }
    let own = match (cert, key) {
        (Some(cert), Some(key)) => Some((PathBuf::from(cert), PathBuf::from(key))),
        (None, None) => None,
        _ => return Err("cert= and key= need each other"),
    };
    match (is_tls, ca) {
        (true, Some(ca)) => Ok(Some(TlsFiles { ca: ca.into(), own })),
        (true, None) => Err("etcds:// needs ?ca=FILE, the authority of etcd's certificates"),
        (false, None) if own.is_none() => Ok(None),
        (false, _) => Err("certificates need etcds://"),
    }
}

/// What was written, fit to be shown.
fn without_password(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((before, rest)) => {
            let kind = before.split_once("://").map_or("", |(kind, _)| kind);
            format!("{kind}://***@{rest}")
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etcd(text: &str) -> EtcdSettings {
        match StoreSettings::parse(text).unwrap() {
            StoreSettings::Etcd(settings) => settings,
            StoreSettings::Embedded(_) => panic!("{text} is not embedded"),
        }
    }

    #[test]
    fn members_users_and_prefixes_are_read() {
        let read = etcd("etcd://a:1, [::1]:2");
        assert_eq!(read.members, ["a:1", "[::1]:2"]);
        assert_eq!((read.user, &*read.prefix, read.tls), (None, "/steerage/", None));
        let read = etcd("etcds://me:p@s/s?@a:1/fleets/one/?ca=/x/ca.pem&cert=c&key=k");
        assert_eq!(read.members, ["a:1"]);
        assert_eq!(read.user.unwrap(), ("me".to_owned(), "p@s/s?".to_owned()));
        assert_eq!(read.prefix, "/fleets/one/");
        let own = Some(("c".into(), "k".into()));
        assert_eq!(read.tls, Some(TlsFiles { ca: "/x/ca.pem".into(), own }));
        let read = etcd("etcds://a:1?ca=ca.pem");
        assert_eq!(read.tls, Some(TlsFiles { ca: "ca.pem".into(), own: None }));
    }

    #[test]
    fn fleets_with_names_share_no_key() {
        let mut prefixes = std::collections::BTreeSet::new();
        for (url, fleet) in
            [("etcd://a:1", None), ("etcd://a:1", Some("blue")), ("etcd://a:1/blue", None)]
        {
            let mut settings = etcd(url);
            fleet.into_iter().for_each(|fleet| settings.keep_apart(fleet));
            prefixes.insert(settings.prefix);
        }
        let prefixes: Vec<_> = prefixes.into_iter().collect();
        assert_eq!(prefixes, ["/blue/", "/steerage-blue/", "/steerage/"]);
        for one in &prefixes {
            assert!(!prefixes.iter().any(|other| other != one && other.starts_with(one)), "{one}");
        }
    }

    #[test]
    fn plain_text_over_a_network_is_noticed() {
        for (url, exposed) in [
            ("etcd://127.0.0.1:1,[::1]:2,localhost:3", None),
            ("etcd://127.0.0.1:1,10.0.0.1:2", Some("10.0.0.1:2")),
            ("etcd://localhost.example.com:1", Some("localhost.example.com:1")),
            ("etcds://10.0.0.1:1?ca=x", None),
        ] {
            assert_eq!(etcd(url).exposed(), exposed, "{url}");
        }
        for (text, has) in [
            ("etcd://me:secret@a:1", true),
            ("etcd://me@a:1", false),
            ("etcd://a:1", false),
            ("me:secret@a:1", true),
            ("etcd://me:@a:1", true),
        ] {
            assert_eq!(has_password(text), has, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (bad, why) in [
            ("a:1", "kind"),
            ("zk://a:1", "kind is not known"),
            ("etcd://a", "no port"),
            ("etcd://:1", "HOST:PORT"),
            ("etcd://::1:1", "HOST:PORT"),
            ("etcd://a:1,", "no port"),
            ("etcd://a:99999", "HOST:PORT"),
            ("etcd://:secret@a:1", "no name"),
            ("etcds://a:1", "?ca=FILE"),
            ("etcds://a:1?ca=", "no name"),
            ("etcds://a:1?ca=a&cert=b", "need each other"),
            ("etcds://a:1?ca=a&password=b", "only ca="),
            ("etcd://a:1?ca=a", "need etcds://"),
        ] {
            let error = StoreSettings::parse(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let error = StoreSettings::parse("etcd://me:secret@a").unwrap_err().to_string();
        assert!(!error.contains("secret") && error.contains("***@a"), "{error}");
        let shown = format!("{:?}", StoreSettings::parse("etcd://me:secret@a:1").unwrap());
        assert!(!shown.contains("secret"), "{shown}");
    }
}
