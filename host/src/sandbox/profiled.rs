//! Which functions of guests lie where, for their profiles.
//! Samples nothing.

use wasmtime::ModuleFunction;
use wasmtime::component::Component;

use super::linked::Pre;
use crate::telemetry::profiles::{FoundFunction, MappedCode};

/// Has the functions of this code found in samples, until what is returned is dropped. To be dropped with the code.
pub(super) fn mapped(pre: &Pre) -> MappedCode {
    match pre {
        Pre::Http02(pre) => of_component(pre.instance_pre().component()),
        Pre::Http03(pre) => of_component(pre.instance_pre().component()),
        Pre::CgiComponent(pre) => of_component(pre.instance_pre().component()),
        Pre::CgiModule(pre) => {
            let module = pre.module().clone();
            MappedCode::new(pre.module().text(), move |place| find(module.functions(), place))
        }
    }
}

fn of_component(component: &Component) -> MappedCode {
    let own = component.clone();
    MappedCode::new(component.text(), move |place| find(own.functions(), place))
}

/// The function that lies at a place from the beginning of the code.
fn find(
    mut functions: impl Iterator<Item = ModuleFunction>,
    place: usize,
) -> Option<FoundFunction> {
    let at =
        |function: &ModuleFunction| function.offset..function.offset.saturating_add(function.len);
    let found = functions.find(|function| at(function).contains(&place))?;
    let name = match &found.name {
        Some(name) => format!("{:#}", rustc_demangle::demangle(name)),
        None => format!("function {}", found.index.as_u32()),
    };
    Some(FoundFunction { place: at(&found), name })
}
