//! Clients of the authorization endpoint.

use std::sync::Arc;

use chancery_model::{AgentId, Changed, Client, Timestamp};

use crate::row::{Columns, Row, json, word};
use crate::{Reader, StoreError, Tx};

/// Adds one, or replaces its redirect addresses. An id stays the agent's that had it first: the caller checks.
pub async fn put(tx: &mut Tx, client: &Client) -> Result<(), StoreError> {
    let sql = crate::sql(
        "INSERT INTO clients (id, agent, kind, redirect_uris, created_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (id) DO UPDATE SET redirect_uris = $4",
    )
    .bind(&client.id)
    .bind(client.agent.as_str())
    .bind(word(&client.kind)?)
    .bind(json(&client.redirect_uris)?)
    .bind(client.created_at.0);
    tx.run(sql).await?;
    tx.note(Changed::Client(Arc::new(client.clone())));
    Ok(())
}

/// Removes it. Nobody logs in through it any more.
pub async fn remove(tx: &mut Tx, client: &Client, now: Timestamp) -> Result<(), StoreError> {
    if tx.run(crate::sql("DELETE FROM clients WHERE id = $1").bind(&client.id)).await? == 0 {
        return Err(StoreError::Missing { noun: "client", id: client.id.clone() });
    }
    tx.note(Changed::Client(Arc::new(Client { removed_at: Some(now), ..client.clone() })));
    Ok(())
}

/// The one with this id.
pub async fn get(from: impl Into<Reader<'_>>, id: &str) -> Result<Option<Client>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM clients WHERE id = $1").bind(id), read).await
}

/// All of them, by id.
pub async fn all(from: impl Into<Reader<'_>>) -> Result<Vec<Client>, StoreError> {
    from.into().all(crate::sql("SELECT * FROM clients ORDER BY id"), read).await
}

/// Those of one agent, by id.
pub async fn of_agent(from: impl Into<Reader<'_>>, agent: &AgentId) -> Result<Vec<Client>, StoreError> {
    let sql = crate::sql("SELECT * FROM clients WHERE agent = $1 ORDER BY id").bind(agent.as_str());
    from.into().all(sql, read).await
}

fn read(row: &Row) -> Result<Client, StoreError> {
    Ok(Client {
        id: row.text("id")?,
        agent: row.id("agent")?,
        kind: row.word("kind")?,
        redirect_uris: row.json("redirect_uris")?,
        claimed_name: None,
        created_at: row.time("created_at")?,
        removed_at: None,
    })
}
