//! Passkeys of people, and which challenges were answered.

use chancery_model::{Hash, Passkey, PasskeyId, PersonId, Timestamp};

use crate::row::{Columns, Row, int};
use crate::{Reader, StoreError, Tx};

/// A passkey that was shown for something and verified, before that is noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Which.
    pub passkey: PasskeyId,
    /// What the authenticator calls it.
    pub credential: Vec<u8>,
    /// What the authenticator counts now; 0 where it does not count.
    pub count: u32,
    /// SHA-256 of the challenge that was answered.
    pub challenge: Hash,
    /// When that challenge could not be answered any more.
    pub expires_at: Timestamp,
}

/// Why a passkey that was shown does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCounted {
    /// The same answer was given before.
    #[error("this answer of a passkey was given before")]
    Answered,
    /// It was removed in between.
    #[error("the passkey is not registered here any more")]
    Gone,
    /// The device counted backwards, or not at all.
    #[error("the device counted backwards: there may be a copy of the key")]
    Counter,
}

/// Adds one. Its credential must never have been here, else [`StoreError::Conflict`].
pub async fn insert(tx: &mut Tx, passkey: &Passkey) -> Result<(), StoreError> {
    let sql = crate::sql(
        "INSERT INTO passkeys (id, credential, person, rp_id, public_key, sign_count, name, created_at, used_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(passkey.id.as_str())
    .bind(&passkey.credential)
    .bind(passkey.person.as_str())
    .bind(&passkey.rp_id)
    .bind(&passkey.public_key)
    .bind(int(passkey.sign_count.into())?)
    .bind(&passkey.name)
    .bind(passkey.created_at.0)
    .bind(passkey.used_at.map(|at| at.0));
    tx.run(sql).await.map(drop)
}

/// Notes a use and what the authenticator counts then.
pub async fn touch(tx: &mut Tx, id: &PasskeyId, count: u32, now: Timestamp) -> Result<(), StoreError> {
    let sql = crate::sql("UPDATE passkeys SET sign_count = $2, used_at = $3 WHERE id = $1 AND removed_at IS NULL");
    tx.run(sql.bind(id.as_str()).bind(int(count.into())?).bind(now.0)).await.map(drop)
}

/// Calls one of a person's by another name; says whether they have it.
pub async fn rename(tx: &mut Tx, person: &PersonId, id: &PasskeyId, name: &str) -> Result<bool, StoreError> {
    let sql = crate::sql("UPDATE passkeys SET name = $3 WHERE id = $1 AND person = $2 AND removed_at IS NULL");
    Ok(tx.run(sql.bind(id.as_str()).bind(person.as_str()).bind(name)).await? > 0)
}

/// Removes one of a person's for good; says whether they had it.
pub async fn remove(tx: &mut Tx, person: &PersonId, id: &PasskeyId, now: Timestamp) -> Result<bool, StoreError> {
    let sql = crate::sql("UPDATE passkeys SET removed_at = $3 WHERE id = $1 AND person = $2 AND removed_at IS NULL");
    Ok(tx.run(sql.bind(id.as_str()).bind(person.as_str()).bind(now.0)).await? > 0)
}

/// The one that an authenticator calls so, if it was not removed.
pub async fn get(from: impl Into<Reader<'_>>, credential: &[u8]) -> Result<Option<Passkey>, StoreError> {
    let sql = crate::sql("SELECT * FROM passkeys WHERE credential = $1 AND removed_at IS NULL");
    from.into().one(sql.bind(credential.to_vec()), read).await
}

/// Those of one person, oldest first.
pub async fn of_person(from: impl Into<Reader<'_>>, person: &PersonId) -> Result<Vec<Passkey>, StoreError> {
    let sql = crate::sql("SELECT * FROM passkeys WHERE person = $1 AND removed_at IS NULL ORDER BY created_at, id");
    from.into().all(sql.bind(person.as_str()), read).await
}

/// Everybody who has one.
pub async fn holders(from: impl Into<Reader<'_>>) -> Result<Vec<PersonId>, StoreError> {
    let sql = crate::sql("SELECT DISTINCT person FROM passkeys WHERE removed_at IS NULL");
    from.into().all(sql, |row| row.id("person")).await
}

/// Notes that a challenge was answered; says whether it is the first answer. Challenges that expired are forgotten.
pub async fn answer(tx: &mut Tx, hash: &Hash, expires_at: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
    tx.run(crate::sql("DELETE FROM answered_challenges WHERE expires_at <= $1").bind(now.0)).await?;
    let sql = "INSERT INTO answered_challenges (hash, expires_at) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING";
    Ok(tx.run(crate::sql(sql).bind(hash.to_vec()).bind(expires_at.0)).await? > 0)
}

/// Notes that one was shown: its challenge was not answered before, and the device counts further than it did.
///
/// # Errors
/// [`NotCounted`], as a refusal.
pub async fn note(tx: &mut Tx, shown: &Shown, now: Timestamp) -> Result<(), StoreError> {
    if !answer(tx, &shown.challenge, shown.expires_at, now).await? {
        return Err(StoreError::refuse(NotCounted::Answered));
    }
    let counted = match get(&mut *tx, &shown.credential).await? {
        Some(passkey) if passkey.id == shown.passkey => passkey.sign_count,
        _ => return Err(StoreError::refuse(NotCounted::Gone)),
    };
    if (shown.count != 0 || counted != 0) && shown.count <= counted {
        return Err(StoreError::refuse(NotCounted::Counter));
    }
    touch(tx, &shown.passkey, shown.count, now).await
}

fn read(row: &Row) -> Result<Passkey, StoreError> {
    Ok(Passkey {
        id: row.id("id")?,
        credential: row.blob("credential")?,
        person: row.id("person")?,
        rp_id: row.text("rp_id")?,
        public_key: row.blob("public_key")?,
        sign_count: row.number("sign_count")?,
        name: row.text("name")?,
        created_at: row.time("created_at")?,
        used_at: row.time_or_none("used_at")?,
    })
}
