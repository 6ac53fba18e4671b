//! Security events: those that wait for their delivery to others, and those that others sent.

use chancery_model::{Hash, HeldId, HeldSignal, StreamId, Timestamp};

use crate::row::{Columns, Row, int, word};
use crate::{Reader, StoreError, Tx};

/// An event that waits for its delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its name, one per stream for ever.
    pub jti: String,
    /// When it was made: its `iat`.
    pub made_at: Timestamp,
    /// The claims that are its own (`sub_id`, `txn`, `events`), as JSON.
    pub claims: String,
    /// It is about the stream itself: it goes also over one that is not enabled.
    pub control: bool,
}

/// Puts an event behind those that wait: false if it was there already.
pub async fn push(tx: &mut Tx, stream: &StreamId, signal: &Waiting) -> Result<bool, StoreError> {
    let sql = crate::sql(
        "INSERT INTO signals (stream, number, jti, made_at, claims, control) \
         SELECT $1, COALESCE(MAX(number), 0) + 1, $2, $3, $4, $5 FROM signals WHERE stream = $1 \
         ON CONFLICT (stream, jti) DO NOTHING",
    )
    .bind(stream.as_str())
    .bind(&signal.jti)
    .bind(signal.made_at.0)
    .bind(&signal.claims)
    .bind(i64::from(signal.control));
    Ok(tx.run(sql).await? > 0)
}

/// The first that wait in a stream; of one that is not enabled only those about the stream itself.
pub async fn first(
    from: impl Into<Reader<'_>>,
    stream: &StreamId,
    enabled: bool,
    most: u64,
) -> Result<Vec<Waiting>, StoreError> {
    let sql = crate::sql(
        "SELECT jti, made_at, claims, control FROM signals WHERE stream = $1 AND (control = 1 OR $2 = 1) \
         ORDER BY number LIMIT $3",
    )
    .bind(stream.as_str())
    .bind(i64::from(enabled))
    .bind(int(most)?);
    from.into().all(sql, read).await
}

/// How many wait in a stream.
pub async fn count(from: impl Into<Reader<'_>>, stream: &StreamId) -> Result<u64, StoreError> {
    let sql = crate::sql("SELECT COUNT(*) AS waiting FROM signals WHERE stream = $1").bind(stream.as_str());
    Ok(from.into().one(sql, |row| row.count("waiting")).await?.unwrap_or(0))
}

/// Which of these names wait in a stream.
pub async fn waiting(
    from: impl Into<Reader<'_>>,
    stream: &StreamId,
    names: &[String],
) -> Result<Vec<String>, StoreError> {
    let sql = crate::sql("SELECT jti FROM signals WHERE stream = $1 ORDER BY number").bind(stream.as_str());
    let mut found = from.into().all(sql, |row| row.text("jti")).await?;
    found.retain(|jti| names.contains(jti));
    Ok(found)
}

/// It waits no more.
pub async fn remove(tx: &mut Tx, stream: &StreamId, jti: &str) -> Result<(), StoreError> {
    let sql = crate::sql("DELETE FROM signals WHERE stream = $1 AND jti = $2");
    tx.run(sql.bind(stream.as_str()).bind(jti)).await.map(drop)
}

/// None waits any more.
pub async fn clear(tx: &mut Tx, stream: &StreamId) -> Result<(), StoreError> {
    tx.run(crate::sql("DELETE FROM signals WHERE stream = $1").bind(stream.as_str())).await.map(drop)
}

/// SHA-256 of the event of this name that a transmitter sent before, if it did.
pub async fn received(from: impl Into<Reader<'_>>, transmitter: &str, jti: &str) -> Result<Option<Hash>, StoreError> {
    let sql = crate::sql("SELECT digest FROM signals_received WHERE transmitter = $1 AND jti = $2");
    from.into().one(sql.bind(transmitter).bind(jti), |row| row.hash("digest")).await
}

/// Notes an event of a transmitter, which must be new, and for whom it ends something.
pub async fn receive(
    tx: &mut Tx,
    transmitter: &str,
    (jti, digest): (&str, Hash),
    now: Timestamp,
    person: Option<&str>,
) -> Result<(), StoreError> {
    let sql = crate::sql(
        "INSERT INTO signals_received (transmitter, jti, digest, received_at, person) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(transmitter)
    .bind(jti)
    .bind(digest.to_vec())
    .bind(now.0)
    .bind(person);
    tx.run(sql).await.map(drop)
}

/// Forgets those of a transmitter that came before this time.
pub async fn forget_received(tx: &mut Tx, transmitter: &str, before: Timestamp) -> Result<(), StoreError> {
    let sql = crate::sql("DELETE FROM signals_received WHERE transmitter = $1 AND received_at < $2");
    tx.run(sql.bind(transmitter).bind(before.0)).await.map(drop)
}

/// For how many people besides this one a transmitter ended something since.
pub async fn people_since(
    from: impl Into<Reader<'_>>,
    transmitter: &str,
    since: Timestamp,
    besides: &str,
) -> Result<u64, StoreError> {
    let sql = crate::sql(
        "SELECT COUNT(DISTINCT person) AS people FROM signals_received \
         WHERE transmitter = $1 AND received_at > $2 AND person <> $3",
    )
    .bind(transmitter)
    .bind(since.0)
    .bind(besides);
    Ok(from.into().one(sql, |row| row.count("people")).await?.unwrap_or(0))
}

/// Holds an event for a human.
pub async fn hold(tx: &mut Tx, held: &HeldSignal) -> Result<(), StoreError> {
    let sql = crate::sql(
        "INSERT INTO signals_held (id, transmitter, event, person, action, reason, received_at, decided_at, \
         decided_by, applied) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(held.id.as_str())
    .bind(&held.transmitter)
    .bind(&held.event)
    .bind(&held.person)
    .bind(word(&held.action)?)
    .bind(&held.reason)
    .bind(held.received_at.0)
    .bind(held.decided_at.map(|at| at.0))
    .bind(&held.decided_by)
    .bind(held.applied.map(i64::from));
    tx.run(sql).await.map(drop)
}

/// Notes what a human decided: false if somebody did before.
pub async fn decide(tx: &mut Tx, id: &HeldId, by: &str, now: Timestamp, applied: bool) -> Result<bool, StoreError> {
    let sql = crate::sql(
        "UPDATE signals_held SET decided_at = $2, decided_by = $3, applied = $4 WHERE id = $1 AND decided_at IS NULL",
    )
    .bind(id.as_str())
    .bind(now.0)
    .bind(by)
    .bind(i64::from(applied));
    Ok(tx.run(sql).await? > 0)
}

/// The one with this id.
pub async fn held(from: impl Into<Reader<'_>>, id: &HeldId) -> Result<Option<HeldSignal>, StoreError> {
    let sql = crate::sql("SELECT * FROM signals_held WHERE id = $1").bind(id.as_str());
    from.into().one(sql, read_held).await
}

/// Those that nobody decided about, oldest first.
pub async fn held_ones(from: impl Into<Reader<'_>>) -> Result<Vec<HeldSignal>, StoreError> {
    let sql = crate::sql("SELECT * FROM signals_held WHERE decided_at IS NULL ORDER BY received_at, id");
    from.into().all(sql, read_held).await
}

fn read(row: &Row) -> Result<Waiting, StoreError> {
    Ok(Waiting {
        jti: row.text("jti")?,
        made_at: row.time("made_at")?,
        claims: row.text("claims")?,
        control: row.int("control")? != 0,
    })
}

fn read_held(row: &Row) -> Result<HeldSignal, StoreError> {
    Ok(HeldSignal {
        id: row.id("id")?,
        transmitter: row.text("transmitter")?,
        event: row.text("event")?,
        person: row.text("person")?,
        action: row.word("action")?,
        reason: row.text_or_none("reason")?,
        received_at: row.time("received_at")?,
        decided_at: row.time_or_none("decided_at")?,
        decided_by: row.text_or_none("decided_by")?,
        applied: row.int_or_none("applied")?.map(|applied| applied != 0),
    })
}
