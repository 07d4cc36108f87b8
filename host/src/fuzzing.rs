//! What fuzzers change in a text or a binary that is in order: bytes thrown at random at what begins
//! with a magic number, or at TOML, get no further than its first lines.
//! Only for tests.

use bolero::TypeGenerator;

/// One change.
#[derive(Clone, Debug, TypeGenerator)]
pub(crate) struct Change {
    /// Where, in 65,536ths of the length.
    place: u16,
    /// How many bytes go.
    n_removed: u8,
    /// What comes in their place.
    put: Vec<u8>,
    /// Whether the bytes that went are put there once more, before what comes.
    doubles: bool,
}

/// The bytes after all these changes.
pub(crate) fn mutated(whole: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for change in changes {
        let from = bytes.len() * usize::from(change.place) / usize::from(u16::MAX);
        let to = (from + usize::from(change.n_removed)).min(bytes.len());
        let gone = bytes[from..to].to_vec();
        let again = if change.doubles { [&*gone, &*gone].concat() } else { Vec::new() };
        bytes.splice(from..to, again.into_iter().chain(change.put.iter().copied()));
    }
    bytes
}
