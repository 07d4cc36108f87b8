//! Takes typed values out of TOML tables, and notes a finding where it cannot.
//! Does not know which keys there are: whoever reads a document does.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use toml::de::{DeInteger, DeTable, DeValue};

use super::findings::Findings;

/// A table, and where it is.
#[derive(Clone)]
pub(crate) struct Section<'d, 'i> {
    table: &'d DeTable<'i>,
    /// What keys' paths start with: nothing at the top, else `limits.` and the like.
    prefix: String,
    at: usize,
}

/// A value, its key's path, and where it is.
pub(crate) struct Entry<'d, 'i> {
    pub(crate) key: String,
    pub(crate) at: usize,
    value: &'d DeValue<'i>,
}

impl<'d, 'i> Section<'d, 'i> {
    pub(crate) fn top(table: &'d DeTable<'i>) -> Self {
        Self { table, prefix: String::new(), at: 0 }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Entry<'d, 'i>> {
        let value = self.table.get(key)?;
        Some(Entry { key: self.path(key), at: value.span().start, value: value.get_ref() })
    }

    /// Like `get`, but notes the absence, with an example of what to write.
    pub(crate) fn need(
        &self,
        key: &str,
        example: &str,
        findings: &mut Findings<'_>,
    ) -> Option<Entry<'d, 'i>> {
        let entry = self.get(key);
        if entry.is_none() {
            findings.missing(self.at, &self.path(key), example);
        }
        entry
    }

    /// The table of this key. An absent one reads like an empty one.
    pub(crate) fn section(&self, key: &str, findings: &mut Findings<'_>) -> Option<Self> {
        self.get(key)?.section(&format!("a table, [{key}]"), findings)
    }

    /// All values of the table, with their keys as written and the keys' places.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'d str, usize, Entry<'d, 'i>)> {
        self.table.iter().map(|(key, value)| {
            let name = &**key.get_ref();
            let at = value.span().start;
            let entry = Entry { key: self.path(name), at, value: value.get_ref() };
            (name, key.span().start, entry)
        })
    }

    pub(crate) fn path(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

impl<'d, 'i> Entry<'d, 'i> {
    pub(crate) fn text(&self, findings: &mut Findings<'_>) -> Option<&'d str> {
        match self.value {
            DeValue::String(text) => Some(text),
            // The commonest slip, and easily said how to mend it.
            DeValue::Integer(number) => self.unquoted(number, findings),
            DeValue::Float(number) => self.unquoted(number, findings),
            DeValue::Boolean(flag) => self.unquoted(flag, findings),
            DeValue::Datetime(moment) => self.unquoted(moment, findings),
            other => self.wrong_type("a string", other, findings),
        }
    }

    /// A string that the type can be read from.
    pub(crate) fn parsed<T: FromStr<Err: fmt::Display>>(
        &self,
        findings: &mut Findings<'_>,
    ) -> Option<T> {
        self.noted(self.text(findings)?.parse(), findings)
    }

    /// A string or a whole number that the type can be read from.
    pub(crate) fn amount<T: FromStr<Err: fmt::Display>>(
        &self,
        findings: &mut Findings<'_>,
    ) -> Option<T> {
        let amount = match self.value {
            DeValue::String(text) => text.parse(),
            DeValue::Integer(number) => in_decimal(number).parse(),
            other => return self.wrong_type("a whole number or a string", other, findings),
        };
        self.noted(amount, findings)
    }

    /// A string, a number or a boolean, as the text that stands for it.
    pub(crate) fn scalar(&self, findings: &mut Findings<'_>) -> Option<String> {
        match self.value {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(number) => Some(in_decimal(number)),
            DeValue::Float(number) => Some(number.to_string()),
            DeValue::Boolean(flag) => Some(flag.to_string()),
            other => self.wrong_type("a string or a number", other, findings),
        }
    }

    /// A whole number within bounds.
    pub(crate) fn count(
        &self,
        bounds: RangeInclusive<u32>,
        findings: &mut Findings<'_>,
    ) -> Option<u32> {
        let expected = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        let DeValue::Integer(number) = self.value else {
            return self.wrong_type(&expected, self.value, findings);
        };
        let count = in_decimal(number).parse().ok().filter(|count| bounds.contains(count));
        if count.is_none() {
            findings.wrong(self.at, &self.key, format_args!("expected {expected}, found {number}"));
        }
        count
    }

    /// The elements of an array, each under its number, counted from 1.
    pub(crate) fn list(&self, expected: &str, findings: &mut Findings<'_>) -> Option<Vec<Self>> {
        let DeValue::Array(elements) = self.value else {
            return self.wrong_type(expected, self.value, findings);
        };
        let numbered = elements.iter().zip(1..).map(|(element, number)| Self {
            key: format!("{}[{number}]", self.key),
            at: element.span().start,
            value: element.get_ref(),
        });
        Some(numbered.collect())
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self.value, DeValue::String(_))
    }

    pub(crate) fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    pub(crate) fn section(
        &self,
        expected: &str,
        findings: &mut Findings<'_>,
    ) -> Option<Section<'d, 'i>> {
        match self.value {
            DeValue::Table(table) => {
                Some(Section { table, prefix: format!("{}.", self.key), at: self.at })
            }
            other => self.wrong_type(expected, other, findings),
        }
    }

    /// The value, or `None` and a finding.
    pub(crate) fn noted<T>(
        &self,
        value: Result<T, impl fmt::Display>,
        findings: &mut Findings<'_>,
    ) -> Option<T> {
        value.map_err(|error| findings.wrong(self.at, &self.key, error)).ok()
    }

    fn wrong<T>(&self, message: impl fmt::Display, findings: &mut Findings<'_>) -> Option<T> {
        findings.wrong(self.at, &self.key, message);
        None
    }

    fn unquoted<T>(&self, value: impl fmt::Display, findings: &mut Findings<'_>) -> Option<T> {
        self.wrong(format_args!("expected a string: write \"{value}\""), findings)
    }

    fn wrong_type<T>(
        &self,
        expected: &str,
        found: &DeValue<'_>,
        findings: &mut Findings<'_>,
    ) -> Option<T> {
        let found = match found {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a number with a point",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.wrong(format_args!("expected {expected}, found {found}"), findings)
    }
}

/// The number as the units of the core read it; as it stands where it is out of their range.
fn in_decimal(number: &DeInteger<'_>) -> String {
    u64::from_str_radix(number.as_str(), number.radix())
        .map_or_else(|_| number.to_string(), |value| value.to_string())
}
