//! Upstream servers, as policies see them.

use chancery_model::Server;

use crate::row::{Columns, Row};
use crate::{Reader, StoreError, Tx};

/// Adds one; one that is known already stays as it is.
pub async fn insert(tx: &mut Tx, server: &Server) -> Result<(), StoreError> {
    let sql = crate::sql("INSERT INTO servers (name, first_seen) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
        .bind(&server.name)
        .bind(server.first_seen.0);
    tx.run(sql).await.map(drop)
}

/// All of them, by name.
pub async fn all(from: impl Into<Reader<'_>>) -> Result<Vec<Server>, StoreError> {
    from.into().all(crate::sql("SELECT * FROM servers ORDER BY name"), read).await
}

fn read(row: &Row) -> Result<Server, StoreError> {
    Ok(Server { name: row.text("name")?, first_seen: row.time("first_seen")? })
}
