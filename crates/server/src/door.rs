//! The doors: a TCP listener for agents and enforcers, the same with TLS where it is configured, and a unix socket for
//! the people who run the place.

pub(crate) mod admin;
pub(crate) mod further;
pub(crate) mod guard;
pub(crate) mod listen;
pub(crate) mod matrix;
pub(crate) mod person;
pub(crate) mod tcp;
mod time;
pub(crate) mod tls;
