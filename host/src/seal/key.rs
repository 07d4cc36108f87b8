//! The key that secrets are sealed with, as it stands in a file; sealing with it and opening, and which key something
//! was sealed with.
//! Does not know what is sealed.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};

/// What the key is called among the credentials that systemd hands over (`LoadCredential=`).
pub const CREDENTIAL: &str = "steerage-secrets-key";
/// Bytes of a key.
const KEY_LEN: usize = 32;
/// Hexadecimal digits that a key is told from others by.
const ID_LEN: usize = 16;

/// The key that this host's secrets are sealed with. Clones share it.
#[derive(Clone)]
pub struct SecretsKey {
    key: Arc<LessSafeKey>,
    id: Arc<str>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum BadSecretsKey {
    /// The file cannot be read.
    #[error("cannot read the key for secrets {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others can read it.
    #[error(
        "the key for secrets {} can be read by others (its mode is {mode:03o}): chmod 600 it; if others may have \
         read it, make another one and set all secrets again",
        .path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is no key.
    #[error(
        "the key for secrets {} has {bytes} bytes: expected {KEY_LEN}, or {} hexadecimal digits, as `steerage \
         secret key` writes them",
        .path.display(), 2 * KEY_LEN
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// How many there are.
        bytes: usize,
    },
    /// None can be made.
    #[error("cannot make a key for secrets")]
    Made(#[source] Unsealable),
}

/// Why something sealed cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Sealed {
    /// Another key is needed.
    #[error("it was sealed with key {found}, and this host has key {own}")]
    OtherKey {
        /// The one it was sealed with.
        found: String,
        /// This host's.
        own: String,
    },
    /// It is not what was sealed, or not for this place.
    #[error("what is kept of it is damaged, or was sealed as something else")]
    Damaged,
}

/// No random bytes, or a text longer than any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system has no random bytes for it")]
pub struct Unsealable;

impl SecretsKey {
    /// Reads the key among the credentials that systemd handed over in this folder; `None` where it did not.
    ///
    /// # Errors
    /// See [`BadSecretsKey`].
    pub fn of_credentials(folder: &Path) -> Result<Option<Self>, BadSecretsKey> {
        let path = folder.join(CREDENTIAL);
        // Its folder is closed to others, and what looks like the mode of the group is the mask of an access list.
        path.exists().then(|| Self::read_closed_to(&path, 0o007)).transpose()
    }

    /// Reads a key that is this user's alone.
    ///
    /// # Errors
    /// See [`BadSecretsKey`].
    pub fn read(path: &Path) -> Result<Self, BadSecretsKey> {
        Self::read_closed_to(path, 0o077)
    }

    fn read_closed_to(path: &Path, others: u32) -> Result<Self, BadSecretsKey> {
        let unreadable = |source| BadSecretsKey::Unreadable { path: path.to_owned(), source };
        let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o777;
        if mode & others != 0 {
            return Err(BadSecretsKey::Open { path: path.to_owned(), mode });
        }
        let bytes = fs::read(path).map_err(unreadable)?;
        let length = || BadSecretsKey::Length { path: path.to_owned(), bytes: bytes.len() };
        let key = match <[u8; KEY_LEN]>::try_from(bytes.as_slice()) {
            Ok(key) => key,
            Err(_) => from_hex(bytes.trim_ascii()).ok_or_else(length)?,
        };
        Self::new(&key).ok_or_else(length)
    }

    /// A key that nobody keeps: for a host whose data goes with it.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn passing() -> Result<Self, Unsealable> {
        Self::new(&random()?).ok_or(Unsealable)
    }

    fn new(key: &[u8; KEY_LEN]) -> Option<Self> {
        let unbound = UnboundKey::new(&AES_256_GCM, key).ok()?;
        // Half of a hash of the key says nothing of the key itself.
        let hash = Sha256::new().chain_update(b"the id of a key for secrets").chain_update(key);
        let id: String = hex(&hash.finalize()).chars().take(ID_LEN).collect();
        Some(Self { key: Arc::new(LessSafeKey::new(unbound)), id: id.into() })
    }

    /// What tells this key from others, and nothing of the key.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Seals a text as what it is for, which is to be said again when it is opened.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn seal(&self, text: &str, is: &str) -> Result<String, Unsealable> {
        // Random: two hosts that seal at once share no count. 2^32 of them are far from likely to meet.
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut bytes = text.as_bytes().to_vec();
        let at = Nonce::assume_unique_for_key(nonce);
        let sealed = self.key.seal_in_place_append_tag(at, Aad::from(is), &mut bytes);
        sealed.map_err(|_| Unsealable)?;
        Ok(STANDARD.encode([&nonce[..], &bytes].concat()))
    }

    /// Opens what was sealed with the key of this id.
    ///
    /// # Errors
    /// See [`Sealed`].
    pub fn open(&self, sealed: &str, key: &str, is: &str) -> Result<String, Sealed> {
        if *key != *self.id {
            let (found, own) = (key.to_owned(), self.id.to_string());
            return Err(Sealed::OtherKey { found, own });
        }
        let mut bytes = STANDARD.decode(sealed).map_err(|_| Sealed::Damaged)?;
        let (nonce, text) = bytes.split_first_chunk_mut::<NONCE_LEN>().ok_or(Sealed::Damaged)?;
        let at = Nonce::assume_unique_for_key(*nonce);
        let text = self.key.open_in_place(at, Aad::from(is), text).map_err(|_| Sealed::Damaged)?;
        String::from_utf8(text.to_vec()).map_err(|_| Sealed::Damaged)
    }
}

/// A new key as a file has it, to be kept where only the host reads it.
///
/// # Errors
/// The system has no random bytes.
pub fn new_key() -> Result<String, Unsealable> {
    Ok(format!("{}\n", hex(&random::<KEY_LEN>()?)))
}

fn random<const N: usize>() -> Result<[u8; N], Unsealable> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Unsealable)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(digits: &[u8]) -> Option<[u8; KEY_LEN]> {
    let digit = |digit: &u8| char::from(*digit).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?));
    let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
    if rest.is_empty() { bytes.try_into().ok() } else { None }
}

impl fmt::Debug for SecretsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SecretsKey").field(&self.id).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    fn file(content: &[u8], mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn what_is_sealed_is_opened_as_what_it_was_sealed_for_and_as_nothing_else() {
        let (key, other) = (SecretsKey::passing().unwrap(), SecretsKey::passing().unwrap());
        let sealed = key.seal("hunter2", "shop/password/1").unwrap();
        assert_eq!(key.open(&sealed, key.id(), "shop/password/1").unwrap(), "hunter2");
        assert_eq!(key.open(&sealed, key.id(), "shop/password/2"), Err(Sealed::Damaged));
        let error = other.open(&sealed, key.id(), "shop/password/1").unwrap_err().to_string();
        assert!(error.contains(key.id()) && error.contains(other.id()), "{error}");
        // One who says that it is his own.
        assert_eq!(other.open(&sealed, other.id(), "shop/password/1"), Err(Sealed::Damaged));
        // The same text twice has nothing in common.
        assert_ne!(sealed, key.seal("hunter2", "shop/password/1").unwrap());
    }

    #[test]
    fn nothing_that_was_changed_or_cut_is_opened() {
        let key = SecretsKey::passing().unwrap();
        let bytes = STANDARD.decode(key.seal("hunter2", "").unwrap()).unwrap();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            for bytes in [&changed[..], &bytes[..place]] {
                let opened = key.open(&STANDARD.encode(bytes), key.id(), "");
                assert_eq!(opened, Err(Sealed::Damaged), "{place}");
            }
        }
        assert_eq!(key.open("no base64!", key.id(), ""), Err(Sealed::Damaged));
    }

    #[test]
    fn a_key_is_read_in_both_forms_and_is_the_same() {
        let digits = new_key().unwrap();
        let written = file(digits.as_bytes(), 0o600);
        let raw = file(&from_hex(digits.trim().as_bytes()).unwrap(), 0o400);
        let (written, raw) = (SecretsKey::read(written.path()), SecretsKey::read(raw.path()));
        assert_eq!(written.unwrap().id(), raw.unwrap().id());
        assert_ne!(digits, new_key().unwrap());
    }

    #[test]
    fn what_is_no_key_is_refused_with_what_is_wrong() {
        let digits = new_key().unwrap();
        for (content, said) in [
            (&b""[..], "has 0 bytes"),
            (&[7; 31], "has 31 bytes"),
            (&[b'g'; 64], "has 64 bytes"),
            (digits.trim().get(..63).unwrap().as_bytes(), "has 63 bytes"),
        ] {
            let error = SecretsKey::read(file(content, 0o600).path()).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("expected 32"), "{error}");
        }
        for mode in [0o640, 0o604, 0o644] {
            let open = file(digits.as_bytes(), mode);
            let error = SecretsKey::read(open.path()).unwrap_err().to_string();
            assert!(error.contains(&format!("its mode is {mode:o}): chmod 600 it")), "{error}");
            // As systemd shows it.
            let folder = tempfile::tempdir().unwrap();
            fs::copy(open.path(), folder.path().join(CREDENTIAL)).unwrap();
            let credential = SecretsKey::of_credentials(folder.path());
            assert_eq!(credential.is_ok_and(|key| key.is_some()), mode == 0o640);
        }
        assert!(SecretsKey::of_credentials(Path::new("/no/such")).unwrap().is_none());
        let error = SecretsKey::read(Path::new("/no/such/key")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the key for secrets /no/such/key");
    }

    #[test]
    fn a_key_is_not_shown() {
        let digits = new_key().unwrap();
        let key = SecretsKey::read(file(digits.as_bytes(), 0o600).path()).unwrap();
        let shown = format!("{key:?}");
        assert!(shown.contains(key.id()) && !shown.contains(&digits[..8]), "{shown}");
    }
}
