//! What can be asked of a host about its fleet.

use http::Method;
use http::header::CONTENT_TYPE;

use super::supposed::Supposed;
use super::{CHANGE_TIMEOUT, Client, ClientError, app_path, nothing, whole};
use crate::api::wire::{
    CanaryRequest, Deployed, FleetChanged, FreezeRequest, HostSummary, Hosts, Plan, PlanDetail,
    Plans, Replicas, RevokeRequest, ScaleRequest, StandingRequest,
};

impl Client {
    /// All hosts of the fleet.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn hosts(&self) -> Result<Hosts, ClientError> {
        self.get("/v1/hosts").await
    }

    /// Says what is wanted of a host: `open`, `cordoned` or `draining`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn set_standing(
        &self,
        host: &str,
        standing: &str,
    ) -> Result<HostSummary, ClientError> {
        let request = StandingRequest { standing: standing.to_owned() };
        let path = format!("/v1/hosts/{}/standing", super::escape(host));
        self.send_json(Method::PUT, &path, &request, CHANGE_TIMEOUT).await
    }

    /// Says how many replicas an app shall have.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn scale(&self, app: &str, replicas: u32) -> Result<Replicas, ClientError> {
        let request = ScaleRequest { replicas };
        self.send_json(Method::PUT, &app_path(app, "/scale"), &request, CHANGE_TIMEOUT).await
    }

    /// Makes the deployment on trial the current one.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn promote(&self, app: &str) -> Result<Deployed, ClientError> {
        let request = self.request(Method::POST, &app_path(app, "/promote"));
        self.parse(self.send(request, nothing(), CHANGE_TIMEOUT).await?).await
    }

    /// Follows the store as it is: `adopt`; or puts the host's apps into it: `import`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn change_fleet(&self, verb: &str) -> Result<FleetChanged, ClientError> {
        let request = self.request(Method::POST, &format!("/v1/fleet/{}", super::escape(verb)));
        self.parse(self.send(request, nothing(), CHANGE_TIMEOUT).await?).await
    }

    /// Has nothing planned from now on.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn freeze(&self, why: Option<&str>) -> Result<FleetChanged, ClientError> {
        let request = FreezeRequest { why: why.map(ToOwned::to_owned) };
        self.send_json(Method::POST, "/v1/fleet/freeze", &request, CHANGE_TIMEOUT).await
    }

    /// Revokes a host's certificates.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn revoke(&self, host: &str, force: bool) -> Result<FleetChanged, ClientError> {
        let request = RevokeRequest { host: host.to_owned(), force };
        self.send_json(Method::POST, "/v1/fleet/revoke", &request, CHANGE_TIMEOUT).await
    }

    /// Takes the deployment on trial back. Asks first who is there, as [`Client::remove`] does.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn end_canary(&self, app: &str) -> Result<(), ClientError> {
        self.host().await?;
        let request = self.request(Method::DELETE, &app_path(app, "/canary"));
        self.send(request, nothing(), CHANGE_TIMEOUT).await.map(drop)
    }

    /// Has the deployment on trial take no steps, or go on.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn pause_canary(&self, app: &str, paused: bool) -> Result<(), ClientError> {
        let json =
            serde_json::to_vec(&CanaryRequest { paused }).map_err(|error| self.broken(&error))?;
        let request = self.request(Method::PUT, &app_path(app, "/canary"));
        let request = request.header(CONTENT_TYPE, "application/json");
        self.send(request, whole(json), CHANGE_TIMEOUT).await.map(drop)
    }

    /// Where an app runs.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn replicas(&self, app: &str) -> Result<Replicas, ClientError> {
        self.get(&app_path(app, "/replicas")).await
    }

    /// The last plans that changed something, the newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn plans(&self) -> Result<Plans, ClientError> {
        self.get("/v1/plans").await
    }

    /// One of them whole.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn plan_made(&self, number: u32) -> Result<PlanDetail, ClientError> {
        self.get(&format!("/v1/plans/{number}")).await
    }

    /// What would move if the fleet were planned now, or were another.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn plan(&self, supposed: &Supposed) -> Result<Plan, ClientError> {
        let with: Vec<String> = supposed.with.iter().map(ToString::to_string).collect();
        let mut query = Vec::new();
        // A host of an earlier version refuses what it does not know.
        if supposed.consolidate {
            query.push("consolidate=true".to_owned());
        }
        let (without, drained) = (supposed.without.join(","), supposed.drained.join(","));
        let lists = [("without", without), ("drained", drained), ("with", with.join(";"))];
        for (name, list) in lists {
            if !list.is_empty() {
                query.push(format!("{name}={}", super::escape(&list)));
            }
        }
        self.get(&format!("/v1/plan?{}", query.join("&"))).await
    }
}
