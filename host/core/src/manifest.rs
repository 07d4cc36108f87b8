//! What a developer says about an app: the content of `steerage.toml`, read and checked.
//! Does not know TOML or files: the host reads those and reports mistakes by their place.

mod capture;
mod instance;
mod placement;
mod spin;
mod variables;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::num::NonZeroU32;

use crate::id::{AppName, DatabaseLabel, Digest, StoreLabel, TenantName};
use crate::key_value::MOST_STORES;
use crate::limits::{Limits, Violation};
use crate::objective::Objective;
use crate::outbound::AllowedHost;
use crate::quote::Quoted;
use crate::route::Route;
use crate::sql::MOST_DATABASES;
use crate::units::Weight;

pub use self::capture::{BadRedactedName, Capture, LONGEST_REDACTED, MOST_REDACTED, RedactedName};
pub use self::instance::{BadFresh, Fresh, Instance, ReuseStats};
pub use self::placement::{HIGHEST_PRIORITY, LONGEST_LABEL, MAX_REPLICAS, Placement, check_label};
pub use self::spin::{
    BadSpinComponent, LONGEST_COMPONENT, MOST_COMPONENTS, SpinComponent, check_component,
    check_component_count,
};
pub use self::variables::{
    BadSecret, BadTemplate, BadVariableName, LARGEST_SECRET, LONGEST_VARIABLE, MOST_SECRETS,
    SHORTEST_HIDDEN, Template, Variable, VariableName, check_secret, check_secret_count,
};

/// Everything a developer says about one app.
///
/// The fields are public because a manifest is data; [`Manifest::check`] states what holds of one
/// that the host accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The app's name.
    pub name: AppName,
    /// Whose app it is.
    pub tenant: TenantName,
    /// The developer's own version of the app: free text, only ever shown.
    pub version: String,
    /// What the app is for, only ever shown.
    pub description: Option<String>,
    /// The path of the component, relative to the manifest's directory or absolute.
    pub source: String,
    /// What the component's digest has to be; `None` accepts whatever `source` holds.
    pub sha256: Option<Digest>,
    /// Where the app answers.
    pub routes: Vec<Route>,
    /// What it may use.
    pub limits: Limits,
    /// How its instances live.
    pub instance: Instance,
    /// Its share of a busy host.
    pub weight: Weight,
    /// The environment its guests see, but for what has secrets in it.
    pub env: BTreeMap<String, String>,
    /// The rest of it: values that are known only where the app runs.
    pub secret_env: BTreeMap<String, Template>,
    /// The variables that values are made of.
    pub variables: BTreeMap<VariableName, Variable>,
    /// What its guests may call; empty means nothing.
    pub allowed_outbound_hosts: Vec<AllowedHost>,
    /// The key-value stores its guests may open; one that is not named here is not theirs.
    pub key_value_stores: Vec<StoreLabel>,
    /// The SQL databases its guests may open; one that is not named here is not theirs.
    pub sqlite_databases: Vec<DatabaseLabel>,
    /// Where it may run in a fleet.
    pub placement: Placement,
    /// What it promises its callers.
    pub objective: Objective,
    /// What is kept of calls that fail.
    pub capture: Capture,
    /// How `source` is made.
    pub build: Build,
    /// What it is in a Spin app; `None` where it is of none.
    pub spin: Option<SpinComponent>,
}

/// How an app's component is made on its developer's machine; a host does not read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// The shell command that makes it; `None` leaves it to cargo.
    pub command: Option<String>,
    /// Paths and patterns, relative to the manifest's directory, of what it is made from; empty for
    /// all of the directory.
    pub watch: Vec<String>,
}

/// The version of an app that does not say: lower than any that does.
pub const DEFAULT_VERSION: &str = "0.0.0";
/// The most routes of one app: lookups slow down with routes that resemble each other, and one
/// app must not be able to slow down those of others by much.
pub const MAX_ROUTES: usize = 100;
/// The most calls one instance may serve, after which even a guest that leaks starts afresh.
pub const MAX_REUSE: u32 = 1_000_000;
/// The most bytes of `version`: room for a Git describe.
pub const LONGEST_VERSION: usize = 64;
/// The most bytes of `description`: a line or two of a list.
pub const LONGEST_DESCRIPTION: usize = 500;
/// The most bytes of all names and values in `env` together; a guest gets them in each call.
pub const LARGEST_ENV: usize = 64 << 10;

/// A rule that a manifest breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// There is nothing to show as version.
    #[error("version is {}: expected 1 to {LONGEST_VERSION} bytes on one line", Quoted(.0))]
    Version(String),
    /// The description is overlong.
    #[error("description has {0} bytes: at most {LONGEST_DESCRIPTION} are allowed")]
    Description(usize),
    /// The source is no path.
    #[error("source is {}: expected the path of a component", Quoted(.0))]
    Source(String),
    /// The source is a URL.
    #[error(
        "source is {}: expected the path of a component, not a URL; download it first and write \
         sha256 beside it to be sure of it",
        Quoted(.0)
    )]
    SourceUrl(String),
    /// Nobody could reach the app.
    #[error("there is no route: at least one is needed")]
    NoRoute,
    /// There are too many routes.
    #[error("there are {0} routes: at most {MAX_ROUTES} are allowed")]
    Routes(usize),
    /// Two routes match the same requests.
    #[error("route {second} answers the same requests as route {first}")]
    Duplicate {
        /// The one that is written first.
        first: Route,
        /// The one that is written later.
        second: Route,
    },
    /// A limit is out of bounds.
    #[error(transparent)]
    Limit(#[from] Violation),
    /// An instance would be used too often.
    #[error("reuse is {0}: at most {MAX_REUSE} is allowed")]
    Reuse(u32),
    /// A name in the environment is not one.
    #[error(
        "{} is not the name of a variable: expected letters, digits and _, not starting with a \
         digit",
        Quoted(.0)
    )]
    EnvName(String),
    /// A name in the environment is one that requests set.
    #[error(
        "{0} is set by each request of a CGI program (RFC 3875), as are HTTP_* and others: choose \
         another name"
    )]
    EnvOfRequests(String),
    /// A value in the environment cannot be passed on.
    #[error("the value of {0} has a NUL character")]
    EnvValue(String),
    /// The environment is too large.
    #[error("env has {0} bytes: at most {LARGEST_ENV} are allowed")]
    EnvSize(usize),
    /// A label is not one.
    #[error("{}", placement::shown(.0))]
    Label(String),
    /// Fewer replicas at most than at least.
    #[error("max is {max}: at least min, which is {min}")]
    Replicas {
        /// Fewest.
        min: u32,
        /// Most.
        max: u32,
    },
    /// The command is empty or cannot be passed on.
    #[error("the build command is {}: expected a shell command", Quoted(.0))]
    Build(String),
    /// There are too many stores.
    #[error("there are {0} key_value_stores: at most {MOST_STORES} are allowed")]
    Stores(usize),
    /// There are too many secrets.
    #[error("{0} variables are secret: at most {MOST_SECRETS} are allowed")]
    Secrets(usize),
    /// There are too many databases.
    #[error("there are {0} sqlite_databases: at most {MOST_DATABASES} are allowed")]
    Databases(usize),
    /// Too many names are declared secret.
    #[error("redact has {0} names: at most {MOST_REDACTED} are allowed")]
    Redact(usize),
    /// What it says of the Spin app that it is of cannot stand.
    #[error(transparent)]
    Spin(#[from] BadSpinComponent),
    /// What is to be watched is no path.
    #[error("watch has {}: expected a path or a pattern, such as src/**/*.ts", Quoted(.0))]
    Watch(String),
}

impl Manifest {
    /// Every rule the manifest breaks; none for one that a host accepts.
    #[must_use]
    pub fn check(&self) -> Vec<Broken> {
        let mut broken = Vec::new();
        broken.extend(check_version(&self.version));
        broken.extend(self.description.as_deref().and_then(check_description));
        broken.extend(check_source(&self.source));
        if self.routes.is_empty() {
            broken.push(Broken::NoRoute);
        }
        broken.extend(check_route_count(self.routes.len()));
        broken.extend(duplicates(&self.routes).into_iter().map(|(_, duplicate)| duplicate));
        broken.extend(self.limits.check().into_iter().map(Broken::Limit));
        broken.extend(check_reuse(self.instance.reuse));
        for (name, value) in &self.env {
            broken.extend(check_env(name, value));
            broken.extend(check_env_of_requests(name));
        }
        for name in self.secret_env.keys() {
            broken.extend(check_env(name, ""));
            broken.extend(check_env_of_requests(name));
        }
        broken.extend(check_env_size(&self.env));
        broken.extend(check_secret_count(&self.variables));
        broken.extend(check_store_count(self.key_value_stores.len()));
        broken.extend(check_database_count(self.sqlite_databases.len()));
        broken.extend(check_replicas(self.placement.min, self.placement.max));
        let labels = &self.placement.labels;
        broken.extend(labels.keys().chain(labels.values()).filter_map(|text| check_label(text)));
        broken.extend(check_redact_count(self.capture.redact.len()));
        let components = self.spin.as_ref().map(|spin| &spin.components);
        broken.extend(
            components
                .into_iter()
                .flat_map(BTreeMap::keys)
                .filter_map(|name| check_component(name).map(Broken::Spin)),
        );
        broken
            .extend(components.and_then(|all| check_component_count(all.len())).map(Broken::Spin));
        broken.extend(self.build.command.as_deref().and_then(check_build));
        broken.extend(self.build.watch.iter().filter_map(|path| check_watch(path)));
        broken
    }
}

/// Whether there may be so many replicas.
#[must_use]
pub fn check_replicas(min: u32, max: u32) -> Option<Broken> {
    (max < min).then_some(Broken::Replicas { min, max })
}

/// Whether the text can stand as `version`.
#[must_use]
pub fn check_version(version: &str) -> Option<Broken> {
    let fits = (1..=LONGEST_VERSION).contains(&version.len());
    let broken = !fits || version.chars().any(char::is_control);
    broken.then(|| Broken::Version(version.to_owned()))
}

/// Whether the text can stand as `description`.
#[must_use]
pub fn check_description(description: &str) -> Option<Broken> {
    let bytes = description.len();
    (bytes > LONGEST_DESCRIPTION).then_some(Broken::Description(bytes))
}

/// Whether the text can stand as `source`.
///
/// Any path will do: the manifest is read on the developer's own machine, and a host only ever
/// sees the bytes that the path led to.
#[must_use]
pub fn check_source(source: &str) -> Option<Broken> {
    if source.contains("://") {
        return Some(Broken::SourceUrl(source.to_owned()));
    }
    let broken = source.is_empty() || source.contains('\0');
    broken.then(|| Broken::Source(source.to_owned()))
}

/// Whether an app may have so many routes.
#[must_use]
pub fn check_route_count(routes: usize) -> Option<Broken> {
    (routes > MAX_ROUTES).then_some(Broken::Routes(routes))
}

/// Each route that an earlier one of the list already covers, with its place in the list.
#[must_use]
pub fn duplicates(routes: &[Route]) -> Vec<(usize, Broken)> {
    let mut first_of_shape: BTreeMap<Route, &Route> = BTreeMap::new();
    let mut duplicates = Vec::new();
    for (place, route) in routes.iter().enumerate() {
        match first_of_shape.entry(route.shape()) {
            Entry::Vacant(shape) => {
                shape.insert(route);
            }
            Entry::Occupied(shape) => {
                let (first, second) = ((*shape.get()).clone(), route.clone());
                duplicates.push((place, Broken::Duplicate { first, second }));
            }
        }
    }
    duplicates
}

/// Whether an instance may serve so many calls.
#[must_use]
pub fn check_reuse(reuse: NonZeroU32) -> Option<Broken> {
    (reuse.get() > MAX_REUSE).then_some(Broken::Reuse(reuse.get()))
}

/// Whether a variable of this name and value can be given to a guest.
#[must_use]
pub fn check_env(name: &str, value: &str) -> Option<Broken> {
    let well_formed = !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !well_formed {
        Some(Broken::EnvName(name.to_owned()))
    } else if value.contains('\0') {
        Some(Broken::EnvValue(name.to_owned()))
    } else {
        None
    }
}

/// Variables that a request sets in a CGI program, beside HTTP_*: those of RFC 3875, 4.1, and two that
/// all servers add.
const OF_REQUESTS: [&str; 19] = [
    "AUTH_TYPE",
    "CONTENT_LENGTH",
    "CONTENT_TYPE",
    "GATEWAY_INTERFACE",
    "HTTPS",
    "PATH_INFO",
    "PATH_TRANSLATED",
    "QUERY_STRING",
    "REMOTE_ADDR",
    "REMOTE_HOST",
    "REMOTE_IDENT",
    "REMOTE_USER",
    "REQUEST_METHOD",
    "REQUEST_URI",
    "SCRIPT_NAME",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_PROTOCOL",
    "SERVER_SOFTWARE",
];

/// Whether an app may name a variable so that requests do not set themselves. It holds for guests that
/// are no CGI programs as well: a manifest says nothing of the kind of its component.
#[must_use]
pub fn check_env_of_requests(name: &str) -> Option<Broken> {
    let is_of_requests = name.starts_with("HTTP_") || OF_REQUESTS.contains(&name);
    is_of_requests.then(|| Broken::EnvOfRequests(name.to_owned()))
}

/// Whether an environment of this size can be given to a guest.
#[must_use]
pub fn check_env_size(env: &BTreeMap<String, String>) -> Option<Broken> {
    let bytes: usize = env.iter().map(|(name, value)| name.len() + value.len()).sum();
    (bytes > LARGEST_ENV).then_some(Broken::EnvSize(bytes))
}

/// Whether an app may have so many key-value stores.
#[must_use]
pub fn check_store_count(stores: usize) -> Option<Broken> {
    (stores > MOST_STORES).then_some(Broken::Stores(stores))
}

/// Whether an app may have so many SQL databases.
#[must_use]
pub fn check_database_count(databases: usize) -> Option<Broken> {
    (databases > MOST_DATABASES).then_some(Broken::Databases(databases))
}

/// Whether so many names may be declared secret.
#[must_use]
pub fn check_redact_count(names: usize) -> Option<Broken> {
    (names > MOST_REDACTED).then_some(Broken::Redact(names))
}

/// Whether the text can be given to a shell.
#[must_use]
pub fn check_build(command: &str) -> Option<Broken> {
    let broken = command.trim().is_empty() || command.contains('\0');
    broken.then(|| Broken::Build(command.to_owned()))
}

/// Whether the text can name what is to be watched.
#[must_use]
pub fn check_watch(path: &str) -> Option<Broken> {
    let broken = path.is_empty() || path.contains('\0') || path.contains("://");
    broken.then(|| Broken::Watch(path.to_owned()))
}

#[cfg(test)]
mod tests;
