//! How the first administrator comes in. On the host only.

pub(crate) mod setup_link;
