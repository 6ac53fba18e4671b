//! People and the flows that need one: signing in, consent, codes, devices, presence.

mod backchannel;
pub(crate) mod chain;
pub(crate) mod client;
mod clients;
mod code;
mod conformance;
mod cut;
mod device;
mod document;
mod documents;
mod identity;
mod people;
mod presence;
mod pushed;
mod refresh;
mod registration;
