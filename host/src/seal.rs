//! Sealing secrets: AES-256-GCM under a key that the operator keeps in a file or hands over as a credential of
//! systemd. Says what is wrong with the key, and which key something was sealed with.
//! Does not know where sealed texts are kept, and wipes no memory: what is opened is a guest's to have, whose
//! memory holds it in any case.

mod key;
mod record;
mod source;

pub use self::key::{BadSecretsKey, CREDENTIAL, Sealed, SecretsKey, Unsealable, new_key};
pub use self::record::{SealedSecrets, SecretRecord};
pub use self::source::SecretsKeyFrom;
