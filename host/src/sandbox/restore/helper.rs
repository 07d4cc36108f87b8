//! The core module that is added to a component to put back its handle table, which nothing else can
//! reach. Has no memory and no state.
//!
//! Wasmtime numbers handles from 1 and gives out first what was freed last, and a new number only when
//! all below are taken. So who takes handles until a number `n` comes that was never given out holds all
//! of 1 to `n` that the guest did not keep; and when all of them have been freed downwards, the next ones
//! are 1, 2, 3, as in a new instance.

use wasm_encoder::{
    BlockType, CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection,
    ImportSection, Module, TypeSection, ValType,
};

/// The most handles that are looked at: each is a bit of what [`FREE`] returns, and one bit says that
/// there were more.
pub(super) const MOST_HANDLES: u32 = 60;
/// The bit that says so.
pub(super) const TOO_MANY: u64 = 1 << 63;

/// The name of what the module imports all from.
pub(super) const IMPORTS: &str = "steerage";
/// Makes a handle of a type of our own.
pub(super) const NEW: &str = "new";
/// Drops one.
pub(super) const DROP: &str = "drop";

/// `() -> i32`: saves all globals; returns the number of the first handle there would be.
pub(super) const INIT: &str = "init";
/// `(n) -> i64`: puts back all globals, and takes handles until number `n` comes, which must be new;
/// returns a bit for each it got, the lowest for number 1. Where that is all, they are free again.
pub(super) const FREE: &str = "free";
/// `(n, missing)`: takes as many handles more as were missing, and frees all `n`.
pub(super) const FINISH: &str = "finish";

const NEW_TYPE: u32 = 0;
const DROP_TYPE: u32 = 1;
const UNIT_TYPE: u32 = 2;
const INIT_TYPE: u32 = 3;
const FREE_TYPE: u32 = 4;
const FINISH_TYPE: u32 = 5;
const TAKE_TYPE: u32 = NEW_TYPE;

/// `(handle) -> handle`: lifted with each type of the host, it takes a handle out of the guest's table.
pub(super) const TAKE: &str = "take";

/// The name of the component's export that takes a handle of the `n`th type of the host.
pub(super) fn take_of(n: u32) -> String {
    format!("{TAKE}{n}")
}

/// The name of the import that saves the globals of the `n`th instance.
pub(super) fn save_of(n: u32) -> String {
    format!("save{n}")
}

/// The name of the import that puts them back.
pub(super) fn restore_of(n: u32) -> String {
    format!("restore{n}")
}

/// The module for a component with so many instances that have something to put back.
pub(super) fn module(n_instances: u32) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32], [ValType::I32]);
    types.ty().function([ValType::I32], []);
    types.ty().function([], []);
    types.ty().function([], [ValType::I32]);
    types.ty().function([ValType::I32], [ValType::I64]);
    types.ty().function([ValType::I32, ValType::I32], []);

    let mut imports = ImportSection::new();
    imports.import(IMPORTS, NEW, EntityType::Function(NEW_TYPE));
    imports.import(IMPORTS, DROP, EntityType::Function(DROP_TYPE));
    let (first_save, first_restore) = (2, 2 + n_instances);
    for n in 0..n_instances {
        imports.import(IMPORTS, &save_of(n), EntityType::Function(UNIT_TYPE));
    }
    for n in 0..n_instances {
        imports.import(IMPORTS, &restore_of(n), EntityType::Function(UNIT_TYPE));
    }
    let down = first_restore + n_instances;

    let (mut functions, mut exports, mut code) =
        (FunctionSection::new(), ExportSection::new(), CodeSection::new());
    functions.function(DROP_TYPE).function(INIT_TYPE).function(FREE_TYPE).function(FINISH_TYPE);
    functions.function(TAKE_TYPE);
    exports.export(INIT, ExportKind::Func, down + 1);
    exports.export(FREE, ExportKind::Func, down + 2);
    exports.export(FINISH, ExportKind::Func, down + 3);
    exports.export(TAKE, ExportKind::Func, down + 4);
    code.function(&free_downwards());
    code.function(&init(first_save..first_restore));
    code.function(&free(first_restore..down, down));
    code.function(&finish(down));
    code.function(&take());
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions).section(&exports).section(&code);
    module.finish()
}

const THE_NEW: u32 = 0;
const THE_DROP: u32 = 1;

/// `(n)`: drops our handles `n` to 1.
fn free_downwards() -> Function {
    let mut function = Function::new([]);
    let mut code = function.instructions();
    code.loop_(BlockType::Empty).local_get(0).call(THE_DROP);
    code.local_get(0).i32_const(1).i32_sub().local_tee(0).br_if(0).end().end();
    function
}

fn take() -> Function {
    let mut function = Function::new([]);
    function.instructions().local_get(0).end();
    function
}

fn init(saves: std::ops::Range<u32>) -> Function {
    let mut function = Function::new([(1, ValType::I32)]);
    let mut code = function.instructions();
    for save in saves {
        code.call(save);
    }
    code.i32_const(0).call(THE_NEW).local_tee(0).call(THE_DROP).local_get(0).end();
    function
}

fn free(restores: std::ops::Range<u32>, down: u32) -> Function {
    const N: u32 = 0;
    const HANDLE: u32 = 1;
    const GOT: u32 = 2;
    let mut function = Function::new([(1, ValType::I32), (1, ValType::I64)]);
    let mut code = function.instructions();
    for restore in restores {
        code.call(restore);
    }
    code.loop_(BlockType::Empty);
    code.i32_const(0).call(THE_NEW).local_tee(HANDLE).local_get(N).i32_gt_u();
    code.if_(BlockType::Empty).i64_const(TOO_MANY.cast_signed()).return_().end();
    code.i64_const(1).local_get(HANDLE).i32_const(1).i32_sub().i64_extend_i32_u().i64_shl();
    code.local_get(GOT).i64_or().local_set(GOT);
    code.local_get(HANDLE).local_get(N).i32_ne().br_if(0).end();
    // Nothing is missing when there are as many bits as handles.
    code.local_get(GOT).i64_popcnt().i32_wrap_i64().local_get(N).i32_eq();
    code.if_(BlockType::Empty).local_get(N).call(down).end();
    code.local_get(GOT).end();
    function
}

fn finish(down: u32) -> Function {
    const N: u32 = 0;
    const MISSING: u32 = 1;
    let mut function = Function::new([]);
    let mut code = function.instructions();
    code.loop_(BlockType::Empty).i32_const(0).call(THE_NEW).drop();
    code.local_get(MISSING).i32_const(1).i32_sub().local_tee(MISSING).br_if(0).end();
    code.local_get(N).call(down).end();
    function
}
