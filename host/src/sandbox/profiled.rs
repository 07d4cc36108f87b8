//! Which functions of guests lie where, for their profiles.
//! Samples nothing.

use steerage_core::excerpt::excerpt;
use wasmtime::ModuleFunction;
use wasmtime::component::Component;

use super::linked::Pre;
use crate::telemetry::profiles::{FoundFunction, MappedCode};

/// Bytes of a name that are kept: what a short name stands for may be a million times as long.
const LONGEST_NAME: usize = 200;

/// Has the functions of this code found in samples, until what is returned is dropped. To be dropped with the code.
pub(super) fn mapped(pre: &Pre) -> MappedCode {
    match pre {
        Pre::Http02(pre) => of_component(pre.instance_pre().component()),
        Pre::Http03(pre) => of_component(pre.instance_pre().component()),
        Pre::CgiComponent(pre) => of_component(pre.instance_pre().component()),
        Pre::CgiModule(pre) => {
            let module = pre.module().clone();
            MappedCode::new(pre.module().text(), move |take| tell(module.functions(), take))
        }
    }
}

fn of_component(component: &Component) -> MappedCode {
    let own = component.clone();
    MappedCode::new(component.text(), move |take| tell(own.functions(), take))
}

/// Tells each function until nobody wants more.
fn tell(
    functions: impl Iterator<Item = ModuleFunction>,
    take: &mut dyn FnMut(FoundFunction) -> bool,
) {
    for function in functions {
        let name = match &function.name {
            Some(name) => {
                excerpt(LONGEST_NAME, format_args!("{:#}", rustc_demangle::demangle(name)))
            }
            None => format!("function {}", function.index.as_u32()),
        };
        let place = function.offset..function.offset.saturating_add(function.len);
        if !take(FoundFunction { place, name: name.into() }) {
            return;
        }
    }
}
