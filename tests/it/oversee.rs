//! The human on the loop, through the front door.

mod approvals;
mod wires;
pub(crate) mod world;
