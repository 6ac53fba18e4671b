//! Devices that wait for a person's answer (RFC 8628).

use chancery_model::{AgentId, Consent, Hash, Limit, SessionId, Timestamp};

use crate::question::{self, Questions};
use crate::row::{Columns, Row, json};
use crate::{Reader, StoreError, Tx};

const QUESTIONS: Questions = Questions("device_codes");

/// One device's question.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceCode {
    /// SHA-256 of the device code.
    pub hash: Hash,
    /// SHA-256 of the user code, in capitals and without its dash.
    pub user_code: Hash,
    /// The `client_id` that asks.
    pub client: String,
    /// Who is to act.
    pub agent: AgentId,
    /// The resource that is asked for.
    pub resource: String,
    /// What is asked for. Never empty.
    pub limits: Vec<Limit>,
    /// The thumbprint of the key that has to redeem it.
    pub key: Option<Hash>,
    /// From then on it is worth nothing.
    pub expires_at: Timestamp,
    /// When a person answered.
    pub answered_at: Option<Timestamp>,
    /// What they allowed; nothing if the answer was no.
    pub consent: Option<Consent>,
    /// The session it was redeemed for.
    pub session: Option<SessionId>,
}

/// Adds one, and forgets old ones. [`StoreError::Conflict`] if the user code is another's.
pub async fn insert(tx: &mut Tx, code: &DeviceCode, now: Timestamp) -> Result<(), StoreError> {
    QUESTIONS.forget(tx, now).await?;
    let sql = crate::sql(
        "INSERT INTO device_codes (hash, user_code, client, agent, resource, limits, key, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(code.hash.to_vec())
    .bind(code.user_code.to_vec())
    .bind(&code.client)
    .bind(code.agent.as_str())
    .bind(&code.resource)
    .bind(json(&code.limits)?)
    .bind(code.key.map(|key| key.to_vec()))
    .bind(code.expires_at.0);
    tx.run(sql).await.map(drop)
}

/// The one with this hash of a device code.
pub async fn get(from: impl Into<Reader<'_>>, hash: &Hash) -> Result<Option<DeviceCode>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM device_codes WHERE hash = $1").bind(hash.to_vec()), read).await
}

/// The one with this hash of a user code, if it waits for an answer.
pub async fn waiting(
    from: impl Into<Reader<'_>>,
    user_code: &Hash,
    now: Timestamp,
) -> Result<Option<DeviceCode>, StoreError> {
    let sql = "SELECT * FROM device_codes WHERE user_code = $1 AND answered_at IS NULL AND expires_at > $2";
    from.into().one(crate::sql(sql).bind(user_code.to_vec()).bind(now.0), read).await
}

/// How many of this client wait for an answer.
pub async fn waiting_of(from: impl Into<Reader<'_>>, client: &str, now: Timestamp) -> Result<u64, StoreError> {
    QUESTIONS.waiting_of(from.into(), client, now).await
}

/// Notes the answer; says whether it still waited for one.
pub async fn answer(tx: &mut Tx, hash: &Hash, consent: Option<&Consent>, now: Timestamp) -> Result<bool, StoreError> {
    QUESTIONS.answer(tx, hash, consent, now).await
}

/// Redeems it for a session; says whether it was unused.
pub async fn redeem(tx: &mut Tx, hash: &Hash, session: &SessionId) -> Result<bool, StoreError> {
    QUESTIONS.redeem(tx, hash, session).await
}

fn read(row: &Row) -> Result<DeviceCode, StoreError> {
    Ok(DeviceCode {
        hash: row.hash("hash")?,
        user_code: row.hash("user_code")?,
        client: row.text("client")?,
        agent: row.id("agent")?,
        resource: row.text("resource")?,
        limits: row.json("limits")?,
        key: row.hash_or_none("key")?,
        expires_at: row.time("expires_at")?,
        answered_at: row.time_or_none("answered_at")?,
        consent: question::consent(row)?,
        session: row.id_or_none("session")?,
    })
}
