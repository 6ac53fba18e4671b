//! This server's own private keys, sealed by their owner before they come here.

use chancery_model::Timestamp;

use crate::row::{Columns, Row};
use crate::{Reader, StoreError, Tx};

/// A sealed private key.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedKey {
    /// Its name, for instance the RFC 7638 thumbprint of its public half.
    pub id: String,
    /// What it signs: `token`, `log` …
    pub purpose: String,
    /// Its public half, in the form its user likes (JWK, verifier key).
    pub public: String,
    /// Its private half, sealed.
    pub sealed: Vec<u8>,
    /// Which key-encrypting key sealed it.
    pub kek_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since then it signs no more; its public half still verifies.
    pub retired_at: Option<Timestamp>,
}

impl std::fmt::Debug for SealedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedKey").field("id", &self.id).field("purpose", &self.purpose).finish_non_exhaustive()
    }
}

/// Adds a key.
pub async fn insert(tx: &mut Tx, key: &SealedKey) -> Result<(), StoreError> {
    let sql = crate::sql(
        "INSERT INTO keys (id, purpose, public, sealed, kek_version, created_at, retired_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&key.id)
    .bind(&key.purpose)
    .bind(&key.public)
    .bind(&key.sealed)
    .bind(key.kek_version)
    .bind(key.created_at.0)
    .bind(key.retired_at.map(|t| t.0));
    tx.run(sql).await.map(drop)
}

/// Ends a key's signing; one that is retired already can be so from earlier on, and never from later.
pub async fn retire(tx: &mut Tx, id: &str, at: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE keys SET retired_at = $2 WHERE id = $1 AND (retired_at IS NULL OR retired_at > $2)";
    let sql = crate::sql(sql).bind(id).bind(at.0);
    changed_one(tx.run(sql).await?, id)
}

/// Replaces the sealed form, after the key-encrypting key was rotated.
pub async fn reseal(tx: &mut Tx, id: &str, sealed: Vec<u8>, kek_version: i64) -> Result<(), StoreError> {
    let sql = crate::sql("UPDATE keys SET sealed = $2, kek_version = $3 WHERE id = $1")
        .bind(id)
        .bind(sealed)
        .bind(kek_version);
    changed_one(tx.run(sql).await?, id)
}

/// The keys for one purpose, newest first, retired ones included.
pub async fn of_purpose(from: impl Into<Reader<'_>>, purpose: &str) -> Result<Vec<SealedKey>, StoreError> {
    let sql = crate::sql("SELECT * FROM keys WHERE purpose = $1 ORDER BY created_at DESC, id").bind(purpose);
    from.into().all(sql, read).await
}

/// Is anything sealed yet: a key, a secret or a connection?
pub async fn any_sealed(from: impl Into<Reader<'_>>) -> Result<bool, StoreError> {
    let sql = crate::sql(
        "SELECT EXISTS (SELECT 1 FROM keys) OR EXISTS (SELECT 1 FROM secrets) \
         OR EXISTS (SELECT 1 FROM connections) AS sealed",
    );
    Ok(from.into().one(sql, |row| row.int("sealed")).await?.is_some_and(|sealed| sealed != 0))
}

fn changed_one(rows: u64, id: &str) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::Missing { noun: "key", id: id.to_owned() }) } else { Ok(()) }
}

fn read(row: &Row) -> Result<SealedKey, StoreError> {
    Ok(SealedKey {
        id: row.text("id")?,
        purpose: row.text("purpose")?,
        public: row.text("public")?,
        sealed: row.blob("sealed")?,
        kek_version: row.int("kek_version")?,
        created_at: row.time("created_at")?,
        retired_at: row.time_or_none("retired_at")?,
    })
}
