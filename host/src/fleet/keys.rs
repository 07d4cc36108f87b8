//! The keys of the store, and who alone writes each: `desired/` and `fleet/` the module `desired`, as
//! operators say it, `assigned/` and `plans/` placement, `observed/` the host it names.
//! Does not know what is kept under them: `record` does.

use steerage_core::id::{AppName, Generation, HostName};
use steerage_core::manifest::VariableName;
use steerage_core::route::Route;

/// Below this stands what the store says of the fleet itself.
pub const FLEET: &str = "fleet/";
/// Which fleet it is; the first host of it writes this.
pub const MARK: &str = "fleet/mark";
/// That operators want nothing to be planned.
pub const FREEZE: &str = "fleet/freeze";
/// Of which hosts the certificates are revoked; what stands there is never deleted.
pub const REVOKED: &str = "fleet/revoked/";
/// What operators want of each app.
pub const APPS: &str = "desired/apps/";
/// Which apps operators have removed.
pub const REMOVED: &str = "desired/removed/";
/// The highest generation each app ever had.
pub const LAST: &str = "desired/last/";
/// The secrets of each app, sealed. Hosts read those of the apps that they run, and keep none in their views.
pub const SECRETS: &str = "desired/secrets/";
/// What operators want of each host.
pub const HOSTS_WANTED: &str = "desired/hosts/";
/// Where each app shall run.
pub const ASSIGNED: &str = "assigned/";
/// The last plans, for whoever wants to know why.
pub const PLANS: &str = "plans/";
/// The hosts that are there.
pub const HOSTS: &str = "observed/hosts/";
/// Which host has which app's code at hand.
pub const READY: &str = "observed/ready/";
/// What apps use on each host, as hosts of earlier versions tell it and read it.
pub const USE: &str = "observed/use/";
/// Written and deleted by a host that wants to know when it has heard of all that came before.
const HEARD: &str = "observed/heard/";

/// What operators want of an app.
#[must_use]
pub fn app(app: &AppName) -> String {
    format!("{APPS}{app}")
}

/// The deployments of an app that are kept.
#[must_use]
pub fn deployments(app: &AppName) -> String {
    format!("desired/deployments/{app}/")
}

/// One deployment; its number is padded so that keys stand in order.
#[must_use]
pub fn deployment(app: &AppName, generation: Generation) -> String {
    format!("{}{:020}", deployments(app), generation.get())
}

/// The highest generation an app of this name ever had.
#[must_use]
pub fn last(app: &AppName) -> String {
    format!("{LAST}{app}")
}

/// That an app was removed.
#[must_use]
pub fn removed(app: &AppName) -> String {
    format!("{REMOVED}{app}")
}

/// The secrets of an app.
#[must_use]
pub fn secrets(app: &AppName) -> String {
    format!("{SECRETS}{app}/")
}

/// One secret of an app.
#[must_use]
pub fn secret(app: &AppName, name: &VariableName) -> String {
    format!("{SECRETS}{app}/{name}")
}

/// The app that a secret under this key belongs to, if it is one.
#[must_use]
pub fn app_of_secret(key: &str) -> Option<AppName> {
    key.strip_prefix(SECRETS)?.split_once('/')?.0.parse().ok()
}

/// Whose a route is. Routes that answer the same requests have one key, whatever their parameters
/// are called.
#[must_use]
pub fn route(route: &Route) -> String {
    let text = route.to_string();
    let parts = text.split('/').map(|part| if part.starts_with(':') { ":" } else { part });
    format!("desired/routes/{}", parts.collect::<Vec<_>>().join("/"))
}

/// That a host's certificates are revoked.
#[must_use]
pub fn revoked(host: &HostName) -> String {
    format!("{REVOKED}{host}")
}

/// What operators want of a host.
#[must_use]
pub fn host_wanted(host: &HostName) -> String {
    format!("{HOSTS_WANTED}{host}")
}

/// Where an app shall run.
#[must_use]
pub fn assigned(app: &AppName) -> String {
    format!("{ASSIGNED}{app}")
}

/// A plan; its number is padded so that keys stand in order.
#[must_use]
pub fn plan(number: u32) -> String {
    format!("{PLANS}{number:010}")
}

/// A host that is there.
#[must_use]
pub fn host(host: &HostName) -> String {
    format!("{HOSTS}{host}")
}

/// That a host has an app's code at hand.
#[must_use]
pub fn ready(host: &HostName, app: &AppName) -> String {
    format!("{READY}{host}/{app}")
}

/// What apps use on a host, in parts that count from 0, for hosts of earlier versions.
#[must_use]
pub fn usage(host: &HostName, part: u32) -> String {
    format!("{USE}{host}/{part}")
}

/// What a host writes to know when it has heard of all that came before.
#[must_use]
pub fn heard(host: &HostName) -> String {
    format!("{HEARD}{host}")
}
