//! Which hosts have the labels that apps ask for: one column for each set of labels that any asks for,
//! since apps are many and ask for the same. Knows hosts by their numbers only.

use std::collections::BTreeMap;

use super::dense::HostIndex;

/// Labels by their names.
type Set = BTreeMap<String, String>;

/// A set of labels, by its number.
pub(super) type LabelSet = u32;

/// The columns.
#[derive(Debug, Default)]
pub(super) struct Labels {
    sets: BTreeMap<Set, LabelSet>,
    /// By the number of the set, then of the host. That of no labels is not asked.
    columns: Vec<Vec<bool>>,
}

impl Labels {
    /// The set that every host has.
    pub(super) const NONE: LabelSet = 0;

    /// The number of a set, if any app asked for it before.
    pub(super) fn find(&self, needs: &Set) -> Option<LabelSet> {
        if needs.is_empty() { Some(Self::NONE) } else { self.sets.get(needs).copied() }
    }

    /// Adds a set; `hosts` are the labels of all hosts in the order of their numbers.
    pub(super) fn add<'h>(
        &mut self,
        needs: &Set,
        hosts: impl Iterator<Item = &'h Set>,
    ) -> LabelSet {
        if self.columns.is_empty() {
            self.columns.push(Vec::new());
        }
        let number = u32::try_from(self.columns.len()).unwrap_or(u32::MAX);
        self.columns.push(hosts.map(|labels| has_all(labels, needs)).collect());
        self.sets.insert(needs.clone(), number);
        number
    }

    /// Notes that a host has other labels than before.
    pub(super) fn set_host(&mut self, host: HostIndex, labels: &Set) {
        for (needs, number) in &self.sets {
            let column = self.columns.get_mut(*number as usize);
            if let Some(has) = column.and_then(|column| column.get_mut(host)) {
                *has = has_all(labels, needs);
            }
        }
    }

    /// Whether a host has them all.
    pub(super) fn has(&self, set: LabelSet, host: HostIndex) -> bool {
        let column = || self.columns.get(set as usize)?.get(host).copied();
        set == Self::NONE || column().unwrap_or(false)
    }
}

fn has_all(labels: &Set, needs: &Set) -> bool {
    needs.iter().all(|(name, value)| labels.get(name) == Some(value))
}
