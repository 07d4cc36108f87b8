//! What the table of settings says of each one.
//! Names no setting.

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knob {
    /// Where it is in the file: its sections and its name, with dots between.
    pub key: &'static str,
    /// Its flag, without the dashes.
    pub flag: &'static str,
    /// Its environment variable.
    pub env: &'static str,
    /// What its value is, as the help shows it.
    pub form: &'static str,
    /// What it is unless somebody says, as the help shows it; empty where it is nothing.
    pub default: &'static str,
    /// What it is for, in half a line.
    pub help: &'static str,
}

impl Knob {
    /// The section of the file that it is in; empty for the top of the file.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.key.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// Its name in that section.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.key.rsplit_once('.').map_or(self.key, |(_, name)| name)
    }
}

/// One setting, with how it is said.
pub(super) const fn knob(
    key: &'static str,
    (flag, env): (&'static str, &'static str),
    (form, default): (&'static str, &'static str),
    help: &'static str,
) -> Knob {
    Knob { key, flag, env, form, default, help }
}
