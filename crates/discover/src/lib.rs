//! Sweeps become one truthful inventory of what acts, with what, on what.
//!
//! An [`Intake`] writes down what a source says it has, and judges what it no longer says: only what was completely looked at
//! can make anything missing. [`Discovery`] answers from what was written down: what is there, what was known when, and, over
//! the [identity graph](chancery_graph), who can reach what.

mod answer;
mod ask;
mod discovery;
mod error;
mod faulty;
mod intake;
mod inventory;
mod judge;
mod listing;
mod own;
mod scan;
mod strangers;

pub use ask::{Answer, Asked, At, Found, Hop, Question, Way, Without};
pub use discovery::Discovery;
pub use error::DiscoverError;
pub use faulty::Stated;
pub use intake::{Ended, Intake, Opening};
pub use inventory::Inventory;
pub use listing::Listed;
pub use own::{OWN, own_urn};
pub use scan::{FILES, Swept, endpoint, swept};
pub use strangers::{EDGE, Stranger};

#[cfg(test)]
mod tests;
