//! `steerage rollback` and `steerage remove`: changing what a host serves without a new component.
//! Asks before it removes; the host decides whether a change is possible.

use anyhow::Context as _;

use super::args::{Remove, Rollback};
use super::ending::Misused;
use super::remote;
use super::screen::{Screen, Tone};

/// Goes back to an earlier deployment.
pub(super) async fn rollback(args: &Rollback) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let deployed = client
        .rollback(&args.app, args.to)
        .await
        .with_context(|| format!("cannot roll {} back", args.app))?;
    if screen.is_json() {
        return screen.json(&deployed);
    }
    screen.say(&format!(
        "{} is served as generation {}",
        screen.paint(Tone::Strong, &args.app),
        deployed.generation
    ))
}

/// Takes an app off the host.
pub(super) async fn remove(args: &Remove) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    if !args.yes {
        let question = format!("remove {} and all its deployments?", args.app);
        match screen.confirm(&question)? {
            Some(true) => {}
            Some(false) => return screen.hint("nothing was removed"),
            None => {
                let text = "nobody is here to ask; add --yes to remove without asking";
                return Err(Misused(text.to_owned()).into());
            }
        }
    }
    let client = remote::connect(&args.remote)?;
    client.remove(&args.app).await.with_context(|| format!("cannot remove {}", args.app))?;
    if screen.is_json() {
        return screen.json(&serde_json::json!({ "removed": args.app }));
    }
    screen.say(&format!("{} was removed", args.app))
}
