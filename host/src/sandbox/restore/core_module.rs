//! A core module with two functions more: one saves its mutable globals, one puts them back.
//! Only adds; no index and no function of the module changes, so its calls take the same fuel.
//!
//! Globals and the size a memory has in compiled code can be reached by code of the module only.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, Encode, ExportKind, ExportSection, Function,
    FunctionSection, GlobalSection, GlobalType, Module, RawSection, TypeSection, ValType,
};
use wasmparser::{BinaryReader, Operator, Parser, Payload, TypeRef};

use super::step::{Step, is_left_out};
use super::unfit::Unfit;

/// The exported function that saves the globals.
pub(super) const SAVE: &str = "steerage:save";
/// The exported function that puts back the globals, and what compiled code knows of the memories.
pub(super) const RESTORE: &str = "steerage:restore";
/// What the names of both begin with.
const OURS: &str = "steerage:";

/// Sections in the order they must have, by their ids. Custom ones, of id 0, may be anywhere.
const ORDER: [u8; 13] = [1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11];

const TYPE: u8 = 1;
const FUNCTION: u8 = 3;
const GLOBAL: u8 = 6;
const EXPORT: u8 = 7;
const CODE: u8 = 10;

/// What a module has, as far as adding to it needs to know.
#[derive(Default)]
struct Found {
    n_types: u32,
    n_functions: u32,
    n_globals: u32,
    n_imported_memories: u32,
    mutable: Vec<(u32, ValType)>,
    memories: Vec<u32>,
}

/// The module with the two functions; `None` where it has nothing that could be put back.
///
/// # Errors
/// It has what cannot be put back.
pub(super) fn rewritten(bytes: &[u8]) -> Result<Option<Vec<u8>>, Unfit> {
    let (mut found, mut sections) = (Found::default(), Vec::new());
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(unreadable)?;
        if let Some((id, range)) = payload.as_section() {
            sections.push((id, bytes.get(range).unwrap_or_default()));
        }
        found.take(&payload)?;
    }
    if found.mutable.is_empty() && found.memories.is_empty() {
        return Ok(None);
    }
    let mut additions = found.additions();
    let mut module = Module::new();
    for (id, data) in sections {
        // What is missing comes before the first section that must stand behind it.
        if let Some(rank) = rank(id) {
            let (before, rest): (Vec<_>, Vec<_>) = additions
                .into_iter()
                .partition(|(added, _)| self::rank(*added).is_some_and(|added| added < rank));
            for (id, data) in before {
                module.section(&RawSection { id, data: &data });
            }
            additions = rest;
        }
        match additions.iter().position(|(added, _)| *added == id) {
            Some(place) => {
                let data = joined(data, &additions.remove(place).1)?;
                module.section(&RawSection { id, data: &data });
            }
            None => {
                module.section(&RawSection { id, data });
            }
        }
    }
    for (id, data) in additions {
        module.section(&RawSection { id, data: &data });
    }
    Ok(Some(module.finish()))
}

fn rank(id: u8) -> Option<usize> {
    ORDER.iter().position(|known| *known == id)
}

impl Found {
    fn take(&mut self, payload: &Payload<'_>) -> Result<(), Unfit> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section.clone() {
                    let n_types = group.map_err(unreadable)?.into_types().count();
                    self.n_types += u32::try_from(n_types).unwrap_or(u32::MAX);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    match import.map_err(unreadable)?.ty {
                        TypeRef::Func(_) | TypeRef::FuncExact(_) => self.n_functions += 1,
                        // One that is mutable is put back by the module that defines it.
                        TypeRef::Global(_) => self.n_globals += 1,
                        TypeRef::Memory(_) => self.n_imported_memories += 1,
                        TypeRef::Table(_) => {}
                        TypeRef::Tag(_) => return Err(Unfit::Collected),
                    }
                }
            }
            Payload::FunctionSection(section) => self.n_functions += section.count(),
            Payload::MemorySection(section) => {
                for memory in section.clone() {
                    let memory = memory.map_err(unreadable)?;
                    if memory.shared || memory.memory64 {
                        return Err(Unfit::Instruction("a shared or a 64-bit memory".to_owned()));
                    }
                    let place = u32::try_from(self.memories.len()).unwrap_or(u32::MAX);
                    self.memories.push(self.n_imported_memories.saturating_add(place));
                }
            }
            Payload::GlobalSection(section) => {
                for global in section.clone() {
                    let ty = global.map_err(unreadable)?.ty;
                    if ty.mutable {
                        self.mutable.push((self.n_globals, value_type(ty.content_type)?));
                    }
                    self.n_globals += 1;
                }
            }
            Payload::ExportSection(section) => {
                for export in section.clone() {
                    let name = export.map_err(unreadable)?.name;
                    if name.starts_with(OURS) {
                        return Err(Unfit::Name(name.to_owned()));
                    }
                }
            }
            Payload::TagSection(_) => return Err(Unfit::Collected),
            Payload::CodeSectionEntry(body) => {
                let mut operators = body.get_operators_reader().map_err(unreadable)?;
                while !operators.eof() {
                    check(&operators.read().map_err(unreadable)?)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What is added to each section, with how many items that is in front.
    fn additions(&self) -> Vec<(u8, Vec<u8>)> {
        let mut types = TypeSection::new();
        types.ty().function([], []);
        let mut functions = FunctionSection::new();
        functions.function(self.n_types).function(self.n_types);
        let mut globals = GlobalSection::new();
        let (mut save, mut restore) = (Function::new([]), Function::new([]));
        let mut shadow = self.n_globals;
        for (n, (global, ty)) in self.mutable.iter().enumerate() {
            let mutable = GlobalType { val_type: *ty, mutable: true, shared: false };
            globals.global(mutable, &zero(*ty));
            save.instructions().global_get(*global).global_set(shadow);
            if !(n + 1 == self.mutable.len() && is_left_out(Step::LastGlobal)) {
                restore.instructions().global_get(shadow).global_set(*global);
            }
            shadow += 1;
        }
        for memory in &self.memories {
            let size = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
            globals.global(size, &ConstExpr::i32_const(0));
            save.instructions().memory_size(*memory).global_set(shadow);
            // Growing by nothing has Wasmtime tell compiled code the size anew, which the host has put
            // back. That it does so is an implementation detail, so it is looked at.
            restore.instructions().i32_const(0).memory_grow(*memory).drop();
            restore.instructions().memory_size(*memory).global_get(shadow).i32_ne();
            restore.instructions().if_(BlockType::Empty).unreachable().end();
            shadow += 1;
        }
        save.instructions().end();
        restore.instructions().end();
        let mut code = CodeSection::new();
        code.function(&save).function(&restore);
        let mut exports = ExportSection::new();
        exports.export(SAVE, ExportKind::Func, self.n_functions);
        exports.export(RESTORE, ExportKind::Func, self.n_functions + 1);
        vec![
            (TYPE, items(&types)),
            (FUNCTION, items(&functions)),
            (GLOBAL, items(&globals)),
            (EXPORT, items(&exports)),
            (CODE, items(&code)),
        ]
    }
}

/// Refuses what changes a table or a segment, which no code of the module can put back.
fn check(operator: &Operator<'_>) -> Result<(), Unfit> {
    let name = match operator {
        Operator::TableSet { .. } => "table.set",
        Operator::TableGrow { .. } => "table.grow",
        Operator::TableFill { .. } => "table.fill",
        Operator::TableCopy { .. } => "table.copy",
        Operator::TableInit { .. } => "table.init",
        Operator::ElemDrop { .. } => "elem.drop",
        Operator::DataDrop { .. } => "data.drop",
        _ => return Ok(()),
    };
    Err(Unfit::Instruction(name.to_owned()))
}

fn value_type(ty: wasmparser::ValType) -> Result<ValType, Unfit> {
    match ty {
        wasmparser::ValType::I32 => Ok(ValType::I32),
        wasmparser::ValType::I64 => Ok(ValType::I64),
        wasmparser::ValType::F32 => Ok(ValType::F32),
        wasmparser::ValType::F64 => Ok(ValType::F64),
        other => Err(Unfit::Global(other.to_string())),
    }
}

fn zero(ty: ValType) -> ConstExpr {
    match ty {
        ValType::I64 => ConstExpr::i64_const(0),
        ValType::F32 => ConstExpr::f32_const(0.0_f32.into()),
        ValType::F64 => ConstExpr::f64_const(0.0_f64.into()),
        _ => ConstExpr::i32_const(0),
    }
}

/// A section's content: how many items, and the items.
fn items(section: &impl wasm_encoder::Section) -> Vec<u8> {
    let mut bytes = Vec::new();
    section.encode(&mut bytes);
    // The encoder puts the length of all in front, which is written anew.
    let mut reader = BinaryReader::new(&bytes, 0);
    let start = reader.read_var_u32().map(|_| reader.original_position()).unwrap_or_default();
    bytes.split_off(start.min(bytes.len()))
}

/// How many items a section has, and the items.
type Items<'b> = (u32, &'b [u8]);

/// The items of two sections as one.
fn joined(first: &[u8], second: &[u8]) -> Result<Vec<u8>, Unfit> {
    let split = |section| {
        let mut reader = BinaryReader::new(section, 0);
        let count = reader.read_var_u32().map_err(unreadable)?;
        Ok((count, section.get(reader.original_position()..).unwrap_or_default()))
    };
    let (first, second): (Items<'_>, Items<'_>) = (split(first)?, split(second)?);
    let mut bytes = Vec::with_capacity(first.1.len() + second.1.len() + 5);
    first.0.saturating_add(second.0).encode(&mut bytes);
    bytes.extend_from_slice(first.1);
    bytes.extend_from_slice(second.1);
    Ok(bytes)
}

pub(super) fn unreadable(error: wasmparser::BinaryReaderError) -> Unfit {
    Unfit::Unreadable(error.to_string())
}
