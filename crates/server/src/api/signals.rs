//! Security events: who is told, and what others sent too much of.

pub(crate) mod decide;
pub(crate) mod held;
pub(crate) mod keys;
pub(crate) mod status;
pub(crate) mod streams;
