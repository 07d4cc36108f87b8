//! What hosts of a kind cost, as operators write it.
//! Knows no provider, and does not know which host is of which kind.

use std::str::FromStr;

use super::Price;
use crate::quote::Quoted;

/// What hosts cost: those of one kind, or each that has no price of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindPrice {
    /// The kind; `None` for each host without a price of its own.
    pub kind: Option<String>,
    /// What one costs an hour.
    pub hourly: Price,
}

/// A text that is no price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is no price: expected KIND=AMOUNT/h or AMOUNT/month, such as m6i.large=0.096/h, with six \
     decimals at most",
    Quoted(.0)
)]
pub struct BadPrice(String);

impl FromStr for KindPrice {
    type Err = BadPrice;

    fn from_str(text: &str) -> Result<Self, BadPrice> {
        let bad = || BadPrice(text.to_owned());
        let (kind, price) = match text.split_once('=') {
            Some((kind, price)) => (Some(kind.trim()), price),
            None => (None, text),
        };
        if kind == Some("") {
            return Err(bad());
        }
        let hourly = Price::parse(price.trim()).ok_or_else(bad)?;
        Ok(Self { kind: kind.map(str::to_owned), hourly })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_as_operators_write_them() {
        let price = |kind: Option<&str>, millionths| {
            Ok(KindPrice { kind: kind.map(str::to_owned), hourly: Price::new(millionths) })
        };
        assert_eq!("m6i.large=0.096/h".parse(), price(Some("m6i.large"), 96_000));
        assert_eq!("m6i.large = $70.08/month".parse(), price(Some("m6i.large"), 96_000));
        assert_eq!("0.5/h".parse(), price(None, 500_000));
        for text in
            ["", "0.096", "large=", "=1/h", "large=1/fortnight", "large=-1/h", "a=0.0000001/h"]
        {
            assert_eq!(text.parse::<KindPrice>(), Err(BadPrice(text.to_owned())));
        }
    }
}
