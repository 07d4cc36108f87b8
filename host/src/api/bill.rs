//! `GET /v1/bill`: what the hosts cost, split among tenants and apps, at the prices that whoever asks says.
//! Only asks and arranges: `core::bill` splits. Keeps no price.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use steerage_core::bill::{self, BilledHost, BilledUse, Consumed, IdleCost, PricedKinds};
use steerage_core::pack::{KindPrice, MachineRoom, Price};
use steerage_core::units::{Bytes, Cpu};

use super::problem::{Cause, Refusal};
use super::wire::{AppConsumption, Consumption, HostConsumption, HostSummary};
use super::{Asked, Shared, consumption, fleet, wire};

/// Prices that are said at once.
const MOST_PRICES: usize = 100;
/// Millionths have so many decimals.
const MOST_DECIMALS: u32 = 6;

/// At which prices, since when, who pays for what stood idle, and how finely.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BillQuery {
    price: Option<String>,
    since: Option<String>,
    idle: Option<String>,
    decimals: Option<u32>,
}

/// The same, read.
#[derive(Debug)]
struct BillTerms {
    prices: Vec<KindPrice>,
    idle: IdleCost,
    decimals: Option<u32>,
}

/// Whose, where somebody says it, and the app.
type Of = (Option<String>, String);

/// `GET /v1/bill`.
pub(super) async fn bill(
    State(state): State<Shared>,
    Asked(query): Asked<BillQuery>,
) -> Result<Json<wire::Bill>, Refusal> {
    let terms = query.read()?;
    state.desired.fleet().ask_use(fleet::USE_OF).await;
    // One that is gone for good is not paid for any more.
    let mut there = fleet::hosts_known(&state).await?.hosts;
    there.retain(HostSummary::is_there);
    let hourly = bill::host_prices(&kinds(&there), &terms.prices)
        .map_err(|bad| Refusal::new(Cause::BadRequest, bad.to_string()))?;
    let told = consumption::of_all(&state, query.since.as_deref()).await?;
    let spare = spare(&hourly, fleet::spare(&state).await?);
    Ok(Json(write(&terms, &priced(&there, &hourly, &told), told, spare)))
}

impl BillQuery {
    fn read(&self) -> Result<BillTerms, Refusal> {
        let bad = |detail: String| Refusal::new(Cause::BadRequest, detail);
        let texts: Vec<&str> = self.price.iter().flat_map(|list| list.split(',')).collect();
        if texts.is_empty() {
            let detail = "what a host costs is not said: price=0.096/h, or price=KIND=0.096/h for each kind, with \
                          commas between";
            return Err(bad(detail.to_owned()));
        }
        if texts.len() > MOST_PRICES {
            return Err(bad(format!("{} prices, where {MOST_PRICES} may be said", texts.len())));
        }
        let prices = texts.into_iter().map(|text| text.trim().parse::<KindPrice>());
        let prices = prices.collect::<Result<_, _>>().map_err(|error| bad(error.to_string()))?;
        let idle = match self.idle.as_deref() {
            None | Some("apart") => IdleCost::Apart,
            Some("use") => IdleCost::ByUse,
            Some("even") => IdleCost::Evenly,
            Some(other) => {
                return Err(bad(format!("idle is {other:?}: expected apart, use or even")));
            }
        };
        if let Some(decimals) = self.decimals.filter(|decimals| *decimals > MOST_DECIMALS) {
            return Err(bad(format!("{decimals} decimals, where {MOST_DECIMALS} are kept")));
        }
        Ok(BillTerms { prices, idle, decimals: self.decimals })
    }
}

/// A host is of a kind that is its name or the value of one of its labels.
fn kinds(hosts: &[HostSummary]) -> PricedKinds<'_> {
    let kinds = hosts.iter().map(|host| {
        let labels = host.labels.values().map(String::as_str);
        (host.host.as_str(), labels.chain([host.host.as_str()]).collect())
    });
    kinds.collect()
}

/// The hosts with what they cost an hour, and what apps had of them. Of one that told nothing nothing is known.
fn priced(
    hosts: &[HostSummary],
    hourly: &BTreeMap<String, Price>,
    told: &Consumption,
) -> BTreeMap<String, (Price, BilledHost<Of>)> {
    let most = told.hosts.iter().map(|host| host.seconds).max().unwrap_or(0);
    let priced = hosts.iter().map(|host| {
        let own = told.hosts.iter().find(|told| told.host == host.host);
        let silent = HostConsumption { seconds: most, ..HostConsumption::default() };
        let own = own.unwrap_or(&silent);
        let hourly = hourly.get(&host.host).copied().unwrap_or_default();
        let room = MachineRoom {
            cpu: Cpu::milli(host.cpu_millicores),
            memory: Bytes::new(host.memory_bytes),
        };
        let of = |app: &str| (told.tenants.get(app).cloned(), app.to_owned());
        let billed = BilledHost {
            price: hourly.for_seconds(own.seconds),
            seconds: own.seconds,
            known_seconds: own.known_seconds,
            has: Consumed::of(room, own.known_seconds),
            apps: own.apps.iter().map(|app| (of(&app.app), had(app))).collect(),
        };
        (host.host.clone(), (hourly, billed))
    });
    priced.collect()
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

fn spare(hourly: &BTreeMap<String, Price>, hosts: Option<Vec<String>>) -> wire::SpareHosts {
    let sum = |prices: &mut dyn Iterator<Item = &Price>| {
        prices.fold(Price::default(), |sum, price| sum.plus(*price)).get()
    };
    let mut of_spare = hosts.iter().flatten().filter_map(|host| hourly.get(host));
    wire::SpareHosts {
        hourly_millionths: sum(&mut of_spare),
        hourly_of_all_millionths: sum(&mut hourly.values()),
        hosts,
    }
}

fn write(
    terms: &BillTerms,
    priced: &BTreeMap<String, (Price, BilledHost<Of>)>,
    told: Consumption,
    spare: wire::SpareHosts,
) -> wire::Bill {
    let hosts: Vec<BilledHost<Of>> = priced.values().map(|(_, host)| host.clone()).collect();
    let price = hosts.iter().fold(Price::default(), |sum, host| sum.plus(host.price));
    let decimals = terms.decimals.unwrap_or_else(|| bill::decimals(price));
    let unit = Price::new(10_u64.pow(MOST_DECIMALS.saturating_sub(decimals)));
    let split = bill::bill(&hosts, terms.idle, unit);
    let apps = split.apps.iter().map(|((tenant, app), pays)| wire::BilledApp {
        tenant: tenant.clone(),
        app: app.clone(),
        use_millionths: pays.used.get(),
        reserved_millionths: pays.unused.get(),
        idle_millionths: pays.idle.get(),
        sum_millionths: pays.sum().get(),
    });
    let costs = priced.iter().zip(&split.hosts);
    let costs = costs.map(|((name, (hourly, host)), cost)| wire::BilledHost {
        host: name.clone(),
        hourly_millionths: hourly.get(),
        cost_millionths: cost.get(),
        seconds: host.seconds,
        known_seconds: host.known_seconds,
    });
    wire::Bill {
        since: told.hosts.iter().map(|host| host.since).min().unwrap_or_default(),
        decimals,
        total_millionths: split.total().get(),
        idle_millionths: split.idle.get(),
        unknown_millionths: split.unknown.get(),
        seconds: hosts.iter().map(|host| host.seconds).sum(),
        known_seconds: hosts.iter().map(|host| host.known_seconds).sum(),
        apps: apps.collect(),
        hosts: costs.collect(),
        spare,
        sources: told.sources,
    }
}

#[cfg(test)]
mod tests;
