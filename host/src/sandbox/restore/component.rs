//! A component with exports more by which the host puts back an instance of it: its globals, what
//! compiled code knows of its memories, and its table of handles. Of a component that is composed, each
//! component inside with code of its own is given the same, and whoever instantiates it hands them on; so
//! the outermost has those of all its parts.
//! Only adds: what was there keeps its numbers, so its calls take the same fuel.

use wasm_encoder::{Component, RawSection};
use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentDefinedType, ComponentFuncType, ComponentValType,
};
use wasmparser::types::TypesRef;
use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentOuterAliasKind, ComponentTypeRef, Instance, Parser, Payload, Validator,
};

use super::additions::{self, CORE_MODULE, Inside, Spaces};
use super::core_module::{self, unreadable};
use super::helper::OURS;
use super::unfit::Unfit;
use crate::sandbox::engine::{self, Flavor, MOST_CORE_INSTANCES};

/// The section of a component that holds another one.
const COMPONENT: u8 = 4;
/// How deeply types are looked into before they are taken to have everything.
const MOST_DEPTH: u32 = 50;

/// What was rewritten.
pub(super) struct Rewritten {
    pub(super) bytes: Vec<u8>,
    /// Core instances that each instance of it has more.
    pub(super) n_added: usize,
}

/// The parts of a component that are put back each for itself, by how many types of handles each has. One
/// that is not known cannot be instantiated.
type Parts = Option<Vec<u32>>;

/// What is known of one component so far.
#[derive(Default)]
struct Found {
    /// Whether each of its core modules was given something to put back.
    rewritten: Vec<bool>,
    n_core_instances: u32,
    inside: Inside,
    /// Whether it has code, or functions of the host that it could give to others.
    has_code: bool,
    /// Whether a function of it is given resources for as long as it runs.
    borrows: bool,
    components: Vec<Parts>,
    n_instances: u32,
}

/// A component that is being read.
#[derive(Default)]
struct Level {
    component: Component,
    found: Found,
}

/// The component with the exports. What was added is not validated.
///
/// # Errors
/// Why an instance of it cannot be put back.
pub(super) fn rewritten(bytes: &[u8]) -> Result<Rewritten, Unfit> {
    let mut validator = Validator::new_with_features(engine::features(Flavor::Plain));
    // What is being read, the innermost last; `None` for a core module.
    let mut levels: Vec<Option<Level>> = vec![Some(Level::default())];
    let mut borrows = false;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(unreadable)?;
        let is_component = matches!(levels.last(), Some(Some(_)));
        let is_end = matches!(payload, Payload::End(_)) && is_component;
        let types = validator.types(0).filter(|_| is_end).map(Spaces::of);
        validator.payload(&payload).map_err(unreadable)?;
        if is_component {
            let outer = outer_components(&levels, &payload)?;
            let Some(Some(level)) = levels.last_mut() else { return Err(unread("it ends twice")) };
            level.found.check(&payload, outer)?;
            level.found.note_borrows(&payload, validator.types(0))?;
            level.copy(&payload, bytes)?;
        }
        match payload {
            Payload::ModuleSection { .. } => levels.push(None),
            Payload::ComponentSection { .. } => levels.push(Some(Level::default())),
            Payload::End(_) => {
                let Some(Some(mut level)) = levels.pop() else { continue };
                let spaces = types.ok_or_else(|| unread("it has no types"))?;
                borrows |= level.found.borrows;
                let is_outermost = levels.is_empty();
                let parts = level.end(spaces, is_outermost)?;
                if is_outermost {
                    if parts.len() > 1 && borrows {
                        return Err(Unfit::Lends);
                    }
                    return Ok(Rewritten { bytes: level.component.finish(), n_added: parts.len() });
                }
                if let Some(Some(outer)) = levels.last_mut() {
                    outer.found.components.push(Some(parts));
                    let data = level.component.finish();
                    outer.component.section(&RawSection { id: COMPONENT, data: &data });
                }
            }
            _ => {}
        }
    }
    Err(unread("it has no end"))
}

fn unread(what: &str) -> Unfit {
    Unfit::Unreadable(what.to_owned())
}

/// What an alias of components further out stands for, of each alias of this section.
fn outer_components(levels: &[Option<Level>], payload: &Payload<'_>) -> Result<Vec<Parts>, Unfit> {
    let Payload::ComponentAliasSection(section) = payload else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for alias in section.clone() {
        let kind = ComponentOuterAliasKind::Component;
        if let ComponentAlias::Outer { kind: of, count, index } = alias.map_err(unreadable)?
            && of == kind
        {
            let level = levels.iter().rev().nth(count as usize);
            let components = level.and_then(Option::as_ref).map(|level| &level.found.components);
            let parts = components.and_then(|components| components.get(index as usize));
            found.push(parts.cloned().flatten());
        }
    }
    Ok(found)
}

impl Level {
    /// Takes over a section as it is, or rewritten.
    fn copy(&mut self, payload: &Payload<'_>, bytes: &[u8]) -> Result<(), Unfit> {
        let Some((id, range)) = payload.as_section() else { return Ok(()) };
        // Components are taken over when they have ended.
        if id == COMPONENT {
            return Ok(());
        }
        let data = bytes.get(range).unwrap_or_default();
        let module = if id == CORE_MODULE { self.found.module(data)? } else { None };
        self.component.section(&RawSection { id, data: module.as_deref().unwrap_or(data) });
        Ok(())
    }

    /// Adds what puts its instances back; says what parts it has.
    fn end(&mut self, spaces: Spaces, is_outermost: bool) -> Result<Vec<u32>, Unfit> {
        let Self { component, found } = self;
        let are_numbered = spaces.core_instances == found.n_core_instances
            && spaces.instances == found.n_instances
            && spaces.components as usize == found.components.len();
        if !are_numbered {
            return Err(unread("what it instantiates is not what it defines"));
        }
        // One that only gives other names to what is there stays as it is.
        if !is_outermost && !found.has_code && found.inside.to_hand_on.is_empty() {
            return Ok(Vec::new());
        }
        // Each part has a core instance more. Instances may multiply from level to level, so it is not
        // found out at the end.
        let n_inside = found.inside.to_hand_on.iter().map(|(_, parts)| parts.len()).sum::<usize>();
        if n_inside >= MOST_CORE_INSTANCES as usize {
            let count = u64::from(found.n_core_instances);
            let (added, limit) = (n_inside as u64 + 1, u64::from(MOST_CORE_INSTANCES));
            return Err(Unfit::CoreInstances { count, added, limit });
        }
        Ok(additions::add(component, &found.inside, spaces))
    }
}

impl Found {
    fn module(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, Unfit> {
        let module = core_module::rewritten(bytes)?;
        self.rewritten.push(module.is_some());
        self.inside.n_modules += 1;
        Ok(module)
    }

    /// Reads a section, in which aliases of components further out stand for `outer`.
    fn check(&mut self, payload: &Payload<'_>, outer: Vec<Parts>) -> Result<(), Unfit> {
        let mut outer = outer.into_iter();
        match payload {
            Payload::InstanceSection(section) => {
                self.has_code = true;
                for instance in section.clone() {
                    if let Instance::Instantiate { module_index, .. } =
                        instance.map_err(unreadable)?
                    {
                        // Only those defined here are numbered, or it was refused.
                        let rewritten = self.rewritten.get(module_index as usize);
                        if *rewritten.ok_or(Unfit::ForeignModule)? {
                            self.inside.to_restore.push(self.n_core_instances);
                        }
                    }
                    self.n_core_instances += 1;
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    if let ComponentInstance::Instantiate { component_index, .. } =
                        instance.map_err(unreadable)?
                    {
                        let parts = self.components.get(component_index as usize);
                        let parts = parts.cloned().flatten().ok_or(Unfit::ForeignComponent)?;
                        if !parts.is_empty() {
                            self.inside.to_hand_on.push((self.n_instances, parts));
                        }
                    }
                    self.n_instances += 1;
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    self.check_alias(&alias.map_err(unreadable)?, &mut outer)?;
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    match import.map_err(unreadable)?.ty {
                        ComponentTypeRef::Module(_) => return Err(Unfit::ForeignModule),
                        ComponentTypeRef::Instance(_) => self.n_instances += 1,
                        ComponentTypeRef::Component(_) => self.components.push(None),
                        _ => {}
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
                    self.note(export.kind);
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                self.has_code = true;
                for function in section.clone() {
                    check_built_in(&function.map_err(unreadable)?)?;
                }
            }
            Payload::ModuleSection { .. } => self.has_code = true,
            Payload::ComponentStartSection { .. } => return Err(Unfit::Start),
            _ => {}
        }
        Ok(())
    }

    fn check_alias(
        &mut self,
        alias: &ComponentAlias<'_>,
        outer: &mut impl Iterator<Item = Parts>,
    ) -> Result<(), Unfit> {
        match alias {
            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. }
            | ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, .. } => {
                return Err(Unfit::ForeignModule);
            }
            ComponentAlias::InstanceExport { kind, .. } => self.note(*kind),
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, .. } => {
                self.components.push(outer.next().flatten());
            }
            _ => {}
        }
        Ok(())
    }

    /// One of this kind has a number more, and is not looked into.
    fn note(&mut self, kind: ComponentExternalKind) {
        match kind {
            ComponentExternalKind::Instance => self.n_instances += 1,
            ComponentExternalKind::Component => self.components.push(None),
            _ => {}
        }
    }

    /// Takes note of functions that are lifted and are lent something.
    fn note_borrows(
        &mut self,
        payload: &Payload<'_>,
        types: Option<TypesRef<'_>>,
    ) -> Result<(), Unfit> {
        let Payload::ComponentCanonicalSection(section) = payload else { return Ok(()) };
        let types = types.ok_or_else(|| unread("it has no types"))?;
        for function in section.clone() {
            if let CanonicalFunction::Lift { type_index, .. } = function.map_err(unreadable)?
                && let ComponentAnyTypeId::Func(id) = types.component_any_type_at(type_index)
            {
                self.borrows |= types.get(id).is_none_or(|ty| is_lent(ty, types));
            }
        }
        Ok(())
    }
}

/// Whether a function is given borrowed resources.
fn is_lent(function: &ComponentFuncType, types: TypesRef<'_>) -> bool {
    function.params.iter().any(|(_, ty)| borrows(*ty, types, 0))
}

fn borrows(ty: ComponentValType, types: TypesRef<'_>, depth: u32) -> bool {
    let ComponentValType::Type(id) = ty else { return false };
    if depth > MOST_DEPTH {
        return true;
    }
    let within = |ty: &ComponentValType| borrows(*ty, types, depth + 1);
    match types.get(id) {
        Some(ComponentDefinedType::Primitive(_) | ComponentDefinedType::Own(_)) => false,
        Some(ComponentDefinedType::Flags(_) | ComponentDefinedType::Enum(_)) => false,
        Some(ComponentDefinedType::Record(record)) => record.fields.values().any(within),
        Some(ComponentDefinedType::Variant(variant)) => {
            variant.cases.values().filter_map(|case| case.ty.as_ref()).any(within)
        }
        Some(ComponentDefinedType::Tuple(tuple)) => tuple.types.iter().any(within),
        Some(
            ComponentDefinedType::List { element, .. }
            | ComponentDefinedType::FixedLengthList { element, .. },
        ) => within(element),
        Some(ComponentDefinedType::Map { key, value, .. }) => within(key) || within(value),
        Some(ComponentDefinedType::Option { ty, .. }) => within(ty),
        Some(ComponentDefinedType::Result { ok, err, .. }) => ok.iter().chain(err).any(within),
        Some(_) | None => true,
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
