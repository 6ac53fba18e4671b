//! One-time codes with which an identity enrols a key.

pub(crate) mod create;
