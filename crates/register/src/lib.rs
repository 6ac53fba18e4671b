//! An identity's beginning and its rights: registration, one-time enrolment codes, suspension, extension, grants,
//! and the findings that follow from them.
//!
//! Every change is one [`chancery_store::Store::write`] whose entry names the actor. Nobody is registered without a
//! sponsor, an owner, a purpose and an end.

mod agents;
mod code;
mod error;
mod fields;
mod findings;
mod grants;
mod registrar;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use agents::{Registered, Registration};
pub use code::EnrolmentCode;
pub use error::RegisterError;
pub use grants::GrantRequest;
pub use registrar::{Config, Registrar};
