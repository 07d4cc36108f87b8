//! Where a key that stands twice stands first. The parser says only where it stands again.
//! Looks at lines, since what the parser gives back has one of the two.

use std::ops::Range;

/// The message for the key at `again`: its name, and the line of the one before.
pub(super) fn told(text: &str, again: Range<usize>) -> String {
    let key = text.get(again.clone()).unwrap_or_default();
    match first_line(text, key, again.start) {
        Some(line) => format!("duplicate key: {key} is on line {line} already"),
        None => format!("duplicate key: {key} is there already"),
    }
}

/// The line, counted from 1, that sets the key in the same table, or heads the same table.
fn first_line(text: &str, key: &str, at: usize) -> Option<usize> {
    let before = text.get(..at)?;
    let start_of_line = before.rfind('\n').map_or(0, |newline| newline + 1);
    let (above, own_line) = before.split_at_checked(start_of_line)?;
    let n_above = above.lines().count();
    // Of two in one inline table, the first is on the same line.
    if own_line.split([',', '{']).any(|part| sets(part, key)) {
        return Some(n_above + 1);
    }
    let is_header = own_line.trim_start().starts_with('[');
    let mut is_same_table = true;
    for (line, number) in above.lines().zip(1..).collect::<Vec<_>>().into_iter().rev() {
        let heads = line.trim_start().starts_with('[');
        if is_header && (heads_table(line, key) || sets(line, key)) {
            return Some(number);
        }
        if !is_header && is_same_table && sets(line, key) {
            return Some(number);
        }
        is_same_table &= !heads;
    }
    None
}

fn sets(line: &str, key: &str) -> bool {
    let rest = line.trim_start().strip_prefix(key);
    rest.is_some_and(|rest| rest.trim_start().starts_with(['=', '.']))
}

fn heads_table(line: &str, key: &str) -> bool {
    let Some(inner) = line.trim_start().strip_prefix('[') else { return false };
    let inner = inner.trim_start_matches('[');
    let name = inner.split(']').next().unwrap_or_default().trim();
    // Of `[a.b]` the parser names the last part.
    name == key || name.rsplit('.').next().is_some_and(|last| last.trim() == key)
}
