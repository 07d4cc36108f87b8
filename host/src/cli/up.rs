//! `steerage up`: the app in this directory, built, served and built again when it changes.
//! A real host with the same limits as in production; only its data is thrown away at the end.

use std::cell::RefCell;
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use steerage_build::Progress;
use steerage_core::id::{AppName, Digest};
use steerage_core::outbound::PrivateNetworks;
use tokio::sync::watch;

use super::app::{App, directory_of, manifest_file};
use super::args::Up;
use super::screen::{Screen, Tone, warn};
use super::watch::Watch;
use super::{build, deploy, ending, events, host, human, logs};
use crate::api::wire;
use crate::client::Client;
use crate::config::{LogFormat, Settings};
use crate::serve;

/// Calls that still run when the developer presses Ctrl-C are given this long: nobody waits.
const DRAIN: Duration = Duration::from_secs(1);

/// Runs the verb.
pub(super) fn run(args: &Up) -> anyhow::Result<()> {
    let screen = Screen::plain(args.quiet);
    host::start_log(LogFormat::Text, "warn");
    let data = tempfile::tempdir().context("cannot make a temporary data directory")?;
    let host = serve::start(Settings {
        listen: args.listen,
        admin: ([127, 0, 0, 1], 0).into(),
        drain_timeout: DRAIN,
        // What an app calls while it is written is most often on this machine, too.
        outbound_private: PrivateNetworks::loopback(),
        ..Settings::new(data.path().to_path_buf(), host::this_program()?)
    })
    .context("the host cannot start")?;
    let session = Session {
        screen,
        client: Client::new(&host::url(host.admin, false), None)
            .context("cannot use the host's own admin address")?,
        apps_url: host::url(host.listen, false),
        file: manifest_file(&args.file),
        name: watch::Sender::new(None),
        served: RefCell::new(None),
    };
    let runtime = super::runtime()?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = session.develop(args.once) => result,
            result = session.print_logs() => result,
            result = session.print_failures() => result,
            interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot wait for Ctrl-C"),
        }
    });
    // A build may be running; it ends with this process.
    runtime.shutdown_background();
    host.stop();
    result
}

/// One run of `up`.
struct Session {
    screen: Screen,
    client: Client,
    apps_url: String,
    file: PathBuf,
    /// The app's name, once it has been deployed.
    name: watch::Sender<Option<AppName>>,
    /// The manifest and the component that were deployed last.
    served: RefCell<Option<(String, Digest)>>,
}

impl Session {
    /// Builds and deploys, now and after every change, until the watch ends.
    async fn develop(&self, once: bool) -> anyhow::Result<()> {
        if once {
            self.renew().await?;
            return std::future::pending().await;
        }
        let mut watch = Watch::start(&directory_of(&self.file))?;
        loop {
            if let Err(error) = self.renew().await {
                warn(&ending::render(&error));
                let serving = match &*self.name.borrow() {
                    Some(name) => format!("still serving the {name} from before"),
                    None => "nothing is served yet".to_owned(),
                };
                self.say(Tone::Bad, &format!("{serving}; waiting for a change"));
            }
            let changed = watch.next().await?;
            let first = changed.first().map(|path| path.display().to_string());
            self.say(Tone::Faint, &format!("changed: {}", first.unwrap_or_default()));
        }
    }

    /// One build and one deployment.
    async fn renew(&self) -> anyhow::Result<()> {
        let started_at = Instant::now();
        let app = App::read(&self.file)?;
        if let Some(before) = &*self.name.borrow()
            && *before != app.manifest.name
        {
            let name = &app.manifest.name;
            anyhow::bail!("the app was {before} and is {name} now; start `steerage up` again");
        }
        let (app, built) = self.build(app).await?;
        let wanted = (app.text.clone(), built.digest);
        if self.served.borrow().as_ref() == Some(&wanted) {
            self.say(Tone::Faint, "the component is the same as before");
            return Ok(());
        }
        let deployed = deploy::send(&self.client, &app, None, self.screen).await?;
        let is_first = self.name.borrow().is_none();
        self.say(
            Tone::Good,
            &format!(
                "{} generation {} is served ({}, built and deployed in {})",
                app.manifest.name,
                deployed.generation,
                human::bytes(built.bytes),
                human::duration(started_at.elapsed())
            ),
        );
        if is_first {
            for line in deploy::ways_to_call(&app.manifest.routes, &self.apps_url) {
                self.screen.hint(&line)?;
            }
        }
        self.name.send_replace(Some(app.manifest.name.clone()));
        self.served.replace(Some(wanted));
        Ok(())
    }

    /// Prints the app's log lines once it is deployed, until the host ends.
    async fn print_logs(&self) -> anyhow::Result<()> {
        let name = self.deployed_name().await?;
        let cannot = || format!("cannot follow the log of {name}");
        let mut lines = pin!(self.client.follow_logs(name.as_str(), 0).await.with_context(cannot)?);
        while let Some(line) = lines.next().await {
            logs::print(self.screen, &line.with_context(cannot)?)?;
        }
        anyhow::bail!("the host closed the log of {name}")
    }

    /// Prints failed calls and other warnings; deployments are told by `renew`.
    async fn print_failures(&self) -> anyhow::Result<()> {
        let cannot = "cannot follow the host's events";
        let mut events = pin!(self.client.follow_events(None, 0).await.context(cannot)?);
        while let Some(event) = events.next().await {
            let event = event.context(cannot)?;
            if event.severity > wire::Severity::Info {
                events::print(self.screen, &event)?;
            }
        }
        anyhow::bail!("the host closed its events")
    }

    async fn deployed_name(&self) -> anyhow::Result<AppName> {
        let mut name = self.name.subscribe();
        let name = name.wait_for(Option::is_some).await.context("nothing was deployed")?;
        name.clone().context("nothing was deployed")
    }

    fn say(&self, tone: Tone, text: &str) {
        self.screen.note(&self.screen.paint(tone, text));
    }

    /// Builds on a thread of its own; what the tools say is shown only if the build fails.
    async fn build(&self, app: App) -> anyhow::Result<(App, build::Built)> {
        let spinner = self.screen.spinner("building");
        let shown = spinner.clone();
        let building = tokio::task::spawn_blocking(move || {
            let mut said = Vec::new();
            let mut listen = |line: &str| {
                shown.set_message(format!("building: {}", line.trim()));
                said.push(line.to_owned());
            };
            let result = build::build(&app, None, Progress::Lines(&mut listen));
            (app, result, said)
        });
        let (app, result, said) = building.await.context("the build was broken off")?;
        spinner.finish_and_clear();
        match result {
            Ok(built) => Ok((app, built)),
            Err(error) => {
                said.iter().for_each(|line| warn(line));
                Err(error)
            }
        }
    }
}
