//! The two doors: a TCP listener for agents and enforcers, a unix socket for the people who run the place.

pub(crate) mod admin;
pub(crate) mod guard;
pub(crate) mod listen;
pub(crate) mod tcp;
mod time;
