//! Where the guests of one deployment spend their CPU time.
//! Samples nothing and knows no addresses.

mod flame;
mod shares;
mod stacks;

pub use self::flame::flame_graph;
pub use self::shares::{FunctionShare, shares};
pub use self::stacks::{CUT_FRAME, HOST_FRAME, OTHER_FRAME, Profile};
