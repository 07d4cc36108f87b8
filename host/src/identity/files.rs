//! What the files of an identity are called.
//! Does not read them.

/// The file with the authority's certificate.
pub const CA: &str = "ca.pem";
/// The file with the host's own certificate.
pub const CERTIFICATE: &str = "host.pem";
/// The file with the host's private key.
pub const KEY: &str = "host.key";
