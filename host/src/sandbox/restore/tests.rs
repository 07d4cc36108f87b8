//! Components as texts, rewritten, called, and put back by hand: what each part of it puts back, and
//! what is refused. That all of it works with real guests is tested by `tests/it/restored.rs`.

use std::sync::Arc;

use expect_test::{Expect, expect};
use steerage_core::units::Bytes;
use steerage_guests as guests;
use wasmtime::component::{Component, ComponentNamedList, Instance, Lift, Linker, Lower, Resource};
use wasmtime::component::{ResourceAny, ResourceType, TypedFunc};
use wasmtime::{Engine, Store};

use super::helper::{self, export_of};
use super::memory::{Image, Region, collect};
use super::pages::Written;
use super::qualify::rewrite;
use super::unfit::Unfit;
use crate::sandbox::engine::restoring;
use crate::sandbox::examine;

const WASM_PAGE: u32 = 64 << 10;
const N_HANDLES: u32 = 8;

struct Thing;

/// A component with a memory, globals of all types and handles, and functions to change and see them.
const TEXT: &str = r#"(component
    (import "host" (instance $host
        (export "thing" (type $thing (sub resource)))
        (export "make" (func (result (own $thing))))))
    (core func $make (canon lower (func $host "make")))
    (core module $m
        (import "host" "make" (func $make (result i32)))
        (memory 1 4)
        (data (i32.const 100) "abc")
        (global $i (mut i32) (i32.const 1))
        (global $j (mut i64) (i64.const 2))
        (global $k (mut f32) (f32.const 3))
        (global $l (mut f64) (f64.const 4))
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "size") (result i32) (memory.size))
        (func (export "poke") (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))
        (func (export "peek") (param i32) (result i32) (i32.load8_u (local.get 0)))
        (func (export "mutate")
            (global.set $i (i32.const 10)) (global.set $j (i64.const 20))
            (global.set $k (f32.const 30)) (global.set $l (f64.const 40)))
        (func (export "sum") (result i32)
            (i32.add
                (i32.add (global.get $i) (i32.wrap_i64 (global.get $j)))
                (i32.add (i32.trunc_f32_s (global.get $k)) (i32.trunc_f64_s (global.get $l)))))
        (func (export "keep") (result i32) (call $make)))
    (core instance $i (instantiate $m (with "host" (instance (export "make" (func $make))))))
    (func (export "grow") (param "n" u32) (result u32) (canon lift (core func $i "grow")))
    (func (export "size") (result u32) (canon lift (core func $i "size")))
    (func (export "poke") (param "at" u32) (param "value" u32)
        (canon lift (core func $i "poke")))
    (func (export "peek") (param "at" u32) (result u32) (canon lift (core func $i "peek")))
    (func (export "mutate") (canon lift (core func $i "mutate")))
    (func (export "sum") (result u32) (canon lift (core func $i "sum")))
    (func (export "keep") (result u32) (canon lift (core func $i "keep"))))"#;

/// An instance of it, with what puts it back.
struct Trial {
    store: Store<()>,
    instance: Instance,
    memory: (Arc<Region>, Image),
}

fn linker(engine: &Engine) -> Linker<()> {
    let mut linker = Linker::new(engine);
    let mut host = linker.instance("host").unwrap();
    host.resource("thing", ResourceType::host::<Thing>(), |_, _| Ok(())).unwrap();
    host.func_wrap("make", |_, ()| Ok((Resource::<Thing>::new_own(7),))).unwrap();
    linker
}

impl Trial {
    fn new() -> Self {
        let engine = restoring(Bytes::mebi(4 << 10)).unwrap();
        let bytes = rewrite(&wat::parse_str(TEXT).unwrap()).unwrap();
        let component = Component::new(&engine, bytes).unwrap();
        let mut store = Store::new(&engine, ());
        store.set_fuel(1 << 30).unwrap();
        let instantiate = || linker(&engine).instantiate(&mut store, &component).unwrap();
        let (instance, mut memories) = collect(instantiate);
        assert_eq!(memories.len(), 1);
        let region = memories.remove(0);
        let image = Image::of(&region).unwrap();
        region.lie_on(&image).unwrap();
        let mut trial = Self { store, instance, memory: (region, image) };
        assert_eq!(trial.ours::<_, (u32,)>(helper::INIT, ()).unwrap(), (1,));
        trial
    }

    fn ours<P, R>(&mut self, name: &str, parameters: P) -> wasmtime::Result<R>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        self.call(&export_of(0, name), parameters)
    }

    fn call<P, R>(&mut self, name: &str, parameters: P) -> wasmtime::Result<R>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let function: TypedFunc<P, R> = self.instance.get_typed_func(&mut self.store, name)?;
        function.call(&mut self.store, parameters)
    }

    fn say(&mut self, name: &str) -> u32 {
        self.call::<_, (u32,)>(name, ()).unwrap().0
    }

    fn restore_memory(&mut self) {
        let (region, image) = &self.memory;
        let mut written = Written::default();
        written.look(region.addresses(image.size())).unwrap();
        region.restore(image, &mut written).unwrap();
        assert!(region.equals(image));
    }

    /// Takes a handle of the first type out of the guest's table.
    fn take(&mut self, handle: u32) -> wasmtime::Result<u32> {
        let (taken,) = self.ours::<_, (ResourceAny,)>(&helper::take_of(0), (handle,))?;
        Ok(taken.try_into_resource::<Thing>(&mut self.store)?.rep())
    }

    /// Puts back globals, sizes and free handles; returns the bits of the handles that were free.
    fn free(&mut self) -> u64 {
        self.ours::<_, (u64,)>(helper::FREE, (N_HANDLES,)).unwrap().0
    }
}

#[test]
fn a_memory_that_grew_has_its_first_size_again_and_ends_there() {
    let mut trial = Trial::new();
    assert_eq!(trial.say("size"), 1);
    assert_eq!(trial.call::<_, (u32,)>("grow", (2_u32,)).unwrap(), (1,));
    trial.call::<_, ()>("poke", (2 * WASM_PAGE, 9_u32)).unwrap();
    trial.call::<_, ()>("poke", (100_u32, 9_u32)).unwrap();
    trial.restore_memory();
    trial.free();
    assert_eq!(trial.say("size"), 1);
    assert_eq!(trial.call::<_, (u32,)>("peek", (100_u32,)).unwrap(), (u32::from(b'a'),));
    // It grows again as a new one does, and what comes is zero.
    assert_eq!(trial.call::<_, (u32,)>("grow", (3_u32,)).unwrap(), (1,));
    assert_eq!(trial.call::<_, (u32,)>("peek", (2 * WASM_PAGE,)).unwrap(), (0,));
    assert_eq!(trial.call::<_, (u32,)>("grow", (1_u32,)).unwrap(), (u32::MAX,));
    trial.restore_memory();
    trial.free();
    let beyond = trial.call::<_, (u32,)>("peek", (WASM_PAGE,));
    let trap = beyond.unwrap_err().downcast::<wasmtime::Trap>().unwrap();
    assert_eq!(trap, wasmtime::Trap::MemoryOutOfBounds);
}

#[test]
fn a_size_that_wasmtime_does_not_take_back_is_noticed() {
    let mut trial = Trial::new();
    trial.call::<_, (u32,)>("grow", (1_u32,)).unwrap();
    // Nobody has put the memory itself back.
    let failed = trial.ours::<_, (u64,)>(helper::FREE, (N_HANDLES,));
    let trap = failed.unwrap_err().downcast::<wasmtime::Trap>().unwrap();
    assert_eq!(trap, wasmtime::Trap::UnreachableCodeReached);
}

#[test]
fn globals_of_all_types_are_put_back() {
    let mut trial = Trial::new();
    assert_eq!(trial.say("sum"), 10);
    trial.call::<_, ()>("mutate", ()).unwrap();
    assert_eq!(trial.say("sum"), 100);
    trial.free();
    assert_eq!(trial.say("sum"), 10);
}

#[test]
fn handles_that_were_kept_are_found_and_numbers_begin_anew() {
    let mut trial = Trial::new();
    let all = (1 << N_HANDLES) - 1;
    assert_eq!([trial.say("keep"), trial.say("keep"), trial.say("keep")], [1, 2, 3]);
    // One of them is dropped, as a guest does that keeps the others.
    trial.take(2).unwrap();
    let got = trial.free();
    assert_eq!(got, all & !0b101, "1 and 3 were kept");
    for handle in [3, 1] {
        trial.take(handle).unwrap();
    }
    trial.ours::<_, ()>(helper::FINISH, (N_HANDLES, 2_u32)).unwrap();
    assert_eq!(trial.free(), all, "none is kept any more");
    let numbers: Vec<u32> = (0..=N_HANDLES).map(|_| trial.say("keep")).collect();
    assert_eq!(numbers, (1..=N_HANDLES + 1).collect::<Vec<_>>(), "as in a new instance");
    assert_eq!(trial.free(), helper::TOO_MANY);
}

#[test]
fn a_handle_that_cannot_be_taken_costs_the_instance_nothing() {
    let mut trial = Trial::new();
    assert_eq!(trial.say("keep"), 1);
    // That Wasmtime does not take it for a trap is an implementation detail.
    for _ in 0..3 {
        assert!(trial.take(2).is_err());
    }
    assert_eq!(trial.take(1).unwrap(), 7);
    assert!(trial.take(1).is_err());
    assert_eq!((trial.say("sum"), trial.say("keep")), (10, 1));
}

#[test]
fn additions_cost_calls_no_fuel() {
    let engine = restoring(Bytes::mebi(4 << 10)).unwrap();
    let text = wat::parse_str(TEXT).unwrap();
    let used = |bytes: &[u8]| {
        let component = Component::new(&engine, bytes).unwrap();
        let mut store = Store::new(&engine, ());
        store.set_fuel(1 << 30).unwrap();
        let instance = linker(&engine).instantiate(&mut store, &component).unwrap();
        ["mutate", "keep", "sum"].map(|name| {
            let before = store.get_fuel().unwrap();
            let function = instance.get_func(&mut store, name).unwrap();
            let n_results = usize::from(name != "mutate");
            let mut results = vec![wasmtime::component::Val::U32(0); n_results];
            function.call(&mut store, &[], &mut results).unwrap();
            before - store.get_fuel().unwrap()
        })
    };
    assert_eq!(used(&rewrite(&text).unwrap()), used(&text));
}

fn refused(text: &str, why: Expect) {
    let bytes = wat::parse_str(text).unwrap();
    why.assert_eq(&rewrite(&bytes).unwrap_err().to_string());
}

fn refused_module(inside: &str, why: Expect) {
    refused(&format!("(component (core module {inside}))"), why);
}

#[test]
fn what_changes_tables_or_segments_is_refused() {
    for (body, name) in [
        ("(table.set (i32.const 0) (ref.null func))", "table.set"),
        ("(drop (table.grow (ref.null func) (i32.const 1)))", "table.grow"),
        ("(table.fill (i32.const 0) (ref.null func) (i32.const 1))", "table.fill"),
        ("(table.copy (i32.const 0) (i32.const 0) (i32.const 1))", "table.copy"),
        ("(table.init $e (i32.const 0) (i32.const 0) (i32.const 1))", "table.init"),
        ("(elem.drop $e)", "elem.drop"),
        ("(data.drop $d)", "data.drop"),
    ] {
        let text = format!(
            "(component (core module (table 1 funcref) (memory 1) (elem $e func) (data $d \"a\")
                (func {body})))"
        );
        let error = rewrite(&wat::parse_str(text).unwrap()).unwrap_err();
        assert_eq!(error, Unfit::Instruction(name.to_owned()));
    }
}

#[test]
fn what_else_cannot_be_put_back_is_refused_with_its_reason() {
    refused_module(
        "(global (mut funcref) (ref.null func))",
        expect!["it has a mutable global of type funcref"],
    );
    refused_module(
        "(global (mut v128) (v128.const i64x2 0 0))",
        expect!["it has a mutable global of type v128"],
    );
    refused_module("(tag)", expect!["it has garbage-collected objects or exceptions"]);
    refused_module(
        r#"(func (export "steerage:save"))"#,
        expect!["it exports steerage:save, a name that restoring needs"],
    );
    refused(
        r#"(component (component (import "c" (component $c)) (instance (instantiate $c))))"#,
        expect!["it instantiates a component that is not defined in it"],
    );
    refused(
        r#"(component
            (import "host" (instance $host (export "thing" (type (sub resource)))))
            (component $lent
                (import "thing" (type $t (sub resource)))
                (core module $m (func (export "f") (param i32 i32)))
                (core instance $i (instantiate $m))
                (func (export "f") (param "t" (option (borrow $t)))
                    (canon lift (core func $i "f") )))
            (alias export $host "thing" (type $t))
            (instance (instantiate $lent (with "thing" (type $t)))))"#,
        expect![[
            r#"it is composed, and a component of it is lent resources by another: what handles it had cannot be known"#
        ]],
    );
    refused(
        r#"(component (import "m" (core module)))"#,
        expect!["it instantiates a core module that it imports"],
    );
    refused(
        r#"(component (type $r (resource (rep i32))) (core func (canon resource.new $r)))"#,
        expect!["it makes resources of its own"],
    );
    refused(
        r#"(component (core module $m (func (export "f"))) (core instance $i (instantiate $m))
            (func (export "steerage-x") (canon lift (core func $i "f"))))"#,
        expect!["it exports steerage-x, a name that restoring needs"],
    );
    assert!(matches!(rewrite(b"\0asm"), Err(Unfit::Unreadable(_))));
}

#[test]
fn a_module_without_code_or_globals_is_given_both() {
    let bytes = wat::parse_str(
        r#"(component
            (core module $m (memory 1) (data (i32.const 0) "a") (@custom "last" "x"))
            (core instance (instantiate $m)))"#,
    );
    assert!(rewrite(&bytes.unwrap()).is_ok());
}

#[test]
fn a_component_inside_that_is_given_types_can_have_handles_of_them() {
    let text = |n_instances: usize| {
        let instances =
            "(instance (instantiate $owns (with \"thing\" (type $t))))".repeat(n_instances);
        format!(
            r#"(component
            (import "host" (instance $host (export "thing" (type (sub resource)))))
            (component $owns
                (import "thing" (type $t (sub resource)))
                (core module $m (func (export "f") (param i32)))
                (core instance $i (instantiate $m))
                (func (export "f") (param "t" (own $t)) (canon lift (core func $i "f"))))
            (alias export $host "thing" (type $t)) {instances})"#
        )
    };
    let rewritten = rewrite(&wat::parse_str(text(2)).unwrap()).unwrap();
    let has = |name: &str| rewritten.windows(name.len()).any(|window| window == name.as_bytes());
    assert!(has("steerage-p2-take0") && !has("steerage-p2-take1") && !has("steerage-p3-init"));
    let why = rewrite(&wat::parse_str(text(40)).unwrap()).unwrap_err();
    assert_eq!(
        why.to_string(),
        "it has 0 core instances; restoring adds 41, and an instance may have 40"
    );
}

#[test]
fn guests_of_all_kinds_but_0_3_can_be_restored() {
    let unfit = |path: &str| {
        let shape = examine::examine(&std::fs::read(path).unwrap(), Bytes::mebi(4 << 10)).unwrap();
        shape.unfit.map(|unfit| unfit.to_string())
    };
    for path in [
        guests::HELLO,
        guests::ECHO,
        guests::LOGGER,
        guests::OUT,
        guests::SDK_PARTS,
        guests::CGI_ECHO,
        guests::CGI_ECHO_COMPONENT,
    ] {
        assert_eq!(unfit(path), None, "{path}");
    }
    let of_kind = "it is of kind http-0.3, whose instances are not restored".to_owned();
    assert_eq!(unfit(guests::P3_ECHO), Some(of_kind));
}
