//! Names that guests look up themselves, to connect to what they stand for: only names that the manifest allows.
//! Does not open connections and does not judge addresses.

use std::net::IpAddr;
use std::time::Instant;

use steerage_core::outbound::Denial;

use super::denials::LONGEST_NAME;
use super::sockets::Doorway;

/// Why there are no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAddress {
    /// The manifest does not allow connections to a host of this name.
    NotAllowed,
    /// The name has none.
    Unresolved,
}

impl Doorway {
    /// Looks up a name for a guest.
    ///
    /// # Errors
    /// See [`NoAddress`].
    pub async fn look_up(self, name: String) -> Result<Vec<IpAddr>, NoAddress> {
        let name = name.to_ascii_lowercase();
        if let Ok(address) = name.trim_matches(['[', ']']).parse() {
            return Ok(vec![address]);
        }
        let app = self.app();
        if !app.policy.permits_look_up(&name) {
            app.denials.note_look_up(&name, Denial::NotListed);
            return Err(NoAddress::NotAllowed);
        }
        if name.len() > LONGEST_NAME {
            return Err(NoAddress::Unresolved);
        }
        let addresses = app.names.resolve(&name).await.map_err(|_| NoAddress::Unresolved)?;
        app.found.note(&name, &addresses, Instant::now());
        Ok(addresses)
    }
}
