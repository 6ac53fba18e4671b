//! The findings this room keeps: what about a registration is not as it should be.

use std::collections::HashSet;

use chancery_model::{Agent, AgentState, BearerUse, Finding, Severity, Timestamp};
use chancery_store::findings;

use crate::registrar::{By, Config, Registrar};
use crate::{RegisterError, client_secrets};

/// An agent may use tokens without a proof of possession.
pub(crate) const BEARER: &str = "bearer-allowed";
/// An agent's time is nearly over, or over.
pub(crate) const EXPIRING: &str = "agent-expiring";
/// An agent was registered a while ago and never proved a key.
pub(crate) const NEVER_ENROLLED: &str = "never-enrolled";

/// Somebody stated another manifest than the approved one. Found at the token endpoint, settled by approval.
pub(crate) const MANIFEST: &str = Finding::MANIFEST_CHANGED;

const RULES: [&str; 3] = [BEARER, EXPIRING, NEVER_ENROLLED];

impl Registrar {
    /// The open findings, oldest first; of every rule, not only this room's.
    pub async fn findings(&self) -> Result<Vec<Finding>, RegisterError> {
        Ok(findings::open_ones(&self.store).await?)
    }

    /// Opens what has become true by the passing of time and closes what is no longer true.
    /// Says how many changed. To be called now and then.
    pub async fn review_findings(&self) -> Result<usize, RegisterError> {
        let now = self.clock.now();
        let agents = self.agents().await?;
        let due: Vec<Finding> = agents.iter().flat_map(|agent| about(agent, &self.config, now)).collect();
        let open = self.findings().await?;
        let (known, still) = (keys(&open), keys(&due));
        let mut changed = 0;
        for finding in due.iter().filter(|due| !known.contains(&key(due))) {
            self.put(finding, "open", now).await?;
            changed += 1;
        }
        let ours = open.iter().filter(|open| RULES.contains(&open.rule.as_str()));
        for finding in ours.filter(|open| !still.contains(&key(open))) {
            self.put(finding, "close", now).await?;
            changed += 1;
        }
        for finding in open.iter().filter(|open| open.rule == client_secrets::RULE) {
            if !self.has_client_secret(&finding.subject).await? {
                self.put(finding, "close", now).await?;
                changed += 1;
            }
        }
        Ok(changed)
    }

    async fn put(&self, finding: &Finding, verb: &'static str, now: Timestamp) -> Result<(), RegisterError> {
        let by = By { actor: "system", verb, reason: None };
        let draft = by.draft(now, "finding", &format!("{}/{}", finding.rule, finding.subject), finding);
        let finding = finding.clone();
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                match verb {
                    "open" => findings::open(tx, &finding).await,
                    _ => findings::close(tx, &finding.rule, &finding.subject, now).await.map(drop),
                }
            })
        });
        write.await?;
        Ok(())
    }
}

/// Of each rule and subject one finding is open at the most.
fn key(finding: &Finding) -> (&str, &str) {
    (&finding.rule, &finding.subject)
}

fn keys(findings: &[Finding]) -> HashSet<(&str, &str)> {
    findings.iter().map(key).collect()
}

/// What is to be found about one agent now.
fn about(agent: &Agent, config: &Config, now: Timestamp) -> Vec<Finding> {
    [bearer(agent, now), expiring(agent, config, now), never_enrolled(agent, config, now)]
        .into_iter()
        .flatten()
        .collect()
}

/// Plain bearer tokens are accepted from this agent.
pub(crate) fn bearer(agent: &Agent, now: Timestamp) -> Option<Finding> {
    let evidence =
        format!("agent `{}` may use tokens without a proof of possession: whoever copies one can use it", agent.name);
    (agent.bearer == BearerUse::Allowed).then(|| found(BEARER, agent, Severity::Medium, evidence, "NHI4", now))
}

fn expiring(agent: &Agent, config: &Config, now: Timestamp) -> Option<Finding> {
    let severity = if agent.expires_at <= now { Severity::Medium } else { Severity::Low };
    let evidence = format!("agent `{}` ends at {}: extend it or let it go", agent.name, agent.expires_at);
    (agent.expires_at <= now + config.expiring).then(|| found(EXPIRING, agent, severity, evidence, "NHI1", now))
}

fn never_enrolled(agent: &Agent, config: &Config, now: Timestamp) -> Option<Finding> {
    let waiting = agent.state == AgentState::Registered && agent.key_thumbprint.is_none();
    let evidence = format!("agent `{}` was registered at {} and never proved a key", agent.name, agent.created_at);
    (waiting && agent.created_at + config.never_enrolled <= now)
        .then(|| found(NEVER_ENROLLED, agent, Severity::Low, evidence, "NHI1", now))
}

fn found(rule: &str, agent: &Agent, severity: Severity, evidence: String, owasp: &str, now: Timestamp) -> Finding {
    Finding {
        rule: rule.into(),
        subject: agent.name.clone(),
        severity,
        evidence,
        owasp: owasp.into(),
        opened_at: now,
        closed_at: None,
    }
}
