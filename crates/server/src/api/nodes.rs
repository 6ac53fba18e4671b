//! Processes that share one database.

use chancery_store::nodes::Node;
use serde::Serialize;

pub(crate) mod leave;
pub(crate) mod list;
pub(crate) mod token;

/// What is shown of a node.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    number: u32,
    name: String,
    address: String,
    role: String,
    /// `in force` if its lease is not over, `away` if it is, `left`.
    state: &'static str,
    key: String,
    joined_at: String,
    started_at: String,
    seen_at: String,
    confirmed: u64,
}

impl View {
    fn of(node: &Node, newest: i64) -> Self {
        Self {
            number: node.number,
            name: node.name.clone(),
            address: node.address.clone(),
            role: node.role.clone(),
            state: match node.left_at {
                Some(_) => "left",
                // Whoever renewed last did so within a lease: everything is on the database's clock.
                None if node.lease_until.0 >= newest => "in force",
                None => "away",
            },
            key: node.key.clone(),
            joined_at: node.joined_at.rfc3339(),
            started_at: node.started_at.rfc3339(),
            seen_at: node.seen_at.rfc3339(),
            confirmed: node.confirmed,
        }
    }
}
