//! People in whose names agents act.

use std::sync::Arc;

use chancery_model::{Changed, Person, PersonId};

use crate::row::{Columns, Row, int, json, word};
use crate::{Reader, StoreError, Tx};

/// Adds a new one. Its id and name must be new, else [`StoreError::Conflict`].
pub async fn insert(tx: &mut Tx, person: &Person) -> Result<(), StoreError> {
    let sql = crate::sql(
        "INSERT INTO persons (id, name, display, state, epoch, created_at, roles) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(person.id.as_str())
    .bind(&person.name)
    .bind(&person.display)
    .bind(word(&person.state)?)
    .bind(int(person.epoch)?)
    .bind(person.created_at.0)
    .bind(json(&person.roles)?);
    tx.run(sql).await?;
    tx.note(Changed::Person(Arc::new(person.clone())));
    Ok(())
}

/// Replaces all but id, name and creation time, which never change.
pub async fn update(tx: &mut Tx, person: &Person) -> Result<(), StoreError> {
    let sql = crate::sql("UPDATE persons SET display = $2, state = $3, epoch = $4, roles = $5 WHERE id = $1")
        .bind(person.id.as_str())
        .bind(&person.display)
        .bind(word(&person.state)?)
        .bind(int(person.epoch)?)
        .bind(json(&person.roles)?);
    if tx.run(sql).await? == 0 {
        return Err(StoreError::Missing { noun: "person", id: person.name.clone() });
    }
    tx.note(Changed::Person(Arc::new(person.clone())));
    Ok(())
}

/// The one with this id.
pub async fn get(from: impl Into<Reader<'_>>, id: &PersonId) -> Result<Option<Person>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM persons WHERE id = $1").bind(id.as_str()), read).await
}

/// The one with this name.
pub async fn by_name(from: impl Into<Reader<'_>>, name: &str) -> Result<Option<Person>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM persons WHERE name = $1").bind(name), read).await
}

/// All of them, by name.
pub async fn all(from: impl Into<Reader<'_>>) -> Result<Vec<Person>, StoreError> {
    from.into().all(crate::sql("SELECT * FROM persons ORDER BY name"), read).await
}

fn read(row: &Row) -> Result<Person, StoreError> {
    Ok(Person {
        id: row.id("id")?,
        name: row.text("name")?,
        display: row.text_or_none("display")?,
        state: row.word("state")?,
        roles: row.json("roles")?,
        epoch: row.count("epoch")?,
        created_at: row.time("created_at")?,
    })
}
