//! Connections to upstream servers, their tokens sealed by their owner before they come here.

use std::sync::Arc;

use chancery_model::{Changed, Timestamp};

use crate::row::{Columns, Row};
use crate::{Reader, StoreError, Tx};

/// A connection and its sealed tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedConnection {
    /// The server's name, or server and person.
    pub id: String,
    /// The upstream server.
    pub server: String,
    /// For whom it is; nobody if it is for all who may use the server.
    pub person: Option<String>,
    /// Whether it has tokens. Without them somebody has to authorize it again.
    pub open: bool,
    /// The authorization server.
    pub issuer: String,
    /// Our client there.
    pub client_id: String,
    /// What it may do, separated by spaces.
    pub scopes: String,
    /// Grows with each writing.
    pub version: i64,
    /// Client, tokens and the key they are bound to, sealed.
    pub sealed: Vec<u8>,
    /// Which key-encrypting key sealed it.
    pub kek_version: i64,
    /// When it was made.
    pub connected_at: Timestamp,
    /// When its access token ends, if that is known.
    pub expires_at: Option<Timestamp>,
}

impl std::fmt::Debug for SealedConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedConnection").field("id", &self.id).field("version", &self.version).finish_non_exhaustive()
    }
}

const PUT: &str = "INSERT INTO connections (id, server, person, open, issuer, client_id, scopes, version, sealed, \
     kek_version, connected_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
     ON CONFLICT (id) DO UPDATE SET open = excluded.open, issuer = excluded.issuer, client_id = excluded.client_id, \
     scopes = excluded.scopes, version = excluded.version, sealed = excluded.sealed, \
     kek_version = excluded.kek_version, connected_at = excluded.connected_at, expires_at = excluded.expires_at";

/// Adds a connection or replaces it. The old tokens are overwritten on the disk.
pub async fn put(tx: &mut Tx, connection: &SealedConnection) -> Result<(), StoreError> {
    let sql = crate::sql(PUT)
        .bind(&connection.id)
        .bind(&connection.server)
        .bind(&connection.person)
        .bind(i64::from(connection.open))
        .bind(&connection.issuer)
        .bind(&connection.client_id)
        .bind(&connection.scopes)
        .bind(connection.version)
        .bind(&connection.sealed)
        .bind(connection.kek_version)
        .bind(connection.connected_at.0)
        .bind(connection.expires_at.map(|at| at.0));
    tx.run(sql).await?;
    tx.erased();
    tx.note(Changed::Connection(Arc::new(connection.id.clone())));
    Ok(())
}

/// The one with this id.
pub async fn get(from: impl Into<Reader<'_>>, id: &str) -> Result<Option<SealedConnection>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM connections WHERE id = $1").bind(id), read).await
}

/// All of them, by server and person.
pub async fn all(from: impl Into<Reader<'_>>) -> Result<Vec<SealedConnection>, StoreError> {
    from.into().all(crate::sql("SELECT * FROM connections ORDER BY id"), read).await
}

fn read(row: &Row) -> Result<SealedConnection, StoreError> {
    Ok(SealedConnection {
        id: row.text("id")?,
        server: row.text("server")?,
        person: row.text_or_none("person")?,
        open: row.int("open")? != 0,
        issuer: row.text("issuer")?,
        client_id: row.text("client_id")?,
        scopes: row.text("scopes")?,
        version: row.int("version")?,
        sealed: row.blob("sealed")?,
        kek_version: row.int("kek_version")?,
        connected_at: row.time("connected_at")?,
        expires_at: row.time_or_none("expires_at")?,
    })
}
