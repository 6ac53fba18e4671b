//! Server-side sessions.

use std::sync::Arc;

use chancery_model::{AgentId, Changed, Limit, PersonId, Session, SessionId, Span, Timestamp};
use sqlx::AssertSqlSafe;

use crate::row::{Columns, Row, damaged, int, json, word};
use crate::sql::{Engine, no_nul};
use crate::{Reader, StoreError, Tx, bulk};

/// The columns, and which of them are numbers.
const COLUMNS: [(&str, bool); 17] = [
    ("id", false),
    ("agent", false),
    ("instance", false),
    ("epoch", true),
    ("state", false),
    ("opened_at", true),
    ("ends_at", true),
    ("idle", true),
    ("used_at", true),
    ("parent", false),
    ("human", false),
    ("human_epoch", true),
    ("purpose", false),
    ("limits", false),
    ("presence_at", true),
    ("manifest", false),
    ("client", false),
];

/// Adds a new one, in a change that does more than that; see [`Store::open_session`](crate::Store::open_session).
pub async fn insert(tx: &mut Tx, session: &Session) -> Result<(), StoreError> {
    require_storable(tx.engine(), session)?;
    let session = Arc::new(session.clone());
    let text = AssertSqlSafe(insert_sql(tx.engine(), "$1"));
    tx.run(crate::sql(text).bind(rows(std::slice::from_ref(&session))?)).await?;
    tx.note(Changed::Session(session));
    Ok(())
}

/// The text that adds all that [`rows`] put into this parameter.
pub(crate) fn insert_sql(engine: Engine, parameter: &str) -> String {
    bulk::insert(engine, "sessions", &COLUMNS, parameter)
}

/// Refuses what the database would: by then it would be everybody's error.
pub(crate) fn require_storable(engine: Engine, session: &Session) -> Result<(), StoreError> {
    let texts = [&session.instance, &session.purpose, &session.client];
    let nul = texts.into_iter().flatten().any(|text| text.contains('\0'));
    if nul && engine == Engine::Postgres { Err(no_nul()) } else { Ok(()) }
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
    let sql = crate::sql("UPDATE sessions SET state = $2, ends_at = $3, used_at = $4, presence_at = $5 WHERE id = $1")
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
    from.into().one(crate::sql("SELECT * FROM sessions WHERE id = $1").bind(id.as_str()), read).await
}

/// Those of one agent, newest first.
pub async fn of_agent(from: impl Into<Reader<'_>>, agent: &AgentId) -> Result<Vec<Session>, StoreError> {
    let sql = crate::sql("SELECT * FROM sessions WHERE agent = $1 ORDER BY opened_at DESC, id").bind(agent.as_str());
    from.into().all(sql, read).await
}

/// Those that nobody ended and whose maximum time is not over at `now`.
pub async fn open(from: impl Into<Reader<'_>>, now: Timestamp) -> Result<Vec<Session>, StoreError> {
    let sql = crate::sql("SELECT * FROM sessions WHERE state = 'open' AND ends_at > $1 ORDER BY id").bind(now.0);
    from.into().all(sql, read).await
}

fn read(row: &Row) -> Result<Session, StoreError> {
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
