//! The sections of a binary that say what it is made of, read in one go: what it imports and exports,
//! and how its parts are put together. Does not look into functions and does not validate.

use wasmparser::{
    ComponentAlias, ComponentExport, ComponentExternalKind, ComponentInstance,
    ComponentOuterAliasKind, ComponentTypeRef, CompositeInnerType, Instance, Parser, Payload,
    Result, TypeBounds, TypeRef,
};

use super::needs::Needs;

/// What one table element costs: a pointer.
const ELEMENT: u64 = 8;
/// Bytes of a page of memory, where it does not say otherwise, as a power of two.
const PAGE_LOG2: u32 = 16;

/// A binary, taken apart.
#[derive(Debug, Default)]
pub struct Sections<'b> {
    /// Every core module, the nested ones too. Of a core module it is the first and only one.
    pub modules: Vec<Needs>,
    /// Every component, the outermost first. None for a core module.
    pub components: Vec<Vec<Item<'b>>>,
    /// What the outermost imports: of a module also its second name.
    pub imports: Vec<Import<'b>>,
    /// What the outermost exports.
    pub exports: Vec<&'b str>,
    /// Custom sections of the outermost.
    pub custom: Vec<&'b str>,
}

/// An import of the outermost module or component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Import<'b> {
    /// The interface, or the module.
    pub name: &'b str,
    /// The name in that module; empty in a component.
    pub field: &'b str,
    /// What it kind for.
    pub kind: ImportKind,
}

/// What an import kind for, as far as it matters who gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportKind {
    /// A plain type, which needs nothing from the host.
    Type,
    /// Functions of a component's: an interface, or one by itself.
    Functions,
    /// Anything else.
    Other,
}

/// What can be instantiated, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A core module.
    Module,
    /// A component.
    Component,
    /// An instance of a component.
    Instance,
}

/// One of these under a name.
#[derive(Clone, Debug)]
pub struct Named<'b> {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: &'b str,
    /// Its number among those of its kind.
    pub index: u32,
}

/// A step in the making of a component; each but a core instance makes the next number of its kind.
#[derive(Clone, Debug)]
pub enum Item<'b> {
    /// A core module is defined: its place in [`Sections::modules`].
    Module(usize),
    /// A component is defined: its place in [`Sections::components`].
    Component(usize),
    /// One is imported.
    Import(Kind, &'b str),
    /// A core module is instantiated.
    CoreInstance(u32),
    /// A component is instantiated with arguments.
    Instance(u32, Vec<Named<'b>>),
    /// An instance is put together.
    Bundle(Vec<Named<'b>>),
    /// An export of an instance.
    OfInstance(Kind, u32, &'b str),
    /// One of a component so many levels out.
    Outer(Kind, u32, u32),
    /// One is exported, which numbers it anew.
    Export(Named<'b>),
}

/// What is being read: binaries nest.
#[derive(Clone, Copy)]
enum Level {
    Module(usize),
    Component(usize),
}

impl<'b> Sections<'b> {
    /// Takes a binary apart.
    ///
    /// # Errors
    /// It is not well-formed.
    pub fn read(bytes: &'b [u8]) -> Result<Self> {
        let mut sections = Self::default();
        let mut levels = Vec::new();
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            match &payload {
                Payload::Version { encoding, .. } => {
                    let level = sections.open(*encoding == wasmparser::Encoding::Component);
                    if let Some(Level::Component(outer)) = levels.last() {
                        let item = match level {
                            Level::Module(module) => Item::Module(module),
                            Level::Component(component) => Item::Component(component),
                        };
                        sections.push(*outer, item);
                    }
                    levels.push(level);
                }
                Payload::End(_) => drop(levels.pop()),
                payload => match levels.last() {
                    Some(Level::Module(module)) => {
                        sections.take_of_module(payload, *module, levels.len() == 1)?;
                    }
                    Some(Level::Component(component)) => {
                        sections.take_of_component(payload, *component)?;
                    }
                    None => {}
                },
            }
        }
        Ok(sections)
    }

    fn open(&mut self, is_component: bool) -> Level {
        if is_component {
            self.components.push(Vec::new());
            Level::Component(self.components.len() - 1)
        } else {
            self.modules.push(Needs::default());
            Level::Module(self.modules.len() - 1)
        }
    }

    fn push(&mut self, component: usize, item: Item<'b>) {
        if let Some(items) = self.components.get_mut(component) {
            items.push(item);
        }
    }

    fn take_of_module(
        &mut self,
        payload: &Payload<'b>,
        module: usize,
        is_outermost: bool,
    ) -> Result<()> {
        match payload {
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    let import = import?;
                    if is_outermost {
                        let (name, field) = (import.module, import.name);
                        self.imports.push(Import { name, field, kind: ImportKind::Other });
                    }
                    let needs = self.modules.get_mut(module);
                    if let (TypeRef::Tag(_), Some(needs)) = (import.ty, needs) {
                        needs.is_collected = true;
                    }
                }
            }
            Payload::ExportSection(section) if is_outermost => {
                for export in section.clone() {
                    self.exports.push(export?.name);
                }
            }
            Payload::CustomSection(section) if is_outermost => self.custom.push(section.name()),
            payload => {
                if let Some(needs) = self.modules.get_mut(module) {
                    take_needs(payload, needs)?;
                }
            }
        }
        Ok(())
    }

    fn take_of_component(&mut self, payload: &Payload<'b>, component: usize) -> Result<()> {
        match payload {
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    if let Instance::Instantiate { module_index, .. } = instance? {
                        self.push(component, Item::CoreInstance(module_index));
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    self.push(component, made(instance?));
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    if let Some(item) = alias_of(&alias?) {
                        self.push(component, item);
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    let import = import?;
                    let (name, imported) = (import.name.name, asked(&import.ty));
                    if component == 0 {
                        self.imports.push(Import { name, field: "", kind: imported });
                    }
                    if let Some(kind) = kind(import.ty.kind()) {
                        self.push(component, Item::Import(kind, name));
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    let export = export?;
                    if component == 0 {
                        self.exports.push(export.name.name);
                    }
                    if let Some(named) = exported(&export) {
                        self.push(component, Item::Export(named));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Adds what a section of a core module needs.
fn take_needs(payload: &Payload<'_>, needs: &mut Needs) -> Result<()> {
    match payload {
        Payload::TypeSection(section) => {
            for group in section.clone() {
                let mut types = group?.into_types();
                needs.is_collected |= types.any(|ty| {
                    !matches!(
                        ty.composite_type.inner,
                        CompositeInnerType::Func(_) | CompositeInnerType::Cont(_)
                    )
                });
            }
        }
        Payload::TagSection(section) => needs.is_collected |= section.count() > 0,
        Payload::MemorySection(section) => {
            for memory in section.clone() {
                let memory = memory?;
                let page = 1_u64.checked_shl(memory.page_size_log2.unwrap_or(PAGE_LOG2));
                let bytes = memory.initial.saturating_mul(page.unwrap_or(u64::MAX));
                needs.memories += 1;
                needs.largest_memory = needs.largest_memory.max(bytes);
                needs.least_memory = needs.least_memory.saturating_add(bytes);
            }
        }
        Payload::TableSection(section) => {
            for table in section.clone() {
                let elements = table?.ty.initial;
                needs.tables += 1;
                needs.largest_table = needs.largest_table.max(elements);
                let bytes = elements.saturating_mul(ELEMENT);
                needs.least_memory = needs.least_memory.saturating_add(bytes);
            }
        }
        _ => {}
    }
    Ok(())
}

fn kind(kind: ComponentExternalKind) -> Option<Kind> {
    match kind {
        ComponentExternalKind::Module => Some(Kind::Module),
        ComponentExternalKind::Component => Some(Kind::Component),
        ComponentExternalKind::Instance => Some(Kind::Instance),
        _ => None,
    }
}

fn exported<'b>(export: &ComponentExport<'b>) -> Option<Named<'b>> {
    Some(Named { kind: kind(export.kind)?, name: export.name.name, index: export.index })
}

fn made(instance: ComponentInstance<'_>) -> Item<'_> {
    match instance {
        ComponentInstance::Instantiate { component_index, args } => {
            let named = args.iter().filter_map(|argument| {
                let kind = kind(argument.kind)?;
                Some(Named { kind, name: argument.name, index: argument.index })
            });
            Item::Instance(component_index, named.collect())
        }
        ComponentInstance::FromExports(exports) => {
            Item::Bundle(exports.iter().filter_map(exported).collect())
        }
    }
}

fn alias_of<'b>(alias: &ComponentAlias<'b>) -> Option<Item<'b>> {
    match *alias {
        ComponentAlias::InstanceExport { kind: of, instance_index, name } => {
            Some(Item::OfInstance(kind(of)?, instance_index, name))
        }
        ComponentAlias::Outer { kind, count, index } => {
            let kind = match kind {
                ComponentOuterAliasKind::CoreModule => Kind::Module,
                ComponentOuterAliasKind::Component => Kind::Component,
                _ => return None,
            };
            Some(Item::Outer(kind, count, index))
        }
        ComponentAlias::CoreInstanceExport { .. } => None,
    }
}

/// A world may import plain types by name. A resource is none: the host would have to have it.
fn asked(ty: &ComponentTypeRef) -> ImportKind {
    match ty {
        ComponentTypeRef::Type(TypeBounds::Eq(_)) => ImportKind::Type,
        ComponentTypeRef::Instance(_) | ComponentTypeRef::Func(_) => ImportKind::Functions,
        _ => ImportKind::Other,
    }
}
