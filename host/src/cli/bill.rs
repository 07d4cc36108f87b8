//! `steerage bill`: what the hosts cost, split among tenants and apps.
//! Only asks and arranges; `core::bill` splits, and the operator knows the prices.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde::Serialize;
use steerage_core::bill::{self, BilledApp, BilledHost, BilledUse, Consumed, IdleCost};
use steerage_core::pack::{KindPrice, MachineRoom, Price};
use steerage_core::units::{Bytes, Cpu};

use super::args::{Bill, BilledIdle};
use super::ending::Misused;
use super::screen::Screen;
use super::table::Table;
use super::{human, remote, sources};
use crate::api::wire::{self, AppConsumption, Consumption, HostConsumption, HostSummary};
use crate::client::Supposed;

/// The tenant of an app of which nobody says it, such as one that was removed.
const NOBODY: &str = "-";
/// Millionths of a whole of the currency.
const WHOLE: u64 = 1_000_000;

/// Whose, and the app.
type Of = (String, String);

/// Runs the verb.
pub(super) async fn run(args: &Bill) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let hosts = client.hosts().await.context("cannot list the hosts")?.hosts;
    // One that is gone for good is not paid for any more.
    let there: Vec<_> = hosts.into_iter().filter(HostSummary::is_there).collect();
    let prices = priced(&there, &args.price)?;
    let told = client.consumption(args.since.before(human::now())).await;
    let told = told.context("cannot read what apps used")?;
    sources::tell(screen, told.sources.as_ref());
    let supposed = Supposed { consolidate: true, ..Supposed::default() };
    let plan = client.plan(&supposed).await.context("cannot ask which hosts are needed")?;
    let spare = Spare::of(&there, &prices, &plan);
    let billed = billed(&there, &prices, &told);
    let idle = match args.idle {
        BilledIdle::Apart => IdleCost::Apart,
        BilledIdle::Use => IdleCost::ByUse,
        BilledIdle::Even => IdleCost::Evenly,
    };
    for line in not_known(&billed) {
        screen.note(&line);
    }
    let hosts: Vec<_> = billed.into_values().collect();
    if screen.is_json() {
        return screen.json(&report(
            &hosts,
            &bill::bill(&hosts, idle, Price::new(1)),
            &told,
            &spare,
        ));
    }
    let price = hosts.iter().fold(Price::default(), |sum, host| sum.plus(host.price));
    let decimals = decimals(price);
    let unit = Price::new(10_u64.pow(6 - decimals));
    screen.say(&shown(&bill::bill(&hosts, idle, unit), decimals))?;
    screen.hint(&format!("\n{}", spare.shown()))
}

/// The hosts that could be given back now, as the planner of the fleet says.
#[derive(Debug, Serialize)]
struct Spare {
    /// Their names; nothing where the planner knows only what the store said earlier.
    hosts: Option<Vec<String>>,
    /// What they cost an hour; 0 where they are not known.
    hourly_millionths: u64,
    /// What all hosts cost an hour.
    hourly_of_all_millionths: u64,
}

impl Spare {
    fn of(there: &[HostSummary], prices: &BTreeMap<String, Price>, plan: &wire::Plan) -> Self {
        let sum = |of: &dyn Fn(&str) -> bool| {
            let hosts = there.iter().filter(|host| of(&host.host));
            let prices = hosts.filter_map(|host| prices.get(&host.host));
            prices.fold(Price::default(), |sum, price| sum.plus(*price)).get()
        };
        let hosts = plan.store_answers.then(|| plan.spare.clone());
        let is_spare = |host: &str| hosts.iter().flatten().any(|spare| spare == host);
        Self { hourly_millionths: sum(&is_spare), hourly_of_all_millionths: sum(&|_| true), hosts }
    }

    fn shown(&self) -> String {
        let hourly = |millionths| amount(Price::new(millionths), 6);
        match self.hosts.as_deref() {
            None => "which hosts are needed is not known: the host that was asked does not hear of the store"
                .to_owned(),
            Some([]) => "no host could be given back now".to_owned(),
            Some(spare) => format!(
                "could be given back now: {}, which cost {} of {} an hour; `steerage plan --consolidate` \
                 says what moves",
                spare.join(", "),
                hourly(self.hourly_millionths),
                hourly(self.hourly_of_all_millionths)
            ),
        }
    }
}

/// What each host costs an hour.
fn priced(hosts: &[HostSummary], prices: &[KindPrice]) -> Result<BTreeMap<String, Price>, Misused> {
    let (mut priced, mut meant) = (BTreeMap::new(), BTreeSet::new());
    for host in hosts {
        let is_of = |kind: &str| host.host == kind || host.labels.values().any(|of| of == kind);
        let of_kind = |price: &&KindPrice| price.kind.as_deref().is_some_and(is_of);
        let mut found: Vec<_> = prices.iter().filter(of_kind).collect();
        if found.is_empty() {
            found.extend(prices.iter().filter(|price| price.kind.is_none()));
        }
        let kind = |price: &&KindPrice| price.kind.as_deref().unwrap_or("every host").to_owned();
        match found[..] {
            [one] => {
                meant.extend(one.kind.clone());
                priced.insert(host.host.clone(), one.hourly);
            }
            [] => {
                let text = format!(
                    "host {} has no price: no KIND of --price is its name or the value of one of its \
                     labels, and there is no --price for every host",
                    host.host
                );
                return Err(Misused(text));
            }
            _ => {
                let kinds: Vec<_> = found.iter().map(kind).collect();
                let text = format!(
                    "host {} has {} prices, for {}: it needs one",
                    host.host,
                    found.len(),
                    kinds.join(" and for ")
                );
                return Err(Misused(text));
            }
        }
    }
    let stray = prices.iter().filter_map(|price| price.kind.as_ref());
    if let Some(kind) = stray.into_iter().find(|kind| !meant.contains(*kind)) {
        let text = format!("no host is of the kind {kind:?} that --price names");
        return Err(Misused(text));
    }
    Ok(priced)
}

/// The hosts with what they cost, and what apps had of them. Of one that told nothing nothing is known.
fn billed(
    hosts: &[HostSummary],
    prices: &BTreeMap<String, Price>,
    told: &Consumption,
) -> BTreeMap<String, BilledHost<Of>> {
    let most = told.hosts.iter().map(|host| host.seconds).max().unwrap_or(0);
    let billed = hosts.iter().map(|host| {
        let own = told.hosts.iter().find(|told| told.host == host.host);
        let silent = HostConsumption { seconds: most, ..HostConsumption::default() };
        let own = own.unwrap_or(&silent);
        let hourly = prices.get(&host.host).copied().unwrap_or_default();
        let room = MachineRoom {
            cpu: Cpu::milli(host.cpu_millicores),
            memory: Bytes::new(host.memory_bytes),
        };
        let billed = BilledHost {
            price: hourly.for_seconds(own.seconds),
            seconds: own.seconds,
            known_seconds: own.known_seconds,
            has: Consumed::of(room, own.known_seconds),
            apps: own.apps.iter().map(|app| (of(told, &app.app), had(app))).collect(),
        };
        (host.host.clone(), billed)
    });
    billed.collect()
}

fn of(told: &Consumption, app: &str) -> Of {
    let tenant = told.tenants.get(app).map_or(NOBODY, String::as_str);
    (tenant.to_owned(), app.to_owned())
}

fn had(app: &AppConsumption) -> BilledUse {
    let consumed = |cpu_us, mebibyte_seconds: u64| Consumed {
        cpu_us,
        byte_seconds: u128::from(mebibyte_seconds) << 20,
    };
    BilledUse {
        used: consumed(app.cpu_us, app.mebibyte_seconds),
        unused: consumed(app.unused_cpu_us, app.unused_mebibyte_seconds),
    }
}

/// A line for each host of which not all is known.
fn not_known(hosts: &BTreeMap<String, BilledHost<Of>>) -> Vec<String> {
    let partly = hosts.iter().filter(|(_, host)| host.known_seconds < host.seconds);
    let line = |(name, host): (&String, &BilledHost<Of>)| {
        format!(
            "of {name} it is known for {} of {} hours what apps used; what it cost in the others is not \
             split",
            hours(host.known_seconds),
            hours(host.seconds)
        )
    };
    partly.map(line).collect()
}

/// Hours with one decimal.
fn hours(seconds: u64) -> String {
    let tenths = seconds / 360;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// As many as leave some digits to what is little, and no more than are read.
fn decimals(price: Price) -> u32 {
    match price.get() / WHOLE {
        0 => 6,
        1..100 => 4,
        _ => 2,
    }
}

fn amount(price: Price, decimals: u32) -> String {
    let unit = 10_u64.pow(6 - decimals.min(6));
    let part = price.get() % WHOLE / unit;
    format!("{}.{part:0width$}", price.get() / WHOLE, width = decimals as usize)
}

fn shown(bill: &bill::Bill<Of>, decimals: u32) -> String {
    let mut table = Table::new(&["TENANT", "APP", ">USE", ">RESERVED", ">IDLE", ">SUM"]);
    let amount = |price| amount(price, decimals);
    let mut sums = BilledApp::default();
    for ((tenant, app), pays) in &bill.apps {
        sums.used = sums.used.plus(pays.used);
        sums.unused = sums.unused.plus(pays.unused);
        sums.idle = sums.idle.plus(pays.idle);
        let prices = [pays.used, pays.unused, pays.idle, pays.sum()].map(amount);
        table.row([tenant.clone(), app.clone()].into_iter().chain(prices));
    }
    let alone = |name: &str, idle: String, price: Price| {
        [NOBODY.to_owned(), name.to_owned(), String::new(), String::new(), idle, amount(price)]
    };
    if bill.idle > Price::default() {
        table.row(alone("(idle)", amount(bill.idle), bill.idle));
    }
    if bill.unknown > Price::default() {
        table.row(alone("(not known)", String::new(), bill.unknown));
    }
    let idle = sums.idle.plus(bill.idle);
    let prices = [sums.used, sums.unused, idle, bill.total()].map(amount);
    table.row(["total".to_owned(), String::new()].into_iter().chain(prices));
    table.render()
}

/// The bill as programs read it, in millionths of the currency.
#[derive(Debug, Serialize)]
struct Report<'a> {
    total_millionths: u64,
    idle_millionths: u64,
    unknown_millionths: u64,
    seconds: u64,
    known_seconds: u64,
    apps: Vec<ReportedApp<'a>>,
    spare: &'a Spare,
    #[serde(skip_serializing_if = "Option::is_none")]
    sources: Option<&'a wire::Sources>,
}

/// What one app pays.
#[derive(Debug, Serialize)]
struct ReportedApp<'a> {
    tenant: Option<&'a str>,
    app: &'a str,
    use_millionths: u64,
    reserved_millionths: u64,
    idle_millionths: u64,
    sum_millionths: u64,
}

fn report<'a>(
    hosts: &[BilledHost<Of>],
    bill: &'a bill::Bill<Of>,
    told: &'a Consumption,
    spare: &'a Spare,
) -> Report<'a> {
    let apps = bill.apps.iter().map(|((tenant, app), pays)| ReportedApp {
        tenant: (tenant != NOBODY).then_some(tenant),
        app,
        use_millionths: pays.used.get(),
        reserved_millionths: pays.unused.get(),
        idle_millionths: pays.idle.get(),
        sum_millionths: pays.sum().get(),
    });
    Report {
        total_millionths: bill.total().get(),
        idle_millionths: bill.idle.get(),
        unknown_millionths: bill.unknown.get(),
        seconds: hosts.iter().map(|host| host.seconds).sum(),
        known_seconds: hosts.iter().map(|host| host.known_seconds).sum(),
        apps: apps.collect(),
        spare,
        sources: told.sources.as_ref(),
    }
}

#[cfg(test)]
mod tests;
