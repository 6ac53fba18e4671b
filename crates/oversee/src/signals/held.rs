//! What a human decides about events that were held.

use chancery_model::{HeldId, HeldSignal, problem};
use chancery_store::{StoreError, findings, persons, signals};
use serde_json::json;

use super::SignalError;
use super::receiver::{MASS, Receiver, end_in, ended};
use crate::entry::Act;

impl Receiver {
    /// Those that wait, oldest first.
    pub async fn held(&self) -> Result<Vec<HeldSignal>, SignalError> {
        Ok(signals::held_ones(&self.store).await?)
    }

    /// Does what a held event asks for, or lets it be. When none of its transmitter waits any more, the finding closes.
    pub async fn decide(&self, id: &str, apply: bool, reason: &str, actor: &str) -> Result<HeldSignal, SignalError> {
        let missing = || SignalError::new(problem::NO_HELD_SIGNAL, format!("there is no held signal `{id}`"));
        let id: HeldId = id.parse().map_err(|_| missing())?;
        let held =
            signals::held(&self.store, &id).await?.filter(|held| held.decided_at.is_none()).ok_or_else(missing)?;
        let now = self.clock.now();
        let decided =
            HeldSignal { decided_at: Some(now), decided_by: Some(actor.to_owned()), applied: Some(apply), ..held };
        let verb = if apply { "apply" } else { "dismiss" };
        let act = Act { actor, noun: "held_signal", id: id.as_str(), verb, reason: Some(reason) };
        let draft = act.draft(now, &json!(decided));
        let after = decided.clone();
        let actor = actor.to_owned();
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                if !signals::decide(tx, &id, &actor, now, apply).await? {
                    let why = "somebody decided a moment ago";
                    return Err(StoreError::refuse(SignalError::new(problem::NO_HELD_SIGNAL, why)));
                }
                if let Some(person) = persons::by_name(&mut *tx, &decided.person).await?.filter(|_| apply) {
                    let after = ended(person.clone(), decided.action);
                    end_in(tx, &person, &after, now).await?;
                }
                let waiting = signals::held_ones(&mut *tx).await?;
                if !waiting.iter().any(|held| held.transmitter == decided.transmitter) {
                    findings::close(tx, MASS, &decided.transmitter, now).await?;
                }
                Ok(())
            })
        });
        write.await?;
        Ok(after)
    }
}
