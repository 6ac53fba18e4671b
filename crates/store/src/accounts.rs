//! What identity providers call people.

use std::sync::Arc;

use chancery_model::{Account, Changed, PersonId, Timestamp};

use crate::row::{Columns, Row};
use crate::{Reader, StoreError, Tx};

/// Adds one. It must be nobody's yet, else [`StoreError::Conflict`].
pub async fn insert(tx: &mut Tx, account: &Account) -> Result<(), StoreError> {
    let sql = crate::sql("INSERT INTO accounts (issuer, subject, person, created_at) VALUES ($1, $2, $3, $4)")
        .bind(&account.issuer)
        .bind(&account.subject)
        .bind(account.person.as_str())
        .bind(account.created_at.0);
    tx.run(sql).await?;
    tx.note(Changed::Account(Arc::new(account.clone())));
    Ok(())
}

/// Removes one. Nobody is known by it any more.
pub async fn remove(tx: &mut Tx, account: &Account, now: Timestamp) -> Result<(), StoreError> {
    let sql = crate::sql("DELETE FROM accounts WHERE issuer = $1 AND subject = $2");
    if tx.run(sql.bind(&account.issuer).bind(&account.subject)).await? == 0 {
        return Err(StoreError::Missing { noun: "account", id: account.subject.clone() });
    }
    tx.note(Changed::Account(Arc::new(Account { removed_at: Some(now), ..account.clone() })));
    Ok(())
}

/// The one that this provider calls so.
pub async fn get(from: impl Into<Reader<'_>>, issuer: &str, subject: &str) -> Result<Option<Account>, StoreError> {
    let sql = crate::sql("SELECT * FROM accounts WHERE issuer = $1 AND subject = $2").bind(issuer).bind(subject);
    from.into().one(sql, read).await
}

/// Those of one person.
pub async fn of_person(from: impl Into<Reader<'_>>, person: &PersonId) -> Result<Vec<Account>, StoreError> {
    let sql = crate::sql("SELECT * FROM accounts WHERE person = $1 ORDER BY issuer, subject").bind(person.as_str());
    from.into().all(sql, read).await
}

/// All of them.
pub async fn all(from: impl Into<Reader<'_>>) -> Result<Vec<Account>, StoreError> {
    from.into().all(crate::sql("SELECT * FROM accounts ORDER BY issuer, subject"), read).await
}

fn read(row: &Row) -> Result<Account, StoreError> {
    Ok(Account {
        issuer: row.text("issuer")?,
        subject: row.text("subject")?,
        person: row.id("person")?,
        created_at: row.time("created_at")?,
        removed_at: None,
    })
}
