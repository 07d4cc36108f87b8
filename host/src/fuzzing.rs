//! What fuzzers change in a text or a binary that is in order: bytes thrown at random at what begins
//! with a magic number, or at TOML, get no further than its first lines. Few and small changes: after
//! many nothing is left that gets past the first check.
//! Only for tests.

use bolero::TypeGenerator;

/// Up to three changes, and none as often.
#[derive(Clone, Debug, TypeGenerator)]
pub(crate) struct Changes {
    n_made: u8,
    all: [Change; 3],
}

/// One change.
#[derive(Clone, Debug, TypeGenerator)]
struct Change {
    /// Where, in 65,536ths of the length.
    place: u16,
    /// How many bytes go, up to 15.
    n_removed: u8,
    /// Whether those are put there twice instead.
    doubles: bool,
    /// What comes behind, up to four bytes.
    put: [u8; 4],
    n_put: u8,
}

impl Changes {
    /// The bytes after the changes.
    pub(crate) fn made_to(&self, whole: &[u8]) -> Vec<u8> {
        let mut bytes = whole.to_vec();
        for change in self.all.iter().take(usize::from(self.n_made) % 4) {
            change.made_to(&mut bytes, |byte| byte);
        }
        bytes
    }

    /// The same for a text, into which only what can be typed is put.
    pub(crate) fn made_to_text(&self, whole: &str) -> String {
        let mut bytes = whole.as_bytes().to_vec();
        for change in self.all.iter().take(usize::from(self.n_made) % 4) {
            change.made_to(&mut bytes, |byte| if byte < 8 { b'\n' } else { b' ' + byte % 95 });
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Change {
    fn made_to(&self, bytes: &mut Vec<u8>, written: impl Fn(u8) -> u8) {
        let from = bytes.len() * usize::from(self.place) / usize::from(u16::MAX);
        let to = (from + usize::from(self.n_removed) % 16).min(bytes.len());
        let gone = bytes[from..to].to_vec();
        let again = if self.doubles { gone.repeat(2) } else { Vec::new() };
        let put = self.put.iter().take(usize::from(self.n_put) % 5).map(|byte| written(*byte));
        bytes.splice(from..to, again.into_iter().chain(put));
    }
}
