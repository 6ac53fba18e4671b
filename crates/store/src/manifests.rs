//! What agents and blueprints are made of: what was approved, and what was stated last.

use chancery_model::{Digest, Manifest, Seen};

use crate::row::{Columns, Row, damaged};
use crate::{Reader, StoreError, Tx};

const STATE: &str = "INSERT INTO manifests (holder, seen_digest, seen, seen_by, seen_at) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (holder) DO UPDATE SET seen_digest = excluded.seen_digest, seen = excluded.seen, \
     seen_by = excluded.seen_by, seen_at = excluded.seen_at";

const APPROVE: &str = "INSERT INTO manifests (holder, approved) VALUES ($1, $2) ON CONFLICT (holder) DO UPDATE SET \
     approved = excluded.approved, seen_digest = NULL, seen = NULL, seen_by = NULL, seen_at = NULL";

/// What is known of the manifest of one agent or blueprint, beside the digest of the approved one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The approved one, where somebody stated all of it.
    pub approved: Option<Manifest>,
    /// The last that was stated and is not the approved one.
    pub seen: Option<Seen>,
}

/// The digest of a manifest.
pub fn digest(manifest: &Manifest) -> Digest {
    manifest.digest(chancery_tlog::sha256)
}

/// Keeps what was stated last. `holder` is the id of the agent or blueprint whose approved manifest it is not.
pub async fn state(tx: &mut Tx, holder: &str, seen: &Seen) -> Result<(), StoreError> {
    let sql = crate::sql(STATE)
        .bind(holder)
        .bind(seen.digest.to_string())
        .bind(seen.manifest.as_ref().map(Manifest::canonical))
        .bind(&seen.by)
        .bind(seen.at.0);
    tx.run(sql).await.map(drop)
}

/// Keeps the approved one, all of it where that is known. What was stated is settled by this.
pub async fn approve(tx: &mut Tx, holder: &str, manifest: Option<&Manifest>) -> Result<(), StoreError> {
    let sql = crate::sql(APPROVE).bind(holder).bind(manifest.map(Manifest::canonical));
    tx.run(sql).await.map(drop)
}

/// What is known of this agent or blueprint.
pub async fn get(from: impl Into<Reader<'_>>, holder: &str) -> Result<Known, StoreError> {
    let sql = crate::sql("SELECT * FROM manifests WHERE holder = $1").bind(holder);
    Ok(from.into().one(sql, read).await?.unwrap_or_default())
}

fn read(row: &Row) -> Result<Known, StoreError> {
    let seen = match row.id_or_none("seen_digest")? {
        Some(digest) => {
            Some(Seen { digest, manifest: manifest(row, "seen")?, by: row.text("seen_by")?, at: row.time("seen_at")? })
        }
        None => None,
    };
    Ok(Known { approved: manifest(row, "approved")?, seen })
}

fn manifest(row: &Row, column: &str) -> Result<Option<Manifest>, StoreError> {
    let text = row.text_or_none(column)?;
    text.map(|text| Manifest::parse(&text).map_err(|e| damaged(column, &e.to_string()))).transpose()
}
