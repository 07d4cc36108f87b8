//! What can be asked of a host, or of all hosts of its fleet, about apps and what happened.
//! Changes nothing.

use bytes::Bytes;
use futures_util::Stream;
use http::Method;
use http_body_util::{BodyExt as _, Collected};
use steerage_core::id::CallIdPrefix;

use super::{CHANGE_TIMEOUT, Client, ClientError, app_path, escape, nothing};
use crate::api::wire::{
    self, AdviceReport, AppDetail, AppHistory, AppProfile, Apps, Bill, Calls, Destinations, Event,
    Events, FoundCapsules, HistoryAt, LogLine, LogLines, Problems, Usage, Why,
};

/// In each of these `host` names one host of the fleet; without a name all are asked.
impl Client {
    /// All apps.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn apps(&self, host: Option<&str>) -> Result<Apps, ClientError> {
        self.get(&format!("/v1/apps?{}", of(host))).await
    }

    /// One app.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn app(&self, app: &str, host: Option<&str>) -> Result<AppDetail, ClientError> {
        self.get(&app_path(app, &format!("?{}", of(host)))).await
    }

    /// The app's last calls, at most `limit`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn calls(
        &self,
        app: &str,
        (limit, only_failed): (u32, bool),
        host: Option<&str>,
    ) -> Result<Calls, ClientError> {
        let failed = if only_failed { "failed=true&" } else { "" };
        self.get(&app_path(app, &format!("/calls?limit={limit}&{failed}{}", of(host)))).await
    }

    /// What is wrong now, and what to do about it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn problems(&self, host: Option<&str>) -> Result<Problems, ClientError> {
        self.get(&format!("/v1/problems?{}", of(host))).await
    }

    /// Where the guests of the app's last deployments spend their CPU time.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn profile(&self, app: &str, host: Option<&str>) -> Result<AppProfile, ClientError> {
        self.get(&app_path(app, &format!("/profile?{}", of(host)))).await
    }

    /// Whom the app's outbound requests asked, and what came of them.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn destinations(
        &self,
        app: &str,
        host: Option<&str>,
    ) -> Result<Destinations, ClientError> {
        self.get(&app_path(app, &format!("/destinations?{}", of(host)))).await
    }

    /// What is wrong with the hosts, and what to do about it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn why_fleet(&self, host: Option<&str>) -> Result<Why, ClientError> {
        self.get(&format!("/v1/why?{}", of(host))).await
    }

    /// What is wrong with what a client asks for: with the app that answers it, or that none does.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn why_route(&self, route: &str, host: Option<&str>) -> Result<Why, ClientError> {
        self.get(&format!("/v1/why?{}&route={}", of(host), escape(route))).await
    }

    /// What is wrong with an app, and what to do about it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn why(&self, app: &str, host: Option<&str>) -> Result<Why, ClientError> {
        self.get(&app_path(app, &format!("/why?{}", of(host)))).await
    }

    /// The last lines the app printed, at most `limit`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn logs(
        &self,
        app: &str,
        limit: u32,
        host: Option<&str>,
    ) -> Result<LogLines, ClientError> {
        self.get(&logs_path(app, limit, host)).await
    }

    /// The last lines the app printed, at most `limit`, and then every new one. Ends when the host
    /// does or the app is removed.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn follow_logs(
        &self,
        app: &str,
        limit: u32,
        host: Option<&str>,
    ) -> Result<impl Stream<Item = Result<LogLine, ClientError>> + Send + use<>, ClientError> {
        self.follow(&format!("{}&follow=true", logs_path(app, limit, host))).await
    }

    /// The last events, of one app where one is named, at most `limit`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn events(
        &self,
        app: Option<&str>,
        limit: u32,
        host: Option<&str>,
    ) -> Result<Events, ClientError> {
        self.get(&events_path(app, limit, host)).await
    }

    /// The last events, at most `limit`, and then every new one. Ends when the host does.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn follow_events(
        &self,
        app: Option<&str>,
        limit: u32,
        host: Option<&str>,
    ) -> Result<impl Stream<Item = Result<Event, ClientError>> + Send + use<>, ClientError> {
        self.follow(&format!("{}&follow=true", events_path(app, limit, host))).await
    }

    /// The calls of all apps that are kept and whose ids begin so.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn calls_of_id(
        &self,
        id: CallIdPrefix,
        host: Option<&str>,
    ) -> Result<Calls, ClientError> {
        self.get(&format!("/v1/calls/{id}?{}", of(host))).await
    }

    /// What calls left that failed and whose ids begin so.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn capsules(
        &self,
        id: CallIdPrefix,
        host: Option<&str>,
    ) -> Result<FoundCapsules, ClientError> {
        self.get(&format!("/v1/calls/{id}/capsule?{}", of(host))).await
    }

    /// The bytes of a component.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn component(&self, digest: &str) -> Result<Bytes, ClientError> {
        let request = self.request(Method::GET, &format!("/v1/blobs/{digest}"));
        let response = self.send(request, nothing(), CHANGE_TIMEOUT).await?;
        let body = response.into_body().collect().await;
        body.map(Collected::to_bytes).map_err(|error| self.broken(&error))
    }

    /// What an app did since a moment, in milliseconds since the epoch, by minutes or hours; by the finer ones
    /// that are kept for as long where nobody says.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn app_history(
        &self,
        app: &str,
        (since, step): (u64, Option<&str>),
        host: Option<&str>,
    ) -> Result<AppHistory, ClientError> {
        let step = step.map_or_else(String::new, |step| format!("&step={step}"));
        let since = wire::moment(since);
        self.get(&app_path(app, &format!("/history?since={since}{step}&{}", of(host)))).await
    }

    /// What at most so many apps did at a moment, in milliseconds since the epoch.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn history_at(
        &self,
        at: u64,
        limit: usize,
        host: Option<&str>,
    ) -> Result<HistoryAt, ClientError> {
        let at = wire::moment(at);
        self.get(&format!("/v1/history?at={at}&limit={limit}&{}", of(host))).await
    }

    /// What limits, replicas and resources an app should have, or at most `limit` apps.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn advice(
        &self,
        app: Option<&str>,
        limit: usize,
    ) -> Result<AdviceReport, ClientError> {
        let of_app = app.map_or_else(String::new, |app| format!("&app={}", escape(app)));
        self.get(&format!("/v1/advice?limit={limit}{of_app}")).await
    }

    /// What the hosts cost at these prices since a moment in milliseconds since the epoch, split among apps; `idle`
    /// says who pays for what stood idle.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn bill(
        &self,
        prices: &[String],
        since: u64,
        idle: &str,
        decimals: Option<u32>,
    ) -> Result<Bill, ClientError> {
        let price = escape(&prices.join(","));
        let decimals = decimals.map_or_else(String::new, |number| format!("&decimals={number}"));
        let since = wire::moment(since);
        self.get(&format!("/v1/bill?price={price}&since={since}&idle={idle}{decimals}")).await
    }

    /// What the hosts and the apps that were called use.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn usage(&self, host: Option<&str>) -> Result<Usage, ClientError> {
        self.get(&format!("/v1/usage?{}", of(host))).await
    }
}

fn of(host: Option<&str>) -> String {
    format!("host={}", escape(host.unwrap_or("*")))
}

fn logs_path(app: &str, limit: u32, host: Option<&str>) -> String {
    app_path(app, &format!("/logs?lines={limit}&{}", of(host)))
}

fn events_path(app: Option<&str>, limit: u32, host: Option<&str>) -> String {
    let of_app = app.map_or_else(String::new, |app| format!("&app={}", escape(app)));
    format!("/v1/events?limit={limit}&{}{of_app}", of(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_say_more_than_a_name() {
        let path = events_path(Some("a&b"), 5, Some("h&x"));
        assert_eq!(path, "/v1/events?limit=5&host=h%26x&app=a%26b");
        assert_eq!(events_path(None, 5, None), "/v1/events?limit=5&host=%2A");
    }
}
