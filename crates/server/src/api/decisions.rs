//! Decisions, explained as they were.

pub(crate) mod get;
mod question;
mod then;
