//! What is told to whom: one row for each channel and entry, and what became of it.
//!
//! The rows follow from entries, and the attempts state nothing about an identity: they have no entries of their own.

use chancery_model::{Position, Timestamp};
use serde::{Deserialize, Serialize};

use crate::row::{Columns, Row, int, word};
use crate::{Reader, Store, StoreError, Tx};

/// Where a message is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It was not delivered yet, and will be tried (again).
    Waiting,
    /// The other side took it.
    Delivered,
    /// It was given up.
    Failed,
}

/// A message to one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The channel's name.
    pub channel: String,
    /// The message's id: that of the entry. With the channel it is there once.
    pub id: String,
    /// What happened, for instance `containment.contained`.
    pub event: String,
    /// What it is about: messages of one thread go out in their order.
    pub thread: String,
    /// The event as JSON.
    pub payload: String,
    /// When the entry was committed.
    pub committed_at: Timestamp,
    /// Where the entry is.
    pub position: Position,
    /// Where it is on its way.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// What the last attempt was answered with, in a few words; empty before the first.
    pub answer: String,
    /// Where the other side keeps it, if it says so: what can be changed later.
    pub posted: Option<String>,
    /// When it is tried next.
    pub next_at: Timestamp,
    /// When it was delivered or given up.
    pub ended_at: Option<Timestamp>,
}

/// How one channel stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Messages that wait.
    pub waiting: u64,
    /// Messages that were given up.
    pub failed: u64,
    /// When one was delivered last.
    pub delivered_at: Option<Timestamp>,
}

/// A channel that said that it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Its name.
    pub channel: String,
    /// Since when.
    pub since: Timestamp,
    /// What it said.
    pub answer: String,
}

/// Takes messages in. One that is there already stays as it is: entries may come twice.
pub async fn insert(store: &Store, new: Vec<Delivery>) -> Result<(), StoreError> {
    store.derive(move |tx| Box::pin(async move { put_all(tx, &new).await }), || ()).await
}

async fn put_all(tx: &mut Tx, new: &[Delivery]) -> Result<(), StoreError> {
    for one in new {
        let sql = crate::sql(
            "INSERT INTO deliveries (channel, id, event, thread, payload, committed_at, writer, seq, state, \
             attempts, answer, posted, next_at, ended_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT (channel, id) DO NOTHING",
        )
        .bind(&one.channel)
        .bind(&one.id)
        .bind(&one.event)
        .bind(&one.thread)
        .bind(&one.payload)
        .bind(one.committed_at.0)
        .bind(i64::from(one.position.writer))
        .bind(int(one.position.seq)?)
        .bind(word(&one.state)?)
        .bind(i64::from(one.attempts))
        .bind(&one.answer)
        .bind(&one.posted)
        .bind(one.next_at.0)
        .bind(one.ended_at.map(|at| at.0));
        tx.run(sql).await?;
    }
    Ok(())
}

/// Writes down what became of an attempt: everything but what the message says and where it comes from.
pub async fn record(store: &Store, tried: Delivery) -> Result<(), StoreError> {
    store.derive(move |tx| Box::pin(async move { put_attempt(tx, &tried).await }), || ()).await
}

async fn put_attempt(tx: &mut Tx, tried: &Delivery) -> Result<(), StoreError> {
    let sql = crate::sql(
        "UPDATE deliveries SET state = $3, attempts = $4, answer = $5, posted = $6, next_at = $7, ended_at = $8 \
         WHERE channel = $1 AND id = $2",
    )
    .bind(&tried.channel)
    .bind(&tried.id)
    .bind(word(&tried.state)?)
    .bind(i64::from(tried.attempts))
    .bind(&tried.answer)
    .bind(&tried.posted)
    .bind(tried.next_at.0)
    .bind(tried.ended_at.map(|at| at.0));
    tx.run(sql).await.map(drop)
}

/// The message of a channel that is to be tried first at `now`. One whose thread has an earlier one that still waits
/// is not its turn.
pub async fn due(store: &Store, channel: &str, now: Timestamp) -> Result<Option<Delivery>, StoreError> {
    let sql = crate::sql(
        "SELECT * FROM deliveries d WHERE d.channel = $1 AND d.state = 'waiting' AND d.next_at <= $2 \
         AND NOT EXISTS (SELECT 1 FROM deliveries e WHERE e.channel = d.channel AND e.thread = d.thread \
         AND e.state = 'waiting' AND (e.committed_at, e.writer, e.seq) < (d.committed_at, d.writer, d.seq)) \
         ORDER BY d.committed_at, d.writer, d.seq LIMIT 1",
    )
    .bind(channel)
    .bind(now.0);
    Reader::from(store).one(sql, read).await
}

/// Does anything of this channel wait?
pub async fn waits(store: &Store, channel: &str) -> Result<bool, StoreError> {
    let sql = crate::sql("SELECT 1 AS one FROM deliveries WHERE channel = $1 AND state = 'waiting' LIMIT 1");
    Ok(Reader::from(store).one(sql.bind(channel), |row| row.int("one")).await?.is_some())
}

/// Where the other side keeps what it was told of this thread before.
pub async fn posted(store: &Store, channel: &str, thread: &str) -> Result<Option<String>, StoreError> {
    let sql = crate::sql(
        "SELECT posted FROM deliveries WHERE channel = $1 AND thread = $2 AND posted IS NOT NULL \
         ORDER BY committed_at DESC, writer, seq DESC LIMIT 1",
    );
    Reader::from(store).one(sql.bind(channel).bind(thread), |row| row.text("posted")).await
}

/// Messages, newest first; of one channel, or in one state, where it is given.
pub async fn list(
    from: impl Into<Reader<'_>>,
    channel: Option<&str>,
    state: Option<DeliveryState>,
    limit: u32,
) -> Result<Vec<Delivery>, StoreError> {
    let state = state.map(|state| word(&state)).transpose()?;
    let sql = crate::sql(
        "SELECT * FROM deliveries WHERE ($1 = '' OR channel = $1) AND ($2 = '' OR state = $2) \
         ORDER BY committed_at DESC, writer, seq DESC, channel LIMIT $3",
    )
    .bind(channel.unwrap_or_default())
    .bind(state.unwrap_or_default())
    .bind(i64::from(limit));
    from.into().all(sql, read).await
}

/// How a channel stands.
pub async fn standing(store: &Store, channel: &str) -> Result<Standing, StoreError> {
    let sql = crate::sql(
        "SELECT COUNT(CASE WHEN state = 'waiting' THEN 1 END) AS waiting, \
         COUNT(CASE WHEN state = 'failed' THEN 1 END) AS failed, \
         MAX(CASE WHEN state = 'delivered' THEN ended_at END) AS delivered_at FROM deliveries WHERE channel = $1",
    );
    Ok(Reader::from(store).one(sql.bind(channel), read_standing).await?.unwrap_or_default())
}

/// Messages that were given up, or that wait, are tried again at once: one, or all of the channel. Says how many.
pub async fn again(tx: &mut Tx, channel: &str, id: Option<&str>, now: Timestamp) -> Result<u64, StoreError> {
    let sql = crate::sql(
        "UPDATE deliveries SET state = 'waiting', attempts = 0, next_at = $3, ended_at = NULL \
         WHERE channel = $1 AND ($2 = '' OR id = $2) AND state <> 'delivered'",
    );
    tx.run(sql.bind(channel).bind(id.unwrap_or_default()).bind(now.0)).await
}

/// Forgets what ended before.
pub async fn prune(store: &Store, before: Timestamp) -> Result<(), StoreError> {
    store.derive(move |tx| Box::pin(async move { forget(tx, before).await }), || ()).await
}

async fn forget(tx: &mut Tx, before: Timestamp) -> Result<(), StoreError> {
    let sql = crate::sql("DELETE FROM deliveries WHERE ended_at IS NOT NULL AND ended_at < $1");
    tx.run(sql.bind(before.0)).await.map(drop)
}

/// Nothing is sent there any more.
pub async fn set_gone(tx: &mut Tx, gone: &Gone) -> Result<(), StoreError> {
    let sql =
        crate::sql("INSERT INTO gone_channels (name, since, answer) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING");
    tx.run(sql.bind(&gone.channel).bind(gone.since.0).bind(&gone.answer)).await.map(drop)
}

/// It is sent there again.
pub async fn set_back(tx: &mut Tx, channel: &str) -> Result<(), StoreError> {
    tx.run(crate::sql("DELETE FROM gone_channels WHERE name = $1").bind(channel)).await.map(drop)
}

/// The channels that are gone.
pub async fn gone(from: impl Into<Reader<'_>>) -> Result<Vec<Gone>, StoreError> {
    from.into().all(crate::sql("SELECT * FROM gone_channels ORDER BY name"), read_gone).await
}

fn read(row: &Row) -> Result<Delivery, StoreError> {
    Ok(Delivery {
        channel: row.text("channel")?,
        id: row.text("id")?,
        event: row.text("event")?,
        thread: row.text("thread")?,
        payload: row.text("payload")?,
        committed_at: row.time("committed_at")?,
        position: Position { writer: row.number("writer")?, seq: row.count("seq")? },
        state: row.word("state")?,
        attempts: row.number("attempts")?,
        answer: row.text("answer")?,
        posted: row.text_or_none("posted")?,
        next_at: row.time("next_at")?,
        ended_at: row.time_or_none("ended_at")?,
    })
}

fn read_standing(row: &Row) -> Result<Standing, StoreError> {
    Ok(Standing {
        waiting: row.count("waiting")?,
        failed: row.count("failed")?,
        delivered_at: row.time_or_none("delivered_at")?,
    })
}

fn read_gone(row: &Row) -> Result<Gone, StoreError> {
    Ok(Gone { channel: row.text("name")?, since: row.time("since")?, answer: row.text("answer")? })
}
