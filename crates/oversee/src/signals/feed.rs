//! From the log into the streams.

use std::sync::Arc;

use chancery_model::{DecisionId, SignalStream, StreamStatus, Timestamp};
use chancery_store::signals::{self, Waiting};
use chancery_store::{BoxFuture, StoreError, streams};
use serde_json::{Value, json};

use super::queue::{self, MOST_WAITING};
use super::told::{Teller, Told};
use super::transmitter::{Transmitter, delivered};
use super::{kinds, subject};
use crate::entry::Act;
use crate::follow::{Followed, Job, JobFailed};

/// How many events one entry about a stream names.
const BATCH: usize = 200;

/// Puts what entries tell into the streams of those who asked for it.
pub struct Feed(pub Arc<Transmitter>);

/// A stream, and what its receiver does not want to be told of.
struct Wish {
    stream: SignalStream,
    removed: Vec<Value>,
}

impl Job for Feed {
    fn take<'a>(&'a mut self, entries: &'a [Followed]) -> BoxFuture<'a, Result<(), JobFailed>> {
        Box::pin(async move { Ok(self.tell(entries).await?) })
    }
}

impl Feed {
    /// An entry that comes twice is told once, as long as its event waits.
    async fn tell(&self, entries: &[Followed]) -> Result<(), StoreError> {
        let wishes = self.wishes().await?;
        if wishes.is_empty() {
            return Ok(());
        }
        let teller = Teller { store: &self.0.store, issuer: &self.0.config.issuer };
        let mut told = Vec::new();
        for followed in entries {
            let id = followed.id();
            let events = teller.tell(&followed.entry).await?;
            told.extend(events.into_iter().map(|event| (id, followed.committed_at, event)));
        }
        for wish in wishes {
            let now = self.0.clock.now();
            // What was before a stream is not told over it.
            let wanted = told.iter().filter(|(_, at, told)| *at >= wish.stream.created_at && wish.wants(told));
            let signals: Vec<Waiting> = wanted.map(|(id, _, told)| waiting(&wish.stream, *id, told, now)).collect();
            for batch in signals.chunks(BATCH) {
                self.put(&wish.stream, batch.to_vec()).await?;
            }
        }
        Ok(())
    }

    async fn wishes(&self) -> Result<Vec<Wish>, StoreError> {
        let mut wishes = Vec::new();
        for stored in streams::all(&self.0.store).await? {
            let stream = stored.stream;
            if stream.status == StreamStatus::Disabled || delivered(&stream).is_empty() {
                continue;
            }
            let removed = streams::removed_subjects(&self.0.store, &stream.id).await?;
            let removed = removed.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
            wishes.push(Wish { stream, removed });
        }
        Ok(wishes)
    }

    /// They wait from now on. A stream that nobody empties is closed instead of growing for ever.
    async fn put(&self, stream: &SignalStream, batch: Vec<Waiting>) -> Result<(), StoreError> {
        let now = self.0.clock.now();
        let names: Vec<Value> = batch.iter().map(|waiting| waiting.jti.as_str().into()).collect();
        let act = Act { actor: "system", noun: "stream", id: stream.id.as_str(), verb: "queue", reason: None };
        let draft = act.draft(now, &json!({"signals": names}));
        let why = format!("{MOST_WAITING} events wait that nobody took");
        let notice = queue::notice(stream, StreamStatus::Disabled, Some(&why), now, &*self.0.random);
        let id = stream.id.clone();
        let write = self.0.store.write(draft, move |tx| {
            Box::pin(async move {
                // It may have been deleted or disabled since it was looked at.
                let stored = streams::get(&mut *tx, &id).await?;
                if stored.is_none_or(|stored| stored.stream.status == StreamStatus::Disabled) {
                    return Ok(());
                }
                if signals::count(&mut *tx, &id).await? >= MOST_WAITING {
                    return queue::govern(tx, &id, StreamStatus::Disabled, Some(&why), &notice).await.map(drop);
                }
                for signal in &batch {
                    signals::push(tx, &id, signal).await?;
                }
                Ok(())
            })
        });
        write.await?;
        self.0.wake();
        Ok(())
    }
}

impl Wish {
    fn wants(&self, told: &Told) -> bool {
        delivered(&self.stream).contains(&told.kind)
            && !self.removed.iter().any(|removed| subject::matches(removed, &told.subject))
    }
}

/// Its name follows from what it is about, so that an entry that is read twice makes no second event. `txn` is the entry:
/// all events of one cause have the same (Shared Signals Framework 1.0, section 4.1.9).
fn waiting(stream: &SignalStream, entry: DecisionId, told: &Told, now: Timestamp) -> Waiting {
    let place = format!("{}/{entry}/{}", stream.id, kinds::short(told.kind));
    let jti = queue::hex(&chancery_store::sha256(place.as_bytes())[..16]);
    let claims = json!({"sub_id": told.subject, "txn": entry, "events": {told.kind: told.event}});
    Waiting { jti, made_at: now, claims: claims.to_string(), control: false }
}
