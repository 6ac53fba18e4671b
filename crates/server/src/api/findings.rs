//! What is wrong with identities and tools.

pub(crate) mod list;
