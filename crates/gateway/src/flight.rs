//! An act that was recorded and is on its way: whatever happens to it, its intent is closed.

use std::sync::Arc;

use bytes::Bytes;
use chancery_model::{ActResult, Body as KeptBody, DecisionId, Draft, Position};
use chancery_record::Receipt;
use http::Response;

use crate::body::Body;
use crate::claim::Claim;
use crate::gateway::Gateway;
use crate::known::{Known, detail as shortened};
use crate::refusal::{Refusal, Subject};
use crate::sessions::Busy;
use crate::slots::{Sending, Slot};

/// An open intent. Dropped without an end (the client went away, a stream broke off), it is indeterminate.
pub(crate) struct Flight {
    gateway: Arc<Gateway>,
    position: Position,
    outcome: Option<Draft>,
    /// How it ends if nothing more is heard: streams that merely carry messages end well.
    unheard: ActResult,
    keep_result: bool,
    pub(crate) subject: Subject,
    slot: Option<Slot>,
    busy: Option<Busy>,
    claim: Claim,
}

impl Flight {
    pub(crate) fn new(
        gateway: &Arc<Gateway>,
        receipt: &Receipt,
        known: &Known,
        (slot, busy, claim): (Slot, Option<Busy>, Claim),
    ) -> Self {
        Self {
            gateway: gateway.clone(),
            position: receipt.position(),
            outcome: Some(known.to_outcome()),
            unheard: ActResult::Indeterminate,
            keep_result: known.subject.tool_call,
            subject: known.subject.clone(),
            slot: Some(slot),
            busy,
            claim,
        }
    }

    /// The intent's public name.
    pub(crate) fn id(&self) -> DecisionId {
        DecisionId(self.position)
    }

    /// Something may be sent from now on, until what is returned is dropped.
    pub(crate) fn sends(&self, tool: Option<&str>) -> Option<Sending> {
        self.slot.as_ref().map(|slot| slot.sends(tool))
    }

    /// It only carries messages: its end is no failure.
    pub(crate) fn carries(&mut self) {
        self.unheard = ActResult::Succeeded;
    }

    /// It no longer counts as a request in progress.
    pub(crate) fn release(&mut self) {
        self.slot = None;
        self.busy = None;
    }

    /// Records how it ended; `result` is kept apart as a body, cut to the configured size.
    pub(crate) async fn close(mut self, ended: ActResult, detail: Option<String>, result: Option<Bytes>) {
        if let Some(outcome) = self.finish(ended, detail, result) {
            self.gateway.recorder.after(self.position, outcome).await;
        }
    }

    /// Nothing was sent: the intent is closed, and the agent is told why.
    pub(crate) async fn not_sent(self, refusal: Refusal) -> Response<Body> {
        let (id, subject) = (self.id(), self.subject.clone());
        self.close(ActResult::NotSent, Some(refusal.why.clone()), None).await;
        refusal.answer(&subject, Some(id))
    }

    fn finish(&mut self, ended: ActResult, detail: Option<String>, result: Option<Bytes>) -> Option<Draft> {
        let mut outcome = self.outcome.take()?;
        outcome.at = self.gateway.clock.now();
        outcome.result = Some(ended);
        outcome.detail = detail.as_deref().map(shortened);
        outcome.uses = std::mem::take(&mut self.claim).end(ended, result.as_ref());
        if let Some(content) = result.filter(|_| self.keep_result) {
            let most = self.gateway.config.limits.kept_result;
            if content.len() > most {
                let cut = format!("the first {most} of {} bytes of the result are kept", content.len());
                outcome.detail = Some(outcome.detail.map_or(cut.clone(), |detail| format!("{detail}; {cut}")));
            }
            let content = content.slice(..content.len().min(most)).to_vec();
            outcome.bodies = vec![KeptBody { name: "result", content }];
        }
        Some(outcome)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let ended = self.unheard;
        let detail =
            (ended == ActResult::Indeterminate).then(|| "no answer was seen before the connection ended".to_owned());
        let Some(outcome) = self.finish(ended, detail, None) else { return };
        let (gateway, position) = (self.gateway.clone(), self.position);
        // Without a runtime the process is ending: the next start reports the intent as indeterminate.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { gateway.recorder.after(position, outcome).await });
        }
    }
}
