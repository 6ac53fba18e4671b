//! The OAuth endpoints, and what clients read before they come.

pub(crate) mod enrol;
mod form;
pub(crate) mod jwks;
pub(crate) mod metadata;
pub(crate) mod token;
