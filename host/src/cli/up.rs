//! `steerage up`: the apps in this directory, built, served and built again when they change.
//! A real host with the same limits as in production; only its data is thrown away at the end.

mod failures;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use futures_util::stream::select_all;
use steerage_build::{Progress, Project};
use steerage_core::id::{AppName, Digest};
use steerage_core::manifest::VariableName;
use steerage_core::outbound::PrivateNetworks;
use steerage_core::route::{HostPattern, Route};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::app::{App, directory_of, manifest_file};
use super::args::Up;
use super::build::{Built, Wish};
use super::ending::Refused;
use super::screen::{Screen, Tone, warn};
use super::watch::{self as watching, Builder, Sources, Watch};
use super::{build, deploy, ending, host, human, logs};
use crate::client::Client;
use crate::config::{LogFormat, Settings};
use crate::manifest::Overrides;
use crate::seal::SecretsKeyFrom;
use crate::serve;

/// Calls that still run when the developer presses Ctrl-C are given this long: nobody waits.
const DRAIN: Duration = Duration::from_secs(1);

/// What the folder for the host's data is called, so that one that is left over (after `kill -9`)
/// says whose it was.
const DATA_PREFIX: &str = "steerage-up-";

/// Runs the verb.
pub(super) fn run(args: &Up) -> anyhow::Result<()> {
    let screen = Screen::plain(args.quiet);
    let file = manifest_file(&args.file);
    if !file.is_file() {
        // Nobody waits for a manifest to appear: the directory is the wrong one.
        App::read(&file)?;
    }
    let variables: BTreeMap<_, _> = args.variables.iter().cloned().collect();
    host::start_log(LogFormat::Text, &host::rust_log().unwrap_or_else(|| "warn".to_owned()));
    let runtime = super::runtime()?;
    // From here on a signal ends this in order, and so does what came while the host was starting.
    let mut signals = {
        let _inside = runtime.enter();
        Signals::listen()?
    };
    // This user's alone, as the host makes every data folder.
    let alone = fs::Permissions::from_mode(0o700);
    let data = tempfile::Builder::new().prefix(DATA_PREFIX).permissions(alone).tempdir();
    let data = data.context("cannot make a temporary data directory")?;
    let host = serve::start(Settings {
        listen: args.listen,
        admin: ([127, 0, 0, 1], 0).into(),
        drain_timeout: DRAIN,
        lame_duck: Duration::ZERO,
        // What an app calls while it is written is most often on this machine, too.
        outbound_private: PrivateNetworks::loopback(),
        secrets_key: SecretsKeyFrom::Passing,
        is_for_one_app: true,
        is_compiled_soon: !args.release,
        ..Settings::new(data.path().to_path_buf(), host::this_program()?)
    })
    .context("the host cannot start")?;
    let session = Session {
        screen,
        client: Client::new(&host::url(host.admin, false), None)
            .context("cannot use the host's own admin address")?,
        apps_url: host::url(host.listen, false),
        file: fs::canonicalize(&file).unwrap_or(file),
        is_quick: !args.release,
        names: watch::Sender::new(Vec::new()),
        started_at: Cell::new(Instant::now()),
        served: RefCell::default(),
        noted: RefCell::default(),
        variables,
        secrets: RefCell::default(),
    };
    session.say(Tone::Faint, &format!("at {}/ once it is built", session.apps_url));
    let repeats = host.follow_repeats();
    let result = runtime.block_on(async {
        tokio::select! {
            result = session.develop(args.once) => result,
            result = session.print_logs() => result,
            result = failures::print(screen, &session.client, repeats) => result,
            () = signals.next() => Ok(()),
        }
    });
    // A build may be running; it ends with this process.
    runtime.shutdown_background();
    host.stop();
    result
}

/// What ends `up`: Ctrl-C, a polite kill, the terminal being closed.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot wait for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

/// One run of `up`.
struct Session {
    screen: Screen,
    client: Client,
    apps_url: String,
    /// The manifest, where it really is.
    file: PathBuf,
    /// Whether cargo shall rather be quick than thorough.
    is_quick: bool,
    /// The apps' names, once all have been deployed.
    names: watch::Sender<Vec<AppName>>,
    /// When the last build began.
    started_at: Cell<Instant>,
    /// The manifest and the component of each app that were deployed last.
    served: RefCell<BTreeMap<AppName, (String, Digest)>>,
    /// What was said of a manifest of Spin's that makes no difference.
    noted: RefCell<Vec<String>>,
    /// What flags say of variables.
    variables: BTreeMap<String, String>,
    /// The secrets that were set, of each app.
    secrets: RefCell<BTreeMap<(AppName, VariableName), String>>,
}

impl Session {
    /// Builds and deploys, now and after every change, until the watch ends.
    async fn develop(&self, once: bool) -> anyhow::Result<()> {
        if once {
            let built = self.build_all(self.read()?).await?;
            self.deploy_all(&built).await?;
            return std::future::pending().await;
        }
        let directory = directory_of(&self.file);
        let mut watch = Watch::start(Sources::of(&self.file, &[], &[])?)?;
        loop {
            let renewed = self.renew_watched(&mut watch, &directory).await;
            if let Err(error) = &renewed {
                warn(&ending::render(error));
                let served: Vec<_> = self.served.borrow().keys().map(AppName::to_string).collect();
                let serving = match served.is_empty() {
                    false => format!("still serving the {} from before", served.join(", ")),
                    true => "nothing is served yet".to_owned(),
                };
                self.say(Tone::Bad, &format!("{serving}; waiting for a change"));
            }
            watch.said(matches!(renewed, Ok(true)));
            let changed = watch.next().await?;
            let first = changed.first().map(|path| watching::shown(path, &directory));
            self.say(Tone::Faint, &format!("changed: {}", first.unwrap_or_default()));
        }
    }

    /// One build and one deployment, with an eye on what is written meanwhile. Whether something new is
    /// served.
    async fn renew_watched(&self, watch: &mut Watch, directory: &Path) -> anyhow::Result<bool> {
        watch.build_begins()?;
        let apps = self.read()?;
        // One that does not say is made from all of the directory.
        let says_all = apps.iter().all(|app| !app.watched().is_empty());
        let patterns = apps.iter().filter(|_| says_all).flat_map(App::watched);
        let patterns: Vec<String> = patterns.cloned().collect();
        let builder = match apps.iter().all(|app| app.build_command().is_some()) {
            true => Builder::Command,
            false => Builder::Cargo,
        };
        self.follow(watch, &patterns, builder).await?;
        let built = self.build_all(apps).await;
        // Here, and not after the deployment: what is written from now on, no build writes.
        for path in watch.build_ended(builder)? {
            let path = watching::shown(&path, directory);
            let told = format!("{path} changes with each build: name it in .gitignore");
            self.say(Tone::Faint, &told);
        }
        let built = built?;
        // Which packages they are built from, cargo may know only now.
        self.follow(watch, &patterns, builder).await?;
        self.deploy_all(&built).await
    }

    /// The apps as the manifest has them now. What of it makes no difference is said when it is new.
    fn read(&self) -> anyhow::Result<Vec<App>> {
        let overrides = Overrides { variables: Some(&self.variables), ..Overrides::default() };
        let all = App::read_all(&self.file, &overrides)?;
        if *self.noted.borrow() != all.notes {
            all.notes.iter().for_each(|note| self.screen.note(note));
            self.noted.replace(all.notes);
        }
        let is_there = |name: &AppName| all.apps.iter().any(|app| app.manifest.name == *name);
        if let Some(gone) = self.served.borrow().keys().find(|name| !is_there(name)) {
            let names: Vec<_> = all.apps.iter().map(|app| app.manifest.name.to_string()).collect();
            let names = names.join(", ");
            anyhow::bail!("the app was {gone} and is {names} now; start `steerage up` again");
        }
        Ok(all.apps)
    }

    /// All are built before the first is deployed.
    async fn build_all(&self, apps: Vec<App>) -> anyhow::Result<Vec<(App, Built)>> {
        self.started_at.set(Instant::now());
        let mut all = Vec::with_capacity(apps.len());
        for app in apps {
            all.push(self.build(app).await?);
        }
        Ok(all)
    }

    /// Whether anything new is served.
    async fn deploy_all(&self, all: &[(App, Built)]) -> anyhow::Result<bool> {
        let mut is_any_new = false;
        for (app, built) in all {
            is_any_new |= self.deploy(app, built).await?;
        }
        if !is_any_new {
            self.say(Tone::Faint, "the component is the same as before");
        }
        let names = all.iter().map(|(app, _)| app.manifest.name.clone()).collect();
        self.names.send_replace(names);
        Ok(is_any_new)
    }

    /// Watches what the manifest says, or the directory, and the packages it is built from.
    async fn follow(
        &self,
        watch: &mut Watch,
        patterns: &[String],
        builder: Builder,
    ) -> anyhow::Result<()> {
        let others = match builder {
            Builder::Command => Vec::new(),
            Builder::Cargo => {
                let project = Project::at(directory_of(&self.file));
                let asking = tokio::task::spawn_blocking(move || project.local_dependencies());
                asking.await.context("cargo was not asked for dependencies")?
            }
        };
        let sources = Sources::of(&self.file, patterns, &others)?;
        if watch.follow(sources.clone())? {
            for path in sources.missing() {
                let path = watching::shown(path, &directory_of(&self.file));
                warn(&format!("[build] watch names `{path}`, which is not there"));
            }
        }
        Ok(())
    }

    /// Sets what is given here for the app's secrets.
    async fn set_secrets(&self, app: &App) -> anyhow::Result<()> {
        let name = app.manifest.name.as_str();
        for (secret, default) in app.manifest.secrets() {
            let Some(value) = app.secrets.get(secret) else {
                if default.is_none() {
                    let variable = secret.as_str().to_ascii_uppercase();
                    let told = format!(
                        "secret {secret} has no value: set STEERAGE_VARIABLE_{variable} in the environment or in .env \
                         beside the manifest"
                    );
                    return Err(Refused(told).into());
                }
                continue;
            };
            let of_app = (app.manifest.name.clone(), secret.clone());
            if self.secrets.borrow().get(&of_app) == Some(value) {
                continue;
            }
            let set = self.client.set_secret(name, secret.as_str(), value.clone().into_bytes());
            set.await.with_context(|| format!("cannot set secret {secret}"))?;
            self.secrets.borrow_mut().insert(of_app, value.clone());
        }
        Ok(())
    }

    /// Deploys what was built; `false` when it is what was deployed before.
    async fn deploy(&self, app: &App, built: &Built) -> anyhow::Result<bool> {
        self.set_secrets(app).await?;
        let wanted = (app.text.clone(), built.digest);
        let name = &app.manifest.name;
        if self.served.borrow().get(name) == Some(&wanted) {
            return Ok(false);
        }
        let options = deploy::DeployOptions::unwatched();
        let deployed = deploy::send(&self.client, app, built, options, self.screen).await?;
        let is_first = !self.served.borrow().contains_key(name);
        self.say(
            Tone::Good,
            &format!(
                "{} generation {} is served ({}, built and deployed in {})",
                app.manifest.name,
                deployed.generation,
                human::bytes(built.bytes),
                human::duration(self.started_at.get().elapsed())
            ),
        );
        if is_first {
            for line in deploy::ways_to_call(&under_any_name(&app.manifest.routes), &self.apps_url)
            {
                self.screen.hint(&line)?;
            }
        }
        self.served.borrow_mut().insert(name.clone(), wanted);
        Ok(true)
    }

    /// Prints the log lines of the apps once they are deployed, until the host ends.
    async fn print_logs(&self) -> anyhow::Result<()> {
        let mut names = self.names.subscribe();
        let deployed = names.wait_for(|names| !names.is_empty()).await;
        let names = deployed.context("nothing was deployed")?.clone();
        let mut all = Vec::with_capacity(names.len());
        for name in &names {
            let lines = self.client.follow_logs(name.as_str(), 0, None).await;
            all.push(lines.with_context(|| format!("cannot follow the log of {name}"))?.boxed());
        }
        let mut lines = select_all(all);
        while let Some(line) = lines.next().await {
            logs::print(self.screen, &line.context("cannot follow the logs")?)?;
        }
        anyhow::bail!("the host closed the logs")
    }

    fn say(&self, tone: Tone, text: &str) {
        self.screen.note(&self.screen.paint(tone, text));
    }

    /// Builds on a thread of its own; what the tools say is shown only if the build fails.
    async fn build(&self, app: App) -> anyhow::Result<(App, Built)> {
        let spinner = self.screen.spinner("building");
        let shown = spinner.clone();
        let wish = if self.is_quick { Wish::quick() } else { Wish::release(None) };
        let building = tokio::task::spawn_blocking(move || {
            let mut said = Vec::new();
            let mut listen = |line: &str| {
                shown.set_message(format!("building: {}", line.trim()));
                said.push(line.to_owned());
            };
            let result = build::run(&app, &wish, Progress::Lines(&mut listen));
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

/// The routes as this host answers them: it takes every name for the app's.
fn under_any_name(routes: &[Route]) -> Vec<Route> {
    let any = |route: &Route| Route { host: HostPattern::Any, path: route.path.clone() };
    routes.iter().map(any).collect()
}
