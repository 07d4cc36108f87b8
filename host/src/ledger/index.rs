//! What routing and lists need of an app's current deployment: a small record beside the whole one,
//! so that a start reads neither manifests nor history. Has its own version, as the whole records
//! have, and can always be made again from them. Does not know the database.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use steerage_core::id::{AppName, Digest, Generation};
use steerage_core::limits::LimitsPolicy;
use steerage_core::manifest::Manifest;

use super::record::{DeploymentRecord, Fingerprint, LedgerRecordError, damaged};
use crate::manifest;

/// The version written by this host.
const VERSION: u32 = 1;

/// What is known of an app without reading its deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexRecord {
    /// The app.
    pub app: AppName,
    /// Which of its deployments is served.
    pub generation: Generation,
    /// The component.
    pub digest: Digest,
    /// The developer's own version of the app.
    pub version: String,
    /// Where it answers, as `path` or `host/path`.
    pub routes: Vec<String>,
    /// Which kind of guest the component is.
    pub kind: String,
    /// Bytes of the component.
    pub size: u64,
    /// Milliseconds since the epoch.
    pub deployed_at: u64,
    /// What tells the deployment from another of its number; `None` where an older host wrote this.
    pub fingerprint: Option<Fingerprint>,
}

/// Names are short: there is one of these for each app, and a start reads them all.
#[derive(Deserialize, Serialize)]
struct Written<'a> {
    v: u32,
    g: u64,
    d: &'a str,
    #[serde(borrow)]
    n: Cow<'a, str>,
    #[serde(borrow)]
    r: Vec<Cow<'a, str>>,
    k: &'a str,
    s: u64,
    t: u64,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    f: Option<Cow<'a, str>>,
}

impl IndexRecord {
    /// What the index holds of this deployment.
    ///
    /// # Errors
    /// Its manifest cannot be read by this host.
    pub fn of(record: &DeploymentRecord) -> Result<Self, LedgerRecordError> {
        let manifest =
            manifest::reread(&record.manifest, &LimitsPolicy::default()).map_err(|mistakes| {
                let first = mistakes.iter().next().map(|mistake| mistake.message.clone());
                LedgerRecordError::Manifest { first: first.unwrap_or_default() }
            })?;
        Ok(Self::new(record, &manifest))
    }

    /// The same where its manifest was read before.
    pub(super) fn new(record: &DeploymentRecord, manifest: &Manifest) -> Self {
        Self {
            app: record.app.clone(),
            generation: record.generation,
            digest: record.digest,
            version: manifest.version.clone(),
            routes: manifest.routes.iter().map(ToString::to_string).collect(),
            kind: record.kind.clone(),
            size: record.size,
            deployed_at: record.deployed_at,
            fingerprint: Some(record.fingerprint()),
        }
    }

    /// The bytes to write.
    ///
    /// # Errors
    /// Never, in practice.
    pub fn encode(&self) -> Result<Vec<u8>, LedgerRecordError> {
        let written = Written {
            v: VERSION,
            g: self.generation.get(),
            d: &self.digest.hex(),
            n: self.version.as_str().into(),
            r: self.routes.iter().map(|route| route.as_str().into()).collect(),
            k: &self.kind,
            s: self.size,
            t: self.deployed_at,
            f: self.fingerprint.map(|fingerprint| fingerprint.to_string().into()),
        };
        serde_json::to_vec(&written).map_err(damaged)
    }

    /// The record of `app` that was written as these bytes. One of another version is refused like
    /// a damaged one: the caller makes it again from the deployment itself.
    ///
    /// # Errors
    /// See [`LedgerRecordError`].
    pub fn decode(app: AppName, bytes: &[u8]) -> Result<Self, LedgerRecordError> {
        let written: Written<'_> = serde_json::from_slice(bytes).map_err(damaged)?;
        if written.v > VERSION {
            return Err(LedgerRecordError::Newer { found: written.v });
        }
        Ok(Self {
            app,
            generation: Generation::new(written.g).ok_or_else(|| damaged("generation 0"))?,
            digest: written.d.parse().map_err(damaged)?,
            version: written.n.into_owned(),
            routes: written.r.into_iter().map(Cow::into_owned).collect(),
            kind: written.k.to_owned(),
            size: written.s,
            deployed_at: written.t,
            fingerprint: written.f.and_then(|text| text.parse().ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let record = DeploymentRecord {
            app: "shop".parse().unwrap(),
            generation: Generation::new(7).unwrap(),
            digest: Digest::from_bytes([9; 32]),
            manifest: "name = \"shop\"\nversion = \"1 \\\"x\\\"\"\nsource = \"a.wasm\"\n\
                       [[route]]\npath = \"/a/:b/...\"\n[[route]]\nhost = \"*.x.org\"\npath = \"/\"\n"
                .to_owned(),
            kind: "http-0.2".to_owned(),
            size: 5,
            deployed_at: 6,
        };
        let index = IndexRecord::of(&record).unwrap();
        assert_eq!(index.routes, ["/a/:b/...", "*.x.org/"]);
        assert_eq!(index.version, "1 \"x\"");
        let bytes = index.encode().unwrap();
        assert_eq!(IndexRecord::decode(record.app, &bytes).unwrap(), index);
    }
}
