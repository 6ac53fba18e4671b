//! The OAuth endpoints, and what clients read before they come.

pub(crate) mod authorize;
pub(crate) mod backchannel;
pub(crate) mod device;
pub(crate) mod enrol;
pub(crate) mod form;
pub(crate) mod introspect;
pub(crate) mod jwks;
pub(crate) mod metadata;
pub(crate) mod par;
pub(crate) mod register;
mod request;
pub(crate) mod revoke;
pub(crate) mod token;
