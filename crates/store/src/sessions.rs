//! Server-side sessions.

use std::sync::Arc;

use chancery_model::{AgentId, Changed, Limit, PersonId, Session, SessionId, Span, Timestamp};
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteRow;

use crate::row::{Columns, damaged, int, json, word};
use crate::{Reader, StoreError, Tx};

/// Adds a new one, in a change that does more than that; see [`Store::open_session`](crate::Store::open_session).
pub async fn insert(tx: &mut Tx, session: &Session) -> Result<(), StoreError> {
    let session = Arc::new(session.clone());
    let sql = sqlx::query(AssertSqlSafe(insert_sql("$1"))).bind(rows(std::slice::from_ref(&session))?);
    tx.run(sql).await?;
    tx.note(Changed::Session(session));
    Ok(())
}

/// The text that adds all that [`rows`] put into this parameter. It is made of constants only.
pub(crate) fn insert_sql(parameter: &str) -> String {
    format!(
        "INSERT INTO sessions (id, agent, instance, epoch, state, opened_at, ends_at, idle, used_at, parent, human, \
         human_epoch, purpose, limits, presence_at, manifest, client) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, \
         value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, \
         value ->> 14, value ->> 15, value ->> 16 FROM json_each({parameter})"
    )
}

/// New sessions as the JSON that [`insert_sql`] reads: an array of the columns of each.
pub(crate) fn rows(sessions: &[Arc<Session>]) -> Result<String, StoreError> {
    let columns = |session: &Arc<Session>| {
        Ok(serde_json::json!([
            session.id.as_str(),
            session.agent.as_str(),
            session.instance,
            int(session.epoch)?,
            word(&session.state)?,
            session.opened_at.0,
            session.ends_at.0,
            session.idle.0,
            session.used_at.0,
            session.parent.as_ref().map(SessionId::as_str),
            session.human.as_ref().map(PersonId::as_str),
            int(session.human_epoch)?,
            session.purpose,
            limits(session)?,
            session.presence_at.map(|at| at.0),
            session.manifest.map(String::from),
            session.client,
        ]))
    };
    json(&sessions.iter().map(columns).collect::<Result<Vec<_>, StoreError>>()?)
}

/// Replaces state, end, last use and last presence; the rest never changes.
pub async fn update(tx: &mut Tx, session: &Session) -> Result<(), StoreError> {
    let sql = sqlx::query("UPDATE sessions SET state = $2, ends_at = $3, used_at = $4, presence_at = $5 WHERE id = $1")
        .bind(session.id.as_str())
        .bind(word(&session.state)?)
        .bind(session.ends_at.0)
        .bind(session.used_at.0)
        .bind(session.presence_at.map(|at| at.0));
    if tx.run(sql).await? == 0 {
        return Err(StoreError::Missing { noun: "session", id: session.id.to_string() });
    }
    tx.note(Changed::Session(Arc::new(session.clone())));
    Ok(())
}

/// The one with this id.
pub async fn get(from: impl Into<Reader<'_>>, id: &SessionId) -> Result<Option<Session>, StoreError> {
    from.into().one(sqlx::query("SELECT * FROM sessions WHERE id = $1").bind(id.as_str()), read).await
}

/// Those of one agent, newest first.
pub async fn of_agent(from: impl Into<Reader<'_>>, agent: &AgentId) -> Result<Vec<Session>, StoreError> {
    let sql = sqlx::query("SELECT * FROM sessions WHERE agent = $1 ORDER BY opened_at DESC, id").bind(agent.as_str());
    from.into().all(sql, read).await
}

/// Those that nobody ended and whose maximum time is not over at `now`.
pub async fn open(from: impl Into<Reader<'_>>, now: Timestamp) -> Result<Vec<Session>, StoreError> {
    let sql = sqlx::query("SELECT * FROM sessions WHERE state = 'open' AND ends_at > $1 ORDER BY id").bind(now.0);
    from.into().all(sql, read).await
}

fn read(row: &SqliteRow) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.id("id")?,
        agent: row.id("agent")?,
        instance: row.text_or_none("instance")?,
        epoch: row.count("epoch")?,
        state: row.word("state")?,
        opened_at: row.time("opened_at")?,
        ends_at: row.time("ends_at")?,
        idle: Span(row.int("idle")?),
        used_at: row.time("used_at")?,
        parent: row.id_or_none("parent")?,
        human: row.id_or_none("human")?,
        human_epoch: row.count("human_epoch")?,
        purpose: row.text_or_none("purpose")?,
        limits: match row.text_or_none("limits")? {
            Some(text) => Limit::read(&text).map_err(|e| damaged("limits", &e.to_string()))?.into(),
            None => Arc::default(),
        },
        presence_at: row.time_or_none("presence_at")?,
        manifest: row.id_or_none("manifest")?,
        client: row.text_or_none("client")?,
    })
}

fn limits(session: &Session) -> Result<Option<String>, StoreError> {
    let json = (!session.limits.is_empty()).then(|| serde_json::to_string(&*session.limits)).transpose();
    json.map_err(|e| damaged("limits", &e.to_string()))
}
