//! The lines in which two texts differ. Does not know what they are.

/// The lines that are gone and those that are new, in their order: as few as can be.
pub(super) fn difference(before: &str, after: &str) -> String {
    let (before, after): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    // How many lines are common behind each pair of places, the last pair first.
    let mut common: Vec<Vec<usize>> = vec![vec![0; after.len() + 1]];
    for old in before.iter().rev() {
        let below = common.last().cloned().unwrap_or_default();
        let mut row = vec![0; after.len() + 1];
        for (place, new) in after.iter().enumerate().rev() {
            let at = |row: &[usize], place: usize| row.get(place).copied().unwrap_or(0);
            let most = if old == new {
                at(&below, place + 1) + 1
            } else {
                at(&below, place).max(at(&row, place + 1))
            };
            if let Some(cell) = row.get_mut(place) {
                *cell = most;
            }
        }
        common.push(row);
    }
    common.reverse();
    let n_common = |one: usize, other: usize| {
        common.get(one).and_then(|row| row.get(other)).copied().unwrap_or(0)
    };
    let (mut lines, mut one, mut other) = (Vec::new(), 0, 0);
    loop {
        match (before.get(one), after.get(other)) {
            (None, None) => return lines.join("\n"),
            (Some(old), Some(new)) if old == new => (one, other) = (one + 1, other + 1),
            (Some(old), new)
                if new.is_none() || n_common(one + 1, other) >= n_common(one, other + 1) =>
            {
                lines.push(format!("-{old}"));
                one += 1;
            }
            (_, Some(new)) => {
                lines.push(format!("+{new}"));
                other += 1;
            }
            (Some(_), None) => one += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_differ_are_told() {
        assert_eq!(difference("a\n\nb\n\nc\n", "a\n\nb\n\nc\n"), "");
        assert_eq!(difference("a\n\nb\n\nc\n", "a\n\nd\n\nc\n\ne\n"), "-b\n+d\n+\n+e");
        assert_eq!(difference("a\nb", ""), "-a\n-b");
        assert_eq!(difference("", "a"), "+a");
    }
}
