//! Streams of security events to others, and the subjects that their receivers named.

use chancery_model::{AgentId, Delivery, SignalStream, StreamId, Timestamp};

use crate::row::{Columns, Row, json, word};
use crate::{Reader, StoreError, Tx};

/// A stream as it is kept: with the header that a push needs, sealed by its owner.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredStream {
    /// The stream.
    pub stream: SignalStream,
    /// The `Authorization` header of each push, sealed.
    pub authorization: Option<Vec<u8>>,
}

impl std::fmt::Debug for StoredStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredStream").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// Adds one. Its receiver must have none yet, else [`StoreError::Conflict`].
pub async fn insert(tx: &mut Tx, stored: &StoredStream) -> Result<(), StoreError> {
    let stream = &stored.stream;
    let sql = crate::sql(
        "INSERT INTO signal_streams (id, receiver, audience, endpoint, sealed, events, description, status, \
         reason, created_at, verified_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(stream.id.as_str())
    .bind(stream.receiver.as_str())
    .bind(&stream.audience)
    .bind(endpoint(stream))
    .bind(stored.authorization.clone().unwrap_or_default())
    .bind(json(&stream.events)?)
    .bind(&stream.description)
    .bind(word(&stream.status)?)
    .bind(&stream.reason)
    .bind(stream.created_at.0)
    .bind(stream.verified_at.map(|at| at.0));
    tx.run(sql).await.map(drop)
}

/// Replaces all but id, receiver, audience and creation time, which never change.
pub async fn update(tx: &mut Tx, stored: &StoredStream) -> Result<(), StoreError> {
    let stream = &stored.stream;
    let sql = crate::sql(
        "UPDATE signal_streams SET endpoint = $2, sealed = $3, events = $4, description = $5, status = $6, \
         reason = $7, verified_at = $8 WHERE id = $1",
    )
    .bind(stream.id.as_str())
    .bind(endpoint(stream))
    .bind(stored.authorization.clone().unwrap_or_default())
    .bind(json(&stream.events)?)
    .bind(&stream.description)
    .bind(word(&stream.status)?)
    .bind(&stream.reason)
    .bind(stream.verified_at.map(|at| at.0));
    if tx.run(sql).await? == 0 {
        return Err(StoreError::Missing { noun: "stream", id: stream.id.to_string() });
    }
    tx.erased();
    Ok(())
}

/// Removes one with everything that waits in it.
pub async fn remove(tx: &mut Tx, id: &StreamId) -> Result<(), StoreError> {
    tx.run(crate::sql("DELETE FROM signals WHERE stream = $1").bind(id.as_str())).await?;
    tx.run(crate::sql("DELETE FROM signal_subjects WHERE stream = $1").bind(id.as_str())).await?;
    if tx.run(crate::sql("DELETE FROM signal_streams WHERE id = $1").bind(id.as_str())).await? == 0 {
        return Err(StoreError::Missing { noun: "stream", id: id.to_string() });
    }
    tx.erased();
    Ok(())
}

/// The one with this id.
pub async fn get(from: impl Into<Reader<'_>>, id: &StreamId) -> Result<Option<StoredStream>, StoreError> {
    from.into().one(crate::sql("SELECT * FROM signal_streams WHERE id = $1").bind(id.as_str()), read).await
}

/// The one of this receiver.
pub async fn of_receiver(from: impl Into<Reader<'_>>, receiver: &AgentId) -> Result<Option<StoredStream>, StoreError> {
    let sql = crate::sql("SELECT * FROM signal_streams WHERE receiver = $1").bind(receiver.as_str());
    from.into().one(sql, read).await
}

/// All of them, by id.
pub async fn all(from: impl Into<Reader<'_>>) -> Result<Vec<StoredStream>, StoreError> {
    from.into().all(crate::sql("SELECT * FROM signal_streams ORDER BY id"), read).await
}

/// Notes that a receiver added this subject, or removed it. What it said last stands.
pub async fn put_subject(tx: &mut Tx, id: &StreamId, subject: &str, wanted: bool) -> Result<(), StoreError> {
    let sql = crate::sql(
        "INSERT INTO signal_subjects (stream, subject, wanted) VALUES ($1, $2, $3) \
         ON CONFLICT (stream, subject) DO UPDATE SET wanted = excluded.wanted",
    );
    tx.run(sql.bind(id.as_str()).bind(subject).bind(i64::from(wanted))).await.map(drop)
}

/// Forgets what a receiver said of this subject.
pub async fn forget_subject(tx: &mut Tx, id: &StreamId, subject: &str) -> Result<(), StoreError> {
    let sql = crate::sql("DELETE FROM signal_subjects WHERE stream = $1 AND subject = $2");
    tx.run(sql.bind(id.as_str()).bind(subject)).await.map(drop)
}

/// The subjects that a receiver removed, as canonical JSON.
pub async fn removed_subjects(from: impl Into<Reader<'_>>, id: &StreamId) -> Result<Vec<String>, StoreError> {
    let sql = crate::sql("SELECT subject FROM signal_subjects WHERE stream = $1 AND wanted = 0 ORDER BY subject");
    from.into().all(sql.bind(id.as_str()), |row| row.text("subject")).await
}

/// How many subjects a receiver said something of.
pub async fn count_subjects(from: impl Into<Reader<'_>>, id: &StreamId) -> Result<u64, StoreError> {
    let sql = crate::sql("SELECT COUNT(*) AS subjects FROM signal_subjects WHERE stream = $1").bind(id.as_str());
    Ok(from.into().one(sql, |row| row.count("subjects")).await?.unwrap_or(0))
}

fn endpoint(stream: &SignalStream) -> Option<&str> {
    match &stream.delivery {
        Delivery::Push { endpoint } => Some(endpoint),
        Delivery::Poll => None,
    }
}

fn read(row: &Row) -> Result<StoredStream, StoreError> {
    let endpoint = row.text_or_none("endpoint")?;
    Ok(StoredStream {
        stream: SignalStream {
            id: row.id("id")?,
            receiver: row.id("receiver")?,
            audience: row.text("audience")?,
            delivery: endpoint.map_or(Delivery::Poll, |endpoint| Delivery::Push { endpoint }),
            events: row.json("events")?,
            description: row.text_or_none("description")?,
            status: row.word("status")?,
            reason: row.text_or_none("reason")?,
            created_at: row.time("created_at")?,
            verified_at: row.int_or_none("verified_at")?.map(Timestamp),
        },
        authorization: Some(row.blob("sealed")?).filter(|sealed| !sealed.is_empty()),
    })
}
