//! The core module that is added to a component to put back its handle table, which nothing else can
//! reach. Has no memory, and no state but the bits that it tells after it has found them.
//!
//! Wasmtime numbers handles from 1 and gives out first what was freed last, and a new number only when
//! all below are taken. So who takes handles until a number `n` comes that was never given out holds all
//! of 1 to `n` that the guest did not keep; and when all of them have been freed downwards, the next ones
//! are 1, 2, 3, as in a new instance.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, GlobalSection, GlobalType, ImportSection, InstructionSink, Module,
    TypeSection, ValType,
};

use super::step::{Step, is_left_out};

/// The most handles that are looked at in one call: each is a bit of what [`FREE`] returns, and one bit
/// says that there were more.
pub(super) const FEW_HANDLES: u32 = 60;
/// The most that are looked at at all: [`FREE_MANY`] keeps a bit for each.
pub(super) const MOST_HANDLES: u32 = BITS * N_WORDS;
/// Bits of one word.
pub(super) const BITS: u32 = u64::BITS;
/// How many words there are.
const N_WORDS: u32 = 8;
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
/// `(n) -> i64`: the same for more handles; returns how many it got.
pub(super) const FREE_MANY: &str = "free-many";
/// `(k) -> i64`: the bits of numbers 64 `k` + 1 and on that [`FREE_MANY`] got.
pub(super) const WORD: &str = "word";
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

/// All that a component with so many types of handles exports, each with the number of its type.
pub(super) fn exported(n_types: u32) -> impl Iterator<Item = (&'static str, u32)> {
    let once = [INIT, FREE, FINISH, FREE_MANY, WORD];
    once.into_iter().map(|name| (name, 0)).chain((0..n_types).map(|n| (TAKE, n)))
}

/// What the names of exports begin with by which a component calls them.
pub(super) const OURS: &str = "steerage-";

/// The name of the export that calls this function of the helper of a part.
pub(super) fn export_of(part: usize, function: &str) -> String {
    format!("{OURS}p{part}-{function}")
}

/// The name of one of these.
pub(super) fn name_of(function: &str, n: u32) -> String {
    if function == TAKE { take_of(n) } else { function.to_owned() }
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
    functions.function(TAKE_TYPE).function(FREE_TYPE).function(FREE_TYPE);
    let mut globals = GlobalSection::new();
    for _ in 0..N_WORDS {
        let word = GlobalType { val_type: ValType::I64, mutable: true, shared: false };
        globals.global(word, &ConstExpr::i64_const(0));
    }
    exports.export(INIT, ExportKind::Func, down + 1);
    exports.export(FREE, ExportKind::Func, down + 2);
    exports.export(FINISH, ExportKind::Func, down + 3);
    exports.export(TAKE, ExportKind::Func, down + 4);
    exports.export(FREE_MANY, ExportKind::Func, down + 5);
    exports.export(WORD, ExportKind::Func, down + 6);
    code.function(&free_downwards());
    code.function(&init(first_save..first_restore));
    code.function(&free(first_restore..down, down));
    code.function(&finish(down));
    code.function(&take());
    code.function(&free_many(first_restore..down, down));
    code.function(&word());
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions).section(&globals);
    module.section(&exports).section(&code);
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
    put_back(&mut code, restores);
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

fn put_back(code: &mut InstructionSink<'_>, restores: std::ops::Range<u32>) {
    let n_restores = if is_left_out(Step::OtherInstances) { 1 } else { restores.len() };
    for restore in restores.take(n_restores) {
        code.call(restore);
    }
}

fn free_many(restores: std::ops::Range<u32>, down: u32) -> Function {
    const N: u32 = 0;
    const HANDLE: u32 = 1;
    const N_GOT: u32 = 2;
    const BIT: u32 = 3;
    const WHICH: u32 = 4;
    let mut function = Function::new([(2, ValType::I32), (1, ValType::I64), (1, ValType::I32)]);
    let mut code = function.instructions();
    put_back(&mut code, restores);
    for word in 0..N_WORDS {
        code.i64_const(0).global_set(word);
    }
    code.loop_(BlockType::Empty);
    code.i32_const(0).call(THE_NEW).local_tee(HANDLE).local_get(N).i32_gt_u();
    code.if_(BlockType::Empty).i64_const(TOO_MANY.cast_signed()).return_().end();
    code.local_get(N_GOT).i32_const(1).i32_add().local_set(N_GOT);
    // A shift takes what is beyond the bits of a word for nothing.
    code.i64_const(1).local_get(HANDLE).i32_const(1).i32_sub().i64_extend_i32_u().i64_shl();
    code.local_set(BIT);
    code.local_get(HANDLE).i32_const(1).i32_sub().i32_const(6).i32_shr_u().local_set(WHICH);
    for word in 0..N_WORDS {
        code.local_get(WHICH).i32_const(word.cast_signed()).i32_eq().if_(BlockType::Empty);
        code.global_get(word).local_get(BIT).i64_or().global_set(word).end();
    }
    code.local_get(HANDLE).local_get(N).i32_ne().br_if(0).end();
    code.local_get(N_GOT).local_get(N).i32_eq();
    code.if_(BlockType::Empty).local_get(N).call(down).end();
    code.local_get(N_GOT).i64_extend_i32_u().end();
    function
}

fn word() -> Function {
    let mut function = Function::new([]);
    let mut code = function.instructions();
    for word in 0..N_WORDS {
        code.local_get(0).i32_const(word.cast_signed()).i32_eq().if_(BlockType::Empty);
        code.global_get(word).return_().end();
    }
    code.i64_const(0).end();
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
