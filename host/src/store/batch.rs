//! Many changes, each with what it is guarded by, in as few commits as the store's bounds allow.
//! Does not commit them.

use super::{Commit, Guard, MOST_BYTES, MOST_WRITES, Write};

/// The changes in their order, in commits none of which has more than [`MOST_WRITES`] changes or, but
/// for a single change that is larger, [`MOST_BYTES`].
pub fn in_commits(changes: impl IntoIterator<Item = (Guard, Write)>) -> Vec<Commit> {
    let (mut commits, mut bytes) = (Vec::<Commit>::new(), 0);
    for (guard, write) in changes {
        let size = write.size();
        let is_full =
            |commit: &Commit| commit.writes.len() == MOST_WRITES || bytes + size > MOST_BYTES;
        match commits.last_mut().filter(|commit| !is_full(commit)) {
            Some(commit) => {
                commit.guards.push(guard);
                commit.writes.push(write);
                bytes += size;
            }
            None => {
                commits.push(Commit { guards: vec![guard], writes: vec![write] });
                bytes = size;
            }
        }
    }
    commits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(number: usize, n_bytes: usize) -> (Guard, Write) {
        let key = format!("assigned/{number:05}");
        let value = vec![0; n_bytes - key.len()];
        (Guard::Absent(key.clone()), Write::Put { key, value, lease: None })
    }

    /// In how many commits so many changes of so many bytes go.
    fn n_commits(n_changes: usize, n_bytes: usize) -> usize {
        let commits = in_commits((0..n_changes).map(|number| change(number, n_bytes)));
        let keys = commits.iter().flat_map(|commit| commit.writes.iter().map(Write::key));
        assert!(keys.eq((0..n_changes).map(|number| format!("assigned/{number:05}"))));
        for commit in &commits {
            super::super::check(commit).unwrap();
            assert!(commit.guards.iter().map(Guard::key).eq(commit.writes.iter().map(Write::key)));
        }
        commits.len()
    }

    #[test]
    fn commits_are_as_few_as_number_and_size_allow() {
        assert_eq!(n_commits(0, 100), 0);
        assert_eq!(n_commits(MOST_WRITES, 100), 1);
        assert_eq!(n_commits(MOST_WRITES + 1, 100), 2);
        // A hundred apps of 250 replicas each, on hosts that are named as clouds name them.
        assert_eq!(n_commits(100, 10_657), 2);
        // Three apps of nearly ten thousand replicas.
        assert_eq!(n_commits(3, 660_000), 3);
        assert_eq!(n_commits(2, MOST_BYTES), 2);
    }
}
