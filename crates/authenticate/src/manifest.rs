//! What an agent states that it is made of, judged against what was approved when it opens a session.
//!
//! A statement proves nothing: an agent that lies is not found out here. It keeps honest agents honest: whoever changes
//! model, prompt or tools and says so waits for somebody to look at it.

use std::sync::Arc;

use chancery_model::{
    Agent, Blueprint, Change, Digest, Draft, Finding, Kind, Manifest, Seen, Severity, Stated, Timestamp, Who, canonical,
};
use chancery_store::{StoreError, findings, manifests};
use serde_json::json;

use crate::authenticator::Authenticator;
use crate::directory::AgentSlot;
use crate::jose::sha256;
use crate::sessions::SessionError;

/// OWASP Agentic top ten: agentic supply chain.
const OWASP: &str = "ASI04";

/// Whose approved manifest an agent is judged by.
struct Holder {
    id: String,
    /// What findings are about.
    subject: String,
    /// For people.
    name: String,
    approved: Option<Digest>,
}

impl Authenticator {
    /// Refuses an agent that does not state the approved manifest, where one was approved for it or its blueprint. What
    /// was stated instead is written down, once, with a finding; so is the first one where none was approved yet.
    pub(crate) async fn judge_manifest(&self, slot: &AgentSlot, stated: Option<&Stated>) -> Result<(), SessionError> {
        let (agent, blueprint) = (slot.agent(), slot.blueprint());
        let holder = Holder::of(&agent, blueprint.as_deref());
        let digest = stated.map(|stated| stated.digest(sha256));
        if holder.approved == digest {
            return Ok(());
        }
        if slot.stated().load().as_deref() != Some(&digest) {
            self.write_down(&holder, &agent, stated).await?;
            slot.stated().store(Some(Arc::new(digest)));
        }
        match holder.approved {
            None => Ok(()),
            Some(approved) => Err(SessionError::Manifest(refusal(&holder, approved, digest))),
        }
    }

    async fn write_down(&self, holder: &Holder, agent: &Agent, stated: Option<&Stated>) -> Result<(), StoreError> {
        let now = self.clock.now();
        let known = manifests::get(&self.store, &holder.id).await?;
        let whole = stated.and_then(Stated::whole);
        let changed = known.approved.as_ref().zip(whole).map(|(approved, stated)| approved.differing(stated));
        let digest = stated.map(|stated| stated.digest(sha256));
        let finding = holder.approved.map(|approved| holder.finding(agent, approved, digest, changed.as_deref(), now));
        let seen = digest.map(|digest| seen(agent, digest, whole, now));
        let draft = holder.draft(agent, digest, changed.as_deref(), now);
        let id = holder.id.clone();
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                if let Some(seen) = &seen {
                    manifests::state(tx, &id, seen).await?;
                }
                match &finding {
                    Some(finding) => findings::open(tx, finding).await,
                    None => Ok(()),
                }
            })
        });
        write.await.map(drop)
    }
}

impl Holder {
    fn of(agent: &Agent, blueprint: Option<&Blueprint>) -> Self {
        match blueprint {
            Some(blueprint) if agent.manifest.is_none() => Self {
                id: blueprint.id.to_string(),
                subject: Finding::about_blueprint(&blueprint.name),
                name: format!("blueprint `{}`", blueprint.name),
                approved: blueprint.manifest,
            },
            _ => Self {
                id: agent.id.to_string(),
                subject: agent.name.clone(),
                name: format!("agent `{}`", agent.name),
                approved: agent.manifest,
            },
        }
    }

    fn finding(
        &self,
        agent: &Agent,
        approved: Digest,
        stated: Option<Digest>,
        changed: Option<&[&str]>,
        now: Timestamp,
    ) -> Finding {
        let stated = stated.map_or("no manifest".to_owned(), |digest| format!("manifest {digest}"));
        let changed = changed.map_or("in what they differ is not known".to_owned(), |members| {
            format!("they differ in {}", members.join(", "))
        });
        Finding {
            rule: Finding::MANIFEST_CHANGED.into(),
            subject: self.subject.clone(),
            severity: Severity::High,
            evidence: format!(
                "agent `{}` stated {stated}; approved for {} is {approved}; {changed}",
                agent.name, self.name
            ),
            owasp: OWASP.into(),
            opened_at: now,
            closed_at: None,
        }
    }

    fn draft(&self, agent: &Agent, stated: Option<Digest>, changed: Option<&[&str]>, now: Timestamp) -> Draft {
        let after = json!({"approved": self.approved, "stated": stated, "changed": changed});
        let after = canonical(&after).ok().map(|json| String::from_utf8_lossy(&json).into_owned());
        let who = Who { agent: Some(agent.id.to_string()), name: Some(agent.name.clone()), ..Who::default() };
        let change = Change { noun: "manifest".into(), id: self.subject.clone(), verb: "state".into(), after };
        Draft { kind: Kind::Change, at: now, who, change: Some(change), ..Draft::default() }
    }
}

fn seen(agent: &Agent, digest: Digest, whole: Option<&Manifest>, now: Timestamp) -> Seen {
    Seen { digest, manifest: whole.cloned(), by: agent.name.clone(), at: now }
}

fn refusal(holder: &Holder, approved: Digest, stated: Option<Digest>) -> String {
    match stated {
        None => format!("state your `manifest`: {} has an approved one, {approved}", holder.name),
        Some(stated) => format!("manifest {stated} is not the one approved for {}, {approved}", holder.name),
    }
}
