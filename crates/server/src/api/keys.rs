//! Our own keys.

pub(crate) mod rotate;
