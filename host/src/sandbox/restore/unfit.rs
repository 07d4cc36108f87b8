//! Why an instance of a component cannot be put back to what it was before a call.
//! Does not find it out: `core_module` and `component` do while they rewrite, `live` at the first instance.

use std::fmt;

use serde::{Deserialize, Serialize};
use steerage_core::units::Bytes;

/// What stands in the way of restoring, as a developer can understand it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Unfit {
    /// It is of this kind, and another one can be restored.
    Kind(String),
    /// It has objects that a collector looks after, or exceptions.
    Collected,
    /// Its code has an instruction that changes what cannot be put back.
    Instruction(String),
    /// It has a mutable global of a type that cannot be copied by its own code.
    Global(String),
    /// It is composed, and a component of it is lent resources of another one.
    Lends,
    /// It instantiates a component that is not defined in it.
    ForeignComponent,
    /// It instantiates a core module that is not defined in it.
    ForeignModule,
    /// It makes resources of its own, whose destructors are code of the guest.
    OwnResources,
    /// It uses a built-in function of the component model beyond those of 0.2.
    BuiltIn(String),
    /// It runs a function of the component model when it is instantiated.
    Start,
    /// It exports a name that restoring needs.
    Name(String),
    /// Its memories are large at start, and all of that would be kept once more.
    Large {
        /// What they have together.
        bytes: u64,
        /// What they may have.
        limit: u64,
    },
    /// The core instances that are added would be too many.
    CoreInstances {
        /// How many it has.
        count: u64,
        /// How many more it would have.
        added: u64,
        /// How many it may have.
        limit: u64,
    },
    /// It could not be read or rewritten, which the validator did not foresee.
    Unreadable(String),
    /// The code that runs while it is instantiated asks the host for something, such as the time.
    AsksAtStart,
    /// The code that runs while it is instantiated does not end within one slice.
    LongStart,
    /// It holds resources before its first call.
    HoldsAtStart,
    /// Two instances of it do not begin alike.
    Differs,
    /// Its instances could not be put back too often. It is tried again after a while.
    Lost {
        /// How many were lost.
        lost: u32,
        /// How many calls were served by restored ones meanwhile.
        restored: u32,
        /// Why the last of them was.
        last: String,
    },
    /// The host cannot restore any, for this reason.
    Host(String),
    /// The host has no compiled code for it, or could make no instance. It is tried again after a while.
    Failed(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => {
                write!(f, "it is of kind {kind}, whose instances are not restored")
            }
            Self::Collected => f.write_str("it has garbage-collected objects or exceptions"),
            Self::Instruction(name) => {
                write!(f, "its code has {name}, whose effect cannot be put back")
            }
            Self::Global(ty) => write!(f, "it has a mutable global of type {ty}"),
            Self::Lends => f.write_str(
                "it is composed, and a component of it is lent resources by another: what handles it \
                 had cannot be known",
            ),
            Self::ForeignComponent => {
                f.write_str("it instantiates a component that is not defined in it")
            }
            Self::ForeignModule => f.write_str("it instantiates a core module that it imports"),
            Self::OwnResources => f.write_str("it makes resources of its own"),
            Self::BuiltIn(name) => write!(f, "it uses {name} of the component model"),
            Self::Start => f.write_str("it has a start function of the component model"),
            Self::Name(name) => write!(f, "it exports {name}, a name that restoring needs"),
            Self::Large { bytes, limit } => {
                let (bytes, limit) = (Bytes::new(*bytes), Bytes::new(*limit));
                write!(f, "its memories have {bytes} at start; up to {limit} are restored")
            }
            Self::CoreInstances { count, added, limit } => write!(
                f,
                "it has {count} core instances; restoring adds {added}, and an instance may have \
                 {limit}"
            ),
            Self::Unreadable(detail) => write!(f, "it cannot be rewritten: {detail}"),
            Self::AsksAtStart => f.write_str(
                "its code asks the host for something at its start, as for the time or memory",
            ),
            Self::LongStart => f.write_str("the code that runs at its start takes long"),
            Self::HoldsAtStart => f.write_str("it holds resources before its first call"),
            Self::Differs => f.write_str("two instances of it do not begin alike"),
            Self::Lost { lost, restored, last } => write!(
                f,
                "of its last instances {lost} could not be put back, and those that could served \
                 {restored} calls; it is tried again later; the last one: {last}"
            ),
            Self::Host(why) => f.write_str(why),
            Self::Failed(why) => write!(f, "{why}; it is tried again later"),
        }
    }
}
