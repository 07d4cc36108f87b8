//! Whose view a verb shows. Every host of a fleet counts its own calls and keeps its own lines and events,
//! so what one was asked for may have happened on another.
//! Asks the host that was asked; prints nothing where it is alone.

use std::fmt::Write as _;

use serde::Serialize;

use super::screen::Screen;
use crate::api::wire;
use crate::client::Client;

/// Whose view something is.
#[derive(Debug, Default)]
pub(super) struct Whose {
    /// The host that was asked, where it is in a fleet.
    pub(super) asked: Option<String>,
    /// Who else would have something to tell, where somebody has.
    pub(super) others: Option<String>,
}

/// Something as JSON, with the host whose view it is.
#[derive(Debug, Serialize)]
pub(super) struct Seen<'t, T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<&'t str>,
    #[serde(flatten)]
    what: &'t T,
}

/// Asks whose view is shown: of an app, or of everything. That it cannot be known is no reason to fail.
pub(super) async fn ask(client: &Client, app: Option<&str>) -> Whose {
    let Ok(hosts) = client.hosts().await else { return Whose::default() };
    let on: Option<Vec<String>> = match app {
        Some(app) => client
            .replicas(app)
            .await
            .ok()
            .map(|replicas| replicas.hosts.into_iter().map(|replica| replica.host).collect()),
        None => Some(hosts.hosts.iter().map(|host| host.host.clone()).collect()),
    };
    let others = on.and_then(|on| text(&hosts, app, &on));
    Whose { asked: Some(hosts.asked), others }
}

impl Whose {
    /// Says to people who else has something to tell.
    pub(super) fn tell(&self, screen: Screen) {
        if let Some(others) = self.others.as_ref().filter(|_| !screen.is_json()) {
            screen.note(others);
        }
    }

    /// What programs are shown.
    pub(super) fn seen<'t, T>(&'t self, what: &'t T) -> Seen<'t, T> {
        Seen { asked: self.asked.as_deref(), what }
    }
}

fn text(hosts: &wire::Hosts, app: Option<&str>, on: &[String]) -> Option<String> {
    let asked = &hosts.asked;
    let others = hosts.hosts.iter().filter(|host| on.contains(&host.host) && host.host != *asked);
    let others: Vec<String> = others
        .map(|host| match &host.admin {
            Some(admin) => format!("{} (--admin http://{admin})", host.host),
            None => host.host.clone(),
        })
        .collect();
    if others.is_empty() {
        return None;
    }
    let others = others.join(", ");
    let mut text = format!("this is what {asked} saw");
    match app {
        Some(app) if on.contains(asked) => write!(text, "; {app} runs on {others} as well"),
        Some(app) => write!(text, ", where {app} does not run: it runs on {others}"),
        None => write!(text, "; each host tells its own: {others}"),
    }
    .ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn who_else_has_something_to_tell_is_named() {
        let host = |name: &str| {
            json!({
                "host": name, "zone": "z", "labels": {}, "listen": "", "address": "",
                "admin": format!("{name}:8081"), "standing": "open", "state": "answers",
                "replicas": 0, "ready": 0, "cpu_millicores": 0, "cpu_used_millicores": 0,
                "memory_bytes": 0, "memory_used_bytes": 0, "version": "1"
            })
        };
        let hosts = json!({
            "asked": "a", "store_answers": true, "trouble": null, "hosts": [host("a"), host("b")]
        });
        let hosts: wire::Hosts = serde_json::from_value(hosts).unwrap();
        let said = |app, on: &[&str]| {
            let on: Vec<String> = on.iter().map(|host| (*host).to_owned()).collect();
            text(&hosts, app, &on).unwrap_or_default()
        };
        let all = [
            said(Some("web"), &["a"]),
            said(Some("web"), &["b"]),
            said(Some("web"), &["a", "b"]),
            said(None, &["a", "b"]),
        ];
        expect![[r#"

            this is what a saw, where web does not run: it runs on b (--admin http://b:8081)
            this is what a saw; web runs on b (--admin http://b:8081) as well
            this is what a saw; each host tells its own: b (--admin http://b:8081)"#]]
        .assert_eq(&all.join("\n"));
    }
}
