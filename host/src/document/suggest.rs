//! What somebody may have meant by a key that does not exist.
//! Does not correct anything: it only words the refusal.

/// The message for a key that the section does not have, where it is like one that there is.
///
/// `sections` lists every section's name and keys, the top of the file under an empty name.
pub(crate) fn for_unknown(
    key: &str,
    section: &str,
    sections: &[(&str, &[&str])],
) -> Option<String> {
    let plain = key.to_lowercase().replace('-', "_");
    let here = sections.iter().find_map(|&(name, keys)| (name == section).then_some(keys));
    let here = here.unwrap_or_default();
    if let Some(near) = nearest(&plain, here) {
        return Some(format!("unknown key, did you mean {near}?"));
    }
    let elsewhere = sections.iter().filter(|(name, _)| *name != section);
    for (name, keys) in elsewhere {
        if keys.contains(&plain.as_str()) {
            return Some(match *name {
                "" => format!("unknown key here, {plain} belongs above the first [table]"),
                "route" => format!("unknown key here, {plain} belongs into [[route]]"),
                name => format!("unknown key here, {plain} belongs into [{name}]"),
            });
        }
    }
    None
}

/// What to write instead of a key that is like none: any of these.
pub(crate) fn listed(section: &str, sections: &[(&str, &[&str])]) -> String {
    let here = sections.iter().find_map(|&(name, keys)| (name == section).then_some(keys));
    format!("unknown key, expected one of {}", here.unwrap_or_default().join(", "))
}

/// The key with the fewest slips between, if they are few for its length.
fn nearest<'k>(plain: &str, keys: &[&'k str]) -> Option<&'k str> {
    let bearable = |key: &str| key.len().div_ceil(4).min(3);
    let slips = |key: &'k str| {
        // Comparing lengths first spares the work for keys of absurd length.
        let close = plain.len().abs_diff(key.len()) <= bearable(key);
        close.then(|| (distance(plain, key), key)).filter(|&(slips, _)| slips <= bearable(key))
    };
    let near = keys.iter().filter_map(|&key| slips(key)).min_by_key(|&(slips, _)| slips);
    near.map(|(_, key)| key)
}

/// How many letters must be put in, left out, replaced or swapped with their neighbour.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    // Distances from the letters before this one and before the last one to each start of `to`.
    let mut previous: Vec<usize> = Vec::new();
    let mut current: Vec<usize> = (0..=to.len()).collect();
    let mut last = None;
    for letter in from.chars() {
        let mut next = vec![current.first().map_or(0, |first| first + 1)];
        let mut last_to = None;
        for (index, &to_letter) in to.iter().enumerate() {
            let at =
                |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&current, index) + usize::from(letter != to_letter);
            let inserted = at(&next, index) + 1;
            let left_out = at(&current, index + 1) + 1;
            let mut best = replaced.min(inserted).min(left_out);
            if last == Some(to_letter) && last_to == Some(letter) && index > 0 {
                best = best.min(at(&previous, index - 1) + 1);
            }
            next.push(best);
            last_to = Some(to_letter);
        }
        previous = std::mem::replace(&mut current, next);
        last = Some(letter);
    }
    current.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_is_one_slip_and_so_is_any_other_single_change() {
        assert_eq!(distance("memroy", "memory"), 1);
        assert_eq!(distance("memry", "memory"), 1);
        assert_eq!(distance("memoryy", "memory"), 1);
        assert_eq!(distance("mamory", "memory"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
