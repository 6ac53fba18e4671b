//! Our trust domain at the doors: the bundle endpoint, and the Workload API on a unix socket of its own.

mod attest;
pub(crate) mod bundle;
mod calls;
mod lenient;
pub(crate) mod listen;
mod messages;
mod streams;

pub(crate) use attest::Workloads;
