//! Connections to upstream servers: made and cut here, and their tokens come out through no door.

pub(crate) mod authorize;
pub(crate) mod disconnect;
pub(crate) mod list;
pub(crate) mod progress;
