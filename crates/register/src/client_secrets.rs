//! Shared secrets for agents that cannot hold a key: shown once, kept as a hash, and shown as a finding.

use std::sync::Arc;

use chancery_model::{Agent, ClientSecret, Finding, Secret, Severity, Span, Timestamp};
use chancery_store::enrolments::code_hash;
use chancery_store::{client_secrets, findings};

use crate::code::{LONG, secret};
use crate::registrar::{Beside, By, Registrar};
use crate::{RegisterError, fields};

/// An agent authenticates with a secret that can be copied.
pub(crate) const RULE: &str = "client-secret";
/// How secrets begin, so that a leaked one is recognised.
const PREFIX: &str = "chy-secret-";
/// The longest a secret may live.
const LONGEST: Span = Span::days(365);

/// A new secret. It can be shown this once.
#[derive(Debug)]
pub struct NewSecret {
    /// The secret.
    pub secret: Secret,
    /// From then on it is worth nothing.
    pub expires_at: Timestamp,
}

impl Registrar {
    /// Makes another secret for an agent; those before stay good until they are revoked, so that they can be exchanged
    /// with overlap. A registered agent becomes active.
    pub async fn new_secret(
        &self,
        name_or_id: &str,
        lasts: Span,
        reason: &str,
        actor: &str,
    ) -> Result<NewSecret, RegisterError> {
        let reason = fields::said("reason", reason)?;
        if lasts.0 <= 0 || lasts.0 > LONGEST.0 {
            let why = format!("between now and {} days is accepted", LONGEST.as_seconds() / 86_400);
            return Err(RegisterError::Field { field: "expires", why });
        }
        let now = self.clock.now();
        let made = NewSecret { secret: secret::<LONG>(PREFIX, &*self.random), expires_at: now + lasts };
        let (hash, expires_at) = (code_hash(made.secret.expose()), made.expires_at);
        let beside: Beside<Agent> = Arc::new(move |tx, agent| {
            Box::pin(async move {
                let agent_id = agent.id.clone();
                let secret = ClientSecret { hash, agent: agent_id, created_at: now, expires_at, revoked_at: None };
                client_secrets::insert(tx, &secret).await?;
                findings::open(tx, &finding(&agent, now)).await
            })
        });
        let by = By { actor, verb: "new_secret", reason: Some(&reason) };
        self.change(name_or_id, &by, |agent: Agent, _| Ok(agent.activate()?), beside).await?;
        Ok(made)
    }

    /// Revokes all secrets of an agent. Sessions that were opened with one end.
    pub async fn revoke_secrets(&self, name_or_id: &str, reason: &str, actor: &str) -> Result<Agent, RegisterError> {
        let reason = fields::said("reason", reason)?;
        let now = self.clock.now();
        let beside: Beside<Agent> = Arc::new(move |tx, agent| {
            Box::pin(async move {
                client_secrets::revoke_all(tx, &agent.id, now).await?;
                findings::close(tx, RULE, &agent.name, now).await.map(drop)
            })
        });
        let by = By { actor, verb: "revoke_secrets", reason: Some(&reason) };
        self.change(name_or_id, &by, |agent: Agent, _| Ok(Agent { epoch: agent.epoch + 1, ..agent }), beside).await
    }

    pub(crate) async fn has_client_secret(&self, name_or_id: &str) -> Result<bool, RegisterError> {
        let (agent, now) = (self.agent(name_or_id).await?, self.clock.now());
        Ok(client_secrets::of_agent(&self.store, &agent.id).await?.iter().any(|secret| secret.is_live(now)))
    }
}

fn finding(agent: &Agent, now: Timestamp) -> Finding {
    Finding {
        rule: RULE.to_owned(),
        subject: agent.name.clone(),
        severity: Severity::Medium,
        evidence: format!("agent `{}` authenticates with a shared secret: whoever copies it is the agent", agent.name),
        owasp: "NHI4 NHI7".to_owned(),
        opened_at: now,
        closed_at: None,
    }
}
