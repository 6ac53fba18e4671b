//! Tool definitions, pinned by digest.

use std::sync::Arc;

use chancery_model::{Changed, Tool};

use crate::row::{Columns, Row};
use crate::{Reader, StoreError, Tx, row};

const PUT: &str = "INSERT INTO tools (server, name, state, digest, definition, seen_digest, seen_definition, since) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
     ON CONFLICT (server, name) DO UPDATE SET state = excluded.state, digest = excluded.digest, \
     definition = excluded.definition, seen_digest = excluded.seen_digest, \
     seen_definition = excluded.seen_definition, since = excluded.since";

/// Adds a tool, or replaces what is known of it. Its server must be there.
pub async fn put(tx: &mut Tx, tool: &Tool) -> Result<(), StoreError> {
    let (seen_digest, seen_definition) = tool.seen.as_ref().map(|(d, text)| (d.to_vec(), text)).unzip();
    let sql = crate::sql(PUT)
        .bind(&tool.server)
        .bind(&tool.name)
        .bind(row::word(&tool.state)?)
        .bind(tool.digest.to_vec())
        .bind(&tool.definition)
        .bind(seen_digest)
        .bind(seen_definition)
        .bind(tool.since.0);
    tx.run(sql).await?;
    tx.note(Changed::Tool(Arc::new(tool.clone())));
    Ok(())
}

/// One tool of one server.
pub async fn get(from: impl Into<Reader<'_>>, server: &str, name: &str) -> Result<Option<Tool>, StoreError> {
    let sql = crate::sql("SELECT * FROM tools WHERE server = $1 AND name = $2").bind(server).bind(name);
    from.into().one(sql, read).await
}

/// The tools of one server, by name.
pub async fn of_server(from: impl Into<Reader<'_>>, server: &str) -> Result<Vec<Tool>, StoreError> {
    let sql = crate::sql("SELECT * FROM tools WHERE server = $1 ORDER BY name").bind(server);
    from.into().all(sql, read).await
}

/// All tools, by server and name.
pub async fn all(from: impl Into<Reader<'_>>) -> Result<Vec<Tool>, StoreError> {
    from.into().all(crate::sql("SELECT * FROM tools ORDER BY server, name"), read).await
}

fn read(row: &Row) -> Result<Tool, StoreError> {
    let seen = match row.text_or_none("seen_definition")? {
        Some(definition) => Some((row.hash("seen_digest")?, definition)),
        None => None,
    };
    Ok(Tool {
        server: row.text("server")?,
        name: row.text("name")?,
        state: row.word("state")?,
        digest: row.hash("digest")?,
        definition: row.text("definition")?,
        seen,
        since: row.time("since")?,
    })
}
