//! What stands for interfaces that a component imports and that the host does not have: functions that
//! trap with their name. Does not decide which interfaces those are.
//!
//! Toolchains of some languages import all interfaces that their SDK knows, and call those that a program
//! uses. Wasmtime has such functions as well, which take the place of an interface that it has in another
//! release, and whose error has no type.

use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType};

use crate::sandbox::guest::Guest;
use crate::sandbox::offered::{self, NotOffered};

/// A linker that has all that this component imports: nothing where this one has it already.
///
/// # Errors
/// When a name is taken, which would be a bug.
pub(in crate::sandbox) fn completed(
    linker: &Linker<Guest>,
    engine: &Engine,
    component: &Component,
) -> wasmtime::Result<Option<Linker<Guest>>> {
    let ty = component.component_type();
    let is_missing = |name: &str, item: &ComponentItem| match item {
        ComponentItem::ComponentInstance(_) | ComponentItem::ComponentFunc(_) => {
            !offered::has_interface(name)
        }
        _ => false,
    };
    let missing: Vec<_> =
        ty.imports(engine).filter(|(name, item)| is_missing(name, &item.ty)).collect();
    if missing.is_empty() {
        return Ok(None);
    }
    let mut linker = linker.clone();
    for (name, item) in missing {
        match item.ty {
            ComponentItem::ComponentFunc(function) => {
                define(&mut linker.root(), name, name.to_owned(), &function)?;
            }
            ComponentItem::ComponentInstance(interface) => {
                let mut stubs = linker.instance(name)?;
                for (part, item) in interface.exports(engine) {
                    match item.ty {
                        ComponentItem::ComponentFunc(function) => {
                            define(&mut stubs, part, format!("{name}#{part}"), &function)?;
                        }
                        // There is never one, since nothing of the interface makes any.
                        ComponentItem::Resource(_) => {
                            stubs.resource(part, ResourceType::host::<()>(), |_, _| Ok(()))?;
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(Some(linker))
}

fn define(
    stubs: &mut LinkerInstance<'_, Guest>,
    part: &str,
    function: String,
    ty: &ComponentFunc,
) -> wasmtime::Result<()> {
    let error = NotOffered { function };
    if ty.async_() {
        return stubs.func_new_concurrent(part, move |_, _, _, _| {
            let error = error.clone();
            Box::pin(async move { Err(error.into()) })
        });
    }
    stubs.func_new(part, move |_, _, _, _| Err(error.clone().into()))
}
