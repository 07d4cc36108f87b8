//! Components that were built for the last release candidate of WASI 0.3, as SDKs of Spin 4 are: its
//! interfaces are those of 0.3.0 under other names, so the names are changed before anything else is done.
//! Does not look into what is nested: whoever imports and exports for the host is outermost.
//!
//! Of the 26 interfaces of `0.3.0-rc-2026-03-15` 24 have the text of 0.3.0, and two differ in the order of
//! what they declare, which makes no difference to their functions and types.

use std::borrow::Cow;

use wasmparser::{Parser, Payload};

/// What the names of the candidate end with, and what those of the release do.
const CANDIDATE: &str = "@0.3.0-rc-2026-03-15";
const RELEASE: &str = "@0.3.0";

/// The component with names of the release. One that imports both is left as it is: its names would stand
/// twice, and what it calls is of the release. So is what is not well-formed: that is told by whoever
/// examines it.
#[must_use]
pub fn as_released(bytes: &[u8]) -> Cow<'_, [u8]> {
    let released = |name: &str| Some(format!("{}{RELEASE}", name.strip_suffix(CANDIDATE)?));
    match renamed(bytes, released) {
        Some((bytes, kept)) if !kept.iter().any(|name| of_release(name).is_some()) => {
            Cow::Owned(bytes)
        }
        _ => Cow::Borrowed(bytes),
    }
}

/// An interface of some release of 0.3, without its version.
fn of_release(name: &str) -> Option<&str> {
    let (interface, patch) = name.rsplit_once("@0.3.")?;
    patch.bytes().all(|digit| digit.is_ascii_digit()).then_some(interface)
}

/// A component of a release as it would be, had it been built for the candidate. For tests: nobody else
/// wants one.
#[must_use]
pub fn as_candidate(bytes: &[u8]) -> Option<Vec<u8>> {
    let candidate = |name: &str| Some(format!("{}{CANDIDATE}", of_release(name)?));
    renamed(bytes, candidate).map(|(bytes, _)| bytes)
}

/// The component with other names for what it imports and exports, and the names that stayed; `None` where
/// no name changed or it is not well-formed.
fn renamed(
    bytes: &[u8],
    rename: impl Fn(&str) -> Option<String>,
) -> Option<(Vec<u8>, Vec<String>)> {
    let (mut made, mut kept, mut copied) = (Vec::new(), Vec::new(), 0);
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        // Offset and name of each item, and where the section's content is.
        let (content, items): (_, Vec<(usize, &str)>) = match payload.ok()? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth += 1;
                continue;
            }
            Payload::End(_) => {
                depth = depth.saturating_sub(1);
                continue;
            }
            Payload::ComponentImportSection(section) if depth == 0 => {
                let items = section.clone().into_iter_with_offsets();
                let named = items.map(|item| item.map(|(at, import)| (at, import.name.name)));
                (section.range(), named.collect::<Result<_, _>>().ok()?)
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                let items = section.clone().into_iter_with_offsets();
                let named = items.map(|item| item.map(|(at, export)| (at, export.name.name)));
                (section.range(), named.collect::<Result<_, _>>().ok()?)
            }
            _ => continue,
        };
        let mut section = Vec::new();
        let mut from = content.start;
        for (at, name) in items {
            let Some(new) = rename(name) else {
                kept.push(name.to_owned());
                continue;
            };
            // One byte says which kind of name it is; the length of the name and the name follow.
            let length = leb128(name.len()).len();
            let name_at = at + 1;
            section.extend_from_slice(bytes.get(from..name_at)?);
            section.extend(leb128(new.len()));
            section.extend_from_slice(new.as_bytes());
            from = name_at + length + name.len();
            if bytes.get(name_at + length..from)? != name.as_bytes() {
                return None;
            }
        }
        if from == content.start {
            continue;
        }
        section.extend_from_slice(bytes.get(from..content.end)?);
        // Before the content are one byte that says which section it is, and its length.
        let head = content.start.checked_sub(1 + leb128(content.len()).len())?;
        made.extend_from_slice(bytes.get(copied..=head)?);
        made.extend(leb128(section.len()));
        made.append(&mut section);
        copied = content.end;
    }
    if copied == 0 {
        return None;
    }
    made.extend_from_slice(bytes.get(copied..)?);
    Some((made, kept))
}

/// A number as binaries have it, in as few bytes as it needs.
fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::sections::Sections;

    #[test]
    fn a_component_of_the_candidate_becomes_one_of_the_release() {
        let released = std::fs::read(steerage_guests::P3_ECHO).unwrap();
        let candidate = as_candidate(&released).unwrap();
        let names = |bytes: &[u8]| -> Vec<String> {
            let sections = Sections::read(bytes).unwrap();
            let imports = sections.imports.iter().map(|import| import.name.to_owned());
            imports.chain(sections.exports.iter().map(|name| (*name).to_owned())).collect()
        };
        assert!(names(&candidate).iter().any(|name| name.ends_with(CANDIDATE)));
        assert!(names(&candidate).iter().all(|name| of_release(name).is_none()));
        let again = names(&as_released(&candidate));
        let wanted = names(&released).into_iter().map(|name| match of_release(&name) {
            Some(interface) => format!("{interface}{RELEASE}"),
            None => name,
        });
        assert_eq!(again, wanted.collect::<Vec<_>>());
        assert!(matches!(as_released(&released), Cow::Borrowed(_)));
    }

    #[test]
    fn one_that_imports_both_and_what_is_no_component_stay_as_they_are() {
        let both = wat::parse_str(
            "(component
                (import \"wasi:a/b@0.3.0-rc-2026-03-15\" (instance))
                (import \"wasi:a/b@0.3.0\" (instance)))",
        );
        let both = both.unwrap();
        assert_eq!(as_released(&both), both);
        for bytes in [&b"(module)"[..], b"\0asm", b"", &both[..both.len() - 3]] {
            assert_eq!(as_released(bytes), bytes);
        }
    }
}
