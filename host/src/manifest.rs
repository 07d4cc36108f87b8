//! Reads `steerage.toml`: every mistake at once, each with its place and what would be right.
//! Does not open files and does not decide what an app may ask for: `steerage-core` has the rules.

mod keys;
mod overrides;
mod sections;
mod spin;
mod write;

use std::collections::BTreeMap;

use steerage_core::limits::{Limits, LimitsPolicy};
use steerage_core::manifest::Manifest;

use crate::document;

pub use self::keys::{has_key, set_keys};
pub use self::overrides::Overrides;
pub use self::spin::{SpinApp, is_spin};
pub use self::write::bare;
pub use crate::document::{Mistake, Mistakes};

/// Reads a manifest's text for a host with this policy: it gives what the manifest does not say, and
/// what the manifest asks for beyond it is a mistake.
///
/// # Errors
///
/// Fails with all mistakes found. After a syntax error the rest of the file is still read, as far
/// as it can be told apart.
pub fn read(text: &str, policy: &LimitsPolicy) -> Result<Manifest, Mistakes> {
    document::read(text, |table, findings| {
        sections::refuse_env_of_requests(table, findings);
        sections::manifest(table, policy, findings)
    })
}

/// Reads a manifest that was accepted before. What it asks for beyond the policy, which may have
/// become narrower since, is cut down, and names that only later became those of requests are left:
/// an app that was deployed stays deployed.
///
/// # Errors
///
/// As [`read`].
pub fn reread(text: &str, policy: &LimitsPolicy) -> Result<Manifest, Mistakes> {
    let widest = LimitsPolicy { maximum: Limits::MOST, ..policy.clone() };
    let mut manifest =
        document::read(text, |table, findings| sections::manifest(table, &widest, findings))?;
    manifest.limits = manifest.limits.at_most(&policy.maximum);
    Ok(manifest)
}

/// Reads a manifest of Spin's, and says the same in ours. `values` are those given for its variables, by
/// their names there.
///
/// # Errors
///
/// As [`read`]; what no host offers is a mistake as well.
pub fn read_spin(text: &str, values: &BTreeMap<String, String>) -> Result<SpinApp, Mistakes> {
    spin::read(text, values, |text| read(text, &LimitsPolicy::default()).err())
}

#[cfg(test)]
mod tests;
