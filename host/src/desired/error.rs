//! Why what an operator asked for was not written down as what shall run.
//! Does not know how this is told; the API does.

use steerage_core::id::{AppName, Digest, HostName, TenantName};
use steerage_core::manifest::{MOST_SECRETS, VariableName};
use steerage_core::revoked::MOST_HOSTS;
use steerage_core::route::Conflict;

use crate::agent::ApplyError;
use crate::blobs::BlobError;
use crate::code::{CodeError, SecretTrouble};
use crate::fleet::keys;
use crate::ledger::LedgerError;
use crate::manifest::Mistakes;
use crate::seal::Unsealable;
use crate::store::StoreError;

/// Why certificates were not revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// There are none.
    #[error(
        "no certificates are used here, as this host is alone or was started with --insecure-peers: there is \
         nothing to revoke"
    )]
    NoCertificates,
    /// It is the host that was asked.
    #[error(
        "{0} is the host that was asked, and would cut itself off: ask another one (--url), or say --force"
    )]
    Itself(HostName),
    /// No other host would be left.
    #[error(
        "{0} is the last host of the fleet: without it nobody is left; say --force to revoke it anyway"
    )]
    Last(HostName),
    /// Nobody knows it.
    #[error(
        "no host named {name} is known; there are {known}; say --force to revoke what {name} may have"
    )]
    Unknown {
        /// What was said.
        name: HostName,
        /// The hosts there are.
        known: String,
    },
    /// There is no room for more.
    #[error(
        "certificates of {MOST_HOSTS} hosts are revoked, and there is no room for more: make another \
             authority, and all are void"
    )]
    Full,
}

/// Why a change was not made. Nothing has changed then, but for [`DeployError::Unsure`].
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// This host cannot run it, or cannot keep it.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The manifest is for another app than the one named.
    #[error("the manifest is for app {manifest}, not {asked}")]
    OtherApp {
        /// The name in the manifest.
        manifest: AppName,
        /// The name asked for.
        asked: AppName,
    },
    /// The app is another tenant's.
    #[error(
        "app {app} belongs to tenant `{owner}`, and the manifest says `{tenant}`; to give it to that \
         tenant, deploy it with --change-tenant"
    )]
    OtherTenant {
        /// The app.
        app: AppName,
        /// Whose it is.
        owner: TenantName,
        /// Whose it would be.
        tenant: TenantName,
    },
    /// The manifest says which component it wants, and this is another.
    #[error("the component is {found}, the manifest demands {wanted}")]
    OtherComponent {
        /// What the manifest demands.
        wanted: Digest,
        /// What was to be deployed.
        found: Digest,
    },
    /// The manifest names what this host does not keep.
    #[error("the manifest names {key}: {why}")]
    NoStores {
        /// The key by which it does.
        key: &'static str,
        /// Why the host does not.
        why: &'static str,
    },
    /// A secret cannot be had, or not be kept.
    #[error(transparent)]
    Secret(#[from] SecretTrouble),
    /// The system gives no random bytes.
    #[error("secret {name} of {app} cannot be sealed: {source}")]
    Unsealable {
        /// The app.
        app: AppName,
        /// The secret.
        name: VariableName,
        /// Why.
        source: Unsealable,
    },
    /// There is no such secret.
    #[error("{app} has no secret {name}; it has {known}")]
    NoSecret {
        /// The app.
        app: AppName,
        /// What was asked for.
        name: VariableName,
        /// What there is.
        known: String,
    },
    /// It is needed.
    #[error(
        "secret {name} is used by deployment {generation} of {app}: deploy one that does without it first, or set \
         another value"
    )]
    SecretUsed {
        /// The app.
        app: AppName,
        /// The secret.
        name: VariableName,
        /// What uses it.
        generation: u64,
    },
    /// There are too many.
    #[error("{app} has {MOST_SECRETS} secrets, which is the most: delete one first")]
    ManySecrets {
        /// The app.
        app: AppName,
    },
    /// The component has not been uploaded.
    #[error("no component {0} on this host; upload it first")]
    NoComponent(Digest),
    /// There is no such app.
    #[error("no app named {0} is deployed")]
    NoApp(AppName),
    /// There is no such deployment to go back to.
    #[error("app {app} has no deployment {wanted} to go back to; it has {known}")]
    NoDeployment {
        /// The app.
        app: AppName,
        /// What was asked for.
        wanted: String,
        /// What there is.
        known: String,
    },
    /// There is nothing that a canary could be compared with.
    #[error(
        "no app named {0} is deployed that a canary could be tried beside; deploy it without one"
    )]
    CanaryOfNothing(AppName),
    /// A host's certificates cannot be revoked.
    #[error(transparent)]
    Revoke(#[from] RevokeError),
    /// One deployment is on trial already.
    #[error(
        "deployment {generation} of {app} is on trial already; promote it or roll it back first"
    )]
    CanaryRuns {
        /// The app.
        app: AppName,
        /// The deployment on trial.
        generation: u64,
    },
    /// None is.
    #[error("no deployment of {0} is on trial")]
    NoCanary(AppName),
    /// The store was asked to make it durable and did not say whether it has: it may have happened.
    #[error(
        "the store did not say whether it took the change of {app}: {source}; see `steerage show {app}` \
         before you try again"
    )]
    Unsure {
        /// The app.
        app: AppName,
        /// What the store said, or did not say.
        source: StoreError,
    },
    /// The deployment that was to be rolled back has been before, by the fleet itself.
    #[error(
        "deployment {rolled_back} of {app} was rolled back already, since it did worse: deployment \
         {current} has all calls; to go back behind that one, say which it shall be: \
         `steerage rollback {app} --to N`"
    )]
    CanaryRolledBack {
        /// The app.
        app: AppName,
        /// The deployment that was on trial, or had all calls.
        rolled_back: u64,
        /// The one that is served.
        current: u64,
    },
}

impl DeployError {
    /// Why a commit about an app came to nothing, if it did.
    pub(super) fn of_commit(app: &AppName, error: StoreError) -> Self {
        match error {
            StoreError::Away { .. } => Self::Unsure { app: app.clone(), source: error },
            error => error.into(),
        }
    }

    /// Others have changed the app each time that it was tried.
    pub(super) fn overtaken(app: &AppName) -> Self {
        StoreError::Conflict { key: Some(keys::app(app)) }.into()
    }

    /// Something in the store that this host cannot read.
    pub(super) fn damaged(what: impl ToString) -> Self {
        StoreError::Damaged { what: what.to_string() }.into()
    }

    /// Whether it may have been made all the same, so that what it needs must stay.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Self::Unsure { .. })
    }
}

impl From<StoreError> for DeployError {
    fn from(error: StoreError) -> Self {
        Self::Apply(error.into())
    }
}

impl From<LedgerError> for DeployError {
    fn from(error: LedgerError) -> Self {
        Self::Apply(error.into())
    }
}

impl From<BlobError> for DeployError {
    fn from(error: BlobError) -> Self {
        Self::Apply(error.into())
    }
}

impl From<CodeError> for DeployError {
    fn from(error: CodeError) -> Self {
        match error {
            CodeError::Secret(trouble) => Self::Secret(trouble),
            error => Self::Apply(error.into()),
        }
    }
}

impl From<Conflict> for DeployError {
    fn from(conflict: Conflict) -> Self {
        Self::Apply(conflict.into())
    }
}

impl From<Mistakes> for DeployError {
    fn from(mistakes: Mistakes) -> Self {
        Self::Apply(ApplyError::Manifest(mistakes))
    }
}
