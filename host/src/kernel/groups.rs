//! The memory limit of this process's control group, whichever version of groups there is.
//! Does not know what else a group limits.

use std::fs;
use std::path::Path;

use steerage_core::units::Bytes;

/// The least limit of the group this process is in and of all groups above it.
///
/// `root` is where the file system starts, so that a test can make its own. In a container the
/// group's path is often that of the machine, while only the container's own files are there: what
/// is not there is skipped, and the topmost files are the container's.
pub(super) fn memory_limit(root: &Path) -> Option<Bytes> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().filter_map(|line| {
        // `4:memory:/path` of version 1, `0::/path` of version 2.
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let mounted = root.join("sys/fs/cgroup");
        if controllers.is_empty() {
            // Where both versions are in use, the second is mounted below the first.
            let limits = [&mounted, &mounted.join("unified")];
            limits.into_iter().filter_map(|from| least(from, path, "memory.max")).min()
        } else if controllers.split(',').any(|controller| controller == "memory") {
            least(&mounted.join("memory"), path, "memory.limit_in_bytes")
        } else {
            None
        }
    });
    limits.min()
}

fn least(mounted: &Path, path: &str, file: &str) -> Option<Bytes> {
    let group = Path::new(path.trim_start_matches('/'));
    let limits = group.ancestors().filter_map(|group| {
        let text = fs::read_to_string(mounted.join(group).join(file)).ok()?;
        // No limit is `max` in version 2 and a number beyond any memory in version 1.
        text.trim().parse().ok().map(Bytes::new)
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(groups: &str, files: &[(&str, &str)]) -> Option<Bytes> {
        let root = tempfile::tempdir().unwrap();
        let cgroup = ("proc/self/cgroup", groups);
        for (path, text) in files.iter().chain([&cgroup]) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        memory_limit(root.path())
    }

    #[test]
    fn the_least_limit_on_the_way_up_counts() {
        let files = [
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/a/memory.max", "1048576\n"),
        ];
        assert_eq!(limit("0::/a/b\n", &files), Some(Bytes::mebi(1)));
        assert_eq!(limit("0::/a/b\n", &files[..1]), None);
    }

    #[test]
    fn version_1_has_its_own_files() {
        let files = [("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "2097152\n")];
        assert_eq!(limit("9:cpu:/a\n4:memory:/a\n0::/\n", &files), Some(Bytes::mebi(2)));
    }

    #[test]
    fn in_a_container_the_topmost_files_are_its_own() {
        let files = [("sys/fs/cgroup/memory.max", "3145728\n")];
        assert_eq!(limit("0::/system.slice/docker-1\n", &files), Some(Bytes::mebi(3)));
        assert_eq!(limit("", &files), None);
    }
}
