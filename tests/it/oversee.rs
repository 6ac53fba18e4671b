//! The human on the loop, through the front door.

mod approvals;
mod dry_run;
mod enforcers;
mod fatigue;
mod oversight;
mod passkey;
mod show;
mod stand_ins;
mod voided;
mod wires;
pub(crate) mod world;
