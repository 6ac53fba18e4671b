//! The certificate with which an agent authenticates in TLS (RFC 8705).

use std::sync::Arc;

use chancery_model::{Agent, CertificateRule, ClientCertificate};
use chancery_store::{StoreError, client_certificates};

use crate::registrar::{Beside, By, Registrar};
use crate::{RegisterError, fields};

/// The longest name in a certificate that is registered, in bytes.
const LONGEST_NAME: usize = 512;

impl Registrar {
    /// Makes this the agent's certificate. A registered agent becomes active; sessions and tokens from before, which may
    /// be bound to another certificate, end.
    pub async fn set_certificate(
        &self,
        name_or_id: &str,
        rule: CertificateRule,
        reason: &str,
        actor: &str,
    ) -> Result<Agent, RegisterError> {
        let (kind, value) = rule.parts();
        if value.is_empty() || value.len() > LONGEST_NAME {
            let why = format!("a name of 1 to {LONGEST_NAME} bytes is accepted");
            return Err(RegisterError::Field { field: "certificate", why });
        }
        let reason = format!("{}; certificate {kind}:{value}", fields::said("reason", reason)?);
        let now = self.clock.now();
        let beside: Beside<Agent> = Arc::new(move |tx, agent| {
            let certificate =
                ClientCertificate { agent: agent.id.clone(), rule: rule.clone(), created_at: now, removed_at: None };
            Box::pin(async move {
                let others = client_certificates::by_rule(&mut *tx, &certificate.rule).await?;
                if others.is_some_and(|other| other.agent != certificate.agent) {
                    return Err(StoreError::refuse(RegisterError::CertificateTaken));
                }
                client_certificates::put(tx, &certificate).await
            })
        });
        let by = By { actor, verb: "set_certificate", reason: Some(&reason) };
        self.change(name_or_id, &by, |agent: Agent, _| Ok(renewed(agent.activate()?)), beside).await
    }

    /// Takes the agent's certificate away. What was opened with it ends.
    pub async fn remove_certificate(
        &self,
        name_or_id: &str,
        reason: &str,
        actor: &str,
    ) -> Result<Agent, RegisterError> {
        let reason = fields::said("reason", reason)?;
        let now = self.clock.now();
        let beside: Beside<Agent> =
            Arc::new(move |tx, agent| Box::pin(async move { client_certificates::remove(tx, &agent.id, now).await }));
        let by = By { actor, verb: "remove_certificate", reason: Some(&reason) };
        self.change(name_or_id, &by, |agent: Agent, _| Ok(renewed(agent)), beside).await
    }

    pub(crate) async fn has_certificate(&self, agent: &Agent) -> Result<bool, RegisterError> {
        Ok(client_certificates::of_agent(&self.store, &agent.id).await?.is_some())
    }
}

fn renewed(agent: Agent) -> Agent {
    Agent { epoch: agent.epoch + 1, ..agent }
}
