//! What operators write and what comes of it: precedence, defaults, and each mistake with its place.
//! Does not test how sizes, durations or TOML are read: those have their own tests.

use expect_test::{Expect, expect};

use super::*;
use crate::connector::OutsideUrl;
use crate::otlp::{CollectorHeaders, OtlpProtocol, OtlpSettings};

fn machine() -> Machine {
    Machine {
        cores: 4,
        memory: Bytes::mebi(16 << 10),
        memory_limit: None,
        mappings: 65_530,
        open_files: 1 << 20,
        address_space: Bytes::mebi(86 << 20),
        address_limit: None,
        backlog: 4096,
        overcommit: 0,
        huge_pages: "madvise".to_owned(),
        may_swap: false,
        tells_written: true,
        kernel: (6, 12),
        may_yield: true,
    }
}

fn read_on(
    machine: &Machine,
    flags: &[(&'static str, &str)],
    text: &str,
) -> Result<Settings, String> {
    let flags: Vec<_> = flags.iter().map(|(key, text)| (*key, (*text).to_owned())).collect();
    let file = File { name: "host.toml".to_owned(), text: text.to_owned() };
    Settings::read(&flags, Some(&file), machine, PathBuf::from("steerage"))
        .map_err(|wrong| wrong.to_string())
}

fn read(flags: &[(&'static str, &str)], text: &str) -> Settings {
    read_on(&machine(), flags, text).unwrap()
}

fn check(flags: &[(&'static str, &str)], text: &str, expect: &Expect) {
    expect.assert_eq(&read_on(&machine(), flags, text).unwrap_err());
}

#[test]
fn the_bound_of_the_disk_is_a_size_or_a_part_of_the_file_system() {
    assert_eq!(read(&[], "").disk, DiskBound::Percent(50));
    assert_eq!(read(&[], "[disk]\ncomponents = \"25%\"").disk, DiskBound::Percent(25));
    let said = [("disk.components", "20GiB")];
    assert_eq!(read(&said, "").disk, DiskBound::Size(Bytes::mebi(20 << 10)));
    for (text, told) in [
        ("0%", "is 0%: at least 1% is allowed"),
        ("101%", "is 101%: at most 100% is allowed"),
        ("7KiB", "is 7KiB: at least 1MiB is allowed"),
        ("much", "\"much\" is not a size"),
    ] {
        let error = read_on(&machine(), &[("disk.components", text)], "").unwrap_err().to_string();
        assert!(error.contains(told) && error.contains("--disk-components"), "{error}");
    }
}

#[test]
fn without_a_word_everything_is_computed_from_the_machine() {
    let settings = read(&[], "");
    assert_eq!(settings.memory.budget, machine().memory.percent(80));
    assert_eq!(settings.pool.slots, Slots::AtMost(10_079));
    assert_eq!(settings.pool.largest_memory, Bytes::mebi(4096));
    assert_eq!((settings.mapped.most, settings.cpu.threads), (1_008, 4));
    assert_eq!(settings.limits, LimitsPolicy::default());
    assert!(settings.tenants.is_empty() && settings.tls.is_none());
}

#[test]
fn a_flag_goes_before_the_file_and_the_file_before_the_default() {
    let text = "connections = 5\ndata = \"file\"\n[instances]\nslots = 100\n[cpu]\nthreads = 2";
    let settings = read(&[("instances.slots", "200"), ("data", "flag")], text);
    assert_eq!(settings.pool.slots, Slots::Exactly(200));
    assert_eq!(settings.data, PathBuf::from("flag"));
    assert_eq!((settings.connections, settings.cpu.threads), (5, 2));
    assert_eq!(settings.queue, QUEUE);
}

#[test]
fn what_depends_on_a_setting_follows_it() {
    let settings = read(&[], "[instances]\nlargest_memory = \"64MiB\"\nslots = 1000");
    assert_eq!(settings.limits.maximum.memory, Bytes::mebi(64));
    assert_eq!(settings.limits.default.memory, Bytes::mebi(64));
    assert_eq!(settings.mapped.most, (65_530 - 1024 - 6 * 1000) / 4);
    let settings = read(&[], "[memory]\nbudget = \"400MiB\"");
    assert_eq!(settings.pool.slots, Slots::AtMost(1_280));
    let settings = read(&[], "[limits.maximum]\ntimeout = \"5s\"\nmemory = \"1GiB\"");
    assert_eq!(settings.limits.default.timeout, Duration::from_secs(5));
    assert_eq!(settings.limits.default.memory, Bytes::mebi(128));
}

#[test]
fn a_limited_group_counts_as_the_machine() {
    let contained = Machine { memory_limit: Some(Bytes::mebi(512)), ..machine() };
    let settings = read_on(&contained, &[], "[memory]\nbudget = \"50%\"").unwrap();
    assert_eq!(settings.memory.budget, Bytes::mebi(256));
    let error = read_on(&contained, &[], "[memory]\nbudget = \"1GiB\"").unwrap_err();
    assert_eq!(error, "host.toml:2:10: memory.budget: is 1GiB: this machine has 512MiB");
}

#[test]
fn trusted_proxies_are_networks() {
    assert_eq!(read(&[], "").trusted_proxies, []);
    let settings = read(&[], "trusted_proxies = \"10.0.0.0/8, ::1\"");
    let shown: Vec<_> = settings.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.0.0.0/8", "::1/128"]);
    check(
        &[("trusted_proxies", "10.0.0.0/40")],
        "trusted_proxies = \"localhost\"",
        &expect![[r#"
            --trusted-proxies (STEERAGE_TRUSTED_PROXIES): "10.0.0.0/40" is no network: it has more bits than an address
            host.toml:1:19: trusted_proxies: "localhost" is no network: expected an address, or ADDRESS/BITS such as 10.0.0.0/8"#]],
    );
}

#[test]
fn receivers_are_urls_and_a_secret_needs_its_webhook() {
    let urls = "http://a:9093, https://b/alerts";
    let settings = read(&[("notify.alertmanager", urls)], "").notify;
    let places: Vec<String> = settings.alertmanagers.iter().map(OutsideUrl::authority).collect();
    assert_eq!(places, ["a:9093", "b"]);
    assert!(settings.webhook.is_none());
    check(
        &[("notify.alertmanager", "a:9093")],
        "[notify]\nwebhook = \"http://user:password@a/\"",
        &expect![[r#"
            --alertmanager (STEERAGE_ALERTMANAGER): "a:9093" is no URL: expected http://HOST:PORT or https://HOST:PORT
            host.toml:2:11: notify.webhook: holds a user: user and password cannot be sent"#]],
    );
    check(
        &[("notify.alertmanager", "http://a:9093,http://b:9093/x,http://B:9093/y")],
        "[notify]\nalertmanager = \"http://a/,https://a/\"",
        &expect![[r#"
            --alertmanager (STEERAGE_ALERTMANAGER): names B:9093 twice: each host and port is allowed once
            host.toml:2:16: notify.alertmanager: names a twice: each host and port is allowed once"#]],
    );
    check(
        &[("notify.webhook_secret_file", "secret")],
        "",
        &expect![
            "--webhook-secret-file (STEERAGE_WEBHOOK_SECRET_FILE): needs a webhook that it is the secret of"
        ],
    );
}

#[test]
fn tenants_may_be_named_in_both_places() {
    let settings = read(
        &[("tenants", "acme=7, ops=1")],
        "[tenants.acme]\nweight = 2\n[tenants.b]\nweight = 3",
    );
    let tenants = settings.tenants.iter().map(|(name, weight)| format!("{name}={weight}"));
    assert_eq!(tenants.collect::<Vec<_>>(), ["acme=7", "b=3", "ops=1"]);
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    let text = "\
listn = \"127.0.0.1:80\"
admin = 8081
tls_key = \"key.pem\"
head_timeout = \"0s\"
drain_timeout = 30

[memory]
budget = \"120%\"
overcommit = 0.5

[instances]
slots = 30000
largest_memory = \"8GiB\"

[cpu]
slice = 0
threads = 0

[limits.default]
memory = \"2GiB\"
concurrency = 0

[limits.maximum]
memory = \"1GiB\"
fuel = 3

[tenants.Acme]
weight = 0

[tenants.b]
weights = 2

[queue]
most = -1
";
    check(
        &[("log_format", "xml"), ("tenants", "a")],
        text,
        &expect![[r#"
            --log-format (STEERAGE_LOG_FORMAT): "xml" is no format: expected text or json
            --tenants (STEERAGE_TENANTS): "a" is not a tenant's share: expected NAME=WEIGHT
            host.toml:1:1: listn: unknown key, did you mean listen?
            host.toml:2:9: admin: "8081" is no address: expected IP:PORT, such as 127.0.0.1:8080
            host.toml:3:11: tls_key: needs its certificate too: tls_cert
            host.toml:4:16: head_timeout: is 0s: at least 1ms is allowed
            host.toml:5:17: drain_timeout: "30" is not a duration: expected numbers with units, such as 500us, 250ms, 2s, 1m30s or 1h
            host.toml:8:10: memory.budget: is 120%: at most 100% is allowed
            host.toml:9:14: memory.overcommit: is 0.5: 1.0 to 100.0 is allowed
            host.toml:12:9: instances.slots: is 30000: the address space has room for 21824 with 4GiB each; lower largest_memory
            host.toml:13:18: instances.largest_memory: is 8GiB: at most 4GiB is allowed
            host.toml:16:9: cpu.slice: is 0: at least 10k is allowed
            host.toml:17:11: cpu.threads: is 0: at least 1 is allowed
            host.toml:20:10: limits.default.memory: is 2GiB: at most 1GiB is allowed
            host.toml:21:15: limits.default.concurrency: "0" is not a whole number that can be used here
            host.toml:25:8: limits.maximum.fuel: is 3: at least 1k is allowed
            host.toml:27:10: tenants.Acme: "Acme" is not a tenant's name: only a-z, 0-9 and - are allowed
            host.toml:28:10: tenants.Acme.weight: "0" is not a weight: expected a whole number from 1 to 1000
            host.toml:30:1: tenants.b.weight: missing: write weight = 2
            host.toml:31:1: tenants.b.weights: unknown key, did you mean weight?
            host.toml:34:8: queue.most: "-1" is not a whole number that can be used here"#]],
    );
}

#[test]
fn slots_need_a_stack_each_from_the_start() {
    let key = "instances.slots";
    let most = "is 32254: vm.max_map_count = 65530 has room for 32253; sysctl -w \
                vm.max_map_count=262144";
    let sizes = "[instances]\nlargest_memory = \"1GiB\"";
    assert_eq!(read(&[(key, "32253")], sizes).pool.slots, Slots::Exactly(32_253));
    let error = read_on(&machine(), &[(key, "32254")], sizes).unwrap_err();
    assert_eq!(error, format!("--slots (STEERAGE_SLOTS): {most}"));
}

#[test]
fn a_mistake_in_the_file_is_told_even_where_a_flag_goes_before_it() {
    check(
        &[("queue.most", "5")],
        "[queue]\nmost = \"many\"",
        &expect![[
            r#"host.toml:2:8: queue.most: "many" is not a whole number that can be used here"#
        ]],
    );
}

#[test]
fn what_is_said_by_a_flag_is_blamed_on_the_flag() {
    let text = "[limits.maximum]\nmemory = \"64MiB\"";
    check(
        &[("limits.default.memory", "1GiB")],
        text,
        &expect!["--default-memory (STEERAGE_DEFAULT_MEMORY): is 1GiB: at most 64MiB is allowed"],
    );
    check(
        &[],
        "limits = 3\nmemory = []",
        &expect![[r#"
        host.toml:1:10: limits: expected a table, [limits], found an integer
        host.toml:2:10: memory: expected a table, [memory], found an array"#]],
    );
}

#[test]
fn a_collector_is_said_as_the_specification_has_it() {
    let otlp = |flags: &[(&'static str, &str)]| read(flags, "").otlp;
    let place = |flags: &[(&'static str, &str)]| {
        otlp(flags).traces.map(|endpoint| format!("{:?}", endpoint.url))
    };
    let base = ("otlp.endpoint", "http://base:4318");
    let traces = ("otlp.traces_endpoint", "http://traces/x");
    assert_eq!(place(&[]), None);
    assert_eq!(place(&[base]).as_deref(), Some("OutsideUrl(base:4318)"));
    assert_eq!(place(&[base, traces]).as_deref(), Some("OutsideUrl(traces)"));
    assert_eq!(place(&[base, ("otlp.disabled", "TRUE")]), None);
    // An empty variable is one that is not there.
    assert_eq!(
        place(&[base, ("otlp.traces_endpoint", ""), ("otlp.disabled", " ")]),
        place(&[base])
    );
    let named = |flags: &[(&'static str, &str)]| (otlp(flags).service, otlp(flags).resource);
    let in_resource = ("otlp.resource_attributes", "service.name=one,a=b%20c");
    let resource = vec![("a".to_owned(), "b c".to_owned())];
    assert_eq!(named(&[]), ("steerage".to_owned(), Vec::new()));
    assert_eq!(named(&[in_resource]), ("one".to_owned(), resource.clone()));
    assert_eq!(named(&[in_resource, ("otlp.service_name", "two")]), ("two".to_owned(), resource));
    let timeout = |text| otlp(&[base, ("otlp.timeout", text)]).traces.unwrap().timeout;
    assert_eq!(
        (timeout("2500"), timeout("2s")),
        (Duration::from_millis(2500), Duration::from_secs(2))
    );
    let half = [("otlp.sampler", "traceidratio"), ("otlp.sampler_arg", "0.5")];
    assert!(
        otlp(&half).sampler.samples(1 << 62, None) && !otlp(&half).sampler.samples(3 << 62, None)
    );
}

#[test]
fn metrics_go_where_all_goes_unless_their_own_settings_say_otherwise() {
    let base = ("otlp.endpoint", "http://base:4318/x");
    let metrics = |flags: &[(&'static str, &str)]| read(flags, "").otlp.metrics;
    let uri = |flags: &[(&'static str, &str)]| {
        metrics(flags).map(|endpoint| endpoint.url.uri().to_string())
    };
    let own = ("otlp.metrics_endpoint", "http://metrics/y");
    assert_eq!(uri(&[]), None);
    assert_eq!(uri(&[base]).as_deref(), Some("http://base:4318/x/v1/metrics"));
    assert_eq!(uri(&[base, own]).as_deref(), Some("http://metrics/y"));
    assert_eq!(uri(&[own]).as_deref(), Some("http://metrics/y"));
    assert_eq!(read(&[own], "").otlp.traces, None, "they are for metrics alone");
    for (wanted, is_on) in [("otlp", true), ("none", false), ("", true)] {
        let flags = [base, ("otlp.metrics_exporter", wanted)];
        assert_eq!(
            (metrics(&flags).is_some(), read(&flags, "").otlp.traces.is_some()),
            (is_on, true)
        );
    }
    assert_eq!(uri(&[base, ("otlp.disabled", "true")]), None);
    let certified = read(&[base, ("otlp.certificate", "/ca.pem")], "").otlp;
    for endpoint in [certified.traces, certified.metrics, certified.logs] {
        assert_eq!(endpoint.unwrap().certificate, Some(PathBuf::from("/ca.pem")));
    }
    let grpc = [base, ("otlp.metrics_protocol", "grpc"), ("otlp.timeout", "2s")];
    let path = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    assert_eq!(uri(&grpc), Some(format!("http://base:4318{path}")));
    let settings = read(&grpc, "").otlp;
    let [traces, metric] = [settings.traces, settings.metrics].map(Option::unwrap);
    assert_eq!((traces.protocol, metric.protocol), (OtlpProtocol::Http, OtlpProtocol::Grpc));
    assert_eq!((traces.timeout, metric.timeout), (Duration::from_secs(2), Duration::from_secs(2)));
    let general = ("otlp.headers", "a=1");
    let flags = [base, general, ("otlp.metrics_headers", "b=2"), ("otlp.metrics_timeout", "7")];
    let own_headers = metrics(&flags).unwrap();
    assert_eq!(own_headers.timeout, Duration::from_millis(7));
    assert_eq!(own_headers.headers, CollectorHeaders::parse("b=2").unwrap());
    assert_eq!(metrics(&[base, general]).unwrap().headers, CollectorHeaders::parse("a=1").unwrap());
    // Each signal has all of them.
    for signal in ["traces", "metrics", "logs"] {
        let of_signal = |flags: &[(&'static str, &str)]| {
            let OtlpSettings { traces, metrics, logs, .. } = read(flags, "").otlp;
            match signal {
                "traces" => [traces, metrics, logs],
                "metrics" => [metrics, logs, traces],
                _ => [logs, traces, metrics],
            }
        };
        let key = |what: &str| -> &'static str {
            let key = format!("otlp.{signal}_{what}");
            KNOBS.iter().find(|knob| knob.key == key).unwrap().key
        };
        let [own, others @ ..] = of_signal(&[
            base,
            general,
            (key("endpoint"), "http://own/z"),
            (key("protocol"), "grpc"),
            (key("headers"), "c=3"),
            (key("timeout"), "3s"),
            (key("certificate"), "/own.pem"),
        ]);
        let own = own.unwrap();
        assert_eq!((own.protocol, own.timeout), (OtlpProtocol::Grpc, Duration::from_secs(3)));
        assert_eq!(own.headers, CollectorHeaders::parse("c=3").unwrap());
        assert_eq!(own.certificate, Some(PathBuf::from("/own.pem")));
        assert_eq!(own.url.authority(), "own");
        for other in others.map(Option::unwrap) {
            assert_eq!((other.protocol, other.certificate), (OtlpProtocol::Http, None), "{signal}");
            assert_eq!(other.headers, CollectorHeaders::parse("a=1").unwrap());
        }
        let [own, others @ ..] = of_signal(&[base, (key("exporter"), "none")]);
        assert!(own.is_none() && others.iter().all(Option::is_some), "{signal}");
    }
    let often = [("otlp.metric_export_interval", "1500"), ("otlp.metric_export_timeout", "2s")];
    let often = read(&often, "").otlp;
    assert_eq!(
        (often.interval, often.export_timeout),
        (Duration::from_millis(1500), Duration::from_secs(2))
    );
}

#[test]
fn what_is_wrong_with_a_collector_is_told_by_the_name_of_its_variable() {
    check(
        &[
            ("otlp.endpoint", "collector:4317"),
            ("otlp.headers", "secret"),
            ("otlp.protocol", "http/json"),
            ("otlp.timeout", "0"),
            ("otlp.sampler", "jaeger_remote"),
            ("otlp.sampler_arg", "10"),
            ("otlp.disabled", "yes"),
            ("otlp.metrics_exporter", "prometheus"),
            ("otlp.logs_exporter", "console"),
            ("otlp.traces_headers", "secret"),
            ("otlp.metrics_endpoint", "collector"),
            ("otlp.metrics_protocol", "http/json"),
            ("otlp.metrics_headers", "secret"),
            ("otlp.metrics_timeout", "11m"),
            ("otlp.metric_export_interval", "99"),
            ("otlp.metric_export_timeout", "0"),
        ],
        "",
        &expect![[r#"
            --otlp-disabled (OTEL_SDK_DISABLED): "yes" is neither true nor false
            --otlp-protocol (OTEL_EXPORTER_OTLP_PROTOCOL): "http/json" is no protocol spoken here: expected http/protobuf or grpc
            --otlp-endpoint (OTEL_EXPORTER_OTLP_ENDPOINT): "collector:4317" is no URL: expected http://HOST:PORT or https://HOST:PORT
            --otlp-headers (OTEL_EXPORTER_OTLP_HEADERS): part 1 between the commas has no =: expected NAME=VALUE,NAME=VALUE
            --otlp-timeout (OTEL_EXPORTER_OTLP_TIMEOUT): is 0s: at least 1ms is allowed
            --otlp-traces-headers (OTEL_EXPORTER_OTLP_TRACES_HEADERS): part 1 between the commas has no =: expected NAME=VALUE,NAME=VALUE
            --otlp-metrics-exporter (OTEL_METRICS_EXPORTER): "prometheus" is no exporter here: expected otlp or none
            --otlp-metrics-protocol (OTEL_EXPORTER_OTLP_METRICS_PROTOCOL): "http/json" is no protocol spoken here: expected http/protobuf or grpc
            --otlp-metrics-headers (OTEL_EXPORTER_OTLP_METRICS_HEADERS): part 1 between the commas has no =: expected NAME=VALUE,NAME=VALUE
            --otlp-metrics-timeout (OTEL_EXPORTER_OTLP_METRICS_TIMEOUT): is 11m: at most 10m is allowed
            --otlp-metrics-endpoint (OTEL_EXPORTER_OTLP_METRICS_ENDPOINT): "collector" is no URL: expected http://HOST:PORT or https://HOST:PORT
            --otlp-logs-exporter (OTEL_LOGS_EXPORTER): "console" is no exporter here: expected otlp or none
            --otlp-metric-export-interval (OTEL_METRIC_EXPORT_INTERVAL): is 99ms: at least 100ms is allowed
            --otlp-metric-export-timeout (OTEL_METRIC_EXPORT_TIMEOUT): is 0s: at least 1ms is allowed
            --otlp-sampler-arg (OTEL_TRACES_SAMPLER_ARG): "10" is no ratio: expected a number from 0 to 1, such as 0.1
            --otlp-sampler (OTEL_TRACES_SAMPLER): "jaeger_remote" is no sampler: expected one of always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, parentbased_traceidratio"#]],
    );
}

const SAMPLE: &str = include_str!("../../../examples/host.toml");

#[test]
fn the_sample_says_the_defaults() {
    let (sample, default) = (read(&[], SAMPLE), read(&[], ""));
    let acme = TenantName::parse("acme").unwrap();
    assert_eq!(sample.tenants.get(&acme).map(|weight| weight.get()), Some(2));
    let without = Settings { tenants: BTreeMap::new(), ..sample };
    assert_eq!(format!("{without:?}"), format!("{default:?}"));
}

#[test]
fn the_sample_has_every_setting_and_all_of_them_can_be_switched_on() {
    let lines = SAMPLE.lines().map(|line| {
        // A line that is a setting behind a #.
        let setting = line.strip_prefix("# ").filter(|rest| {
            let name = rest.split_once(" = ").map_or("", |(name, _)| name);
            KNOBS.iter().any(|knob| knob.name() == name)
        });
        setting.unwrap_or(line)
    });
    let all = lines.collect::<Vec<_>>().join("\n");
    read(&[], &all);
    let table = toml::de::DeTable::parse(&all).unwrap();
    for knob in &KNOBS {
        let section = knob.section().split('.').filter(|part| !part.is_empty());
        let section = section.fold(table.get_ref(), |table, part| {
            table.get(part).and_then(|value| value.get_ref().as_table()).unwrap()
        });
        assert!(section.contains_key(knob.name()), "{} is not in the sample", knob.key);
    }
}
