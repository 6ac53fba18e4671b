//! The OAuth endpoints, and what clients read before they come.

pub(crate) mod enrol;
pub(crate) mod form;
pub(crate) mod introspect;
pub(crate) mod jwks;
pub(crate) mod metadata;
mod request;
pub(crate) mod revoke;
pub(crate) mod token;
