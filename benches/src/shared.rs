//! What a hello call does to what all cores share: locks it takes, and lines of memory it writes that
//! every core writes. Counted by a build of the host that does so, by the place in its source; time is
//! not measured, so a busy machine changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde_json::json;

use crate::Common;
use crate::host::{App, Host};
use crate::load::{Plan, Press};
use crate::report::{Report, Target, table};

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Keep-alive connections
    #[arg(long, default_value_t = 32)]
    connections: usize,
}

/// Uses of what is shared, by kind and place.
type Uses = BTreeMap<(String, String), f64>;

/// What is called: a title, the apps in turn, and how each gets its instances.
const CALLED: [(&str, &[&str], &str); 5] = [
    ("new instances", &["new"], "[instance]\nfresh = \"new\""),
    ("restored instances", &["restored"], ""),
    ("reused instances", &["reused"], "[instance]\nreuse = 1000000"),
    ("new instances, two apps in turn", &["one", "other"], "[instance]\nfresh = \"new\""),
    ("restored instances, two apps in turn", &["this", "that"], ""),
];

/// Counts for each kind of instance, alone and beside another app.
pub(crate) fn run(program: &Path, arguments: &Arguments) -> Result<()> {
    let host = Host::start(program, std::process::Command::new(program), &[])?;
    let mut report = Report::new("shared");
    for (title, names, more) in CALLED {
        for &name in names {
            host.deploy(&App { name, source: steerage_guests::HELLO, more })?;
        }
        let uses = per_call(&host, names, arguments)?;
        print(title, &uses);
        let sum = |kind: &str| -> f64 {
            uses.iter().filter(|((of, _), _)| of == kind).map(|(_, count)| count).sum()
        };
        let (locks, writes) = if names.len() == 1 { (3.0, 8.0) } else { (8.0, 14.0) };
        report.goal(&format!("locks per call, {title}"), sum("lock"), "", Target::AtMost(locks));
        report.goal(&format!("writes per call, {title}"), sum("write"), "", Target::AtMost(writes));
        // What threads of one core use and those of others seldom: it costs a tenth of what all cores share.
        let own = (sum("own_lock"), sum("own_write"));
        report.goal(&format!("own core's locks per call, {title}"), own.0, "", Target::AtMost(9.0));
        report.goal(
            &format!("own core's writes per call, {title}"),
            own.1,
            "",
            Target::AtMost(7.0),
        );
        let rows = uses.iter().map(|((kind, at), count)| json!([kind, at, count]));
        report.detail(title, rows.collect());
    }
    report.finish(arguments.common.json.as_deref())
}

fn per_call(host: &Host, names: &[&str], arguments: &Arguments) -> Result<Uses> {
    let paths = names.iter().map(|name| format!("/{name}/")).collect();
    let press =
        Press::start(Plan::closed(host.address(), "/", arguments.connections).paths(paths))?;
    drop(press.measure(arguments.common.warmup())?);
    let before = host.uses_of_shared()?;
    let tally = press.measure(arguments.common.duration())?.all_well()?;
    let mut uses = host.uses_of_shared()?;
    press.stop()?;
    let n_calls = tally.n(200).max(1) as f64;
    for (place, count) in &mut uses {
        *count = (*count - before.get(place).copied().unwrap_or(0.0)) / n_calls;
    }
    // What others do in that time, such as connections that begin.
    uses.retain(|_, count| *count >= 0.005);
    Ok(uses)
}

fn print(title: &str, uses: &Uses) {
    println!("\n{title}");
    let mut table = table(&["per call", "kind", "at"]);
    for ((kind, at), count) in uses {
        table.add_row([format!("{count:.2}"), kind.clone(), at.clone()]);
    }
    println!("{table}");
}
