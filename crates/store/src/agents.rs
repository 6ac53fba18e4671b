//! Registered identities.

use std::sync::Arc;

use chancery_model::{Agent, AgentId, Changed};

use crate::row::{Columns, Row, int, word};
use crate::sql::Engine;
use crate::{Reader, StoreError, Tx};

const INSERT: &str = "INSERT INTO agents (id, name, kind, sponsor, owner, purpose, blueprint, state, epoch, bearer, \
     key_thumbprint, public_jwk, created_at, expires_at, manifest) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";

const UPDATE: &str = "UPDATE agents SET sponsor = $2, owner = $3, purpose = $4, blueprint = $5, state = $6, \
     epoch = $7, bearer = $8, key_thumbprint = $9, public_jwk = $10, expires_at = $11, manifest = $12 WHERE id = $1";

/// The highest number behind `prefix-` in any name, however many noughts it is written with.
const NUMBERED: &str = "SELECT MAX(CAST(SUBSTR(name, $3) AS BIGINT)) AS last FROM agents WHERE name >= $1 AND name < $2 \
     AND LENGTH(name) >= $3 AND SUBSTR(name, $3) NOT GLOB '*[^0-9]*'";

/// The same on PostgreSQL, where a number that is too large is an error.
const NUMBERED_POSTGRES: &str = "SELECT CAST(MAX(LEAST(CAST(SUBSTR(name, CAST($3 AS INT)) AS NUMERIC), \
     9223372036854775807)) AS BIGINT) AS last FROM agents WHERE name >= $1 AND name < $2 \
     AND SUBSTR(name, CAST($3 AS INT)) ~ '^[0-9]+$'";

/// Adds a new one. Its id and name must be new, else [`StoreError::Conflict`].
pub async fn insert(tx: &mut Tx, agent: &Agent) -> Result<(), StoreError> {
    let sql = crate::sql(INSERT)
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
        .bind(agent.expires_at.0)
        .bind(agent.manifest.map(String::from));
    tx.run(sql).await?;
    tx.note(Changed::Agent(Arc::new(agent.clone())));
    Ok(())
}

/// Replaces all but id, name, kind and creation time, which never change.
pub async fn update(tx: &mut Tx, agent: &Agent) -> Result<(), StoreError> {
    let sql = crate::sql(UPDATE)
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
        .bind(agent.expires_at.0)
        .bind(agent.manifest.map(String::from));
    if tx.run(sql).await? == 0 {
        return Err(StoreError::Missing { noun: "agent", id: agent.name.clone() });
    }
    tx.note(Changed::Agent(Arc::new(agent.clone())));
    Ok(())
}

/// The one with this id.
pub async fn get(from: impl Into<Reader<'_>>, id: &AgentId) -> Result<Option<Agent>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM agents WHERE id = $1").bind(id.as_str()), read).await
}

/// The one with this name.
pub async fn by_name(from: impl Into<Reader<'_>>, name: &str) -> Result<Option<Agent>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM agents WHERE name = $1").bind(name), read).await
}

/// Is the name taken?
pub async fn is_taken(from: impl Into<Reader<'_>>, name: &str) -> Result<bool, StoreError> {
    let sql = crate::sql("SELECT 1 AS taken FROM agents WHERE name = $1").bind(name);
    Ok(from.into().one(sql, |row| row.int("taken")).await?.is_some())
}

/// The highest number that any name has behind this prefix and a `-`; 0 if none has one.
pub async fn last_number(from: impl Into<Reader<'_>>, prefix: &str) -> Result<u64, StoreError> {
    let from = from.into();
    let text = match from.engine() {
        Engine::Sqlite => NUMBERED,
        Engine::Postgres => NUMBERED_POSTGRES,
    };
    // `.` is the character after `-`.
    let sql = crate::sql(text)
        .bind(format!("{prefix}-"))
        .bind(format!("{prefix}."))
        .bind(i64::try_from(prefix.len() + 2).unwrap_or(i64::MAX));
    let last = from.one(sql, |row| row.int_or_none("last")).await?.flatten();
    Ok(last.and_then(|last| u64::try_from(last).ok()).unwrap_or(0))
}

/// All of them, by name.
pub async fn all(from: impl Into<Reader<'_>>) -> Result<Vec<Agent>, StoreError> {
    from.into().all(crate::sql("SELECT * FROM agents ORDER BY name"), read).await
}

/// All of them, one by one.
pub async fn each(from: impl Into<Reader<'_>>, take: impl FnMut(Agent)) -> Result<(), StoreError> {
    from.into().each(crate::sql("SELECT * FROM agents ORDER BY name"), read, take).await
}

fn read(row: &Row) -> Result<Agent, StoreError> {
    Ok(Agent {
        id: row.id("id")?,
        name: row.text("name")?,
        kind: row.word("kind")?,
        sponsor: row.text("sponsor")?,
        owner: row.text("owner")?,
        purpose: row.text("purpose")?,
        blueprint: row.text_or_none("blueprint")?,
        manifest: row.id_or_none("manifest")?,
        state: row.word("state")?,
        epoch: row.count("epoch")?,
        bearer: row.word("bearer")?,
        key_thumbprint: row.text_or_none("key_thumbprint")?,
        public_jwk: row.text_or_none("public_jwk")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
    })
}
