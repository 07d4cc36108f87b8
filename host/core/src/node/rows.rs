//! What the store says of each app of a fleet, in one row an app. Every host keeps a row of every app, so
//! one tree holds them, and an app's name is a key once. Two views share each row that has not changed.
//! Does not say what follows from a row.

use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use super::few_hosts::HostMap;
use super::origin::Assigned;
use super::records::{Records, Revision};
use crate::id::AppName;

/// What the store says of one app.
#[derive(Clone, Debug)]
pub struct AppRow<R: Records> {
    /// What operators want of it, and since which revision.
    pub wanted: Option<(R::App, Revision)>,
    /// Where it shall run, and since which revision.
    pub assigned: Option<(Assigned, Revision)>,
    /// Who has its code at hand.
    pub ready: HostMap<R::Ready>,
}

/// The rows of all apps of which the store says anything. Clones share them.
#[derive(Clone, Debug)]
pub struct AppRows<R: Records>(
    /// None of them is empty.
    OrdMap<AppName, SharedRow<R>>,
);

/// A row that views share: it is the same only where it is the same piece of memory, so that two views
/// are compared without a look at what is in their rows.
#[derive(Clone, Debug)]
struct SharedRow<R: Records>(Arc<AppRow<R>>);

impl<R: Records> PartialEq for SharedRow<R> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A row as it was and as it is; `None` where there was or is none.
pub type RowChange<'v, R> = (&'v AppName, Option<&'v AppRow<R>>, Option<&'v AppRow<R>>);

impl<R: Records> AppRows<R> {
    /// The row of an app.
    #[must_use]
    pub fn get(&self, app: &AppName) -> Option<&AppRow<R>> {
        self.0.get(app).map(|row| &*row.0)
    }

    /// The apps with their rows, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&AppName, &AppRow<R>)> {
        self.0.iter().map(|(app, row)| (app, &*row.0))
    }

    /// The same name, sharing its text with that of the row, where there is one: a fleet has many apps,
    /// and others keep their names as well.
    #[must_use]
    pub fn shared_name(&self, app: &AppName) -> AppName {
        self.0.get_key_value(app).map_or(app, |(known, _)| known).clone()
    }

    /// The rows that are other ones than they were before. What both share is passed over.
    pub fn changed_since<'v>(&'v self, before: &'v Self) -> impl Iterator<Item = RowChange<'v, R>> {
        before.0.diff(&self.0).map(|change| match change {
            DiffItem::Add(app, now) => (app, None, Some(&*now.0)),
            DiffItem::Update { old: (_, old), new: (app, now) } => {
                (app, Some(&*old.0), Some(&*now.0))
            }
            DiffItem::Remove(app, old) => (app, Some(&*old.0), None),
        })
    }

    /// Changes the row of an app.
    pub fn change(&mut self, app: &AppName, change: impl FnOnce(&mut AppRow<R>)) {
        let Some(SharedRow(row)) = self.0.get_mut(app) else {
            let mut row = AppRow::default();
            change(&mut row);
            if !row.is_empty() {
                self.0.insert(app.clone(), SharedRow(Arc::new(row)));
            }
            return;
        };
        let row = Arc::make_mut(row);
        change(row);
        if row.is_empty() {
            self.0.remove(app);
        }
    }
}

impl<R: Records> AppRow<R> {
    fn is_empty(&self) -> bool {
        self.wanted.is_none() && self.assigned.is_none() && self.ready.is_empty()
    }
}

// Written out: records need have no default.
impl<R: Records> Default for AppRow<R> {
    fn default() -> Self {
        Self { wanted: None, assigned: None, ready: HostMap::default() }
    }
}

impl<R: Records> Default for AppRows<R> {
    fn default() -> Self {
        Self(OrdMap::new())
    }
}

#[cfg(test)]
mod tests {
    use super::super::nothing::Nothing;
    use super::*;

    fn app(name: &str) -> AppName {
        name.parse().unwrap()
    }

    fn changes(before: &AppRows<Nothing>, now: &AppRows<Nothing>) -> Vec<String> {
        let changes = now.changed_since(before);
        let is = |row: Option<&AppRow<Nothing>>| if row.is_some() { "row" } else { "none" };
        changes.map(|(app, old, new)| format!("{app}: {} to {}", is(old), is(new))).collect()
    }

    #[test]
    fn only_rows_that_were_changed_are_other_ones() {
        let mut rows = AppRows::<Nothing>::default();
        for number in 0..1_000 {
            let name = app(&format!("a{number:03}"));
            rows.change(&name, |row| row.wanted = Some((Nothing, Revision(1))));
        }
        let mut now = rows.clone();
        now.change(&app("a007"), |row| row.assigned = Some(Default::default()));
        now.change(&app("a500"), |row| row.wanted = None);
        now.change(&app("new"), |row| row.wanted = Some((Nothing, Revision(2))));
        now.change(&app("nothing"), |_| ());
        assert_eq!(
            changes(&rows, &now),
            ["a007: row to row", "a500: row to none", "new: none to row"]
        );
        assert_eq!(rows.iter().count(), 1_000, "what others keep is not changed");
        assert!(Arc::ptr_eq(&rows.0[&app("a008")].0, &now.0[&app("a008")].0));
        assert!(changes(&now, &now.clone()).is_empty());
    }
}
