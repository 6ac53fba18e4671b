//! One-time codes with which an agent proves possession of its key. Only hashes of codes are kept.

use chancery_model::{AgentId, Hash, Timestamp};

use crate::row::{Columns, Row};
use crate::{Reader, StoreError, Tx};

/// A code that was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// SHA-256 of the code.
    pub code_hash: Hash,
    /// For whom.
    pub agent: AgentId,
    /// When it was made.
    pub created_at: Timestamp,
    /// From then on it is worth nothing.
    pub expires_at: Timestamp,
    /// When it was used, or replaced by a newer one.
    pub used_at: Option<Timestamp>,
}

/// What is kept of a code: its SHA-256.
pub fn code_hash(code: &str) -> Hash {
    chancery_tlog::sha256(code.as_bytes())
}

/// Adds a code. Codes of the same agent that were not used are used up by this.
pub async fn insert(tx: &mut Tx, enrolment: &Enrolment) -> Result<(), StoreError> {
    let void = crate::sql("UPDATE enrolments SET used_at = $2 WHERE agent = $1 AND used_at IS NULL")
        .bind(enrolment.agent.as_str())
        .bind(enrolment.created_at.0);
    tx.run(void).await?;
    let sql = crate::sql("INSERT INTO enrolments (code_hash, agent, created_at, expires_at) VALUES ($1, $2, $3, $4)")
        .bind(enrolment.code_hash.to_vec())
        .bind(enrolment.agent.as_str())
        .bind(enrolment.created_at.0)
        .bind(enrolment.expires_at.0);
    tx.run(sql).await.map(drop)
}

/// Uses a code: returns whose it is if it was unused and not expired at `now`, and nobody can use it again.
pub async fn redeem(tx: &mut Tx, code_hash: &Hash, now: Timestamp) -> Result<Option<AgentId>, StoreError> {
    let sql = crate::sql(
        "UPDATE enrolments SET used_at = $2 WHERE code_hash = $1 AND used_at IS NULL AND expires_at > $2 \
         RETURNING agent",
    )
    .bind(code_hash.to_vec())
    .bind(now.0);
    Reader::from(tx).one(sql, |row| row.id("agent")).await
}

/// The code with this hash, used or not.
pub async fn get(from: impl Into<Reader<'_>>, code_hash: &Hash) -> Result<Option<Enrolment>, StoreError> {
    let sql = crate::sql("SELECT * FROM enrolments WHERE code_hash = $1").bind(code_hash.to_vec());
    from.into().one(sql, read).await
}

fn read(row: &Row) -> Result<Enrolment, StoreError> {
    Ok(Enrolment {
        code_hash: row.hash("code_hash")?,
        agent: row.id("agent")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        used_at: row.time_or_none("used_at")?,
    })
}
