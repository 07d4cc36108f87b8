//! Why an app fails, is slow or is not there.

use serde::{Deserialize, Serialize};

use super::Sources;

/// What is wrong with an app, or with the hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Why {
    /// The app; nothing where it is about the hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// What is wrong, the worst first; nothing where the app is well.
    pub diagnoses: Vec<Diagnosis>,
    /// How the app does, in a sentence.
    pub standing: String,
    /// Why requests find no route, where that is known; only where it is about the hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unrouted: Vec<Diagnosis>,
    /// Which hosts of the fleet told what this is concluded from; nothing where the host is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Diagnosis {
    /// What is wrong, in a sentence.
    pub claim: String,
    /// What the claim is concluded from, and what narrows it down.
    pub evidence: Vec<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Remedy>,
}

/// What to do about something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Remedy {
    /// In a sentence.
    pub text: String,
    /// As a command that can be run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Whether the command changes something, and may be wrong; one that does not only looks.
    pub changes: bool,
}
