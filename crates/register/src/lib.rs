//! An identity's beginning and its rights: registration, blueprints and their instances, one-time enrolment codes, suspension, extension, grants,
//! and the findings that follow from them.
//!
//! Every change is one [`chancery_store::Store::write`] whose entry names the actor. Nobody is registered without a
//! sponsor, an owner, a purpose and an end.

mod accounts;
mod agents;
mod blueprints;
mod certificates;
mod client_secrets;
mod clients;
mod code;
mod dynamic;
mod error;
mod fields;
mod findings;
mod grants;
mod groups;
mod instances;
mod manifests;
mod people;
mod registrar;
mod trust;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use agents::{Registered, Registration};
pub use blueprints::BlueprintRequest;
pub use client_secrets::NewSecret;
pub use clients::ClientRequest;
pub use code::EnrolmentCode;
pub use dynamic::{ClientMetadata, DYNAMIC_GRANTS, NewRegistrationCode};
pub use error::RegisterError;
pub use grants::GrantRequest;
pub use instances::{Instance, Instances, MOST_INSTANCES, Made, Names};
pub use manifests::{Approval, Manifests};
pub use people::{PersonRequest, SignInCode};
pub use registrar::{Config, Registrar};
pub use trust::TrustRequest;
