//! Refresh tokens: one per session that lives, each good once.

use chancery_model::{Hash, SessionId, Timestamp};

use crate::row::{Columns, Row};
use crate::{Reader, StoreError, Tx};

/// What is kept of a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// SHA-256 of the token.
    pub hash: Hash,
    /// The session that it goes on with.
    pub session: SessionId,
    /// The `client_id` that may use it.
    pub client: String,
    /// What its use has to be proved with, as text.
    pub binding: String,
    /// The resource of the next token, if none is named.
    pub resource: String,
    /// From then on it is worth nothing: the session's end.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
}

/// Adds one, and forgets those whose session is long over.
pub async fn insert(tx: &mut Tx, token: &RefreshToken, now: Timestamp) -> Result<(), StoreError> {
    tx.run(crate::sql("DELETE FROM refresh_tokens WHERE expires_at < $1").bind(now.0)).await?;
    let sql = crate::sql(
        "INSERT INTO refresh_tokens (hash, session, client, binding, resource, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(token.hash.to_vec())
    .bind(token.session.as_str())
    .bind(&token.client)
    .bind(&token.binding)
    .bind(&token.resource)
    .bind(token.expires_at.0);
    tx.run(sql).await.map(drop)
}

/// The one with this hash, used or not.
pub async fn get(from: impl Into<Reader<'_>>, hash: &Hash) -> Result<Option<RefreshToken>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM refresh_tokens WHERE hash = $1").bind(hash.to_vec()), read).await
}

/// Uses one up; says whether it was unused.
pub async fn use_up(tx: &mut Tx, hash: &Hash, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "UPDATE refresh_tokens SET used_at = $2 WHERE hash = $1 AND used_at IS NULL";
    Ok(tx.run(crate::sql(sql).bind(hash.to_vec()).bind(now.0)).await? == 1)
}

fn read(row: &Row) -> Result<RefreshToken, StoreError> {
    Ok(RefreshToken {
        hash: row.hash("hash")?,
        session: row.id("session")?,
        client: row.text("client")?,
        binding: row.text("binding")?,
        resource: row.text("resource")?,
        expires_at: row.time("expires_at")?,
        used_at: row.time_or_none("used_at")?,
    })
}
