//! What is said of something that is wrong.
//! Concludes nothing.

/// How what a guest printed is told: it may be private.
pub const PRINTED: &str = "it printed: ";

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// What is wrong, in a sentence.
    pub claim: String,
    /// What the claim is concluded from, and what narrows it down.
    pub evidence: Vec<String>,
    /// What to do about it.
    pub remedy: Option<Remedy>,
}

/// What to do about something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// In a sentence.
    pub text: String,
    /// As a command that can be run.
    pub command: Option<String>,
    /// Whether the command changes something, so that it can be wrong. One that only looks cannot.
    pub changes: bool,
}

/// What came of the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What is wrong, the worst first; nothing where the app is well.
    pub diagnoses: Vec<Diagnosis>,
    /// How the app does, in a sentence.
    pub standing: String,
}
