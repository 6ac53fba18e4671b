//! What many instances of one agent have in common.

use std::sync::Arc;

use chancery_model::{Blueprint, Changed, Span};

use crate::row::{Columns, Row, int, word};
use crate::{Reader, StoreError, Tx};

const INSERT: &str = "INSERT INTO blueprints \
     (id, name, sponsor, owner, purpose, lifetime, manifest, state, epoch, created_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

const UPDATE: &str = "UPDATE blueprints SET sponsor = $2, owner = $3, purpose = $4, lifetime = $5, manifest = $6, \
     state = $7, epoch = $8 WHERE id = $1";

/// Adds a new one. Its id and name must be new, else [`StoreError::Conflict`].
pub async fn insert(tx: &mut Tx, blueprint: &Blueprint) -> Result<(), StoreError> {
    let sql = crate::sql(INSERT)
        .bind(blueprint.id.as_str())
        .bind(&blueprint.name)
        .bind(&blueprint.sponsor)
        .bind(&blueprint.owner)
        .bind(&blueprint.purpose)
        .bind(blueprint.lifetime.0)
        .bind(blueprint.manifest.map(String::from))
        .bind(word(&blueprint.state)?)
        .bind(int(blueprint.epoch)?)
        .bind(blueprint.created_at.0);
    tx.run(sql).await?;
    tx.note(Changed::Blueprint(Arc::new(blueprint.clone())));
    Ok(())
}

/// Replaces all but id, name and creation time, which never change.
pub async fn update(tx: &mut Tx, blueprint: &Blueprint) -> Result<(), StoreError> {
    let sql = crate::sql(UPDATE)
        .bind(blueprint.id.as_str())
        .bind(&blueprint.sponsor)
        .bind(&blueprint.owner)
        .bind(&blueprint.purpose)
        .bind(blueprint.lifetime.0)
        .bind(blueprint.manifest.map(String::from))
        .bind(word(&blueprint.state)?)
        .bind(int(blueprint.epoch)?);
    if tx.run(sql).await? == 0 {
        return Err(StoreError::Missing { noun: "blueprint", id: blueprint.name.clone() });
    }
    tx.note(Changed::Blueprint(Arc::new(blueprint.clone())));
    Ok(())
}

/// The one with this name.
pub async fn by_name(from: impl Into<Reader<'_>>, name: &str) -> Result<Option<Blueprint>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM blueprints WHERE name = $1").bind(name), read).await
}

/// All of them, by name.
pub async fn all(from: impl Into<Reader<'_>>) -> Result<Vec<Blueprint>, StoreError> {
    from.into().all(crate::sql("SELECT * FROM blueprints ORDER BY name"), read).await
}

fn read(row: &Row) -> Result<Blueprint, StoreError> {
    Ok(Blueprint {
        id: row.id("id")?,
        name: row.text("name")?,
        sponsor: row.text("sponsor")?,
        owner: row.text("owner")?,
        purpose: row.text("purpose")?,
        lifetime: Span(row.int("lifetime")?),
        manifest: row.id_or_none("manifest")?,
        state: row.word("state")?,
        epoch: row.count("epoch")?,
        created_at: row.time("created_at")?,
    })
}
