//! The flags of `steerage host`, each with its environment twin.
//! Only describes; `cli::host` makes settings of them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use steerage_core::units::{Bytes, parse_duration};

const DEFAULT_ADMIN: &str = "127.0.0.1:8081";
const DEFAULT_LISTEN: &str = "127.0.0.1:8080";

/// `steerage host`.
#[derive(Debug, Args)]
pub struct Host {
    /// Where callers reach the apps; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "STEERAGE_LISTEN", default_value = DEFAULT_LISTEN)]
    pub listen: SocketAddr,
    /// Where operators reach the host; beyond loopback only with a token
    #[arg(long, value_name = "ADDR", env = "STEERAGE_ADMIN_LISTEN", default_value = DEFAULT_ADMIN)]
    pub admin: SocketAddr,
    /// Directory for all the host keeps: desired state, components, compiled code
    #[arg(long, value_name = "DIR", env = "STEERAGE_DATA", default_value = "steerage-data")]
    pub data: PathBuf,
    /// Directory for compiled code, never cleaned up; inside the data directory when absent
    #[arg(long, value_name = "DIR", env = "STEERAGE_CACHE")]
    pub cache: Option<PathBuf>,
    /// File that holds the token every admin request must carry
    #[arg(long, value_name = "FILE", env = "STEERAGE_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Certificate chain in PEM; callers are then served over TLS
    #[arg(long, value_name = "FILE", env = "STEERAGE_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key in PEM that belongs to the certificate
    #[arg(long, value_name = "FILE", env = "STEERAGE_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// How the host writes its own log
    #[arg(long, value_enum, value_name = "FORMAT", env = "STEERAGE_LOG_FORMAT")]
    #[arg(default_value = "text")]
    pub log_format: LogFormat,
    /// How long running calls may take to finish once the host is told to stop
    #[arg(long, value_name = "DURATION", env = "STEERAGE_DRAIN_TIMEOUT", default_value = "30s")]
    #[arg(value_parser = parse_duration)]
    pub drain_timeout: Duration,
    /// How many instances may live at once
    #[arg(long, value_name = "COUNT", env = "STEERAGE_SLOTS")]
    #[arg(help_heading = "Limits of the host")]
    pub slots: Option<u32>,
    /// How much memory the host may use; four fifths of the machine when absent
    #[arg(long, value_name = "SIZE", env = "STEERAGE_MEMORY_BUDGET", value_parser = Bytes::parse)]
    #[arg(help_heading = "Limits of the host")]
    pub memory_budget: Option<Bytes>,
    /// How many times the memory budget instances may reserve together
    #[arg(long, value_name = "FACTOR", env = "STEERAGE_MEMORY_OVERCOMMIT", default_value_t = 2.0)]
    #[arg(help_heading = "Limits of the host")]
    pub memory_overcommit: f64,
    /// How many apps may have their code mapped; as many as the kernel has room for when absent
    #[arg(long, value_name = "COUNT", env = "STEERAGE_MAPPED_APPS")]
    #[arg(help_heading = "Limits of the host")]
    pub mapped_apps: Option<u32>,
    /// How long an app that nobody calls keeps its code mapped
    #[arg(long, value_name = "DURATION", env = "STEERAGE_MAPPED_IDLE", default_value = "5m")]
    #[arg(value_parser = parse_duration)]
    #[arg(help_heading = "Limits of the host")]
    pub mapped_idle: Duration,
    /// How long compiling one component may take
    #[arg(long, value_name = "DURATION", env = "STEERAGE_COMPILE_TIMEOUT", default_value = "60s")]
    #[arg(value_parser = parse_duration)]
    #[arg(help_heading = "Limits of the host")]
    pub compile_timeout: Duration,
    /// How much memory compiling one component may take
    #[arg(long, value_name = "SIZE", env = "STEERAGE_COMPILE_MEMORY", default_value = "4GiB")]
    #[arg(value_parser = Bytes::parse)]
    #[arg(help_heading = "Limits of the host")]
    pub compile_memory: Bytes,
    /// Largest component taken
    #[arg(long, value_name = "SIZE", env = "STEERAGE_MAX_COMPONENT", default_value = "100MiB")]
    #[arg(value_parser = Bytes::parse)]
    #[arg(help_heading = "Limits of the host")]
    pub max_component: Bytes,
    /// How long a caller may take for the head of a request
    #[arg(long, value_name = "DURATION", env = "STEERAGE_HEAD_TIMEOUT", default_value = "10s")]
    #[arg(value_parser = parse_duration)]
    #[arg(help_heading = "Limits of the host")]
    pub head_timeout: Duration,
    /// How long a caller may neither send nor read a byte
    #[arg(long, value_name = "DURATION", env = "STEERAGE_IDLE_TIMEOUT", default_value = "75s")]
    #[arg(value_parser = parse_duration)]
    #[arg(help_heading = "Limits of the host")]
    pub idle_timeout: Duration,
}

/// How the host writes its own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One readable line an event.
    Text,
    /// One JSON object an event.
    Json,
}
