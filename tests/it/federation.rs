//! Logins without a secret: workloads of platforms whose issuers are served here, with real keys and real tokens.

pub(crate) mod issuer;
mod keys;
mod login;
mod narrow;
