//! Who is calling: enrolment of keys, the OAuth token endpoint, DPoP proofs, sessions, and the check of every request.
//!
//! The only room that names JOSE. [`Authenticator::caller`] is the hot path: synchronous, no IO, one signature
//! verification per request. Every failure is a refusal.

mod access;
mod authenticator;
mod caller;
mod certificates;
pub mod client;
mod clients;
mod config;
mod consent;
mod containments;
mod delegation;
mod directory;
pub mod dpop;
mod enrol;
mod fault;
#[cfg(feature = "faults")]
pub mod faults;
#[cfg(not(feature = "faults"))]
mod faults;
mod federation;
pub mod flows;
mod htu;
mod introspect;
pub mod jose;
mod keys;
mod lineage;
mod manifest;
mod metadata;
pub mod meters;
mod nonce;
mod passkeys;
mod people;
mod presence;
mod reach;
mod recent;
mod refused;
mod registry;
pub mod replay;
mod sessions;
mod sets;
mod shown;
pub mod spiffe;
mod steady;
mod strangers;
mod system;
mod token;
mod vault;
pub mod wallet;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use authenticator::{Authenticator, OpenError};
pub use caller::{At, Caller, RequestFacts};
pub use certificates::certificate_thumbprint;
pub use config::{ByCertificate, Config, Scoped, SessionLimits};
pub use consent::{
    AskRefused, Asked, BackchannelAsked, BackchannelBody, DeviceAsked, DeviceBody, Narrowed, PushedBody,
};
pub use delegation::{Delegations, Handing, Limits as DelegationLimits, Principal};
pub use enrol::{ENROLMENT_TYP, EnrolError, Enrolled, Enrolment};
pub use federation::{Attested, check_bundle, check_key_set};
pub use introspect::Introspection;
pub use keys::{KeysError, LogKey, Retiring, client_key};
pub use metadata::{AuthorizationServer, JwkSet, ProtectedResource, resource_metadata_path};
pub use passkeys::{NewPasskey, ShownFor, ShownPasskey};
pub use people::{PeopleError, SignedIn};
pub use presence::PresenceAsked;
pub use reach::{Reach, Reached};
pub use refused::Refused;
pub use registry::{AgentFilter, Listed, Page};
pub use sessions::SessionError;
pub use sets::{SetAlgorithm, SetFacts, SetRefused, SetSource, metadata_address as set_metadata_address};
pub use shown::ShownCertificates;
pub use strangers::Claimed;
pub use system::SystemRandom;
pub use token::{OauthError, Partner, Provider, TokenBody, TokenRequest, TokenResponse, Transactions};
pub use vault::{Place, Vault, VaultError};
