//! The command line as people type it: verbs, flags, their environment twins and help texts.
//! Only describes; what a verb does is in the module of the same name.

mod backup;
mod bill;
mod cert;
mod deploy;
mod fleet;
mod host;
mod kv;
mod looks;
mod moment;
mod plan;
mod profile;
mod replay;
mod secret;
mod simulate;
mod sql;
mod top;
mod up;
mod words;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::backup::{Backup, Restore};
pub use self::bill::{Bill, BilledIdle};
pub use self::cert::{Cert, CertInit, CertIssue, CertRenew, CertRotate, CertTrust, CertVerb};
pub use self::deploy::{Build, Deploy, Validate};
pub use self::fleet::{Drain, Fleet, FleetChange, FleetVerb, Freeze, OneHost, Revoke, Scale};
pub use self::host::{Check, Doctor, Flags, Host, HostVerb, Wishes};
pub use self::kv::{
    KeyValue, KeyValueDelete, KeyValueDrop, KeyValueFile, KeyValueGet, KeyValueList, KeyValueSet,
    KeyValueUsageOf, KeyValueVerb, StoreOf,
};
pub use self::looks::{Advise, Call, Calls, Events, Logs, OfHost, Problems, Ps, Show, Step, Why};
pub use self::moment::Moment;
pub use self::plan::{Apart, Drawing, Plan};
pub use self::profile::{Profile, ProfileFormat};
pub use self::replay::Replay;
pub use self::secret::{Secret, SecretDelete, SecretList, SecretOf, SecretSet, SecretVerb};
pub use self::simulate::Simulate;
pub use self::sql::SqlShell;
pub use self::top::{Sort, Top};
pub use self::up::Up;
pub use self::words::parse;

const DEFAULT_ADMIN_URL: &str = "http://127.0.0.1:8081";

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; the message says why
  2  the command line was not understood
  3  the host could not be reached
  4  refused: the manifest, the settings, the component or the request is not acceptable as it is
255  no plan could be made; of `steerage plan` only

Every flag that names an environment variable can be set through it instead.";

/// Runs many sandboxed WebAssembly services in one process, and looks after them.
#[derive(Debug, Parser)]
#[command(name = "steerage", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs, in the order people meet them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a new app from a template
    New(New),
    /// Build and run the app in this directory, again whenever its sources change
    Up(Up),
    /// Build the app's component
    Build(Build),
    /// Check a manifest and say everything that is wrong with it
    Validate(Validate),
    /// Send an app to a host and put it in place of its earlier deployment
    Deploy(Deploy),
    /// List the apps of a host, or of its whole fleet
    Ps(Ps),
    /// Show one app: its deployments, routes and limits, or what it did in the last hours
    Show(Show),
    /// Print what an app wrote to stdout and stderr
    Logs(Logs),
    /// Print what happened to apps: deployments, failed calls, refusals
    Events(Events),
    /// Show an app's last calls: how each ended and what it cost
    Calls(Calls),
    /// Show one call: how it ended, where its time went, what it printed
    Call(Call),
    /// Run a call that failed again, here, with all that its guest was told; exit code 1 where it is not the same
    Replay(Replay),
    /// Say what is wrong with an app, the evidence for it, and what to do; exit code 1 where something is
    Why(Why),
    /// Say what is wrong now and surely so, since when, and what to do; exit code 1 while something is
    Problems(Problems),
    /// Show in which functions an app spends its CPU time, as a table, a flame graph or for pprof
    Profile(Profile),
    /// Show which apps use the CPU, memory and slots of a host or its fleet, live or at an earlier time
    Top(Top),
    /// Say what limits, replicas and resources apps should have, from what they needed so far, with the risk
    Advise(Advise),
    /// Split what the hosts cost among tenants and apps: by use, by reservation, and what stood idle
    Bill(Bill),
    /// Give the deployment that is on trial as a canary all calls
    Promote(Promote),
    /// Go back to an earlier deployment of an app, or take its canary back
    Rollback(Rollback),
    /// Take an app off a host, with all its deployments
    Remove(Remove),
    /// List the hosts of a fleet
    Hosts(List),
    /// Send everything on a host elsewhere, and wait until it is there
    Drain(Drain),
    /// Let nothing new come to a host
    Cordon(OneHost),
    /// Open a host again that was cordoned or drained
    Uncordon(OneHost),
    /// Say how many replicas an app shall have
    Scale(Scale),
    /// Say which store a host follows, after that was lost or restored
    Fleet(Fleet),
    /// Make the certificates by which the hosts of a fleet know each other
    Cert(Cert),
    /// Live through the history of a fleet made up from a seed: failures, moves, utilisation
    Simulate(Simulate),
    /// Say what would move in a fleet and why, or what a spreadsheet of apps would take, packed
    Plan(Plan),
    /// Look at what an app keeps in its key-value stores, change it, and take it along as a file
    Kv(KeyValue),
    /// Set the secrets of an app, which nobody is shown any more, and see which there are
    Secret(Secret),
    /// Ask an SQL database of an app: one statement, or those that come from stdin
    Sql(SqlShell),
    /// Copy all that a host keeps into one file, while it runs
    Backup(Backup),
    /// Make a data folder of a backup, to start a host on
    Restore(Restore),
    /// Run a host
    Host(Host),
    /// Say what this machine can carry, and which settings stand in the way
    Doctor(Doctor),
    /// Print the version
    Version(Version),
    /// Print the completion script of a shell
    Completions(Completions),
    /// Compile one component for this machine; the host calls this on itself
    #[command(hide = true)]
    Compile(Compile),
}

/// How to reach the host.
#[derive(Debug, Clone, Args)]
pub struct Remote {
    /// The host's admin API
    #[arg(long, value_name = "URL", env = "STEERAGE_ADMIN", default_value = DEFAULT_ADMIN_URL)]
    pub admin: String,
    /// File that holds the host's admin token
    #[arg(long, value_name = "FILE", env = "STEERAGE_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
}

/// How to print.
#[derive(Debug, Clone, Copy, Args)]
pub struct Print {
    /// Print tables for people or JSON for programs
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "table")]
    pub output: Format,
    /// Print nothing but what was asked for: no progress, no hints
    #[arg(short, long)]
    pub quiet: bool,
}

/// The two forms of printed data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns, sizes and times as people write them.
    Table,
    /// JSON with stable field names; one object a line for logs and events.
    Json,
}

/// `steerage new`.
#[derive(Debug, Args)]
pub struct New {
    /// Name of the app and of the directory made for it
    pub name: String,
    /// What to start from
    #[arg(long, value_enum, default_value = "http")]
    pub template: Template,
    /// Use the SDK in this directory instead of the one that this program carries
    #[arg(long, value_name = "DIR", env = "STEERAGE_SDK")]
    pub sdk: Option<PathBuf>,
    /// Print nothing but errors
    #[arg(short, long)]
    pub quiet: bool,
}

/// What a new app can start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// An HTTP service in Rust on the Steerage SDK.
    Http,
    /// A plain program that reads stdin and prints: one run per call, the CGI way.
    Cgi,
}

/// A verb about the whole host.
#[derive(Debug, Args)]
pub struct List {
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage promote`.
#[derive(Debug, Args)]
pub struct Promote {
    /// The app's name
    pub app: String,
    /// Have the canary take no more steps until --resume, instead; it is still rolled back if it does worse
    #[arg(long, conflicts_with = "resume")]
    pub pause: bool,
    /// Have a canary that was paused go on with its steps, instead
    #[arg(long)]
    pub resume: bool,
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage rollback`.
#[derive(Debug, Args)]
pub struct Rollback {
    /// The app's name
    pub app: String,
    /// The generation to go back to; when absent, a canary is rolled back, or else the one before the
    /// current is served again
    #[arg(long, value_name = "GENERATION")]
    pub to: Option<u64>,
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage remove`.
#[derive(Debug, Args)]
pub struct Remove {
    /// The app's name
    pub app: String,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage version`.
#[derive(Debug, Args)]
pub struct Version {
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell to write for
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `steerage compile`, the host's own child process.
#[derive(Debug, Args)]
pub struct Compile {
    /// The binary to compile.
    pub wasm: PathBuf,
    /// Where to write the compiled code.
    #[arg(long)]
    pub out: PathBuf,
    /// Most bytes of address space to use; 0 for no limit.
    #[arg(long, default_value_t = 0)]
    pub memory: u64,
    /// Bytes of address space that the memory of each of its instances will have.
    #[arg(long)]
    pub largest_memory: u64,
    /// Compile soon rather than to be fast.
    #[arg(long)]
    pub soon: bool,
    /// Compile it so that its instances can be put back after a call.
    #[arg(long)]
    pub restoring: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        Cli::try_parse_from(line.split_whitespace())
            .map(|cli| cli.command)
            .map_err(|error| error.to_string())
    }

    fn deploy(line: &str) -> Deploy {
        match parse(line) {
            Ok(Command::Deploy(deploy)) => deploy,
            other => panic!("`{line}` gave {other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_manifest_is_deployed_with_the_fixed_form() {
        let deploy = deploy("steerage deploy -f steerage.toml --admin http://10.0.0.1:8081");
        assert_eq!(deploy.file, PathBuf::from("steerage.toml"));
        assert_eq!(deploy.remote.admin, "http://10.0.0.1:8081");
        assert_eq!(deploy.component, None);
    }

    #[test]
    fn a_bare_component_is_deployed_with_the_fixed_form() {
        let deploy = deploy(
            "steerage deploy app.wasm --name echo --route /echo/... --host *.example.com --admin \
             http://127.0.0.1:9",
        );
        assert_eq!(deploy.component, Some(PathBuf::from("app.wasm")));
        assert_eq!(deploy.name.as_deref(), Some("echo"));
        assert_eq!(deploy.route.as_deref(), Some("/echo/..."));
        assert_eq!(deploy.host.as_deref(), Some("*.example.com"));
        assert_eq!(deploy.remote.admin, "http://127.0.0.1:9");
    }

    #[test]
    fn a_canary_gets_a_share_of_the_calls() {
        let canary = |line| deploy(line).canary.unwrap().to_string();
        assert_eq!(canary("steerage deploy --canary 0.5%"), "0.5%");
        assert_eq!(canary("steerage deploy --canary 5%:2m,25% --auto-promote"), "5%:2m,25%");
        for (line, why) in [
            ("--canary 100%", "at most 99.99% of the calls"),
            ("--canary 25%,5%", "5% comes after 25%"),
            ("--canary 5%:0s", "at least 1s"),
            ("--auto-promote", "--canary"),
            ("--step 5m", "--canary"),
        ] {
            let error = parse(&format!("steerage deploy {line}")).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }

    #[test]
    fn a_bare_component_needs_a_name_and_a_route() {
        let error = parse("steerage deploy app.wasm --name echo").unwrap_err();
        assert!(error.contains("--route <PATH>"), "{error}");
    }

    #[test]
    fn flags_may_stand_beside_a_manifest_and_a_component_may_not() {
        assert!(parse("steerage deploy -f steerage.toml --name echo").is_ok());
        assert!(parse("steerage deploy app.wasm -f steerage.toml --name a --route /").is_err());
    }

    #[test]
    fn a_host_starts_with_the_fixed_form() {
        let line = "steerage host --listen 127.0.0.1:0 --admin 127.0.0.1:0 --data /tmp/data";
        let Ok(Command::Host(host)) = parse(line) else { panic!("not a host") };
        let said = |key| host.wishes.flags.said.iter().find(|(said, _)| *said == key);
        assert_eq!(said("listen").unwrap().1, "127.0.0.1:0");
        assert_eq!(said("data").unwrap().1, "/tmp/data");
        assert_eq!(said("drain_timeout"), None);
        assert!(host.verb.is_none());
    }

    #[test]
    fn a_file_of_settings_is_checked_by_the_host_verb() {
        let line = "steerage host check host.toml";
        let Ok(Command::Host(host)) = parse(line) else { panic!("not a host") };
        let Some(HostVerb::Check(check)) = host.verb else { panic!("not a check") };
        assert_eq!(check.file, PathBuf::from("host.toml"));
    }

    #[test]
    fn the_compile_child_is_called_as_the_host_calls_it() {
        let line =
            "steerage compile a.wasm --out b --memory 9 --largest-memory 8 --soon --restoring";
        let Ok(Command::Compile(compile)) = parse(line) else { panic!("not a compile") };
        assert_eq!((compile.out, compile.memory), (PathBuf::from("b"), 9));
        assert_eq!((compile.largest_memory, compile.soon, compile.restoring), (8, true, true));
    }
}
