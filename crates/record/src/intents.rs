//! Intents and what became of them: found, and closed after a crash.

use std::collections::{BTreeMap, HashSet};

use chancery_model::{ActResult, Change, Draft, Entry, HeaderRef, Kind, Position, Timestamp, What};
use chancery_store::{Durable, StoreError, log};

use crate::{Found, RecordError, Recorder};

/// The change that marks a start: every intent before it has an outcome.
const START: &str = "start";

impl Recorder {
    /// What became of the intent at `position`, if it is known yet. The newest, should there be several.
    pub async fn outcome_of(&self, position: Position) -> Result<Option<Found>, RecordError> {
        let mut scan = log::forward(&self.inner.store, position);
        let mut newest = None;
        while let Some(segment) = scan.next().await? {
            for (at, bytes) in segment.entries().filter(|(at, _)| at.seq > position.seq) {
                let entry = decode_if(bytes, at, |kind| kind == Kind::Outcome)?;
                let closing = entry.filter(|entry| entry.draft.closes == Some(position));
                newest =
                    closing.map(|entry| Found { position: at, entry, committed_at: segment.committed_at }).or(newest);
            }
        }
        Ok(newest)
    }

    /// Looks at the outcomes before the sequence number `before`, newest first, back to commits of `since`. Returns how
    /// many there were.
    pub async fn outcomes(
        &self,
        before: u64,
        since: Timestamp,
        mut each: impl FnMut(&Entry),
    ) -> Result<usize, RecordError> {
        let mut scan = log::newest_first(&self.inner.store, self.inner.store.writer());
        let mut count = 0;
        while let Some(segment) = scan.next().await? {
            // An entry is older than its commit, and commits only get older from here.
            if segment.committed_at < since {
                break;
            }
            for (position, bytes) in segment.entries().rev().filter(|(position, _)| position.seq < before) {
                if let Some(entry) = decode_if(bytes, position, |kind| kind == Kind::Outcome)? {
                    each(&entry);
                    count += 1;
                }
            }
        }
        Ok(count)
    }

    /// To be called once at start, before anything is forwarded: closes every intent that the last run left open.
    ///
    /// Their acts may or may not have happened: the process died in between. Each gets an outcome entry that says so
    /// ([`ActResult::Indeterminate`]). Returns those intents, in order. The start itself is recorded.
    pub async fn indeterminate(&self) -> Result<Vec<Position>, RecordError> {
        let open = self.left_open().await?;
        // All at once: they share commits.
        let mut closing = tokio::task::JoinSet::new();
        for (position, intent) in &open {
            let (store, outcome) = (self.inner.store.clone(), self.unknown_outcome(*position, intent));
            closing.spawn(async move { store.append(outcome).await });
        }
        while let Some(closed) = closing.join_next().await {
            let _: Durable = closed.unwrap_or(Err(StoreError::Closed))?;
        }
        self.mark_start(open.len()).await?;
        Ok(open.into_keys().collect())
    }

    /// The intents since the last start that have no outcome.
    async fn left_open(&self) -> Result<BTreeMap<Position, Draft>, RecordError> {
        let mut scan = log::newest_first(&self.inner.store, self.inner.store.writer());
        let (mut open, mut closed) = (BTreeMap::new(), HashSet::new());
        while let Some(segment) = scan.next().await? {
            for (position, bytes) in segment.entries().rev() {
                let Some(entry) = decode_if(bytes, position, |kind| kind != Kind::Decision)? else { continue };
                match entry.draft.kind {
                    Kind::Intent if !closed.remove(&position) => drop(open.insert(position, entry.draft)),
                    Kind::Outcome => closed.extend(entry.draft.closes),
                    Kind::Change if is_start(&entry) => return Ok(open),
                    _ => {}
                }
            }
        }
        Ok(open)
    }

    fn unknown_outcome(&self, closes: Position, intent: &Draft) -> Draft {
        Draft {
            kind: Kind::Outcome,
            at: self.inner.clock.now(),
            who: intent.who.clone(),
            what: What { fields: BTreeMap::new(), ..intent.what.clone() },
            authority: intent.authority.clone(),
            uses: intent.uses.clone(),
            closes: Some(closes),
            result: Some(ActResult::Indeterminate),
            detail: Some("the process ended before the outcome was recorded".to_owned()),
            ..Draft::default()
        }
    }

    async fn mark_start(&self, closed: usize) -> Result<(), RecordError> {
        let id = self.key().name().to_owned();
        let draft = Draft {
            kind: Kind::Change,
            at: self.inner.clock.now(),
            detail: Some(format!("{closed} intents were left open by the last run")),
            change: Some(Change { noun: "log".to_owned(), id, verb: START.to_owned(), after: None }),
            ..Draft::default()
        };
        self.inner.store.append(draft).await?;
        Ok(())
    }
}

fn is_start(entry: &Entry) -> bool {
    entry.draft.change.as_ref().is_some_and(|change| change.noun == "log" && change.verb == START)
}

/// Decodes an entry of a kind that is wanted; the others cost a look at their header.
pub(crate) fn decode_if(
    bytes: &[u8],
    position: Position,
    wanted: impl Fn(Kind) -> bool,
) -> Result<Option<Entry>, RecordError> {
    let unreadable = |e| StoreError::Damaged(format!("entry {} cannot be read: {e}", position.seq));
    let header = HeaderRef::decode(bytes).map_err(unreadable)?;
    if wanted(header.kind) { Ok(Some(Entry::decode(bytes).map_err(unreadable)?)) } else { Ok(None) }
}
