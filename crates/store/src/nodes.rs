//! Nodes: processes that share one database, each a writer of the log with its own chain.

use chancery_model::{Hash, Timestamp};

use crate::row::{Columns, Row};
use crate::{Reader, StoreError, Tx};

/// The database's own time, in microseconds (PostgreSQL).
pub(crate) const NOW: &str = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The writer's number in positions. Never given twice.
    pub number: u32,
    /// How people call it.
    pub name: String,
    /// Where it can be reached, as it says.
    pub address: String,
    /// What it does: `all` or `gateway`.
    pub role: String,
    /// The public half of its own key (a C2SP verifier key).
    pub key: String,
    /// When it joined.
    pub joined_at: Timestamp,
    /// When it was started last.
    pub started_at: Timestamp,
    /// When it renewed its lease last, on the database's clock.
    pub seen_at: Timestamp,
    /// The last change that it has applied.
    pub confirmed: u64,
    /// When its lease ends, on the database's clock.
    pub lease_until: Timestamp,
    /// When it left.
    pub left_at: Option<Timestamp>,
}

/// Adds a node that joins.
pub async fn insert(tx: &mut Tx, node: &Node) -> Result<(), StoreError> {
    let sql = crate::sql(
        "INSERT INTO nodes (number, name, address, role, key, joined_at, started_at, seen_at, confirmed, lease_until) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(i64::from(node.number))
    .bind(&node.name)
    .bind(&node.address)
    .bind(&node.role)
    .bind(&node.key)
    .bind(node.joined_at.0)
    .bind(node.started_at.0)
    .bind(node.seen_at.0)
    .bind(crate::row::int(node.confirmed)?)
    .bind(node.lease_until.0);
    tx.run(sql).await.map(drop)
}

/// Notes that it was started.
pub async fn start(tx: &mut Tx, number: u32, address: &str, role: &str, now: Timestamp) -> Result<(), StoreError> {
    let sql = crate::sql("UPDATE nodes SET address = $2, role = $3, started_at = $4 WHERE number = $1");
    tx.run(sql.bind(i64::from(number)).bind(address).bind(role).bind(now.0)).await.map(drop)
}

/// Makes a node leave: it gets no lease any more, and its number is nobody's.
pub async fn leave(tx: &mut Tx, name: &str, now: Timestamp) -> Result<(), StoreError> {
    let sql = crate::sql("UPDATE nodes SET left_at = $2 WHERE name = $1 AND left_at IS NULL");
    match tx.run(sql.bind(name).bind(now.0)).await? {
        0 => Err(StoreError::Missing { noun: "node", id: name.to_owned() }),
        _ => Ok(()),
    }
}

/// All of them, those that left included, by number.
pub async fn all(from: impl Into<Reader<'_>>) -> Result<Vec<Node>, StoreError> {
    from.into().all(crate::sql("SELECT * FROM nodes ORDER BY number"), read).await
}

/// The one with this number.
pub async fn get(from: impl Into<Reader<'_>>, number: u32) -> Result<Option<Node>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM nodes WHERE number = $1").bind(i64::from(number)), read).await
}

/// The number of the last change before the one in the making, over all nodes; 0 where there is one node.
pub async fn last_change(tx: &mut Tx) -> Result<u64, StoreError> {
    crate::feed::end(tx).await
}

/// Adds a token with which a node can join, once.
pub async fn insert_token(tx: &mut Tx, hash: &Hash, now: Timestamp, expires_at: Timestamp) -> Result<(), StoreError> {
    let sql = crate::sql("INSERT INTO node_tokens (hash, created_at, expires_at) VALUES ($1, $2, $3)");
    tx.run(sql.bind(hash).bind(now.0).bind(expires_at.0)).await.map(drop)
}

/// Uses a token up; says whether it could be used.
pub async fn redeem_token(tx: &mut Tx, hash: &Hash, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "UPDATE node_tokens SET used_at = $2 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2";
    Ok(tx.run(crate::sql(sql).bind(hash).bind(now.0)).await? == 1)
}

fn read(row: &Row) -> Result<Node, StoreError> {
    Ok(Node {
        number: row.number("number")?,
        name: row.text("name")?,
        address: row.text("address")?,
        role: row.text("role")?,
        key: row.text("key")?,
        joined_at: row.time("joined_at")?,
        started_at: row.time("started_at")?,
        seen_at: row.time("seen_at")?,
        confirmed: row.count("confirmed")?,
        lease_until: row.time("lease_until")?,
        left_at: row.time_or_none("left_at")?,
    })
}
