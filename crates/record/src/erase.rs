//! Erasing what is about a person, while every proof still holds.

use chancery_model::{Change, Draft, Kind, Position, Who, Why};
use chancery_store::{Durable, StoreError, approvals, bodies, log};

use crate::{RecordError, Recorder};

/// The bodies that are kept beside a request for approval too.
const KEPT: [&str; 3] = ["arguments", "input", "dry_run"];

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
        let (body, now) = (name.to_owned(), draft.at);
        let missing = RecordError::NoSuchBody { position, name: name.to_owned() };
        let erased = self.inner.store.write(draft, move |tx| {
            Box::pin(async move {
                if bodies::erase(tx, position, Some(&body)).await? == 0 {
                    return Err(StoreError::refuse(missing));
                }
                // What people were shown to decide about it is the same content, kept beside its request.
                let entry = log::entry(&mut *tx, position).await?;
                let approval = entry.and_then(|entry| entry.draft.authority.approval?.parse().ok());
                match approval.filter(|_| KEPT.contains(&body.as_str())) {
                    Some(approval) => approvals::forget(tx, &approval, now).await,
                    None => Ok(()),
                }
            })
        });
        match erased.await {
            Ok(written) => Ok(written.durable),
            Err(e) => Err(e.refusal::<RecordError>().unwrap_or_else(RecordError::Store)),
        }
    }
}
