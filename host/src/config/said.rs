//! What was said of each setting, on the command line and in the file, and what is wrong with it.
//! The command line goes before the file. Does not know what any setting means.

use std::collections::BTreeMap;
use std::fmt;

use steerage_core::id::TenantName;
use steerage_core::units::Weight;

use super::knobs::{KNOBS, Knob, TENANTS};
use crate::document::{self, Entry, Findings, Section};

/// A flag or an environment variable that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongFlag {
    /// The flag, without the dashes; the environment variable may have been meant.
    pub flag: String,
    /// What is wrong.
    pub message: String,
}

/// Where a setting was said.
enum Place {
    Flag(&'static str),
    File(usize),
}

/// Everything that was said.
pub(super) struct Said<'a, 't> {
    flags: BTreeMap<&'static str, &'a str>,
    file: BTreeMap<&'static str, Entry<'a, 'a>>,
    tenants: Option<Section<'a, 'a>>,
    findings: &'a mut Findings<'t>,
    wrong: &'a mut Vec<WrongFlag>,
}

impl<'a, 't> Said<'a, 't> {
    /// Finds all settings in the file, and notes what is no setting.
    pub(super) fn gather(
        flags: &'a [(&'static str, String)],
        top: Section<'a, 'a>,
        findings: &'a mut Findings<'t>,
        wrong: &'a mut Vec<WrongFlag>,
    ) -> Self {
        let flags = flags.iter().map(|(key, text)| (*key, text.as_str())).collect();
        let (sections, mut file) = (sections(), BTreeMap::new());
        let tenants = top.section(TENANTS, findings);
        let shown: Vec<(&str, &[&str])> =
            sections.iter().map(|(name, keys)| (*name, keys.as_slice())).collect();
        for (name, _) in &sections {
            let Some(section) = find(&top, name, findings) else { continue };
            document::refuse_unknown(&section, name, &shown, findings);
            let here = KNOBS.iter().filter(|knob| knob.section() == *name && knob.key != TENANTS);
            file.extend(here.filter_map(|knob| Some((knob.key, section.get(knob.name())?))));
        }
        Self { flags, file, tenants, findings, wrong }
    }

    /// What was said of a setting, as `parse` reads it. What the file says is read even where the
    /// command line goes before it, so that its mistakes are told.
    pub(super) fn take<T, E: fmt::Display>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let in_file = self.file.get(key).and_then(|entry| {
            let text = entry.scalar(self.findings)?;
            entry.noted(parse(&text), self.findings)
        });
        let Some(text) = self.flags.get(key) else { return in_file };
        match parse(text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(key, error.to_string());
                None
            }
        }
    }

    /// The same, kept in `setting` where something was said.
    pub(super) fn set<T, E: fmt::Display>(
        &mut self,
        key: &str,
        setting: &mut T,
        parse: impl Fn(&str) -> Result<T, E>,
    ) {
        if let Some(value) = self.take(key, parse) {
            *setting = value;
        }
    }

    /// Whether anything was said of a setting.
    pub(super) fn has(&self, key: &str) -> bool {
        self.place(key).is_some()
    }

    /// Notes what is wrong with a setting, where it was said.
    pub(super) fn wrong(&mut self, key: &str, message: String) {
        match self.place(key) {
            Some(Place::File(at)) => self.findings.wrong(at, key, message),
            Some(Place::Flag(flag)) => {
                self.wrong.push(WrongFlag { flag: flag.to_owned(), message });
            }
            // Nobody said it, so it follows from what somebody said.
            None => self.wrong.push(WrongFlag { flag: key.to_owned(), message }),
        }
    }

    /// The tenants' shares, of both places together.
    pub(super) fn tenants(&mut self) -> BTreeMap<TenantName, Weight> {
        let mut tenants = BTreeMap::new();
        if let Some(section) = self.tenants.take() {
            for (name, at, entry) in section.entries() {
                let weight = weight(&entry, self.findings);
                match TenantName::parse(name) {
                    Ok(name) => tenants.extend(weight.map(|weight| (name, weight))),
                    Err(error) => self.findings.wrong(at, &entry.key, error),
                }
            }
        }
        for pair in self.flags.get(TENANTS).copied().unwrap_or_default().split(',') {
            match share(pair.trim()) {
                _ if pair.trim().is_empty() => {}
                Ok((name, weight)) => {
                    tenants.insert(name, weight);
                }
                Err(message) => self.wrong(TENANTS, message),
            }
        }
        tenants
    }

    fn place(&self, key: &str) -> Option<Place> {
        let flag = || KNOBS.iter().find(|knob| knob.key == key).map(|knob| knob.flag);
        if self.flags.contains_key(key) {
            return flag().map(Place::Flag);
        }
        self.file.get(key).map(|entry| Place::File(entry.at))
    }
}

/// `NAME=WEIGHT`.
fn share(pair: &str) -> Result<(TenantName, Weight), String> {
    let Some((name, weight)) = pair.split_once('=') else {
        return Err(format!("{pair:?} is not a tenant's share: expected NAME=WEIGHT"));
    };
    let name = TenantName::parse(name).map_err(|error| error.to_string())?;
    Ok((name, weight.parse::<Weight>().map_err(|error| error.to_string())?))
}

/// `[tenants.NAME] weight = WEIGHT`.
fn weight(entry: &Entry<'_, '_>, findings: &mut Findings<'_>) -> Option<Weight> {
    let section = entry.section("a table with a weight", findings)?;
    document::refuse_unknown(&section, "", &[("", &["weight"])], findings);
    let weight = section.need("weight", "weight = 2", findings)?;
    let text = weight.scalar(findings)?;
    weight.noted(text.parse(), findings)
}

/// Every section with its keys, the top first, and the sections above that hold them.
fn sections() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut sections: Vec<(&'static str, Vec<&'static str>)> = vec![("", Vec::new())];
    let mut add = |section: &'static str, key: &'static str| match sections
        .iter_mut()
        .find(|(name, _)| *name == section)
    {
        Some((_, keys)) if keys.contains(&key) => {}
        Some((_, keys)) => keys.push(key),
        None => sections.push((section, vec![key])),
    };
    for knob in &KNOBS {
        let mut section = knob.section();
        add(section, knob.name());
        // `limits.default` is a key of `limits`, and that one of the top.
        while !section.is_empty() {
            let (above, name) = section.rsplit_once('.').unwrap_or(("", section));
            add(above, name);
            section = above;
        }
    }
    sections
}

/// The section of this name, which may be several levels down.
fn find<'a>(
    top: &Section<'a, 'a>,
    name: &str,
    findings: &mut Findings<'_>,
) -> Option<Section<'a, 'a>> {
    if name.is_empty() {
        return Some(top.clone());
    }
    let mut section = top.clone();
    for (level, part) in name.split('.').enumerate() {
        let entry = section.get(part)?;
        let is_last = level == name.matches('.').count();
        // What is no table is noted where it is the section that was asked for, so once.
        if !is_last && !entry.is_table() {
            return None;
        }
        section = entry.section(&format!("a table, [{name}]"), findings)?;
    }
    Some(section)
}

impl Knob {
    /// The setting of this key.
    #[must_use]
    pub fn of(key: &str) -> Option<&'static Self> {
        KNOBS.iter().find(|knob| knob.key == key)
    }
}
