//! What part of the CPU time each function had: by itself, and with what it called.
//! Shows nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::stacks::Profile;

/// One function.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionShare {
    /// Its name.
    pub name: String,
    /// The part of all samples in which it ran itself, 0 to 1.
    pub own: f64,
    /// The part of all samples in which it, or something that it called, ran.
    pub whole: f64,
    /// By how much these were more than before, where there is a profile of before.
    pub grown: Option<(f64, f64)>,
}

/// The functions, those that ran most by themselves first; with a profile of before, those that changed most.
#[must_use]
pub fn shares(profile: &Profile, before: Option<&Profile>) -> Vec<FunctionShare> {
    let now = parts(profile);
    let then = before.map(parts);
    let mut names: BTreeSet<&str> = now.keys().copied().collect();
    names.extend(then.iter().flat_map(BTreeMap::keys).copied());
    let of = |parts: &BTreeMap<&str, (f64, f64)>, name: &str| {
        parts.get(name).copied().unwrap_or_default()
    };
    let mut all: Vec<FunctionShare> = names
        .into_iter()
        .map(|name| {
            let (own, whole) = of(&now, name);
            let grown = then.as_ref().map(|then| {
                let (own_then, whole_then) = of(then, name);
                (own - own_then, whole - whole_then)
            });
            FunctionShare { name: name.to_owned(), own, whole, grown }
        })
        .collect();
    let order = |share: &FunctionShare| match share.grown {
        Some((own, whole)) => (own.abs(), whole.abs()),
        None => (share.own, share.whole),
    };
    all.sort_by(|one, other| {
        let ((own, whole), (other_own, other_whole)) = (order(one), order(other));
        other_own.total_cmp(&own).then(other_whole.total_cmp(&whole))
    });
    all
}

/// Of each function the parts in which it ran itself, and with what it called.
fn parts(profile: &Profile) -> BTreeMap<&str, (f64, f64)> {
    let n_all = profile.n_samples().max(1) as f64;
    let mut parts: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for (stack, number) in profile.whole() {
        let part = number as f64 / n_all;
        if let Some(innermost) = stack.last() {
            parts.entry(innermost).or_default().0 += part;
        }
        // One that calls itself ran once at a time.
        for name in stack.into_iter().collect::<BTreeSet<&str>>() {
            parts.entry(name).or_default().1 += part;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::stacks::of;

    #[test]
    fn one_that_calls_itself_has_no_more_than_all() {
        let found = shares(&of(&[("main;walk;walk;walk", 3), ("main", 1)]), None);
        let told: Vec<_> = found.iter().map(|of| (&*of.name, of.own, of.whole)).collect();
        assert_eq!(told, [("walk", 0.75, 0.75), ("main", 0.25, 1.0)]);
    }

    #[test]
    fn what_changed_most_is_first_also_where_it_is_gone() {
        let before = of(&[("main;hash", 6), ("main;sort", 2)]);
        let now = of(&[("main;sort", 1), ("main;parse", 3)]);
        let found = shares(&now, Some(&before));
        let told: Vec<_> = found.iter().map(|of| (&*of.name, of.own, of.grown)).collect();
        assert_eq!(
            told,
            [
                ("hash", 0.0, Some((-0.75, -0.75))),
                ("parse", 0.75, Some((0.75, 0.75))),
                ("main", 0.0, Some((0.0, 0.0))),
                ("sort", 0.25, Some((0.0, 0.0))),
            ]
        );
    }
}
