//! Authorization requests that were pushed, and the codes that people's answers are handed over as.

use chancery_model::{Consent, Hash, SessionId, Timestamp};

use crate::row::{Columns, Row, json};
use crate::{Reader, StoreError, Tx};

/// Longer than any session lasts: the second use of a code must still be seen as one.
const KEPT: i64 = 48 * 3_600 * 1_000_000;

/// A pushed authorization request (RFC 9126).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// SHA-256 of the last part of its `request_uri`.
    pub hash: Hash,
    /// The `client_id` that pushed it.
    pub client: String,
    /// Its parameters as they came.
    pub form: Vec<(String, String)>,
    /// From then on it is worth nothing.
    pub expires_at: Timestamp,
}

/// An authorization code.
#[derive(Clone, Debug, PartialEq)]
pub struct Code {
    /// SHA-256 of the code.
    pub hash: Hash,
    /// What was allowed.
    pub consent: Consent,
    /// Where it was sent to.
    pub redirect_uri: String,
    /// The S256 challenge (RFC 7636).
    pub challenge: String,
    /// The thumbprint of the key that has to redeem it (RFC 9449, section 10).
    pub key: Option<Hash>,
    /// From then on it is worth nothing.
    pub expires_at: Timestamp,
    /// How often it came with a wrong verifier.
    pub failures: u64,
    /// When it was redeemed.
    pub used_at: Option<Timestamp>,
    /// For which session.
    pub session: Option<SessionId>,
}

/// Adds a pushed request, and forgets those that expired before this.
pub async fn push(tx: &mut Tx, pushed: &Pushed, before: Timestamp) -> Result<(), StoreError> {
    tx.run(crate::sql("DELETE FROM pushed_requests WHERE expires_at < $1").bind(before.0)).await?;
    let sql = crate::sql("INSERT INTO pushed_requests (hash, client, form, expires_at) VALUES ($1, $2, $3, $4)")
        .bind(pushed.hash.to_vec())
        .bind(&pushed.client)
        .bind(json(&pushed.form)?)
        .bind(pushed.expires_at.0);
    tx.run(sql).await.map(drop)
}

/// The pushed request with this hash, if it was not used and expires after this. It is not used up by looking.
pub async fn pushed(from: impl Into<Reader<'_>>, hash: &Hash, after: Timestamp) -> Result<Option<Pushed>, StoreError> {
    let sql = "SELECT * FROM pushed_requests WHERE hash = $1 AND used_at IS NULL AND expires_at > $2";
    from.into().one(crate::sql(sql).bind(hash.to_vec()).bind(after.0), read_pushed).await
}

/// How many requests of this client can be used now.
pub async fn pushed_by(from: impl Into<Reader<'_>>, client: &str, now: Timestamp) -> Result<u64, StoreError> {
    let sql = "SELECT COUNT(*) AS n FROM pushed_requests WHERE client = $1 AND used_at IS NULL AND expires_at > $2";
    Ok(from.into().one(crate::sql(sql).bind(client).bind(now.0), |row| row.count("n")).await?.unwrap_or(0))
}

/// Uses a pushed request up; says whether it could be used.
pub async fn use_pushed(tx: &mut Tx, hash: &Hash, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "UPDATE pushed_requests SET used_at = $2 WHERE hash = $1 AND used_at IS NULL";
    Ok(tx.run(crate::sql(sql).bind(hash.to_vec()).bind(now.0)).await? == 1)
}

/// Adds a code, and forgets old ones.
pub async fn insert(tx: &mut Tx, code: &Code, now: Timestamp) -> Result<(), StoreError> {
    tx.run(crate::sql("DELETE FROM codes WHERE expires_at < $1").bind(now.0 - KEPT)).await?;
    let sql = crate::sql(
        "INSERT INTO codes (hash, consent, redirect_uri, challenge, key, expires_at, failures) \
         VALUES ($1, $2, $3, $4, $5, $6, 0)",
    )
    .bind(code.hash.to_vec())
    .bind(json(&code.consent)?)
    .bind(&code.redirect_uri)
    .bind(&code.challenge)
    .bind(code.key.map(|key| key.to_vec()))
    .bind(code.expires_at.0);
    tx.run(sql).await.map(drop)
}

/// The code with this hash, used or not.
pub async fn get(from: impl Into<Reader<'_>>, hash: &Hash) -> Result<Option<Code>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM codes WHERE hash = $1").bind(hash.to_vec()), read).await
}

/// Redeems a code for a session; says whether it was unused.
pub async fn redeem(tx: &mut Tx, hash: &Hash, session: &SessionId, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "UPDATE codes SET used_at = $3, session = $2 WHERE hash = $1 AND used_at IS NULL";
    Ok(tx.run(crate::sql(sql).bind(hash.to_vec()).bind(session.as_str()).bind(now.0)).await? == 1)
}

/// Notes that it came with a wrong verifier.
pub async fn fail(tx: &mut Tx, hash: &Hash) -> Result<(), StoreError> {
    tx.run(crate::sql("UPDATE codes SET failures = failures + 1 WHERE hash = $1").bind(hash.to_vec())).await.map(drop)
}

fn read_pushed(row: &Row) -> Result<Pushed, StoreError> {
    Ok(Pushed {
        hash: row.hash("hash")?,
        client: row.text("client")?,
        form: row.json("form")?,
        expires_at: row.time("expires_at")?,
    })
}

fn read(row: &Row) -> Result<Code, StoreError> {
    Ok(Code {
        hash: row.hash("hash")?,
        consent: row.json("consent")?,
        redirect_uri: row.text("redirect_uri")?,
        challenge: row.text("challenge")?,
        key: row.hash_or_none("key")?,
        expires_at: row.time("expires_at")?,
        failures: row.count("failures")?,
        used_at: row.time_or_none("used_at")?,
        session: row.id_or_none("session")?,
    })
}
