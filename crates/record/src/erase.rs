//! Erasing what is about a person, while every proof still holds.

use chancery_model::{Change, Draft, Kind, Position, Who, Why};
use chancery_store::{Durable, StoreError, bodies};

use crate::{RecordError, Recorder};

impl Recorder {
    /// Erases one body of an entry, content and salt, and records by whom and why in the same commit.
    ///
    /// The entry, its salted hash and every proof stay; whoever verifies the log finds the body missing and this
    /// erasure as the reason. Without the salt the hash tells nothing about the content.
    ///
    /// # Errors
    /// [`RecordError::NoSuchBody`] if there is none of that name, or it was erased before.
    pub async fn erase_body(
        &self,
        position: Position,
        name: &str,
        who: Who,
        reason: Option<String>,
    ) -> Result<Durable, RecordError> {
        let draft = Draft {
            kind: Kind::Change,
            at: self.inner.clock.now(),
            who,
            why: Why { reason, trace: None },
            change: Some(Change::erasure(position, name)),
            ..Draft::default()
        };
        let body = name.to_owned();
        let missing = RecordError::NoSuchBody { position, name: name.to_owned() };
        let erased = self.inner.store.write(draft, move |tx| {
            Box::pin(async move {
                match bodies::erase(tx, position, Some(&body)).await? {
                    0 => Err(StoreError::refuse(missing)),
                    _ => Ok(()),
                }
            })
        });
        match erased.await {
            Ok(written) => Ok(written.durable),
            Err(e) => Err(e.refusal::<RecordError>().unwrap_or_else(RecordError::Store)),
        }
    }
}
