//! What one instance of a binary takes of the pool and of memory, counted from its sections before any
//! code is made. A component is instantiated on paper for this: nested components may be made many
//! times over, and what they are made of may come in as an argument.
//! Does not validate: it is asked only about what is valid. Does not know what is too much.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::sections::{Item, Kind, Named, Sections};

/// Steps of instantiation on paper before it is given up: far more than real components take, and done
/// in a tenth of a second.
const MOST_STEPS: u64 = 1_000_000;
/// How deeply components are instantiated in one another before it is given up.
const MOST_DEPTH: u32 = 200;

/// What one instance takes. Of a component, all its core instances together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Needs {
    /// Instances of core modules.
    pub core_instances: u64,
    /// Linear memories; what is collected as garbage lies in one more of each store.
    pub memories: u64,
    /// Tables.
    pub tables: u64,
    /// Bytes of all memories and tables before the first instruction.
    pub least_memory: u64,
    /// Bytes of the largest memory, then.
    pub largest_memory: u64,
    /// Elements of the largest table, then.
    pub largest_table: u64,
    /// Whether it has objects that a collector looks after, or exceptions, which are such objects.
    pub is_collected: bool,
}

/// A component whose instantiation does not end within reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unending;

impl Needs {
    /// What one instance of the outermost module or component takes.
    ///
    /// # Errors
    /// Counting was given up: no pool would have room.
    pub fn of(sections: &Sections<'_>) -> Result<Self, Unending> {
        let mut counting = Counting::new(sections);
        match sections.components.first() {
            Some(_) => {
                counting.instantiate(Closure { definition: 0, scope: None }, Exports::new(), 0)?;
            }
            None => counting.instantiate_module(Some(0)),
        }
        Ok(counting.needs)
    }

    fn add(&mut self, module: &Self) {
        self.core_instances = self.core_instances.saturating_add(1);
        self.memories = self.memories.saturating_add(module.memories);
        self.tables = self.tables.saturating_add(module.tables);
        self.least_memory = self.least_memory.saturating_add(module.least_memory);
        self.largest_memory = self.largest_memory.max(module.largest_memory);
        self.largest_table = self.largest_table.max(module.largest_table);
        self.is_collected |= module.is_collected;
    }
}

/// A component and where it was defined, which it may refer to.
#[derive(Clone, Copy)]
struct Closure {
    definition: usize,
    scope: Option<usize>,
}

/// What a name stands for; nothing where the host gives it, which holds none of these.
#[derive(Clone)]
enum Value<'b> {
    Module(Option<usize>),
    Component(Option<Closure>),
    Instance(Rc<Exports<'b>>),
}

type Exports<'b> = BTreeMap<&'b str, Value<'b>>;

/// The index spaces of one component that is being instantiated.
#[derive(Default)]
struct Scope<'b> {
    outer: Option<usize>,
    modules: Vec<Value<'b>>,
    components: Vec<Value<'b>>,
    instances: Vec<Value<'b>>,
}

struct Counting<'s, 'b> {
    sections: &'s Sections<'b>,
    scopes: Vec<Scope<'b>>,
    n_steps: u64,
    needs: Needs,
}

impl<'b> Scope<'b> {
    fn space(&mut self, kind: Kind) -> &mut Vec<Value<'b>> {
        match kind {
            Kind::Module => &mut self.modules,
            Kind::Component => &mut self.components,
            Kind::Instance => &mut self.instances,
        }
    }

    fn get(&mut self, kind: Kind, index: u32) -> Value<'b> {
        let found = self.space(kind).get(index as usize).cloned();
        found.unwrap_or_else(|| Value::unknown(kind))
    }
}

impl Value<'_> {
    fn unknown(kind: Kind) -> Self {
        match kind {
            Kind::Module => Self::Module(None),
            Kind::Component => Self::Component(None),
            Kind::Instance => Self::Instance(Rc::default()),
        }
    }
}

impl<'s, 'b> Counting<'s, 'b> {
    fn new(sections: &'s Sections<'b>) -> Self {
        Self { sections, scopes: Vec::new(), n_steps: 0, needs: Needs::default() }
    }

    fn instantiate_module(&mut self, module: Option<usize>) {
        let module = module.and_then(|module| self.sections.modules.get(module));
        self.needs.add(&module.copied().unwrap_or_default());
    }

    fn instantiate(
        &mut self,
        component: Closure,
        arguments: Exports<'b>,
        depth: u32,
    ) -> Result<Rc<Exports<'b>>, Unending> {
        let here = self.scopes.len();
        self.scopes.push(Scope { outer: component.scope, ..Scope::default() });
        let items = self.sections.components.get(component.definition);
        let mut exports = Exports::new();
        for item in items.into_iter().flatten() {
            self.n_steps += 1;
            if self.n_steps > MOST_STEPS || depth > MOST_DEPTH {
                return Err(Unending);
            }
            let (kind, value) = match item {
                Item::Module(module) => (Kind::Module, Value::Module(Some(*module))),
                Item::Component(definition) => {
                    let closure = Closure { definition: *definition, scope: Some(here) };
                    (Kind::Component, Value::Component(Some(closure)))
                }
                Item::Import(kind, name) => {
                    let given = arguments.get(name).cloned();
                    (*kind, given.unwrap_or_else(|| Value::unknown(*kind)))
                }
                Item::CoreInstance(module) => {
                    if let Value::Module(module) = self.get(here, Kind::Module, *module) {
                        self.instantiate_module(module);
                    }
                    continue;
                }
                Item::Instance(component, given) => {
                    let given = self.named(here, given);
                    let made = match self.get(here, Kind::Component, *component) {
                        Value::Component(Some(component)) => {
                            self.instantiate(component, given, depth + 1)?
                        }
                        _ => Rc::default(),
                    };
                    (Kind::Instance, Value::Instance(made))
                }
                Item::Bundle(named) => {
                    (Kind::Instance, Value::Instance(Rc::new(self.named(here, named))))
                }
                Item::OfInstance(kind, instance, name) => {
                    let found = match self.get(here, Kind::Instance, *instance) {
                        Value::Instance(exports) => exports.get(name).cloned(),
                        _ => None,
                    };
                    (*kind, found.unwrap_or_else(|| Value::unknown(*kind)))
                }
                Item::Outer(kind, n_out, index) => (*kind, self.outer(here, *n_out, *kind, *index)),
                Item::Export(Named { kind, name, index }) => {
                    let value = self.get(here, *kind, *index);
                    exports.insert(name, value.clone());
                    (*kind, value)
                }
            };
            if let Some(scope) = self.scopes.get_mut(here) {
                scope.space(kind).push(value);
            }
        }
        Ok(Rc::new(exports))
    }

    fn get(&mut self, scope: usize, kind: Kind, index: u32) -> Value<'b> {
        let scope = self.scopes.get_mut(scope);
        scope.map_or_else(|| Value::unknown(kind), |scope| scope.get(kind, index))
    }

    fn named(&mut self, scope: usize, named: &[Named<'b>]) -> Exports<'b> {
        named.iter().map(|named| (named.name, self.get(scope, named.kind, named.index))).collect()
    }

    fn outer(&mut self, here: usize, n_out: u32, kind: Kind, index: u32) -> Value<'b> {
        let mut scope = Some(here);
        for _ in 0..n_out {
            scope = scope.and_then(|scope| self.scopes.get(scope)?.outer);
        }
        scope.map_or_else(|| Value::unknown(kind), |scope| self.get(scope, kind, index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(text: &str) -> Result<Needs, Unending> {
        let bytes = wat::parse_str(text).unwrap();
        Needs::of(&Sections::read(&bytes).unwrap())
    }

    #[test]
    fn a_module_takes_what_it_defines_and_not_what_it_imports() {
        let module = needs(
            "(module (import \"a\" \"m\" (memory 7)) (memory 2) (memory 3) (table 10 funcref)
                (table 100 externref))",
        );
        let memory = 5 * 65_536 + 110 * 8;
        let expected = Needs {
            core_instances: 1,
            memories: 2,
            tables: 2,
            least_memory: memory,
            largest_memory: 3 * 65_536,
            largest_table: 100,
            is_collected: false,
        };
        assert_eq!(module, Ok(expected));
        for collected in ["(type (struct))", "(type (array i8))", "(tag)"] {
            assert!(needs(&format!("(module {collected})")).unwrap().is_collected, "{collected}");
        }
    }

    #[test]
    fn nested_components_count_as_often_as_they_are_made() {
        let nested = needs(
            "(component
                (component $inner
                    (core module $m (memory 1))
                    (core instance (instantiate $m))
                    (core instance (instantiate $m)))
                (component $middle
                    (alias outer 1 $inner (component $i))
                    (instance (instantiate $i)) (instance (instantiate $i)))
                (instance (instantiate $middle)) (instance (instantiate $middle)))",
        );
        assert_eq!(nested.map(|needs| (needs.core_instances, needs.memories)), Ok((8, 8)));
    }

    #[test]
    fn modules_and_components_that_come_in_as_arguments_count() {
        let given = needs(
            "(component
                (core module $large (memory 5))
                (component $maker
                    (import \"m\" (core module $m))
                    (import \"c\" (component $c))
                    (core instance (instantiate $m))
                    (instance $made (instantiate $c (with \"m\" (core module $m))))
                    (alias export $made \"out\" (core module $out))
                    (core instance (instantiate $out)))
                (component $passes
                    (import \"m\" (core module $m))
                    (core instance (instantiate $m))
                    (export \"out\" (core module $m)))
                (instance (instantiate $maker
                    (with \"m\" (core module $large)) (with \"c\" (component $passes)))))",
        );
        assert_eq!(
            given.map(|needs| (needs.core_instances, needs.largest_memory)),
            Ok((3, 327_680))
        );
    }

    #[test]
    fn what_multiplies_is_counted_up_to_a_bound() {
        let mut text = "(component (component $c0 (core module $m (memory 0)) \
                        (core instance (instantiate $m)))"
            .to_owned();
        for level in 1..=8 {
            let below = level - 1;
            let makes = "(instance (instantiate $c))".repeat(10);
            text.push_str(&format!(
                "(component $c{level} (alias outer 1 $c{below} (component $c)) {makes})"
            ));
        }
        let three = format!("{text} (instance (instantiate $c3)))");
        assert_eq!(needs(&three).map(|needs| needs.core_instances), Ok(1000));
        let eight = format!("{text} (instance (instantiate $c8)))");
        assert_eq!(needs(&eight), Err(Unending));
    }
}
