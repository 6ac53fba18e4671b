//! The policy set in force.

pub(crate) mod reload;
pub(crate) mod status;
