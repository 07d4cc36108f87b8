//! Which host has which price, and how finely a bill is told.
//! Reads no prices, which `pack::KindPrice` does, and splits none.

use std::collections::{BTreeMap, BTreeSet};

use crate::pack::{KindPrice, Price};

/// Millionths of a whole of the currency.
const WHOLE: u64 = 1_000_000;

/// The kinds that each host is of: its name, and the values of its labels.
pub type PricedKinds<'h> = BTreeMap<&'h str, BTreeSet<&'h str>>;

/// Why the prices do not give each host one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPrices {
    /// A host has none.
    #[error(
        "host {host} has no price: no KIND of a price is its name or the value of one of its labels, and there is \
         no price for every host"
    )]
    Missing {
        /// Which host.
        host: String,
    },
    /// A host has more than one.
    #[error("host {host} has {} prices, for {}: it needs one", .kinds.len(), .kinds.join(" and for "))]
    Several {
        /// Which host.
        host: String,
        /// What these prices are for.
        kinds: Vec<String>,
    },
    /// A price is for a kind that no host is of.
    #[error("no host is of the kind {kind:?} that a price names")]
    NoSuchKind {
        /// Which kind.
        kind: String,
    },
}

/// What each host costs an hour: the price of its kind, else that of every host.
///
/// # Errors
/// See [`BadPrices`].
pub fn host_prices(
    hosts: &PricedKinds<'_>,
    prices: &[KindPrice],
) -> Result<BTreeMap<String, Price>, BadPrices> {
    let (mut priced, mut meant) = (BTreeMap::new(), BTreeSet::new());
    for (host, kinds) in hosts {
        let is_of = |price: &&KindPrice| price.kind.as_deref().is_some_and(|of| kinds.contains(of));
        let mut found: Vec<&KindPrice> = prices.iter().filter(is_of).collect();
        if found.is_empty() {
            found.extend(prices.iter().filter(|price| price.kind.is_none()));
        }
        let host = (*host).to_owned();
        match found[..] {
            [one] => {
                meant.extend(one.kind.as_deref());
                priced.insert(host, one.hourly);
            }
            [] => return Err(BadPrices::Missing { host }),
            _ => {
                let kind =
                    |price: &KindPrice| price.kind.as_deref().unwrap_or("every host").to_owned();
                return Err(BadPrices::Several {
                    host,
                    kinds: found.into_iter().map(kind).collect(),
                });
            }
        }
    }
    let mut named = prices.iter().filter_map(|price| price.kind.as_deref());
    match named.find(|kind| !meant.contains(kind)) {
        Some(kind) => Err(BadPrices::NoSuchKind { kind: kind.to_owned() }),
        None => Ok(priced),
    }
}

/// How many decimals the parts of a price are told with: as many as leave some digits to what is little, and no more
/// than are read.
#[must_use]
pub fn decimals(price: Price) -> u32 {
    match price.get() / WHOLE {
        0 => 6,
        1..100 => 4,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_the_price_of_its_kind_and_else_that_of_every_host() {
        let kinds = |name: &'static str, kind: &'static str| (name, BTreeSet::from([name, kind]));
        let hosts =
            PricedKinds::from([kinds("h1", "large"), kinds("h2", "small"), kinds("h3", "small")]);
        let of = |texts: &[&str]| {
            let prices: Vec<KindPrice> = texts.iter().map(|text| text.parse().unwrap()).collect();
            let priced = host_prices(&hosts, &prices).map_err(|error| error.to_string())?;
            Ok(priced.values().map(|price| price.get()).collect::<Vec<_>>())
        };
        assert_eq!(of(&["large=0.2/h", "0.1/h"]), Ok(vec![200_000, 100_000, 100_000]));
        assert_eq!(of(&["large=2/h", "small=1/h"]), Ok(vec![2_000_000, 1_000_000, 1_000_000]));
        assert_eq!(of(&["h1=2/h", "small=1/h"]), Ok(vec![2_000_000, 1_000_000, 1_000_000]));
        let refused: Result<Vec<u64>, String> = of(&["large=2/h"]);
        assert!(refused.unwrap_err().starts_with("host h2 has no price"));
        let refused = of(&["large=2/h", "h1=3/h", "1/h"]).unwrap_err();
        assert_eq!(refused, "host h1 has 2 prices, for large and for h1: it needs one");
        let refused = of(&["1/h", "2/h"]).unwrap_err();
        assert_eq!(
            refused,
            "host h1 has 2 prices, for every host and for every host: it needs one"
        );
        let refused = of(&["1/h", "huge=2/h"]).unwrap_err();
        assert_eq!(refused, "no host is of the kind \"huge\" that a price names");
        // For every host is no kind, so it may be meant for none.
        assert_eq!(of(&["h1=1/h", "h2=1/h", "h3=1/h", "9/h"]), Ok(vec![1_000_000; 3]));
    }

    #[test]
    fn small_amounts_have_more_decimals() {
        let told = [0, 96_000, 2_304_000, 70_080_000, 123_456_789];
        assert_eq!(told.map(|price| decimals(Price::new(price))), [6, 6, 4, 4, 2]);
    }
}
