//! `steerage ps` and `steerage show`: what a host serves, and one app with all its sides.
//! Only arranges what the host tells.

use anyhow::Context as _;

use super::args::{List, OneApp};
use super::screen::Screen;
use super::table::{Facts, Table};
use super::{human, remote};
use crate::api::wire;

/// Lists the apps.
pub(super) async fn ps(args: &List) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let apps = client.apps().await.context("cannot list the apps")?;
    if screen.is_json() {
        return screen.json(&apps);
    }
    if apps.apps.is_empty() {
        return screen.hint("no apps yet; `steerage deploy` sends one");
    }
    screen.say(&apps_table(&apps.apps, human::now()))
}

/// Shows one app.
pub(super) async fn show(args: &OneApp) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let app =
        client.app(&args.app).await.with_context(|| format!("cannot show {}", args.app))?;
    if screen.is_json() {
        return screen.json(&app);
    }
    screen.say(&facts(&app).render())?;
    screen.say("")?;
    screen.say(&deployments_table(&app, human::now()))
}
