//! Which hosts believe which authority, as they say when they register.
//! Does not judge certificates.

use steerage_core::id::HostName;

use super::Fleet;

impl Fleet {
    /// The hosts that do not believe an authority, or do not say it.
    #[must_use]
    pub fn not_believing(&self, authority: &str) -> Vec<HostName> {
        let view = self.view();
        let without = view.all_hosts().filter(|(_, record)| !record.believes.contains(authority));
        without.map(|(host, _)| host.clone()).collect()
    }
}
