//! The human on the loop: approvals, the kill switch, signals of others and to others, and the messages that reach people.
//!
//! What has to be looked at on each request is kept where requests are looked at; here the nouns of oversight are
//! written, and the jobs run that carry them out.

pub mod approvals;
pub mod break_glass;
pub mod containment;
mod entry;
pub mod follow;
pub mod notify;
pub mod oversight;
pub mod signals;
pub mod stand_ins;
pub mod trigger;
