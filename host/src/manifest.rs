//! Reads `steerage.toml`: every mistake at once, each with its place and what would be right.
//! Does not open files and does not decide what an app may ask for: `steerage-core` has the rules.

mod findings;
mod reader;
mod sections;
mod suggest;
mod write;

use steerage_core::manifest::Manifest;
use toml::de::DeTable;

use self::findings::Findings;

pub use self::findings::{Mistake, Mistakes};
pub use self::write::bare;

/// The most bytes of a manifest: a hundred times what a large one has.
const LONGEST: usize = 256 << 10;

/// Reads a manifest's text.
///
/// # Errors
///
/// Fails with all mistakes found. After a syntax error the rest of the file is still read, as far
/// as it can be told apart.
pub fn read(text: &str) -> Result<Manifest, Mistakes> {
    if text.len() > LONGEST {
        let mut findings = Findings::new("");
        findings.syntax(0, &format!("it has {} bytes, at most {LONGEST} are allowed", text.len()));
        return findings.finish(None);
    }
    let mut findings = Findings::new(text);
    let (root, syntax_errors) = DeTable::parse_recoverable(text);
    for error in &syntax_errors {
        findings.syntax(error.span().map_or(0, |span| span.start), error.message());
    }
    let manifest = sections::manifest(root.get_ref(), &mut findings);
    findings.finish(manifest)
}

#[cfg(test)]
mod tests;
