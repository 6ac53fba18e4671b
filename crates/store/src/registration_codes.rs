//! One-time codes with which a client registers itself (RFC 7591, section 3). Only hashes of codes are kept.

use chancery_model::{AgentId, Hash, Timestamp};

use crate::row::Columns;
use crate::{Reader, StoreError, Tx};

/// A code that was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationCode {
    /// SHA-256 of the code.
    pub hash: Hash,
    /// Whose client it makes.
    pub agent: AgentId,
    /// From then on it is worth nothing.
    pub expires_at: Timestamp,
}

/// Adds a code. Codes of the same agent that were not used are used up by this.
pub async fn insert(tx: &mut Tx, code: &RegistrationCode, now: Timestamp) -> Result<(), StoreError> {
    let void = crate::sql("UPDATE registration_codes SET used_at = $2 WHERE agent = $1 AND used_at IS NULL")
        .bind(code.agent.as_str())
        .bind(now.0);
    tx.run(void).await?;
    let sql = crate::sql("INSERT INTO registration_codes (hash, agent, expires_at) VALUES ($1, $2, $3)")
        .bind(code.hash.to_vec())
        .bind(code.agent.as_str())
        .bind(code.expires_at.0);
    tx.run(sql).await.map(drop)
}

/// Whose client a code makes, if it can be used now. It is not used up by looking.
pub async fn agent_of(from: impl Into<Reader<'_>>, hash: &Hash, now: Timestamp) -> Result<Option<AgentId>, StoreError> {
    let sql = "SELECT agent FROM registration_codes WHERE hash = $1 AND used_at IS NULL AND expires_at > $2";
    from.into().one(crate::sql(sql).bind(hash.to_vec()).bind(now.0), |row| row.id("agent")).await
}

/// Uses a code up; says whether it could be used.
pub async fn redeem(tx: &mut Tx, hash: &Hash, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "UPDATE registration_codes SET used_at = $2 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2";
    Ok(tx.run(crate::sql(sql).bind(hash.to_vec()).bind(now.0)).await? == 1)
}
