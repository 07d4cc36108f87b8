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

use super::core_module;
use super::helper::{self, export_of};

/// The section of a component that holds a core module.
pub(super) const CORE_MODULE: u8 = 1;

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

/// What of one component matters to what is added.
#[derive(Default)]
pub(super) struct Inside {
    /// How many core modules it defines.
    pub(super) n_modules: u32,
    /// Its core instances that have something to put back.
    pub(super) to_restore: Vec<u32>,
    /// Instances of components that have parts, with how many types of handles each of these has.
    pub(super) to_hand_on: Vec<(u32, Vec<u32>)>,
}

/// The types that are added, by their numbers.
struct Types {
    /// Resources that only the helper makes.
    ours: u32,
    /// Functions that take a handle, one for each type of handles: the first of every second type.
    first_taking: u32,
}

impl Types {
    fn add(component: &mut Component, n_before: u32, resources: &[Place]) -> Self {
        let mut section = ComponentTypeSection::new();
        let none: [(&str, PrimitiveValType); 0] = [];
        let word = PrimitiveValType::U32;
        section.resource(ValType::I32, None);
        section.function().params(none).result(Some(word.into()));
        section.function().params([("n", word)]).result(Some(PrimitiveValType::U64.into()));
        section.function().params([("n", word), ("missing", word)]).result(None);
        component.section(&section);

        let mut aliases = ComponentAliasSection::new();
        let mut next = n_before + 4;
        let mut places = Vec::with_capacity(resources.len());
        for place in resources {
            places.push(match place {
                Place::Instance(instance, name) => {
                    let (instance, kind) = (*instance, ComponentExportKind::Type);
                    aliases.alias(Alias::InstanceExport { instance, kind, name });
                    next += 1;
                    next - 1
                }
                Place::Type(index) => *index,
            });
        }
        component.section(&aliases);
        // For each of them a type of handles, and one of a function that takes such a handle.
        let types = Self { ours: n_before, first_taking: next + 1 };
        let mut section = ComponentTypeSection::new();
        for (n, place) in (0..).zip(places) {
            section.defined_type().own(place);
            let handle = ComponentValType::Type(types.of(helper::TAKE, n) - 1);
            section.function().params([("handle", word)]).result(Some(handle));
        }
        component.section(&section);
        types
    }

    /// Of what the helper exports under this name.
    fn of(&self, function: &str, n: u32) -> u32 {
        match function {
            helper::INIT => self.ours + 1,
            helper::FINISH => self.ours + 3,
            helper::TAKE => self.first_taking + 2 * n,
            _ => self.ours + 2,
        }
    }
}

/// Adds the helper, what it works with, and what the helpers of instances inside export; says of all of
/// these how many types of handles each has, its own first.
pub(super) fn add(component: &mut Component, inside: &Inside, spaces: Spaces) -> Vec<u32> {
    let Spaces { mut core_functions, mut functions, types, core_instances, resources, .. } = spaces;
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let (n_types, n_instances) = (count(resources.len()), count(inside.to_restore.len()));
    let types = Types::add(component, types, &resources);

    let mut given: Vec<(String, u32)> = Vec::new();
    let mut give = |name: String| {
        given.push((name, core_functions));
        core_functions += 1;
    };
    let mut built_in = CanonicalFunctionSection::new();
    built_in.resource_new(types.ours);
    give(helper::NEW.to_owned());
    built_in.resource_drop(types.ours);
    give(helper::DROP.to_owned());
    component.section(&built_in);
    let mut aliases = ComponentAliasSection::new();
    for (n, instance) in (0..).zip(&inside.to_restore) {
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
    instances
        .instantiate(inside.n_modules, [(helper::IMPORTS, ModuleArg::Instance(core_instances))]);
    component.section(&instances);

    for (function, n) in helper::exported(n_types) {
        let mut aliases = ComponentAliasSection::new();
        let (instance, kind) = (core_instances + 1, ExportKind::Func);
        aliases.alias(Alias::CoreInstanceExport { instance, kind, name: function });
        component.section(&aliases);
        let mut lift = CanonicalFunctionSection::new();
        lift.lift(core_functions, types.of(function, n), []);
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
    for (instance, of_instance) in &inside.to_hand_on {
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
