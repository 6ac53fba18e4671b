//! Registered identities.

use std::sync::Arc;

use chancery_model::{Agent, AgentId, Changed};
use sqlx::sqlite::SqliteRow;

use crate::row::{Columns, int, word};
use crate::{Reader, StoreError, Tx};

const INSERT: &str = "INSERT INTO agents (id, name, kind, sponsor, owner, purpose, blueprint, state, epoch, bearer, \
     key_thumbprint, public_jwk, created_at, expires_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";

const UPDATE: &str = "UPDATE agents SET sponsor = $2, owner = $3, purpose = $4, blueprint = $5, state = $6, \
     epoch = $7, bearer = $8, key_thumbprint = $9, public_jwk = $10, expires_at = $11 WHERE id = $1";

/// Adds a new one. Its id and name must be new, else [`StoreError::Conflict`].
pub async fn insert(tx: &mut Tx, agent: &Agent) -> Result<(), StoreError> {
    let sql = sqlx::query(INSERT)
        .bind(agent.id.as_str())
        .bind(&agent.name)
        .bind(word(&agent.kind)?)
        .bind(&agent.sponsor)
        .bind(&agent.owner)
        .bind(&agent.purpose)
        .bind(&agent.blueprint)
        .bind(word(&agent.state)?)
        .bind(int(agent.epoch)?)
        .bind(word(&agent.bearer)?)
        .bind(&agent.key_thumbprint)
        .bind(&agent.public_jwk)
        .bind(agent.created_at.0)
        .bind(agent.expires_at.0);
    tx.run(sql).await?;
    tx.note(Changed::Agent(Arc::new(agent.clone())));
    Ok(())
}

/// Replaces all but id, name, kind and creation time, which never change.
pub async fn update(tx: &mut Tx, agent: &Agent) -> Result<(), StoreError> {
    let sql = sqlx::query(UPDATE)
        .bind(agent.id.as_str())
        .bind(&agent.sponsor)
        .bind(&agent.owner)
        .bind(&agent.purpose)
        .bind(&agent.blueprint)
        .bind(word(&agent.state)?)
        .bind(int(agent.epoch)?)
        .bind(word(&agent.bearer)?)
        .bind(&agent.key_thumbprint)
        .bind(&agent.public_jwk)
        .bind(agent.expires_at.0);
    if tx.run(sql).await? == 0 {
        return Err(StoreError::Missing { noun: "agent", id: agent.name.clone() });
    }
    tx.note(Changed::Agent(Arc::new(agent.clone())));
    Ok(())
}

/// The one with this id.
pub async fn get(from: impl Into<Reader<'_>>, id: &AgentId) -> Result<Option<Agent>, StoreError> {
    from.into().one(sqlx::query("SELECT * FROM agents WHERE id = $1").bind(id.as_str()), read).await
}

/// The one with this name.
pub async fn by_name(from: impl Into<Reader<'_>>, name: &str) -> Result<Option<Agent>, StoreError> {
    from.into().one(sqlx::query("SELECT * FROM agents WHERE name = $1").bind(name), read).await
}

/// All of them, by name.
pub async fn all(from: impl Into<Reader<'_>>) -> Result<Vec<Agent>, StoreError> {
    from.into().all(sqlx::query("SELECT * FROM agents ORDER BY name"), read).await
}

/// All of them, one by one.
pub async fn each(from: impl Into<Reader<'_>>, take: impl FnMut(Agent)) -> Result<(), StoreError> {
    from.into().each(sqlx::query("SELECT * FROM agents ORDER BY name"), read, take).await
}

fn read(row: &SqliteRow) -> Result<Agent, StoreError> {
    Ok(Agent {
        id: row.id("id")?,
        name: row.text("name")?,
        kind: row.word("kind")?,
        sponsor: row.text("sponsor")?,
        owner: row.text("owner")?,
        purpose: row.text("purpose")?,
        blueprint: row.text_or_none("blueprint")?,
        state: row.word("state")?,
        epoch: row.count("epoch")?,
        bearer: row.word("bearer")?,
        key_thumbprint: row.text_or_none("key_thumbprint")?,
        public_jwk: row.text_or_none("public_jwk")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
    })
}
