//! Changes that wait for a second person.

use chancery_model::{PersonId, Proposal, ProposalId, ProposalState, Timestamp};

use crate::row::{Columns, Row, word};
use crate::{Reader, StoreError, Tx};

/// Adds one that waits.
pub async fn insert(tx: &mut Tx, proposal: &Proposal) -> Result<(), StoreError> {
    let sql = crate::sql(
        "INSERT INTO proposals (id, verb, method, uri, body, digest, person, created_at, expires_at, state) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(proposal.id.as_str())
    .bind(&proposal.verb)
    .bind(&proposal.method)
    .bind(&proposal.uri)
    .bind(&proposal.body)
    .bind(proposal.digest.to_vec())
    .bind(proposal.person.as_str())
    .bind(proposal.created_at.0)
    .bind(proposal.expires_at.0)
    .bind(word(&proposal.state)?);
    tx.run(sql).await.map(drop)
}

/// Decides one that waits; says whether it waited. The first decision is the only one.
pub async fn decide(
    tx: &mut Tx,
    id: &ProposalId,
    state: ProposalState,
    by: Option<&PersonId>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = crate::sql(
        "UPDATE proposals SET state = $2, decided_by = $3, decided_at = $4 \
         WHERE id = $1 AND state = 'waiting' AND expires_at > $4",
    )
    .bind(id.as_str())
    .bind(word(&state)?)
    .bind(by.map(PersonId::as_str))
    .bind(now.0);
    Ok(tx.run(sql).await? > 0)
}

/// Notes how a confirmed one was answered.
pub async fn ran(tx: &mut Tx, id: &ProposalId, status: u16) -> Result<(), StoreError> {
    let sql = crate::sql("UPDATE proposals SET status = $2 WHERE id = $1");
    tx.run(sql.bind(id.as_str()).bind(i64::from(status))).await.map(drop)
}

/// The one with this id.
pub async fn get(from: impl Into<Reader<'_>>, id: &ProposalId) -> Result<Option<Proposal>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM proposals WHERE id = $1").bind(id.as_str()), read).await
}

/// Those that wait at this moment, oldest first.
pub async fn waiting(from: impl Into<Reader<'_>>, now: Timestamp) -> Result<Vec<Proposal>, StoreError> {
    let sql = "SELECT * FROM proposals WHERE state = 'waiting' AND expires_at > $1 ORDER BY created_at, id";
    from.into().all(crate::sql(sql).bind(now.0), read).await
}

fn read(row: &Row) -> Result<Proposal, StoreError> {
    let status = row.int_or_none("status")?;
    Ok(Proposal {
        id: row.id("id")?,
        verb: row.text("verb")?,
        method: row.text("method")?,
        uri: row.text("uri")?,
        body: row.blob("body")?,
        digest: row.hash("digest")?,
        person: row.id("person")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        state: row.word("state")?,
        decided_by: row.id_or_none("decided_by")?,
        decided_at: row.time_or_none("decided_at")?,
        status: status.and_then(|status| u16::try_from(status).ok()),
    })
}
