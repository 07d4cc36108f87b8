//! A component with exports more by which the host puts back an instance of it: its globals, what
//! compiled code knows of its memories, and its table of handles.
//! Only adds: what was there keeps its numbers, so its calls take the same fuel.

use std::collections::BTreeSet;

use wasm_encoder::{
    Alias, CanonicalFunctionSection, Component, ComponentAliasSection, ComponentExportKind,
    ComponentExportSection, ComponentTypeSection, ComponentValType, ExportKind, InstanceSection,
    ModuleArg, PrimitiveValType, RawSection, ValType,
};
use wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType};
use wasmparser::types::TypesRef;
use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentExternalKind,
    ComponentOuterAliasKind, ComponentTypeRef, Instance, Parser, Payload, Validator,
};

use super::core_module::{self, unreadable};
use super::helper;
use super::unfit::Unfit;
use crate::sandbox::engine::{self, Flavor};

/// What the names of the exports begin with.
const OURS: &str = "steerage-";
/// The section of a component that holds a core module.
const CORE_MODULE: u8 = 1;

/// The name of the export that calls this function of the helper.
pub(super) fn export_of(function: &str) -> String {
    format!("{OURS}{function}")
}

/// What is known of the outermost component when all of it was read.
#[derive(Default)]
struct Found {
    /// Whether each of its core modules was given something to put back.
    rewritten: Vec<bool>,
    n_instances: u32,
    /// Instances of those.
    to_restore: Vec<u32>,
}

/// How many there are of each kind that is added to, and where resource types of the host are.
struct Spaces {
    core_functions: u32,
    functions: u32,
    types: u32,
    core_instances: u32,
    resources: Vec<(u32, String)>,
}

/// The component with the exports. What was added is not validated.
///
/// # Errors
/// Why an instance of it cannot be put back.
pub(super) fn rewritten(bytes: &[u8]) -> Result<Vec<u8>, Unfit> {
    let mut component = Component::new();
    let mut found = Found::default();
    let mut spaces = None;
    let mut validator = Validator::new_with_features(engine::features(Flavor::Plain));
    // Whether each of what is being read inside the outermost is a component.
    let mut inside = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(unreadable)?;
        if let (Payload::End(_), true) = (&payload, inside.is_empty()) {
            let types = validator.types(0);
            spaces = Some(Spaces::of(types.ok_or_else(|| unread("it has no types"))?));
        }
        validator.payload(&payload).map_err(unreadable)?;
        match inside.last() {
            None => {
                found.check(&payload)?;
                if let Some((id, range)) = payload.as_section() {
                    let data = bytes.get(range).unwrap_or_default();
                    let module = if id == CORE_MODULE { found.module(data)? } else { None };
                    component.section(&RawSection { id, data: module.as_deref().unwrap_or(data) });
                }
            }
            Some(true) => check_nested(&payload)?,
            Some(false) => {}
        }
        match payload {
            Payload::ModuleSection { .. } => inside.push(false),
            Payload::ComponentSection { .. } => inside.push(true),
            Payload::End(_) => drop(inside.pop()),
            _ => {}
        }
    }
    let spaces = spaces.ok_or_else(|| unread("it has no end"))?;
    if spaces.core_instances != found.n_instances {
        return Err(unread("its core instances are not those that it makes"));
    }
    add(&mut component, &found, spaces);
    Ok(component.finish())
}

fn unread(what: &str) -> Unfit {
    Unfit::Unreadable(what.to_owned())
}

impl Found {
    fn module(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, Unfit> {
        let module = core_module::rewritten(bytes)?;
        self.rewritten.push(module.is_some());
        Ok(module)
    }

    fn check(&mut self, payload: &Payload<'_>) -> Result<(), Unfit> {
        match payload {
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    if let Instance::Instantiate { module_index, .. } =
                        instance.map_err(unreadable)?
                    {
                        // Only those defined here are numbered, or it was refused.
                        let rewritten = self.rewritten.get(module_index as usize);
                        if *rewritten.ok_or(Unfit::ForeignModule)? {
                            self.to_restore.push(self.n_instances);
                        }
                    }
                    self.n_instances += 1;
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    match alias.map_err(unreadable)? {
                        ComponentAlias::InstanceExport {
                            kind: ComponentExternalKind::Module,
                            ..
                        }
                        | ComponentAlias::Outer {
                            kind: ComponentOuterAliasKind::CoreModule, ..
                        } => return Err(Unfit::ForeignModule),
                        _ => {}
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    if let ComponentTypeRef::Module(_) = import.map_err(unreadable)?.ty {
                        return Err(Unfit::ForeignModule);
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    let export = export.map_err(unreadable)?;
                    if export.name.name.starts_with(OURS) {
                        return Err(Unfit::Name(export.name.name.to_owned()));
                    }
                    // It would number the module anew.
                    if export.kind == ComponentExternalKind::Module {
                        return Err(Unfit::ForeignModule);
                    }
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section.clone() {
                    check_built_in(&function.map_err(unreadable)?)?;
                }
            }
            Payload::ComponentStartSection { .. } => return Err(Unfit::Start),
            _ => {}
        }
        Ok(())
    }
}

/// Only what lifts, lowers and drops: nothing else can change what an instance is.
fn check_built_in(function: &CanonicalFunction) -> Result<(), Unfit> {
    let options = match function {
        CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. } => {
            options
        }
        CanonicalFunction::ResourceDrop { .. } => return Ok(()),
        CanonicalFunction::ResourceNew { .. } | CanonicalFunction::ResourceRep { .. } => {
            return Err(Unfit::OwnResources);
        }
        other => {
            let name = format!("{other:?}");
            let name = name.split(|letter: char| !letter.is_alphanumeric()).next();
            return Err(Unfit::BuiltIn(name.unwrap_or_default().to_owned()));
        }
    };
    let is_async = |option: &CanonicalOption| {
        matches!(option, CanonicalOption::Async | CanonicalOption::Callback(_))
    };
    if options.iter().any(is_async) {
        return Err(Unfit::BuiltIn("async functions".to_owned()));
    }
    Ok(())
}

/// A component inside may give other names to what the outermost has, as those do that wrap an
/// export, and no more.
fn check_nested(payload: &Payload<'_>) -> Result<(), Unfit> {
    match payload {
        Payload::ModuleSection { .. }
        | Payload::InstanceSection(_)
        | Payload::ComponentCanonicalSection(_)
        | Payload::ComponentStartSection { .. } => Err(Unfit::Composed),
        _ => Ok(()),
    }
}

impl Spaces {
    fn of(types: TypesRef<'_>) -> Self {
        let (mut seen, mut resources) = (BTreeSet::new(), Vec::new());
        for instance in 0..types.component_instance_count() {
            let Some(ty) = types.get(types.component_instance_at(instance)) else { continue };
            for (name, item) in &ty.exports {
                if let ComponentEntityType::Type {
                    created: ComponentAnyTypeId::Resource(id), ..
                } = item.ty
                    && seen.insert(id.resource())
                {
                    resources.push((instance, name.clone()));
                }
            }
        }
        Self {
            core_functions: types.function_count(),
            functions: types.component_function_count(),
            types: types.component_type_count(),
            core_instances: types.core_instance_count(),
            resources,
        }
    }
}

/// Adds the helper and what it works with.
fn add(component: &mut Component, found: &Found, spaces: Spaces) {
    let Spaces { mut core_functions, functions, types, core_instances, resources } = spaces;
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let (n_types, n_instances) = (count(resources.len()), count(found.to_restore.len()));

    let ours = types;
    let (unit_to_u32, u32_to_u64, two_to_unit) = (ours + 1, ours + 2, ours + 3);
    let first_resource = ours + 4;
    // For each of them a type of handles, and one of a function that takes such a handle.
    let taking = |n: u32| first_resource + n_types + 2 * n + 1;
    let mut section = ComponentTypeSection::new();
    let none: [(&str, PrimitiveValType); 0] = [];
    let word = PrimitiveValType::U32;
    section.resource(ValType::I32, None);
    section.function().params(none).result(Some(word.into()));
    section.function().params([("n", word)]).result(Some(PrimitiveValType::U64.into()));
    section.function().params([("n", word), ("missing", word)]).result(None);
    component.section(&section);

    let mut aliases = ComponentAliasSection::new();
    for (instance, name) in &resources {
        let (instance, kind) = (*instance, ComponentExportKind::Type);
        aliases.alias(Alias::InstanceExport { instance, kind, name });
    }
    component.section(&aliases);
    let mut section = ComponentTypeSection::new();
    for n in 0..n_types {
        section.defined_type().own(first_resource + n);
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

    let mut lifted = vec![
        (helper::INIT, helper::INIT.to_owned(), unit_to_u32),
        (helper::FREE, helper::FREE.to_owned(), u32_to_u64),
        (helper::FINISH, helper::FINISH.to_owned(), two_to_unit),
        (helper::FREE_MANY, helper::FREE_MANY.to_owned(), u32_to_u64),
        (helper::WORD, helper::WORD.to_owned(), u32_to_u64),
    ];
    lifted.extend((0..n_types).map(|n| (helper::TAKE, helper::take_of(n), taking(n))));
    let mut functions = functions;
    for (function, name, ty) in lifted {
        let mut aliases = ComponentAliasSection::new();
        let (instance, kind) = (core_instances + 1, ExportKind::Func);
        aliases.alias(Alias::CoreInstanceExport { instance, kind, name: function });
        component.section(&aliases);
        let mut lift = CanonicalFunctionSection::new();
        lift.lift(core_functions, ty, []);
        component.section(&lift);
        let mut exports = ComponentExportSection::new();
        let export = export_of(&name);
        exports.export(export.as_str(), ComponentExportKind::Func, functions, None);
        component.section(&exports);
        core_functions += 1;
        // An export is numbered anew.
        functions += 2;
    }
}
