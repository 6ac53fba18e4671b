//! Which agent has used which tool, and when last. Derived from the log: what is lost here is new again.

use chancery_model::Timestamp;

use crate::row::{Columns, Row};
use crate::{Reader, Store, StoreError, Tx};

/// An agent and a tool it used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolUse {
    /// The agent's id.
    pub agent: String,
    /// The upstream server.
    pub server: String,
    /// The tool.
    pub tool: String,
    /// The first time that is known of.
    pub since: Timestamp,
    /// The last time, to the hour.
    pub used_at: Timestamp,
}

/// Writes down what was used.
pub async fn save(store: &Store, used: Vec<ToolUse>) -> Result<(), StoreError> {
    store.derive(move |tx| Box::pin(async move { put(tx, &used).await }), || ()).await
}

async fn put(tx: &mut Tx, used: &[ToolUse]) -> Result<(), StoreError> {
    for one in used {
        let sql = crate::sql(
            "INSERT INTO tool_uses (agent, server, tool, since, used_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (agent, server, tool) DO UPDATE SET used_at = excluded.used_at",
        );
        let sql = sql.bind(&one.agent).bind(&one.server).bind(&one.tool).bind(one.since.0).bind(one.used_at.0);
        tx.run(sql).await?;
    }
    Ok(())
}

/// All there are.
pub async fn each(from: impl Into<Reader<'_>>, take: impl FnMut(ToolUse)) -> Result<(), StoreError> {
    from.into().each(crate::sql("SELECT * FROM tool_uses ORDER BY agent, server, tool"), read, take).await
}

fn read(row: &Row) -> Result<ToolUse, StoreError> {
    Ok(ToolUse {
        agent: row.text("agent")?,
        server: row.text("server")?,
        tool: row.text("tool")?,
        since: row.time("since")?,
        used_at: row.time("used_at")?,
    })
}
