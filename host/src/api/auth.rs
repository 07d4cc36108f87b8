//! Who may use the admin listener: whoever shows the token, or, without one, this machine alone.
//! Does not know the endpoints, and keeps neither users nor roles.

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, HOST};
use sha2::{Digest, Sha256};

use super::problem::Refusal;
use super::{Shared, sessions};

/// A token of fewer characters than this is warned of.
pub const SHORTEST: usize = 16;
/// What stands before a token.
const BEARER: &[u8] = b"Bearer ";

/// What operators must show. Two of them are compared through their hashes, so that the time it
/// takes tells nothing about how much of a guess was right.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    hash: [u8; 32],
    is_short: bool,
}

/// Why the admin listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The token file cannot be read.
    #[error("cannot read the token file {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The token file holds nothing.
    #[error("the token file {} is empty; write a long random text into it", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The token file holds what cannot be sent in a header.
    #[error("the token in {} has spaces or characters beyond ASCII", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// Strangers could reach the control API.
    #[error(
        "the admin address {address} can be reached from other machines: give a token with \
         --token-file FILE, or listen on 127.0.0.1"
    )]
    OpenToStrangers {
        /// The address.
        address: SocketAddr,
    },
}

impl Token {
    /// Reads a token from a file, without the white space around it.
    ///
    /// # Errors
    /// The file cannot be read, or holds no token.
    pub fn read(path: &Path) -> Result<Self, AuthError> {
        let unreadable = |source| AuthError::Unreadable { path: path.to_owned(), source };
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(
                path = %path.display(),
                "other users of this machine can read the token file; chmod 600 it"
            );
        }
        let text = text.trim();
        if text.len() < SHORTEST && !text.is_empty() {
            tracing::warn!(
                path = %path.display(),
                "the token has {} characters and may be guessed; use {SHORTEST} or more, such as \
                 those of `openssl rand -hex 32`",
                text.len()
            );
        }
        if text.is_empty() {
            return Err(AuthError::Empty { path: path.to_owned() });
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AuthError::Malformed { path: path.to_owned() });
        }
        Ok(Self::new(text))
    }

    /// A token with this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { hash: Sha256::digest(text).into(), is_short: text.len() < SHORTEST }
    }

    /// Whether it is so short that it may be guessed.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.is_short
    }

    /// Its hash, of which a session is made as well.
    pub(super) fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Whether this text is the token. Takes the same time whatever the text.
    #[must_use]
    pub fn matches(&self, shown: &[u8]) -> bool {
        let shown: [u8; 32] = Sha256::digest(shown).into();
        let difference = self.hash.iter().zip(shown).fold(0, |sum, (ours, its)| sum | (ours ^ its));
        std::hint::black_box(difference) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Checks that an admin listener at `address` would not be open to strangers.
///
/// # Errors
/// [`AuthError::OpenToStrangers`].
pub fn check_listen(address: SocketAddr, token: Option<&Token>) -> Result<(), AuthError> {
    if token.is_none() && !address.ip().to_canonical().is_loopback() {
        return Err(AuthError::OpenToStrangers { address });
    }
    Ok(())
}

/// Lets a request through that shows the token, or a session that was opened with it. Without a token it
/// must have been sent to a name of this machine: a web page that had its own name resolve to 127.0.0.1
/// cannot use the API then. And whatever changes something must not come from a page of another origin,
/// which needs no leave of the browser to send a request without a body.
pub(super) async fn guard(
    State(state): State<Shared>,
    mut request: Request,
    next: Next,
) -> Response {
    let allowed = check_sender(&request).and_then(|()| match &**state.token.load() {
        Some(token) => check_shown(&state, token, &mut request),
        None => check_host(&request),
    });
    match allowed {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// What holds for every request, whoever sends it.
pub(super) fn check_sender(request: &Request) -> Result<(), Refusal> {
    check_one_host(request).and_then(|()| check_origin(request))
}

/// The token, or in its place a session. Browsers send cookies unasked, so with one a change must come
/// from the page, and its browser must say so.
fn check_shown(state: &Shared, token: &Token, request: &mut Request) -> Result<(), Refusal> {
    let headers = request.headers();
    // A proxy may ask for a password of its own, and pass that on.
    let is_bearer = headers.get(AUTHORIZATION).is_some_and(|header| {
        header.as_bytes().get(..BEARER.len()).is_some_and(|it| it.eq_ignore_ascii_case(BEARER))
    });
    if is_bearer || !sessions::is_meant(headers) {
        return check_token(token, request);
    }
    let Some(signed_in) = state.sessions.shown(&token.hash, headers, state.started_at.elapsed())
    else {
        let detail = "this session is over, or was never open: sign in again";
        return Err(Refusal::unauthorized(detail));
    };
    let says_where = headers.contains_key("sec-fetch-site") || headers.contains_key("origin");
    if !request.method().is_safe() && !says_where {
        return Err(Refusal::cross_site());
    }
    request.extensions_mut().insert(signed_in);
    Ok(())
}

fn check_token(token: &Token, request: &Request) -> Result<(), Refusal> {
    let Some(header) = request.headers().get(AUTHORIZATION) else {
        return Err(Refusal::unauthorized(
            "this host asks for a token: send it as `Authorization: \
                                          Bearer TOKEN`, or give --token-file",
        ));
    };
    let shown = header.as_bytes().split_at_checked(BEARER.len());
    let is_right = shown.is_some_and(|(scheme, shown)| {
        scheme.eq_ignore_ascii_case(BEARER) && token.matches(shown.trim_ascii())
    });
    if is_right { Ok(()) } else { Err(Refusal::unauthorized("this is not the host's token")) }
}

/// RFC 9112, 3.2: what is read by one name here may be read by the other elsewhere.
fn check_one_host(request: &Request) -> Result<(), Refusal> {
    match request.headers().get_all(HOST).iter().nth(1) {
        None => Ok(()),
        Some(_) => Err(Refusal::two_hosts()),
    }
}

pub(super) fn check_host(request: &Request) -> Result<(), Refusal> {
    let named = match request.uri().authority() {
        Some(authority) => Some(authority.host()),
        None => request.headers().get(HOST).and_then(|host| host.to_str().ok()).map(without_port),
    };
    match named {
        Some(name) if is_this_machine(name) => Ok(()),
        Some(name) => Err(Refusal::foreign_host(name)),
        None => Err(Refusal::foreign_host("no host at all")),
    }
}

/// Refuses changes that a browser says come from another origin. Clients that are no browsers say
/// nothing of it.
fn check_origin(request: &Request) -> Result<(), Refusal> {
    if request.method().is_safe() {
        return Ok(());
    }
    let header =
        |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    let is_ours = match (header("sec-fetch-site"), header("origin")) {
        // `same-site` is not enough: sites have no ports.
        (Some(site), _) => site == "same-origin" || site == "none",
        (None, Some(origin)) => {
            let named = request.uri().authority().map(http::uri::Authority::as_str);
            let host = named.or_else(|| header("host"));
            let from = origin.split_once("://").map(|(_, authority)| authority);
            from.is_some() && from == host
        }
        (None, None) => true,
    };
    if is_ours { Ok(()) } else { Err(Refusal::cross_site()) }
}

/// The host of `host:port`; `[::1]:80` becomes `[::1]`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

fn is_this_machine(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return address.to_canonical().is_loopback();
    }
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Token, AuthError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, text).unwrap();
        Token::read(&path)
    }

    #[test]
    fn a_token_is_read_without_the_space_around_it() {
        let token = read("  s3cret\n").unwrap();
        assert!(token.matches(b"s3cret"));
        for wrong in ["", "s3cre", "s3cret ", "S3CRET"] {
            assert!(!token.matches(wrong.as_bytes()), "{wrong}");
        }
        assert_eq!(format!("{token:?}"), "Token(…)");
    }

    #[test]
    fn a_file_without_a_token_is_refused() {
        assert!(matches!(read(" \n"), Err(AuthError::Empty { .. })));
        assert!(matches!(read("two words"), Err(AuthError::Malformed { .. })));
        let missing = Token::read(Path::new("/nonexistent/token")).unwrap_err();
        assert!(missing.to_string().contains("/nonexistent/token"), "{missing}");
    }

    #[test]
    fn other_machines_are_let_in_only_with_a_token() {
        let token = Token::new("s3cret");
        for open in ["0.0.0.0:81", "[::]:81", "192.0.2.1:81"] {
            let address = open.parse().unwrap();
            let error = check_listen(address, None).unwrap_err();
            assert!(error.to_string().contains("--token-file"), "{error}");
            assert!(check_listen(address, Some(&token)).is_ok());
        }
        for closed in ["127.0.0.1:81", "127.9.9.9:0", "[::1]:81", "[::ffff:127.0.0.1]:81"] {
            assert!(check_listen(closed.parse().unwrap(), None).is_ok(), "{closed}");
        }
    }

    #[test]
    fn only_names_of_this_machine_are_taken_without_a_token() {
        let check = |host: &str| {
            let request = Request::get("/v1/apps").header("host", host);
            check_host(&request.body(axum::body::Body::empty()).unwrap()).is_ok()
        };
        for ours in ["localhost", "LOCALHOST:8081", "a.localhost", "127.0.0.1:8081", "[::1]:1"] {
            assert!(check(ours), "{ours}");
        }
        for foreign in
            ["evil.example:8081", "localhost.evil.example", "10.0.0.1", "127.0.0.1.nip.io", ""]
        {
            assert!(!check(foreign), "{foreign}");
        }
        let nameless = Request::get("/v1/apps").body(axum::body::Body::empty()).unwrap();
        assert!(check_host(&nameless).is_err());
    }

    #[test]
    fn pages_of_other_origins_change_nothing() {
        let check = |method: &str, headers: &[(&str, &str)]| {
            let mut request = Request::builder().method(method).uri("/v1/apps/a/promote");
            for (name, value) in headers.iter().chain([&("host", "127.0.0.1:8081")]) {
                request = request.header(*name, *value);
            }
            check_origin(&request.body(axum::body::Body::empty()).unwrap()).is_ok()
        };
        let foreign =
            ["http://evil.example", "http://127.0.0.1:3000", "null", "", "http://127.0.0.1"];
        for origin in foreign {
            for method in ["POST", "PUT", "DELETE"] {
                assert!(!check(method, &[("origin", origin)]), "{method} {origin}");
            }
            assert!(check("GET", &[("origin", origin)]), "{origin}");
        }
        for site in ["cross-site", "same-site", "?"] {
            let headers = [("sec-fetch-site", site), ("origin", "http://127.0.0.1:8081")];
            assert!(!check("POST", &headers), "{site}");
        }
        assert!(check("POST", &[]));
        assert!(check("POST", &[("origin", "http://127.0.0.1:8081")]));
        assert!(check("POST", &[("sec-fetch-site", "same-origin"), ("origin", "http://[::1]:1")]));
    }

    #[test]
    fn a_request_must_show_the_token_as_bearer() {
        let token = Token::new("s3cret");
        let check = |header: &str| {
            let request = Request::get("/v1/apps").header("authorization", header);
            check_token(&token, &request.body(axum::body::Body::empty()).unwrap()).is_ok()
        };
        assert!(check("Bearer s3cret") && check("bearer  s3cret"));
        for wrong in ["s3cret", "Basic s3cret", "Bearer", "Bearer other", "Bearer s3cret2"] {
            assert!(!check(wrong), "{wrong}");
        }
    }
}
