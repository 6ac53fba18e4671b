//! Delivery by poll (RFC 8936).

use std::collections::BTreeMap;
use std::time::Duration;

use chancery_model::{Delivery, StreamStatus};
use chancery_store::signals;
use chancery_store::streams::StoredStream;
use serde::{Deserialize, Serialize};

use super::SignalError;
use super::push::{Done, word};
use super::transmitter::{Admitted, Transmitter};

/// How many events one answer has at the most.
const MOST: u64 = 100;
/// How many acknowledgements one request has at the most.
const MOST_ACKS: usize = 1_000;
/// How long a poll waits for an event.
const LONGEST: Duration = Duration::from_secs(25);
/// Between two looks for what another node put there.
const LOOK: Duration = Duration::from_secs(1);

/// A poll (section 2.2).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PollRequest {
    /// How many events to give at the most; with 0 it is only an acknowledgement.
    pub max_events: Option<u64>,
    /// Whether to answer at once, with or without an event.
    pub return_immediately: bool,
    /// Events that were taken.
    pub ack: Vec<String>,
    /// Events that were not, each with why.
    pub set_errs: BTreeMap<String, SetError>,
}

/// Why an event was not taken (section 2.6).
#[derive(Debug, Deserialize)]
pub struct SetError {
    err: String,
    #[serde(default)]
    description: String,
}

/// The answer to a poll (section 2.3).
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PollAnswer {
    /// Signed events by their names, in order.
    pub sets: serde_json::Map<String, serde_json::Value>,
    /// Whether there are more.
    pub more_available: bool,
}

impl Transmitter {
    /// Takes acknowledgements, then gives what waits; waits a while for something if that is wanted, but no longer than
    /// until `closing`. What is not acknowledged is given again.
    pub async fn poll(
        &self,
        receiver: &Admitted,
        id: &str,
        request: PollRequest,
        closing: impl Future<Output = ()> + Send,
    ) -> Result<PollAnswer, SignalError> {
        if request.ack.len() + request.set_errs.len() > MOST_ACKS {
            return Err(SignalError::bad(format!("a poll acknowledges at most {MOST_ACKS} events")));
        }
        let stored = self.polled(receiver, id).await?;
        self.acknowledge(&stored, &request).await?;
        let most = request.max_events.unwrap_or(MOST).min(MOST);
        let answer = self.available(&stored, most).await?;
        if !answer.sets.is_empty() || request.return_immediately || most == 0 {
            return Ok(answer);
        }
        let waiting = self.wait_for_one(receiver, id, most);
        tokio::select! {
            answer = waiting => answer,
            () = tokio::time::sleep(LONGEST) => Ok(PollAnswer::default()),
            () = closing => Ok(PollAnswer::default()),
        }
    }

    async fn polled(&self, receiver: &Admitted, id: &str) -> Result<StoredStream, SignalError> {
        let stored = self.stream(receiver, id, &self.store).await?;
        match stored.stream.delivery {
            Delivery::Poll => Ok(stored),
            Delivery::Push { .. } => Err(SignalError::bad("the stream's events are pushed")),
        }
    }

    async fn wait_for_one(&self, receiver: &Admitted, id: &str, most: u64) -> Result<PollAnswer, SignalError> {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let answer = self.available(&self.polled(receiver, id).await?, most).await?;
            if !answer.sets.is_empty() {
                return Ok(answer);
            }
            // Time, or the sender, which lives in `self`.
            let _ = tokio::time::timeout(LOOK, changed.changed()).await;
        }
    }

    async fn available(&self, stored: &StoredStream, most: u64) -> Result<PollAnswer, SignalError> {
        let enabled = stored.stream.status == StreamStatus::Enabled;
        let mut waiting = signals::first(&self.store, &stored.stream.id, enabled, most + 1).await?;
        let more_available = waiting.len() as u64 > most;
        waiting.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        let mut sets = serde_json::Map::new();
        for signal in &waiting {
            let token = self.token(stored, signal).await;
            let token = token.map_err(|why| SignalError::new(chancery_model::problem::INTERNAL, why))?;
            sets.insert(signal.jti.clone(), token.into());
        }
        Ok(PollAnswer { sets, more_available })
    }

    /// Names that wait no more, or never did, are none of our business (section 2.4).
    async fn acknowledge(&self, stored: &StoredStream, request: &PollRequest) -> Result<(), SignalError> {
        let refused =
            request.set_errs.iter().map(|(jti, error)| (jti.clone(), word(&error.err), word(&error.description)));
        let refused: Vec<_> = refused.collect();
        let names: Vec<String> = request.ack.iter().chain(refused.iter().map(|(jti, ..)| jti)).cloned().collect();
        if names.is_empty() {
            return Ok(());
        }
        let waiting = signals::waiting(&self.store, &stored.stream.id, &names).await?;
        let mut done = Done { taken: request.ack.clone(), refused };
        done.taken.retain(|jti| waiting.contains(jti));
        done.refused.retain(|(jti, ..)| waiting.contains(jti));
        self.settle(stored, done).await
    }
}
