//! Texts as the OpenTelemetry specification has them in its variables: `NAME=VALUE,...`, percent-encoded.
//! Does not know what a name means.

/// More of them no collector needs, and each batch carries them.
const MOST_PAIRS: usize = 64;

/// Reads `NAME=VALUE,...` as `OTEL_RESOURCE_ATTRIBUTES` has it.
///
/// # Errors
/// What is wrong with it. Values are not shown, since headers have the same form.
pub fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let each = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let pairs = each.enumerate().map(|(place, pair)| {
        let number = place + 1;
        let wrong = |what: &str| format!("part {number} between the commas {what}");
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| wrong("has no =: expected NAME=VALUE,NAME=VALUE"))?;
        let name = decoded(name.trim()).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| wrong("has no name that can be read"))?;
        let value = decoded(value.trim()).ok_or_else(|| {
            wrong(&format!("has a value of {name:?} that is no percent-encoded text"))
        })?;
        Ok((name, value))
    });
    let pairs = pairs.collect::<Result<Vec<_>, String>>()?;
    match pairs.len() {
        0..=MOST_PAIRS => Ok(pairs),
        n_pairs => Err(format!("has {n_pairs} pairs: at most {MOST_PAIRS} are allowed")),
    }
}

/// The text without percent-encoding; `None` where that is wrong.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut left = text.as_bytes();
    while let [first, rest @ ..] = left {
        if *first == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            left = rest.get(2..)?;
        } else {
            bytes.push(*first);
            left = rest;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_the_specification_has_them_and_secrets_are_not_shown() {
        let read = pairs(" a = 1 , b=x%20y%2Cz==,").unwrap();
        let expected = [("a", "1"), ("b", "x y,z==")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(pairs(""), Ok(Vec::new()));
        for wrong in ["secret", "=secret", "a=secret%2", "a=secret%zz", "a=secret%ff"] {
            let why = pairs(wrong).unwrap_err();
            assert!(why.contains("part 1") && !why.contains("secret"), "{why}");
        }
        let many = "a=1,".repeat(MOST_PAIRS + 1);
        assert!(pairs(&many).unwrap_err().contains("has 65 pairs: at most 64"));
    }
}
