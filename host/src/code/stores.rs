//! What guests keep between calls, of all apps of a host, and what of it each app has.
//! Keeps nothing: `key_value` and `sql` do.

use std::sync::Arc;

use steerage_core::manifest::Manifest;

use crate::flow::Flow;
use crate::key_value::{AppStores, KeyValueStores, StoreOwner, WriteCharge};
use crate::sql::{AppDatabases, DatabaseOwner, Databases};

/// What guests keep between calls.
#[derive(Clone, Debug)]
pub struct GuestStores {
    /// In key-value stores.
    pub pairs: KeyValueStores,
    /// In SQL databases.
    pub databases: Databases,
}

impl GuestStores {
    /// The key-value stores that a manifest names; `None` where it names none.
    pub(super) fn stores_of(
        &self,
        manifest: &Manifest,
        flow: &Arc<Flow>,
    ) -> Option<Arc<AppStores>> {
        if manifest.key_value_stores.is_empty() {
            return None;
        }
        let owner = StoreOwner { tenant: manifest.tenant.clone(), app: manifest.name.clone() };
        let flow = flow.clone();
        let charge = WriteCharge::to(move |used| flow.charge_io(used));
        let labels = manifest.key_value_stores.iter().cloned();
        Some(Arc::new(self.pairs.of_app(owner, labels, charge)))
    }

    /// The SQL databases that it names. What they take is charged as what its guests compute.
    pub(super) fn databases_of(&self, manifest: &Manifest) -> Option<Arc<AppDatabases>> {
        if manifest.sqlite_databases.is_empty() {
            return None;
        }
        let owner = DatabaseOwner { tenant: manifest.tenant.clone(), app: manifest.name.clone() };
        let labels = manifest.sqlite_databases.iter().cloned();
        Some(Arc::new(self.databases.of_app(owner, labels)))
    }
}
