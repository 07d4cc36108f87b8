//! Makes a component of a core module built for `wasm32-wasip1`.
//!
//! It does not judge what the component exports: the host says which worlds it serves.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::ComponentEncoder;

/// The module could not be made into a component; the text says why and has no line breaks.
#[derive(Debug, thiserror::Error)]
#[error("the module cannot be made into a component: {reason}")]
pub struct EncodeError {
    reason: String,
}

/// The component that `module` becomes.
///
/// A module with a `_start` export is a program and gets the command adapter (it will export
/// `wasi:cli/run`); any other is a library and gets the reactor adapter, which adds no export. Bytes
/// that are a component already are returned as they are.
///
/// # Errors
///
/// When `module` is not Wasm, or imports what neither its own bindings nor the adapter explain.
pub fn encode(module: &[u8]) -> Result<Vec<u8>, EncodeError> {
    if is_component(module) {
        return Ok(module.to_vec());
    }
    let adapter = if exports_start(module) {
        WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER
    } else {
        WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER
    };
    // The encoder's errors are `anyhow`; its chain is flattened here so that callers need not be.
    let failed = |reason: String| EncodeError { reason };
    ComponentEncoder::default()
        .module(module)
        .and_then(|encoder| encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter))
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| failed(format!("{error:#}").replace('\n', "; ")))
}

/// Components and core modules share the magic number; the layer half of the version tells them
/// apart.
pub(crate) fn is_component(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0asm\x0d\x00\x01\x00")
}

/// Whether the export section names `_start`.
///
/// A full parser would be a dependency for one question: sections are length-prefixed, so the
/// export section is found by skipping the others.
fn exports_start(module: &[u8]) -> bool {
    let mut rest = module.get(8..).unwrap_or_default();
    while let Some((&id, tail)) = rest.split_first() {
        let Some((length, tail)) = leb_u32(tail) else { return false };
        let Some((section, tail)) = tail.split_at_checked(length) else { return false };
        if id == 7 {
            return section_exports(section, b"_start").unwrap_or(false);
        }
        rest = tail;
    }
    false
}

fn section_exports(section: &[u8], wanted: &[u8]) -> Option<bool> {
    let (count, mut rest) = leb_u32(section)?;
    for _ in 0..count {
        let (length, tail) = leb_u32(rest)?;
        let (name, tail) = tail.split_at_checked(length)?;
        if name == wanted {
            return Some(true);
        }
        let (_index, tail) = leb_u32(tail.get(1..)?)?;
        rest = tail;
    }
    Some(false)
}

/// An unsigned LEB128 number and what follows it.
fn leb_u32(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_usize;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(module (memory (export "memory") 1) (func (export "…")))`, by hand.
    fn module_exporting(name: &str) -> Vec<u8> {
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        bytes.extend([1, 4, 1, 0x60, 0, 0]);
        bytes.extend([3, 2, 1, 0]);
        let length = u8::try_from(name.len()).unwrap();
        bytes.extend([5, 3, 1, 0, 1]);
        bytes.extend([7, length + 13, 2, 6]);
        bytes.extend(b"memory\x02\0");
        bytes.push(length);
        bytes.extend(name.bytes());
        bytes.extend([0, 0]);
        bytes.extend([10, 4, 1, 2, 0, 0x0b]);
        bytes
    }

    #[test]
    fn a_program_is_told_by_its_start_export() {
        assert!(exports_start(&module_exporting("_start")));
        assert!(!exports_start(&module_exporting("_initialize")));
        assert!(!exports_start(b""));
        assert!(!exports_start(b"\0asm\x01\0\0\0\x07\xff"));
    }

    #[test]
    fn a_program_becomes_a_cli_component() {
        let component = encode(&module_exporting("_start")).unwrap();
        assert!(is_component(&component));
        assert!(component.windows(12).any(|window| window == b"wasi:cli/run"));
    }

    #[test]
    fn a_component_is_left_alone() {
        let component = encode(&module_exporting("_start")).unwrap();
        assert_eq!(encode(&component).unwrap(), component);
    }

    #[test]
    fn a_refusal_is_one_line() {
        let error = encode(b"not wasm").unwrap_err().to_string();
        assert!(error.starts_with("the module cannot be made into a component: "), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}
