//! Upstream credentials, sealed by their owner before they come here.

use chancery_model::Timestamp;

use crate::row::{Columns, Row};
use crate::{Reader, StoreError, Tx};

/// A sealed credential.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// Its name in the configuration of servers.
    pub name: String,
    /// Grows with each new value.
    pub version: i64,
    /// The value, sealed.
    pub sealed: Vec<u8>,
    /// Which key-encrypting key sealed it.
    pub kek_version: i64,
    /// When this value was set.
    pub updated_at: Timestamp,
}

impl std::fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedSecret").field("name", &self.name).field("version", &self.version).finish_non_exhaustive()
    }
}

const PUT: &str = "INSERT INTO secrets (name, version, sealed, kek_version, updated_at) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (name) DO UPDATE SET version = excluded.version, sealed = excluded.sealed, \
     kek_version = excluded.kek_version, updated_at = excluded.updated_at";

/// Adds a credential or replaces its value. The old sealed value is overwritten on the disk.
pub async fn put(tx: &mut Tx, secret: &SealedSecret) -> Result<(), StoreError> {
    let sql = crate::sql(PUT)
        .bind(&secret.name)
        .bind(secret.version)
        .bind(&secret.sealed)
        .bind(secret.kek_version)
        .bind(secret.updated_at.0);
    tx.run(sql).await?;
    tx.erased();
    Ok(())
}

/// Removes a credential: false if there was none.
pub async fn remove(tx: &mut Tx, name: &str) -> Result<bool, StoreError> {
    let removed = tx.run(crate::sql("DELETE FROM secrets WHERE name = $1").bind(name)).await?;
    tx.erased();
    Ok(removed > 0)
}

/// The one with this name.
pub async fn get(from: impl Into<Reader<'_>>, name: &str) -> Result<Option<SealedSecret>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM secrets WHERE name = $1").bind(name), read).await
}

/// All of them, by name.
pub async fn all(from: impl Into<Reader<'_>>) -> Result<Vec<SealedSecret>, StoreError> {
    from.into().all(crate::sql("SELECT * FROM secrets ORDER BY name"), read).await
}

fn read(row: &Row) -> Result<SealedSecret, StoreError> {
    Ok(SealedSecret {
        name: row.text("name")?,
        version: row.int("version")?,
        sealed: row.blob("sealed")?,
        kek_version: row.int("kek_version")?,
        updated_at: row.time("updated_at")?,
    })
}
