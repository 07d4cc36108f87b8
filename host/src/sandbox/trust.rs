//! Whether a place on the disk can be trusted with code that will be mapped and run: nobody but this
//! user and root may write there, nor exchange a folder above it.
//! Does not look into files.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Write permission of a group and of everybody.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// The same for folders above: there a group may be trusted that its users chose, as where everybody
/// has a group of their own.
const WRITABLE_BY_ALL: u32 = 0o002;
/// Others may write into such a folder, but not rename or remove what is not theirs.
const STICKY: u32 = 0o1000;

/// The true path of a folder that can be trusted: no link stands in it.
///
/// # Errors
/// Names the folder, of this or those above, that others can change, and what to do.
pub(super) fn trusted_folder(folder: &Path) -> io::Result<PathBuf> {
    let folder = folder.canonicalize()?;
    for part in folder.ancestors() {
        let metadata = fs::metadata(part)?;
        let wrong = match (part == folder, metadata.mode() & STICKY != 0) {
            (true, _) => WRITABLE_BY_OTHERS,
            (false, false) => WRITABLE_BY_ALL,
            (false, true) => 0,
        };
        check(part, &metadata, wrong)?;
    }
    Ok(folder)
}

/// Checks a file in a folder that is trusted.
///
/// # Errors
/// It is a link or no file, or others can change it.
pub(super) fn check_file(file: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(file)?;
    if !metadata.is_file() {
        return Err(untrusted(file, "is no plain file; remove it"));
    }
    check(file, &metadata, WRITABLE_BY_OTHERS)
}

fn check(path: &Path, metadata: &Metadata, wrong: u32) -> io::Result<()> {
    let (own, owner, mode) = (own_user(), metadata.uid(), metadata.mode() & 0o7777);
    if owner != own && owner != 0 {
        let detail = format!("belongs to user {owner}, and this is user {own}; chown it");
        return Err(untrusted(path, &detail));
    }
    if mode & wrong != 0 {
        let detail = format!("can be written by others (mode {mode:04o}); chmod it");
        return Err(untrusted(path, &detail));
    }
    Ok(())
}

fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn untrusted(path: &Path, detail: &str) -> io::Error {
    let text = format!("{} {detail}: code that is kept there is run by this host", path.display());
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_folder_that_others_can_write_is_not_trusted_nor_what_is_below_it() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("inner");
        fs::create_dir(&inner).unwrap();
        set_mode(&inner, 0o755);
        assert_eq!(trusted_folder(&inner).unwrap(), inner.canonicalize().unwrap());
        for (which, mode) in [(inner.as_path(), 0o777), (&inner, 0o770), (outer.path(), 0o777)] {
            set_mode(which, mode);
            let error = trusted_folder(&inner).unwrap_err().to_string();
            assert!(error.contains(&format!("mode {mode:04o}")), "{error}");
            set_mode(which, 0o755);
        }
        // As /tmp is.
        set_mode(outer.path(), 0o1777);
        assert!(trusted_folder(&inner).is_ok());
        set_mode(&inner, 0o1777);
        assert!(trusted_folder(&inner).is_err(), "others may add files to it");
    }

    #[test]
    fn links_are_not_followed_to_code() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "code").unwrap();
        symlink(&file, &link).unwrap();
        assert!(check_file(&file).is_ok());
        assert!(check_file(&link).is_err());
        set_mode(&file, 0o666);
        assert!(check_file(&file).is_err());
    }
}
