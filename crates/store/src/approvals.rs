//! Calls that wait for people, and what they said.

use chancery_model::{AgentId, Approval, ApprovalId, ApprovalState, Digest, Timestamp};

use crate::row::{Columns, Row, json, word};
use crate::{Reader, StoreError, Tx};

const INSERT: &str = "INSERT INTO approvals (id, call, agent, session, server, target, request, state, votes, \
     created_at, expires_at, decided_at, used_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

/// Adds a new one. [`StoreError::Conflict`] if one of the same call is open.
pub async fn insert(tx: &mut Tx, approval: &Approval) -> Result<(), StoreError> {
    let sql = crate::sql(INSERT)
        .bind(approval.id.as_str())
        .bind(&approval.call.0)
        .bind(approval.agent.as_str())
        .bind(approval.session.as_str())
        .bind(&approval.server)
        .bind(&approval.target)
        .bind(json(approval)?)
        .bind(word(&approval.state)?)
        .bind(json(&approval.votes)?)
        .bind(approval.created_at.0)
        .bind(approval.expires_at.0)
        .bind(approval.decided_at.map(|at| at.0))
        .bind(approval.used_at.map(|at| at.0));
    tx.run(sql).await.map(drop)
}

/// Replaces state, votes and when it was decided; the rest never changes.
pub async fn update(tx: &mut Tx, approval: &Approval) -> Result<(), StoreError> {
    let sql = crate::sql("UPDATE approvals SET state = $2, votes = $3, decided_at = $4 WHERE id = $1")
        .bind(approval.id.as_str())
        .bind(word(&approval.state)?)
        .bind(json(&approval.votes)?)
        .bind(approval.decided_at.map(|at| at.0));
    match tx.run(sql).await? {
        0 => Err(StoreError::Missing { noun: "approval", id: approval.id.to_string() }),
        _ => Ok(()),
    }
}

/// Uses it up, if it may be used at this moment for this call: says whether it was.
pub async fn consume(tx: &mut Tx, id: &ApprovalId, call: &Digest, now: Timestamp) -> Result<bool, StoreError> {
    let sql = crate::sql(
        "UPDATE approvals SET state = 'used', used_at = $3 \
         WHERE id = $1 AND call = $2 AND state = 'approved' AND expires_at > $3",
    )
    .bind(id.as_str())
    .bind(&call.0)
    .bind(now.0);
    Ok(tx.run(sql).await? == 1)
}

/// The one with this id.
pub async fn get(from: impl Into<Reader<'_>>, id: &ApprovalId) -> Result<Option<Approval>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM approvals WHERE id = $1").bind(id.as_str()), read).await
}

/// The one of a call that waits or may be used, if there is one, else the newest.
pub async fn of_call(from: impl Into<Reader<'_>>, call: &Digest) -> Result<Option<Approval>, StoreError> {
    let sql = crate::sql(
        "SELECT * FROM approvals WHERE call = $1 \
         ORDER BY CASE WHEN state IN ('pending', 'approved') THEN 0 ELSE 1 END, created_at DESC, id DESC LIMIT 1",
    )
    .bind(&call.0);
    from.into().one(sql, read).await
}

/// Those that people can still say something to, the most urgent first.
pub async fn pending(from: impl Into<Reader<'_>>, now: Timestamp) -> Result<Vec<Approval>, StoreError> {
    let sql = crate::sql(
        "SELECT * FROM approvals WHERE state = 'pending' AND expires_at > $1 ORDER BY expires_at, id LIMIT 1000",
    )
    .bind(now.0);
    from.into().all(sql, read).await
}

/// Those that people can still say something to, and those that were approved and not used, oldest first.
pub async fn open(from: impl Into<Reader<'_>>, now: Timestamp) -> Result<Vec<Approval>, StoreError> {
    let sql = crate::sql(
        "SELECT * FROM approvals WHERE state IN ('pending', 'approved') AND expires_at > $1 ORDER BY created_at, id",
    )
    .bind(now.0);
    from.into().all(sql, read).await
}

/// Takes the arguments away that are kept beside a request, and closes it if it is open: nobody can say yes to what
/// nobody can see. Its digest stays what it was.
pub async fn forget(tx: &mut Tx, id: &ApprovalId, now: Timestamp) -> Result<(), StoreError> {
    let Some(before) = get(&mut *tx, id).await? else { return Ok(()) };
    let open = matches!(before.state, ApprovalState::Pending | ApprovalState::Approved);
    let digest = before.digest(crate::sha256);
    let after = Approval {
        state: if open { ApprovalState::Cancelled } else { before.state },
        decided_at: if open { Some(now) } else { before.decided_at },
        arguments: None,
        input: None,
        dry_run: None,
        erased: Some(digest),
        ..before
    };
    let sql = crate::sql("UPDATE approvals SET request = $2 WHERE id = $1").bind(id.as_str()).bind(json(&after)?);
    tx.run(sql).await?;
    tx.erased();
    update(tx, &after).await
}

/// Those that nobody decided or used in time and that still stand as if somebody could, oldest first.
pub async fn overdue(from: impl Into<Reader<'_>>, now: Timestamp) -> Result<Vec<Approval>, StoreError> {
    let sql = crate::sql(
        "SELECT * FROM approvals WHERE state IN ('pending', 'approved') AND expires_at <= $1 \
         ORDER BY expires_at, id LIMIT 100",
    )
    .bind(now.0);
    from.into().all(sql, read).await
}

/// All since a moment, newest first, `most` at the most.
pub async fn since(from: impl Into<Reader<'_>>, at: Timestamp, most: u32) -> Result<Vec<Approval>, StoreError> {
    let sql = crate::sql("SELECT * FROM approvals WHERE created_at >= $1 ORDER BY created_at DESC, id DESC LIMIT $2")
        .bind(at.0)
        .bind(i64::from(most));
    from.into().all(sql, read).await
}

/// The last of the same agent and tool that ran, before a moment.
pub async fn last_used(
    from: impl Into<Reader<'_>>,
    agent: &AgentId,
    (server, target): (&str, &str),
    before: Timestamp,
) -> Result<Option<Approval>, StoreError> {
    let sql = crate::sql(
        "SELECT * FROM approvals WHERE agent = $1 AND server = $2 AND target = $3 AND created_at < $4 \
         AND state = 'used' ORDER BY created_at DESC, id DESC LIMIT 1",
    )
    .bind(agent.as_str())
    .bind(server)
    .bind(target)
    .bind(before.0);
    from.into().one(sql, read).await
}

/// How many of an agent wait at a moment, and how many it asked for since another.
pub async fn counts(
    from: impl Into<Reader<'_>>,
    agent: &AgentId,
    now: Timestamp,
    since: Timestamp,
) -> Result<(u64, u64), StoreError> {
    let sql = crate::sql(
        "SELECT COALESCE(SUM(CASE WHEN state = 'pending' AND expires_at > $2 THEN 1 ELSE 0 END), 0) AS waiting, \
         COALESCE(SUM(CASE WHEN created_at >= $3 THEN 1 ELSE 0 END), 0) AS asked FROM approvals \
         WHERE agent = $1 AND (created_at >= $3 OR state = 'pending')",
    )
    .bind(agent.as_str())
    .bind(now.0)
    .bind(since.0);
    let counted = from.into().one(sql, |row| Ok((row.count("waiting")?, row.count("asked")?))).await?;
    Ok(counted.unwrap_or_default())
}

fn read(row: &Row) -> Result<Approval, StoreError> {
    let asked: Approval = row.json("request")?;
    let state: ApprovalState = row.word("state")?;
    Ok(Approval {
        state,
        votes: row.json("votes")?,
        decided_at: row.time_or_none("decided_at")?,
        used_at: row.time_or_none("used_at")?,
        ..asked
    })
}
