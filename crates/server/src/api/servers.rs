//! Upstream servers as they are configured.

pub(crate) mod list;
