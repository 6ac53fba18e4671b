//! Whom platforms vouch for.

use std::sync::Arc;

use chancery_model::{AgentId, Changed, Timestamp, TrustSource};

use crate::row::{Columns, Row, json, word};
use crate::{Reader, StoreError, Tx};

/// Adds a new one. Its name must be new, else [`StoreError::Conflict`].
pub async fn insert(tx: &mut Tx, source: &TrustSource) -> Result<(), StoreError> {
    let sql = crate::sql(
        "INSERT INTO trust_sources (name, kind, issuer, jwks_uri, jwks, audience, subject, claims, agent, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(&source.name)
    .bind(word(&source.kind)?)
    .bind(&source.issuer)
    .bind(&source.jwks_uri)
    .bind(&source.jwks)
    .bind(&source.audience)
    .bind(&source.subject)
    .bind(json(&source.claims)?)
    .bind(source.agent.as_str())
    .bind(source.created_at.0);
    tx.run(sql).await?;
    tx.note(Changed::TrustSource(Arc::new(source.clone())));
    Ok(())
}

/// Removes it. Nobody is logged in by it any more.
pub async fn remove(tx: &mut Tx, source: &TrustSource, now: Timestamp) -> Result<(), StoreError> {
    let sql = crate::sql("DELETE FROM trust_sources WHERE name = $1").bind(&source.name);
    if tx.run(sql).await? == 0 {
        return Err(StoreError::Missing { noun: "trust source", id: source.name.clone() });
    }
    tx.note(Changed::TrustSource(Arc::new(TrustSource { removed_at: Some(now), ..source.clone() })));
    Ok(())
}

/// The one with this name.
pub async fn get(from: impl Into<Reader<'_>>, name: &str) -> Result<Option<TrustSource>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM trust_sources WHERE name = $1").bind(name), read).await
}

/// All of them, by name.
pub async fn all(from: impl Into<Reader<'_>>) -> Result<Vec<TrustSource>, StoreError> {
    from.into().all(crate::sql("SELECT * FROM trust_sources ORDER BY name"), read).await
}

/// Those that log this agent in, by name.
pub async fn of_agent(from: impl Into<Reader<'_>>, agent: &AgentId) -> Result<Vec<TrustSource>, StoreError> {
    let sql = crate::sql("SELECT * FROM trust_sources WHERE agent = $1 ORDER BY name").bind(agent.as_str());
    from.into().all(sql, read).await
}

fn read(row: &Row) -> Result<TrustSource, StoreError> {
    Ok(TrustSource {
        name: row.text("name")?,
        kind: row.word("kind")?,
        issuer: row.text("issuer")?,
        jwks_uri: row.text_or_none("jwks_uri")?,
        jwks: row.text_or_none("jwks")?,
        audience: row.text("audience")?,
        subject: row.text("subject")?,
        claims: row.json("claims")?,
        agent: row.id("agent")?,
        created_at: row.time("created_at")?,
        removed_at: None,
    })
}
