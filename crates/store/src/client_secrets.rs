//! Secrets with which agents that cannot hold a key authenticate. Only hashes are kept.

use std::sync::Arc;

use chancery_model::{AgentId, Changed, ClientSecret, Timestamp};

use crate::row::{Columns, Row};
use crate::{Reader, StoreError, Tx};

/// Adds one. The agent's others stay, so that they can be exchanged with overlap.
pub async fn insert(tx: &mut Tx, secret: &ClientSecret) -> Result<(), StoreError> {
    let sql = crate::sql("INSERT INTO client_secrets (hash, agent, created_at, expires_at) VALUES ($1, $2, $3, $4)")
        .bind(secret.hash.to_vec())
        .bind(secret.agent.as_str())
        .bind(secret.created_at.0)
        .bind(secret.expires_at.0);
    tx.run(sql).await?;
    tx.note(Changed::ClientSecret(Arc::new(secret.clone())));
    Ok(())
}

/// Revokes all of an agent; says how many.
pub async fn revoke_all(tx: &mut Tx, agent: &AgentId, now: Timestamp) -> Result<usize, StoreError> {
    let live = of_agent(&mut *tx, agent).await?.into_iter().filter(|secret| secret.revoked_at.is_none());
    let revoked: Vec<ClientSecret> = live.map(|secret| ClientSecret { revoked_at: Some(now), ..secret }).collect();
    for secret in &revoked {
        let sql = crate::sql("UPDATE client_secrets SET revoked_at = $2 WHERE hash = $1");
        tx.run(sql.bind(secret.hash.to_vec()).bind(now.0)).await?;
        tx.note(Changed::ClientSecret(Arc::new(secret.clone())));
    }
    Ok(revoked.len())
}

/// Those of one agent, newest first.
pub async fn of_agent(from: impl Into<Reader<'_>>, agent: &AgentId) -> Result<Vec<ClientSecret>, StoreError> {
    let sql = crate::sql("SELECT * FROM client_secrets WHERE agent = $1 ORDER BY created_at DESC, hash");
    from.into().all(sql.bind(agent.as_str()), read).await
}

/// Those that may be used at this moment or later.
pub async fn live(from: impl Into<Reader<'_>>, now: Timestamp) -> Result<Vec<ClientSecret>, StoreError> {
    let sql = crate::sql("SELECT * FROM client_secrets WHERE revoked_at IS NULL AND expires_at > $1").bind(now.0);
    from.into().all(sql, read).await
}

fn read(row: &Row) -> Result<ClientSecret, StoreError> {
    Ok(ClientSecret {
        hash: row.hash("hash")?,
        agent: row.id("agent")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        revoked_at: row.time_or_none("revoked_at")?,
    })
}
