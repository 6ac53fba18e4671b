//! How people sign in: one-time links, and logins. Only hashes of both are kept.

use chancery_model::{Hash, Login, LoginId, PersonId, Timestamp};

use crate::row::{Columns, Row, int};
use crate::{Reader, StoreError, Tx};

/// A link that was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// SHA-256 of its code.
    pub hash: Hash,
    /// For whom.
    pub person: PersonId,
    /// When it was made.
    pub created_at: Timestamp,
    /// From then on it is worth nothing.
    pub expires_at: Timestamp,
    /// When it was used, or replaced by a newer one.
    pub used_at: Option<Timestamp>,
}

/// What is kept of a link's code: its SHA-256.
pub fn code_hash(code: &str) -> Hash {
    chancery_tlog::sha256(code.as_bytes())
}

/// Adds a link. Those of the same person that were not used are used up by this.
pub async fn insert_link(tx: &mut Tx, link: &Link) -> Result<(), StoreError> {
    void_links(tx, &link.person, link.created_at).await?;
    let sql = crate::sql("INSERT INTO sign_in_links (hash, person, created_at, expires_at) VALUES ($1, $2, $3, $4)")
        .bind(link.hash.to_vec())
        .bind(link.person.as_str())
        .bind(link.created_at.0)
        .bind(link.expires_at.0);
    tx.run(sql).await.map(drop)
}

/// Uses up the links of a person that were not used.
pub async fn void_links(tx: &mut Tx, person: &PersonId, now: Timestamp) -> Result<(), StoreError> {
    let sql = crate::sql("UPDATE sign_in_links SET used_at = $2 WHERE person = $1 AND used_at IS NULL");
    tx.run(sql.bind(person.as_str()).bind(now.0)).await.map(drop)
}

/// Whose link this is, if it can be used now. It is not used up by looking.
pub async fn link(from: impl Into<Reader<'_>>, hash: &Hash, now: Timestamp) -> Result<Option<PersonId>, StoreError> {
    let sql = "SELECT person FROM sign_in_links WHERE hash = $1 AND used_at IS NULL AND expires_at > $2";
    from.into().one(crate::sql(sql).bind(hash.to_vec()).bind(now.0), |row| row.id("person")).await
}

/// Uses a link: returns whose it is if it could be used, and nobody can use it again.
pub async fn redeem_link(tx: &mut Tx, hash: &Hash, now: Timestamp) -> Result<Option<PersonId>, StoreError> {
    let sql = crate::sql(
        "UPDATE sign_in_links SET used_at = $2 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2 \
         RETURNING person",
    );
    Reader::from(tx).one(sql.bind(hash.to_vec()).bind(now.0), |row| row.id("person")).await
}

/// Adds a login.
pub async fn insert(tx: &mut Tx, login: &Login) -> Result<(), StoreError> {
    let sql = crate::sql(
        "INSERT INTO logins (id, hash, person, epoch, created_at, used_at, ended_at, proved_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(login.id.as_str())
    .bind(login.hash.to_vec())
    .bind(login.person.as_str())
    .bind(int(login.epoch)?)
    .bind(login.created_at.0)
    .bind(login.used_at.0)
    .bind(login.ended_at.map(|at| at.0))
    .bind(login.proved_at.map(|at| at.0));
    tx.run(sql).await.map(drop)
}

/// Notes a use. One that was ended in between stays ended.
pub async fn touch(tx: &mut Tx, id: &LoginId, now: Timestamp) -> Result<(), StoreError> {
    let sql = crate::sql("UPDATE logins SET used_at = $2 WHERE id = $1 AND ended_at IS NULL AND used_at < $2");
    tx.run(sql.bind(id.as_str()).bind(now.0)).await.map(drop)
}

/// Notes that a passkey was shown in a login, which from now on is known by another hash; says whether it was not over.
pub async fn prove(tx: &mut Tx, before: &Hash, after: &Hash, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "UPDATE logins SET hash = $2, proved_at = $3, used_at = $3 WHERE hash = $1 AND ended_at IS NULL";
    let sql = crate::sql(sql).bind(before.to_vec()).bind(after.to_vec()).bind(now.0);
    Ok(tx.run(sql).await? > 0)
}

/// Ends every login of a person but this one.
pub async fn end_others(tx: &mut Tx, person: &PersonId, but: &LoginId, now: Timestamp) -> Result<(), StoreError> {
    let sql = crate::sql("UPDATE logins SET ended_at = $3 WHERE person = $1 AND id <> $2 AND ended_at IS NULL");
    tx.run(sql.bind(person.as_str()).bind(but.as_str()).bind(now.0)).await.map(drop)
}

/// Ends every login of a person.
pub async fn end_all(tx: &mut Tx, person: &PersonId, now: Timestamp) -> Result<(), StoreError> {
    let sql = crate::sql("UPDATE logins SET ended_at = $2 WHERE person = $1 AND ended_at IS NULL");
    tx.run(sql.bind(person.as_str()).bind(now.0)).await.map(drop)
}

/// Ends the login with this hash, if it is not over.
pub async fn end(tx: &mut Tx, hash: &Hash, now: Timestamp) -> Result<(), StoreError> {
    let sql = crate::sql("UPDATE logins SET ended_at = $2 WHERE hash = $1 AND ended_at IS NULL");
    tx.run(sql.bind(hash.to_vec()).bind(now.0)).await.map(drop)
}

/// The one with this hash, over or not.
pub async fn get(from: impl Into<Reader<'_>>, hash: &Hash) -> Result<Option<Login>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM logins WHERE hash = $1").bind(hash.to_vec()), read).await
}

fn read(row: &Row) -> Result<Login, StoreError> {
    Ok(Login {
        id: row.id("id")?,
        hash: row.hash("hash")?,
        person: row.id("person")?,
        epoch: row.count("epoch")?,
        created_at: row.time("created_at")?,
        used_at: row.time("used_at")?,
        proved_at: row.time_or_none("proved_at")?,
        ended_at: row.time_or_none("ended_at")?,
    })
}
