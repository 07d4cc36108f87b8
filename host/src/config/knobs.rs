//! Every setting of a host, once: its key in the file, its flag, its environment variable, and what
//! is shown of it. The command line, the file's reader and the tests are made from this table.
//! Does not hold values and does not read any; `examples/host.toml` says what each costs and buys.

mod knob;
mod limits;
mod otlp;

pub use self::knob::Knob;
use self::knob::knob;
use self::limits::LIMITS;
use self::otlp::OTLP;

/// The key of the tenants, who stand in a table of their own in the file.
pub(super) const TENANTS: &str = "tenants";

/// All of them, in the order of the help and of the sample file.
pub const KNOBS: [Knob; 107] = {
    let mut all = [knob("", ("", ""), ("", ""), ""); 107];
    let (host, rest) = all.split_at_mut(HOST.len());
    let (otlp, rest) = rest.split_at_mut(OTLP.len());
    let (limits, fleet) = rest.split_at_mut(LIMITS.len());
    host.copy_from_slice(&HOST);
    otlp.copy_from_slice(&OTLP);
    limits.copy_from_slice(&LIMITS);
    fleet.copy_from_slice(&FLEET);
    all
};

/// Those of a host by itself.
const HOST: [Knob; 39] = [
    knob(
        "listen",
        ("listen", "STEERAGE_LISTEN"),
        ("ADDR", "127.0.0.1:8080"),
        "Where callers reach the apps; port 0 takes a free one",
    ),
    knob(
        "admin",
        ("admin", "STEERAGE_ADMIN_LISTEN"),
        ("ADDR", "127.0.0.1:8081"),
        "Where operators reach the host; beyond loopback only with a token",
    ),
    knob(
        "data",
        ("data", "STEERAGE_DATA"),
        ("DIR", "steerage-data"),
        "Directory for all the host keeps: desired state, components, compiled code",
    ),
    knob(
        "cache",
        ("cache", "STEERAGE_CACHE"),
        ("DIR", "inside the data directory"),
        "Directory for compiled code, never cleaned up where it is given",
    ),
    knob(
        "token_file",
        ("token-file", "STEERAGE_TOKEN_FILE"),
        ("FILE", ""),
        "File that holds the token every admin request must carry",
    ),
    knob(
        "tls_cert",
        ("tls-cert", "STEERAGE_TLS_CERT"),
        ("FILE", ""),
        "Certificate chain in PEM; callers are then served over TLS",
    ),
    knob(
        "tls_key",
        ("tls-key", "STEERAGE_TLS_KEY"),
        ("FILE", ""),
        "Private key in PEM that belongs to the certificate",
    ),
    knob(
        "log",
        ("log", "STEERAGE_LOG"),
        ("FILTER", "info"),
        "What the host logs, like warn or info,steerage=debug; RUST_LOG where this is not said",
    ),
    knob(
        "log_format",
        ("log-format", "STEERAGE_LOG_FORMAT"),
        ("FORMAT", "text"),
        "How the host writes its own log: text or json",
    ),
    knob(
        "access_log",
        ("access-log", "STEERAGE_ACCESS_LOG"),
        ("FILE|-", "none"),
        "Where a line of JSON for each call goes: a file, or - for stdout",
    ),
    knob(
        "drain_timeout",
        ("drain-timeout", "STEERAGE_DRAIN_TIMEOUT"),
        ("DURATION", "30s"),
        "How long running calls may take to finish once the host is told to stop",
    ),
    knob(
        "lame_duck",
        ("lame-duck", "STEERAGE_LAME_DUCK"),
        ("DURATION", "1s"),
        "How long callers are still let in once the host is told to stop and is not ready",
    ),
    knob(
        "connections",
        ("connections", "STEERAGE_CONNECTIONS"),
        ("COUNT", "10000"),
        "Connections of callers at once; more wait in the kernel",
    ),
    knob(
        "head_timeout",
        ("head-timeout", "STEERAGE_HEAD_TIMEOUT"),
        ("DURATION", "10s"),
        "How long a caller may take for the head of a request",
    ),
    knob(
        "idle_timeout",
        ("idle-timeout", "STEERAGE_IDLE_TIMEOUT"),
        ("DURATION", "75s"),
        "How long a caller may neither send nor read a byte",
    ),
    knob(
        "trusted_proxies",
        ("trusted-proxies", "STEERAGE_TRUSTED_PROXIES"),
        ("NETWORK,...", ""),
        "Proxies that are believed when they say whom a request comes from, such as 10.0.0.0/8",
    ),
    knob(
        "compile_timeout",
        ("compile-timeout", "STEERAGE_COMPILE_TIMEOUT"),
        ("DURATION", "60s"),
        "How long compiling one component may take",
    ),
    knob(
        "compile_memory",
        ("compile-memory", "STEERAGE_COMPILE_MEMORY"),
        ("SIZE", "4GiB"),
        "How much memory compiling one component may take; 0 for no limit",
    ),
    knob(
        "max_component",
        ("max-component", "STEERAGE_MAX_COMPONENT"),
        ("SIZE", "100MiB"),
        "Largest component taken",
    ),
    knob(
        "watch",
        ("watch", "STEERAGE_WATCH"),
        ("DURATION", "5m"),
        "How long a deployment is watched, and rolled back if it fails where the one before did not; or never",
    ),
    knob(
        "disk.components",
        ("disk-components", "STEERAGE_DISK_COMPONENTS"),
        ("SIZE|PERCENT", "50% of the file system"),
        "Disk in the data directory for components and compiled code",
    ),
    knob(
        "history.disk",
        ("history-disk", "STEERAGE_HISTORY_DISK"),
        ("SIZE", "256MiB"),
        "Disk in the data directory for what apps did, by minutes and hours; 0 to keep none",
    ),
    knob(
        "history.write",
        ("history-write", "STEERAGE_HISTORY_WRITE"),
        ("DURATION", "60s"),
        "How often what apps did is written to the disk: a host that is killed loses as much",
    ),
    knob(
        "profile_frequency",
        ("profile-frequency", "STEERAGE_PROFILE_FREQUENCY"),
        ("COUNT", "19"),
        "Samples of what guests do, for each second of CPU time of a thread; 0 for no profiles",
    ),
    knob(
        "memory.budget",
        ("memory-budget", "STEERAGE_MEMORY_BUDGET"),
        ("SIZE|PERCENT", "80%"),
        "Memory that the host may use, all its instances included",
    ),
    knob(
        "memory.overcommit",
        ("memory-overcommit", "STEERAGE_MEMORY_OVERCOMMIT"),
        ("FACTOR", "2.0"),
        "How many times the budget instances may reserve together",
    ),
    knob(
        "memory.telemetry",
        ("telemetry-memory", "STEERAGE_TELEMETRY_MEMORY"),
        ("SIZE", "128MiB, an eighth of a small budget"),
        "Memory for log lines, last calls, counters and events of all apps",
    ),
    knob(
        "instances.slots",
        ("slots", "STEERAGE_SLOTS"),
        ("COUNT", "what fits the machine"),
        "How many instances may live at once",
    ),
    knob(
        "instances.keep_resident",
        ("keep-resident", "STEERAGE_KEEP_RESIDENT"),
        ("SIZE", "256KiB"),
        "Memory that stays with a slot between two instances",
    ),
    knob(
        "instances.largest_memory",
        ("largest-memory", "STEERAGE_LARGEST_MEMORY"),
        ("SIZE", "4GiB, less in a small address space"),
        "Address space for an instance's memory: the most any app can ask for",
    ),
    knob(
        "apps.mapped",
        ("mapped-apps", "STEERAGE_MAPPED_APPS"),
        ("COUNT", "what fits the machine"),
        "Apps at once whose compiled code is mapped",
    ),
    knob(
        "apps.idle",
        ("mapped-idle", "STEERAGE_MAPPED_IDLE"),
        ("DURATION", "5m"),
        "How long code stays mapped that nobody calls",
    ),
    knob(
        "cpu.slice",
        ("slice", "STEERAGE_SLICE"),
        ("FUEL", "200k"),
        "How far a guest runs between two looks at who else waits",
    ),
    knob(
        "cpu.threads",
        ("threads", "STEERAGE_THREADS"),
        ("COUNT", "one per core"),
        "Threads that run guests",
    ),
    knob(
        "queue.most",
        ("queue", "STEERAGE_QUEUE"),
        ("COUNT", "10000"),
        "Calls that may wait at once, of all apps together",
    ),
    knob(
        "outbound.private",
        ("outbound-private", "STEERAGE_OUTBOUND_PRIVATE"),
        ("NETWORK,...", "none"),
        "Private networks that apps may reach whose manifest names the host, such as 10.0.0.0/8",
    ),
    knob(
        "notify.webhook",
        ("webhook", "STEERAGE_WEBHOOK"),
        ("URL", ""),
        "Gets a POST with JSON for each problem that opens, changes or closes",
    ),
    knob(
        "notify.webhook_secret_file",
        ("webhook-secret-file", "STEERAGE_WEBHOOK_SECRET_FILE"),
        ("FILE", ""),
        "File with the secret by which what the webhook gets is signed",
    ),
    knob(
        "notify.alertmanager",
        ("alertmanager", "STEERAGE_ALERTMANAGER"),
        ("URL,...", ""),
        "Alertmanagers that are told what is wrong, such as http://10.0.0.9:9093",
    ),
];

/// Those of its tenants and its fleet.
const FLEET: [Knob; 21] = [
    knob(
        TENANTS,
        ("tenants", "STEERAGE_TENANTS"),
        ("NAME=WEIGHT,...", "every tenant weighs 1"),
        "Tenants' shares of a busy host, divided among each one's busy apps",
    ),
    knob(
        "fleet.store",
        ("store", "STEERAGE_STORE"),
        ("URL", ""),
        "The fleet's store, such as etcd://a:2379,b:2379,c:2379; without one this host is alone",
    ),
    knob(
        "fleet.store_password_file",
        ("store-password-file", "STEERAGE_STORE_PASSWORD_FILE"),
        ("FILE", ""),
        "File that holds the password of the user named in the store's URL",
    ),
    knob(
        "fleet.insecure_store",
        ("insecure-store", "STEERAGE_INSECURE_STORE"),
        ("BOOL", "false"),
        "Speak plain text with a store on other machines",
    ),
    knob(
        "fleet.fleet",
        ("fleet", "STEERAGE_FLEET"),
        ("NAME", ""),
        "Which fleet, where several share one store",
    ),
    knob(
        "fleet.name",
        ("name", "STEERAGE_NAME"),
        ("NAME", "the machine's own name"),
        "This host's name in its fleet",
    ),
    knob(
        "fleet.zone",
        ("zone", "STEERAGE_ZONE"),
        ("NAME", "default"),
        "What fails together with this host: replicas are spread over zones",
    ),
    knob(
        "fleet.labels",
        ("labels", "STEERAGE_LABELS"),
        ("NAME=VALUE,...", ""),
        "What apps may ask of a host, such as disk=ssd",
    ),
    knob(
        "fleet.peer",
        ("peer", "STEERAGE_PEER"),
        ("ADDR", "port 8082 beside --listen"),
        "Where other hosts come in; port 0 takes a free one",
    ),
    knob(
        "fleet.peer_address",
        ("peer-address", "STEERAGE_PEER_ADDRESS"),
        ("ADDR", "that of --peer"),
        "Where other hosts reach this one",
    ),
    knob(
        "fleet.lease",
        ("lease", "STEERAGE_LEASE"),
        ("DURATION", "3s"),
        "How long a host counts as there that is not heard of",
    ),
    knob(
        "fleet.identity",
        ("identity", "STEERAGE_IDENTITY"),
        ("DIR", ""),
        "Certificates by which hosts know each other, made by `steerage cert issue`",
    ),
    knob(
        "fleet.authority_key",
        ("authority-key", "STEERAGE_AUTHORITY_KEY"),
        ("FILE", ""),
        "Key of the fleet's authority: this host signs the others' certificates before they end",
    ),
    knob(
        "fleet.insecure_peers",
        ("insecure-peers", "STEERAGE_INSECURE_PEERS"),
        ("BOOL", "false"),
        "Let hosts speak plain text with each other: only for trying out",
    ),
    knob(
        "fleet.headroom",
        ("headroom", "STEERAGE_HEADROOM"),
        ("PERCENT", "20%"),
        "What is kept free for an app beyond what it was seen to use",
    ),
    knob(
        "fleet.placement",
        ("placement", "STEERAGE_PLACEMENT"),
        ("POLICY", "pack"),
        "Which hosts get replicas: pack uses few of them, spread the least used one first",
    ),
    knob(
        "fleet.consolidate",
        ("consolidate", "STEERAGE_CONSOLIDATE"),
        ("DURATION", "5m"),
        "Empty hosts whose replicas others can take, when nothing moved for so long; or never",
    ),
    knob(
        "fleet.grace",
        ("grace", "STEERAGE_GRACE"),
        ("DURATION", "0s"),
        "How long a host that ended or was lost may take to come back before what it had starts elsewhere",
    ),
    knob(
        "fleet.move_rate",
        ("move-rate", "STEERAGE_MOVE_RATE"),
        ("MOVES", "120"),
        "Most replicas moved in a minute that could stay: to empty hosts, or off hosts that became too full",
    ),
    knob(
        "fleet.scale_down",
        ("scale-down", "STEERAGE_SCALE_DOWN"),
        ("DURATION", "5m"),
        "How long fewer replicas have to be enough for an app's load before some go",
    ),
    knob(
        "fleet.store_history",
        ("store-history", "STEERAGE_STORE_HISTORY"),
        ("DURATION", "5m"),
        "How much of its history etcd keeps: it is compacted to that; or never",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_flag_has_its_environment_twin() {
        for knob in &KNOBS {
            let named_after = format!("STEERAGE_{}", knob.flag.to_uppercase().replace('-', "_"));
            // STEERAGE_ADMIN is where the other verbs find a host.
            let expected = if knob.key == "admin" { "STEERAGE_ADMIN_LISTEN" } else { &named_after };
            // These have the names that collectors' operators know.
            let is_standard = knob.section() == "otlp" && knob.env.starts_with("OTEL_");
            assert!(is_standard || knob.env == expected, "{}", knob.env);
            if knob.section().is_empty() {
                assert_eq!(knob.flag.replace('-', "_"), knob.key);
            }
        }
    }

    #[test]
    fn no_two_settings_share_a_name() {
        let names =
            |name: fn(&Knob) -> &'static str| KNOBS.iter().map(name).collect::<BTreeSet<_>>().len();
        assert_eq!(names(|knob| knob.key), KNOBS.len());
        assert_eq!(names(|knob| knob.flag), KNOBS.len());
    }
}
