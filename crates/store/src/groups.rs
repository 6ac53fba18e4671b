//! Groups of people.

use std::sync::Arc;

use chancery_model::{Changed, Group, PersonId};

use crate::row::{Columns, Row};
use crate::{Reader, StoreError, Tx};

/// Adds a new one with its members. Its id and name must be new, else [`StoreError::Conflict`].
pub async fn insert(tx: &mut Tx, group: &Group) -> Result<(), StoreError> {
    let sql = crate::sql("INSERT INTO groups (id, name, created_at) VALUES ($1, $2, $3)")
        .bind(group.id.as_str())
        .bind(&group.name)
        .bind(group.created_at.0);
    tx.run(sql).await?;
    fill(tx, group).await
}

/// Replaces its members; the rest never changes.
pub async fn update(tx: &mut Tx, group: &Group) -> Result<(), StoreError> {
    tx.run(crate::sql("DELETE FROM group_members WHERE group_id = $1").bind(group.id.as_str())).await?;
    fill(tx, group).await
}

async fn fill(tx: &mut Tx, group: &Group) -> Result<(), StoreError> {
    for person in &group.members {
        let sql = crate::sql("INSERT INTO group_members (group_id, person) VALUES ($1, $2)");
        tx.run(sql.bind(group.id.as_str()).bind(person.as_str())).await?;
    }
    tx.note(Changed::Group(Arc::new(group.clone())));
    Ok(())
}

/// The one with this name, with its members.
pub async fn by_name(tx: &mut Tx, name: &str) -> Result<Option<Group>, StoreError> {
    let sql = crate::sql("SELECT * FROM groups WHERE name = $1").bind(name);
    let Some(group) = Reader::from(&mut *tx).one(sql, read).await? else { return Ok(None) };
    let sql = crate::sql("SELECT * FROM group_members WHERE group_id = $1 ORDER BY person").bind(group.id.as_str());
    let members = Reader::from(tx).all(sql, member).await?;
    Ok(Some(Group { members: members.into_iter().map(|(_, person)| person).collect(), ..group }))
}

/// All of them with their members, by name.
pub async fn all(store: &crate::Store) -> Result<Vec<Group>, StoreError> {
    let mut groups = Reader::from(store).all(crate::sql("SELECT * FROM groups ORDER BY name"), read).await?;
    let sql = crate::sql("SELECT * FROM group_members ORDER BY group_id, person");
    for (group, person) in Reader::from(store).all(sql, member).await? {
        if let Some(group) = groups.iter_mut().find(|found| found.id.as_str() == group) {
            group.members.push(person);
        }
    }
    Ok(groups)
}

fn member(row: &Row) -> Result<(String, PersonId), StoreError> {
    Ok((row.text("group_id")?, row.id("person")?))
}

fn read(row: &Row) -> Result<Group, StoreError> {
    Ok(Group { id: row.id("id")?, name: row.text("name")?, members: Vec::new(), created_at: row.time("created_at")? })
}
