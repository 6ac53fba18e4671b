//! What waits in streams.

use chancery_model::{Random, SignalStream, StreamId, StreamStatus, Timestamp, problem};
use chancery_store::signals::{self, Waiting};
use chancery_store::streams::{self, StoredStream};
use chancery_store::{StoreError, Tx};
use serde_json::{Value, json};

use super::subject::opaque;
use super::{SignalError, kinds};

/// How many events may wait in one stream. A receiver that lets more gather has gone away.
pub(super) const MOST_WAITING: u64 = 10_000;

/// A verification event: its subject is the stream (Shared Signals Framework 1.0, section 8.1.4.1).
pub(super) fn verification(stream: &SignalStream, state: Option<&str>, now: Timestamp, random: &dyn Random) -> Waiting {
    let event = state.map_or_else(|| json!({}), |state| json!({"state": state}));
    about_stream(stream, kinds::VERIFICATION, event, (now, random), false)
}

/// That the stream's status changed (section 8.1.5).
pub(super) fn notice(
    stream: &SignalStream,
    status: StreamStatus,
    reason: Option<&str>,
    now: Timestamp,
    random: &dyn Random,
) -> Waiting {
    let mut event = json!({"status": status});
    if let Some(reason) = reason {
        event["reason"] = reason.into();
    }
    about_stream(stream, kinds::STREAM_UPDATED, event, (now, random), true)
}

fn about_stream(
    stream: &SignalStream,
    kind: &str,
    event: Value,
    (now, random): (Timestamp, &dyn Random),
    control: bool,
) -> Waiting {
    let name = hex(&random.bytes::<16>());
    let claims = json!({"sub_id": opaque(stream.id.as_str()), "txn": name, "events": {kind: event}});
    Waiting { jti: name, made_at: now, claims: claims.to_string(), control }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sets a stream's status of our own accord, and says so over it: behind what waits, or alone where nothing may wait.
pub(super) async fn govern(
    tx: &mut Tx,
    id: &StreamId,
    status: StreamStatus,
    reason: Option<&str>,
    notice: &Waiting,
) -> Result<SignalStream, StoreError> {
    let missing = || StoreError::refuse(SignalError::new(problem::NO_STREAM, "it was deleted a moment ago"));
    let stored = streams::get(&mut *tx, id).await?.ok_or_else(missing)?;
    if status == StreamStatus::Disabled {
        signals::clear(tx, id).await?;
    }
    let stream = SignalStream { status, reason: reason.map(str::to_owned), ..stored.stream };
    streams::update(tx, &StoredStream { stream: stream.clone(), authorization: stored.authorization }).await?;
    signals::push(tx, id, notice).await?;
    Ok(stream)
}
