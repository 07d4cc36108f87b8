//! Rows of one app beside each other: which are the same replica twice, and which say how many
//! there are of it in all.
//! Drops nothing silently: what is counted once is complained about.

use std::collections::BTreeMap;

use super::{CellFault, Complaint, Label, Role, Row, Sheet};

/// What makes two rows rows of one app.
type Of<'r> = (&'r Label, Option<&'r Label>);

fn of(row: &Row) -> Of<'_> {
    (&row.app, row.environment.as_ref())
}

pub(super) fn merge(sheet: &mut Sheet) {
    drop_duplicates(sheet);
    settle_replicas(sheet);
}

/// A row about an app on a machine where it was listed before is the same replica written twice. Of
/// rows that name no machine nobody knows: each counts, since a plan that is too small hurts more.
fn drop_duplicates(sheet: &mut Sheet) {
    let title = |role| sheet.columns.iter().find(|(of, _)| *of == role).map(|(_, title)| title);
    let column = title(Role::Machine).cloned().unwrap_or_default();
    let mut seen: BTreeMap<(Of<'_>, Option<&Label>, Vec<&Label>), u64> = BTreeMap::new();
    let mut duplicates = BTreeMap::new();
    for row in sheet.rows.iter().filter(|row| !row.machines.is_empty()) {
        let mut machines: Vec<&Label> = row.machines.iter().collect();
        machines.sort_unstable();
        let first = *seen.entry((of(row), row.zone.as_ref(), machines)).or_insert(row.number);
        if first != row.number {
            duplicates.insert(row.number, first);
        }
    }
    drop(seen);
    for row in sheet.rows.extract_if(.., |row| duplicates.contains_key(&row.number)) {
        let names: Vec<&str> = row.machines.iter().map(Label::as_str).collect();
        sheet.n_lost += 1;
        sheet.complaints.push(Complaint {
            row: row.number,
            app: row.app.to_string(),
            column: column.clone(),
            value: names.join(", "),
            why: CellFault::Duplicate(duplicates.get(&row.number).copied().unwrap_or_default()),
            loses_row: true,
        });
    }
}

/// Three rows on three machines that each say 3 replicas are three replicas, not nine.
fn settle_replicas(sheet: &mut Sheet) {
    let mut apps: BTreeMap<Of<'_>, (u32, bool, u32)> = BTreeMap::new();
    for row in &sheet.rows {
        let (n_rows, agree, count) = apps.entry(of(row)).or_insert((0, true, row.replicas));
        *n_rows += 1;
        *agree &= *count == row.replicas && row.machines.len() == 1;
    }
    let repeated = |row: &Row| {
        let (n_rows, agree, count) = apps.get(&of(row)).copied().unwrap_or_default();
        agree && n_rows > 1 && count == n_rows
    };
    let settled: Vec<u64> =
        sheet.rows.iter().filter(|row| repeated(row)).map(|row| row.number).collect();
    if settled.is_empty() {
        return;
    }
    for row in sheet.rows.iter_mut().filter(|row| settled.binary_search(&row.number).is_ok()) {
        row.replicas = 1;
    }
    sheet.assumed.push(format!(
        "{} rows repeat how many replicas their app has in all, and are one each",
        settled.len()
    ));
}
