//! Questions of agents to people who are somewhere else (OpenID CIBA Core 1.0).

use chancery_model::{AgentId, AskId, Consent, Hash, Limit, PersonId, SessionId, Timestamp};

use crate::question::{self, Questions};
use crate::row::{Columns, Row, json};
use crate::{Reader, StoreError, Tx};

const QUESTIONS: Questions = Questions("backchannel");

/// One question.
#[derive(Clone, Debug, PartialEq)]
pub struct Backchannel {
    /// Its name, for people.
    pub id: AskId,
    /// SHA-256 of the `auth_req_id`.
    pub hash: Hash,
    /// The `client_id` that asks.
    pub client: String,
    /// Who is to act.
    pub agent: AgentId,
    /// Who is asked.
    pub person: PersonId,
    /// The resource that is asked for.
    pub resource: String,
    /// What is asked for. Never empty.
    pub limits: Vec<Limit>,
    /// What the client shows its user at the same time.
    pub message: Option<String>,
    /// The thumbprint of the key that has to redeem it.
    pub key: Option<Hash>,
    /// When it was asked.
    pub created_at: Timestamp,
    /// From then on it is worth nothing.
    pub expires_at: Timestamp,
    /// When the person answered.
    pub answered_at: Option<Timestamp>,
    /// What they allowed; nothing if the answer was no.
    pub consent: Option<Consent>,
    /// The session it was redeemed for.
    pub session: Option<SessionId>,
}

/// Adds one, and forgets old ones.
pub async fn insert(tx: &mut Tx, asked: &Backchannel) -> Result<(), StoreError> {
    QUESTIONS.forget(tx, asked.created_at).await?;
    let sql = crate::sql(
        "INSERT INTO backchannel (id, hash, client, agent, person, resource, limits, message, key, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(asked.id.as_str())
    .bind(asked.hash.to_vec())
    .bind(&asked.client)
    .bind(asked.agent.as_str())
    .bind(asked.person.as_str())
    .bind(&asked.resource)
    .bind(json(&asked.limits)?)
    .bind(asked.message.as_deref())
    .bind(asked.key.map(|key| key.to_vec()))
    .bind(asked.created_at.0)
    .bind(asked.expires_at.0);
    tx.run(sql).await.map(drop)
}

/// The one with this hash of an `auth_req_id`.
pub async fn get(from: impl Into<Reader<'_>>, hash: &Hash) -> Result<Option<Backchannel>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM backchannel WHERE hash = $1").bind(hash.to_vec()), read).await
}

/// Those that wait for an answer of this person, the oldest first.
pub async fn waiting(
    from: impl Into<Reader<'_>>,
    person: &PersonId,
    now: Timestamp,
) -> Result<Vec<Backchannel>, StoreError> {
    let sql = "SELECT * FROM backchannel WHERE person = $1 AND answered_at IS NULL AND expires_at > $2 \
               ORDER BY created_at, id LIMIT 100";
    from.into().all(crate::sql(sql).bind(person.as_str()).bind(now.0), read).await
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

fn read(row: &Row) -> Result<Backchannel, StoreError> {
    Ok(Backchannel {
        id: row.id("id")?,
        hash: row.hash("hash")?,
        client: row.text("client")?,
        agent: row.id("agent")?,
        person: row.id("person")?,
        resource: row.text("resource")?,
        limits: row.json("limits")?,
        message: row.text_or_none("message")?,
        key: row.hash_or_none("key")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        answered_at: row.time_or_none("answered_at")?,
        consent: question::consent(row)?,
        session: row.id_or_none("session")?,
    })
}
