//! What is added to one component: the helper, what it works with, and the exports that call it.
//! Does not look into the component: `component` does.

use std::collections::BTreeSet;

use wasm_encoder::{
    Alias, CanonicalFunctionSection, Component, ComponentAliasSection, ComponentExportKind,
    ComponentExportSection, ComponentTypeSection, ComponentValType, ExportKind, InstanceSection,
    ModuleArg, PrimitiveValType, RawSection, ValType,
};
use wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType};
use wasmparser::types::TypesRef;

use super::component::{CORE_MODULE, Found, export_of};
use super::core_module;
use super::helper;

/// How many there are of each kind that is added to, and where resource types are.
pub(super) struct Spaces {
    pub(super) core_functions: u32,
    pub(super) functions: u32,
    pub(super) types: u32,
    pub(super) core_instances: u32,
    pub(super) instances: u32,
    pub(super) components: u32,
    resources: Vec<Place>,
}

/// Where a type of resources is.
enum Place {
    /// Among the exports of an instance.
    Instance(u32, String),
    /// Among the types of the component itself.
    Type(u32),
}

impl Spaces {
    /// Of the component whose types these are.
    pub(super) fn of(types: TypesRef<'_>) -> Self {
        let (mut seen, mut resources) = (BTreeSet::new(), Vec::new());
        for instance in 0..types.component_instance_count() {
            let Some(ty) = types.get(types.component_instance_at(instance)) else { continue };
            for (name, item) in &ty.exports {
                if let ComponentEntityType::Type {
                    created: ComponentAnyTypeId::Resource(id), ..
                } = item.ty
                    && seen.insert(id.resource())
                {
                    resources.push(Place::Instance(instance, name.clone()));
                }
            }
        }
        for index in 0..types.component_type_count() {
            if let ComponentAnyTypeId::Resource(id) = types.component_any_type_at(index)
                && seen.insert(id.resource())
            {
                resources.push(Place::Type(index));
            }
        }
        Self {
            instances: types.component_instance_count(),
            components: types.component_count(),
            core_functions: types.function_count(),
            functions: types.component_function_count(),
            types: types.component_type_count(),
            core_instances: types.core_instance_count(),
            resources,
        }
    }
}

/// Adds the helper, what it works with, and what the helpers of instances inside export; says of all of
/// these how many types of handles each has, its own first.
pub(super) fn add(component: &mut Component, found: &Found, spaces: Spaces) -> Vec<u32> {
    let Spaces { mut core_functions, functions, types, core_instances, resources, .. } = spaces;
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let (n_types, n_instances) = (count(resources.len()), count(found.to_restore.len()));

    let ours = types;
    let (unit_to_u32, u32_to_u64, two_to_unit) = (ours + 1, ours + 2, ours + 3);
    let first_alias = ours + 4;
    let n_aliases = resources.iter().filter(|place| matches!(place, Place::Instance(..))).count();
    let first_taking = first_alias + count(n_aliases);
    // For each of them a type of handles, and one of a function that takes such a handle.
    let taking = |n: u32| first_taking + 2 * n + 1;
    let mut section = ComponentTypeSection::new();
    let none: [(&str, PrimitiveValType); 0] = [];
    let word = PrimitiveValType::U32;
    section.resource(ValType::I32, None);
    section.function().params(none).result(Some(word.into()));
    section.function().params([("n", word)]).result(Some(PrimitiveValType::U64.into()));
    section.function().params([("n", word), ("missing", word)]).result(None);
    component.section(&section);

    let mut aliases = ComponentAliasSection::new();
    let mut resource_types = Vec::with_capacity(resources.len());
    let mut alias = first_alias;
    for place in &resources {
        resource_types.push(match place {
            Place::Instance(instance, name) => {
                let (instance, kind) = (*instance, ComponentExportKind::Type);
                aliases.alias(Alias::InstanceExport { instance, kind, name });
                alias += 1;
                alias - 1
            }
            Place::Type(index) => *index,
        });
    }
    component.section(&aliases);
    let mut section = ComponentTypeSection::new();
    for (n, ty) in (0..).zip(resource_types) {
        section.defined_type().own(ty);
        let handle = ComponentValType::Type(taking(n) - 1);
        section.function().params([("handle", word)]).result(Some(handle));
    }
    component.section(&section);

    let mut given: Vec<(String, u32)> = Vec::new();
    let mut give = |name: String| {
        given.push((name, core_functions));
        core_functions += 1;
    };
    let mut built_in = CanonicalFunctionSection::new();
    built_in.resource_new(ours);
    give(helper::NEW.to_owned());
    built_in.resource_drop(ours);
    give(helper::DROP.to_owned());
    component.section(&built_in);
    let mut aliases = ComponentAliasSection::new();
    for (n, instance) in (0..).zip(&found.to_restore) {
        let (instance, kind) = (*instance, ExportKind::Func);
        aliases.alias(Alias::CoreInstanceExport { instance, kind, name: core_module::SAVE });
        give(helper::save_of(n));
        aliases.alias(Alias::CoreInstanceExport { instance, kind, name: core_module::RESTORE });
        give(helper::restore_of(n));
    }
    component.section(&aliases);

    let helper = helper::module(n_instances);
    component.section(&RawSection { id: CORE_MODULE, data: &helper });
    let mut instances = InstanceSection::new();
    let given = given.iter().map(|(name, function)| (name.as_str(), ExportKind::Func, *function));
    instances.export_items(given);
    let module = count(found.rewritten.len());
    instances.instantiate(module, [(helper::IMPORTS, ModuleArg::Instance(core_instances))]);
    component.section(&instances);

    let type_of = |name: &str, n: u32| match name {
        helper::INIT => unit_to_u32,
        helper::FINISH => two_to_unit,
        helper::TAKE => taking(n),
        _ => u32_to_u64,
    };
    let mut functions = functions;
    for (function, n) in helper::exported(n_types) {
        let mut aliases = ComponentAliasSection::new();
        let (instance, kind) = (core_instances + 1, ExportKind::Func);
        aliases.alias(Alias::CoreInstanceExport { instance, kind, name: function });
        component.section(&aliases);
        let mut lift = CanonicalFunctionSection::new();
        lift.lift(core_functions, type_of(function, n), []);
        component.section(&lift);
        let mut exports = ComponentExportSection::new();
        let export = export_of(0, &helper::name_of(function, n));
        exports.export(export.as_str(), ComponentExportKind::Func, functions, None);
        component.section(&exports);
        core_functions += 1;
        // An export is numbered anew.
        functions += 2;
    }
    let mut parts = vec![n_types];
    for (instance, of_instance) in &found.to_forward {
        for (part, n_types) in of_instance.iter().enumerate() {
            hand_on(component, &mut functions, (*instance, part, *n_types), parts.len());
            parts.push(*n_types);
        }
    }
    parts
}

/// Exports what a part of an instance inside exports, as this part of the component itself.
fn hand_on(
    component: &mut Component,
    functions: &mut u32,
    (instance, part, n_types): (u32, usize, u32),
    as_part: usize,
) {
    let (mut aliases, mut exports) = (ComponentAliasSection::new(), ComponentExportSection::new());
    let names = helper::exported(n_types).map(|(function, n)| helper::name_of(function, n));
    let kind = ComponentExportKind::Func;
    let first = *functions;
    for name in names {
        let inside = export_of(part, &name);
        aliases.alias(Alias::InstanceExport { instance, kind, name: &inside });
        exports.export(export_of(as_part, &name).as_str(), kind, *functions, None);
        *functions += 1;
    }
    component.section(&aliases).section(&exports);
    // Each export is numbered anew.
    *functions += *functions - first;
}
