//! What the writer does when its connection is lost: it goes on only after it has read where its chain ends.
//!
//! A commit that was on its way is committed or not. Over a new connection, when the lost session is over for certain,
//! the end of the log says which: the chain ends with that commit or before it. Until then nothing is written, so no
//! position is handed out twice.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chancery_model::Timestamp;

use crate::job::Job;
use crate::log::{Chain, tail};
use crate::open::postgres::Server;
use crate::writer::{Made, Writer};
use crate::{StoreError, Tx};

/// How long those who wait for a commit wait for the connection to come back.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long between two attempts to connect.
const EVERY: Duration = Duration::from_millis(200);

impl Writer {
    /// Connects again and answers everybody. Those of a commit that was sent are told what became of it, or after a few
    /// seconds that nobody knows.
    pub(crate) async fn recover(&mut self, batch: Vec<Job>, sent: Option<Made>, at: Timestamp, why: &str) {
        tracing::warn!(reason = why, sent = sent.is_some(), "the connection to the database was lost");
        let why: Arc<str> = why.into();
        let mut waiting = batch;
        if sent.is_none() {
            self.tx.take_noted();
            fail_each(std::mem::take(&mut waiting), || StoreError::Unavailable(Arc::clone(&why)));
        }
        let soon =
            tokio::time::timeout(PATIENCE, reconnect(self.server.as_ref(), &mut self.tx, self.chain.writer)).await;
        // What left nothing in the chain cannot be looked for there.
        if soon.is_err() || sent.as_ref().is_some_and(|made| made.leaves.count() == 0) {
            fail_each(std::mem::take(&mut waiting), || StoreError::Unknown(Arc::clone(&why)));
        }
        let found = match soon {
            Ok(found) => Some(found),
            Err(_) => self.reconnect_refusing(&why).await,
        };
        match found {
            Some(Ok(found)) => self.resolve(waiting, sent, at, found, &why).await,
            Some(Err(broken)) => self.break_off(waiting, &broken),
            None => fail_each(waiting, || StoreError::Closed),
        }
    }

    /// The commit is at the end of the chain, or the chain ends before it. Even if nobody waits for it any more, the
    /// observers have to hear of it.
    async fn resolve(&mut self, waiting: Vec<Job>, sent: Option<Made>, at: Timestamp, found: Chain, why: &Arc<str>) {
        tracing::info!(committed = found == self.chain, "connected to the database again");
        match sent {
            Some(made) if found == self.chain => self.settle(waiting, made, at).await,
            Some(made) if found == made.before => {
                self.tx.take_noted();
                self.chain = found;
                fail_each(waiting, || StoreError::Unavailable(Arc::clone(why)));
            }
            None if found == self.chain => {}
            _ => self.break_off(waiting, &strange(&found)),
        }
    }

    /// Goes on trying; whoever comes meanwhile is refused. Nothing if the store is closed first.
    async fn reconnect_refusing(&mut self, why: &Arc<str>) -> Option<Result<Chain, StoreError>> {
        let Self { tx, inbox, shared, server, chain, .. } = self;
        let mut reconnecting = pin!(reconnect(server.as_ref(), tx, chain.writer));
        loop {
            tokio::select! {
                biased;
                outcome = &mut reconnecting => return Some(outcome),
                () = shared.closing() => return None,
                job = inbox.recv() => job?.fail(StoreError::Unavailable(Arc::clone(why))),
            }
        }
    }
}

/// Tries until there is a connection, then reads where the chain ends.
async fn reconnect(server: Option<&Server>, tx: &mut Tx, writer: u32) -> Result<Chain, StoreError> {
    let Some(server) = server else { return Err(StoreError::Closed) };
    loop {
        match server.reconnect(writer).await {
            Ok(link) => {
                // The lost one is not closed in good order: that would wait for an answer.
                drop(tx.replace(link));
                match tail::chain(tx, writer).await {
                    Err(e) if e.is_outage() => {}
                    read => return read,
                }
            }
            Err(e) => tracing::debug!(error = %e, "the database cannot be reached"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn strange(found: &Chain) -> StoreError {
    let Chain { writer, next_seq, .. } = found;
    StoreError::Damaged(format!("the chain of writer {writer} ends at {next_seq}, and this process did not write that"))
}

fn fail_each(batch: Vec<Job>, why: impl Fn() -> StoreError) {
    batch.into_iter().for_each(|job| job.fail(why()));
}
