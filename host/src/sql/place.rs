//! Where databases are: one file for each, below the names of their tenant and app.
//! Does not open them. Names have the form of DNS labels, so that none leads out of its folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use steerage_core::id::{AppName, DatabaseLabel, TenantName};

/// The folder in a data folder.
pub(super) const FOLDER: &str = "sql";
/// What the name of each file ends with.
const SUFFIX: &str = ".sqlite";
/// What the engine keeps beside a database: what was written and is not in it yet, and an index of that.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// Whose databases they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DatabaseOwner {
    /// The tenant. The same name of another tenant's app is another owner.
    pub tenant: TenantName,
    /// The app.
    pub app: AppName,
}

impl DatabaseOwner {
    /// The folder of its databases.
    pub(super) fn folder(&self, data: &Path) -> PathBuf {
        data.join(FOLDER).join(self.tenant.as_str()).join(self.app.as_str())
    }

    /// The file of one.
    pub(super) fn file(&self, data: &Path, label: &DatabaseLabel) -> PathBuf {
        self.folder(data).join(format!("{label}{SUFFIX}"))
    }

    /// Those that there are, and how many bytes each has on the disk, in their order.
    pub(super) fn databases(&self, data: &Path) -> io::Result<Vec<(DatabaseLabel, u64)>> {
        let mut found = Vec::new();
        for name in names(&self.folder(data))? {
            let Some(label) = name.strip_suffix(SUFFIX).and_then(|label| label.parse().ok()) else {
                continue;
            };
            let file = self.file(data, &label);
            found.push((
                label,
                size(&file) + BESIDE.map(|end| size(&beside(&file, end))).iter().sum::<u64>(),
            ));
        }
        found.sort();
        Ok(found)
    }
}

/// All who have some, or had.
pub(super) fn owners(data: &Path) -> io::Result<Vec<DatabaseOwner>> {
    let root = data.join(FOLDER);
    let mut owners = Vec::new();
    for tenant in names(&root)? {
        for app in names(&root.join(&tenant))? {
            if let (Ok(tenant), Ok(app)) = (tenant.parse(), app.parse()) {
                owners.push(DatabaseOwner { tenant, app });
            }
        }
    }
    owners.sort();
    Ok(owners)
}

/// What was written to a database and is not in its file yet.
pub(super) fn waiting_bytes(file: &Path) -> u64 {
    size(&beside(file, "-wal"))
}

/// Removes a database that nobody has open.
pub(super) fn remove(file: &Path) -> io::Result<()> {
    fs::remove_file(file)?;
    for end in BESIDE {
        match fs::remove_file(beside(file, end)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn size(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}

/// What is in a folder; nothing where it is not there.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
    names.filter_map(io::Result::transpose).collect()
}
