//! May it: Cedar and nothing but Cedar. Pure over a snapshot: decisions, reasons, and what would make it pass.
//!
//! A [`Snapshot`] is a directory of policy files and the pinned tools, checked as a whole: it is in force
//! altogether or not at all. An [`Engine`] holds the snapshot in force, the directory of agents and the grants,
//! and answers. Grants are rows that link a policy template; they and the agents change without a rebuild.
//!
//! What cannot happen here: an answer that allows after an error; a policy in force that can fail on a type, on
//! an overflow or on an entity that is not there; a policy in force that can never match; a [`Permit`] that the
//! engine did not make.

mod authzen;
pub mod bench;
mod call;
mod decide;
mod diagnostic;
mod engine;
mod entity;
mod explain;
#[cfg(feature = "faults")]
pub mod faults;
#[cfg(not(feature = "faults"))]
mod faults;
pub mod files;
mod grants;
mod hash;
mod index;
mod json;
mod lint;
mod load;
mod nesting;
mod rule;
mod schema;
mod scope;
mod snapshot;
mod tools;
mod value;
mod verdict;

pub use authzen::{
    ActionRef, BadEvaluation, EntityRef, Evaluation, Evaluations, Options, PartialEvaluation, Question, Semantics,
    evaluations,
};
pub use call::{Acting, Asked, Asker, Facts, ServerAct, ToolCall};
pub use diagnostic::{Diagnostic, Severity};
pub use engine::delegate::{From, Link};
pub use engine::{Engine, Objects};
pub use explain::as_of;
pub use files::Files;
pub use json::Properties;
pub use schema::{BASE as BASE_SCHEMA, BASE_FILE};
pub use snapshot::{Needs, Snapshot, Sources};
pub use tools::Hints;
pub use verdict::{Permit, Verdict};

#[cfg(feature = "faults")]
pub use engine::Fault;

#[cfg(test)]
mod tests;
