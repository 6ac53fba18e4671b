//! Registration and the steps of an agent's life that people take.

use std::sync::Arc;

use chancery_model::{Agent, AgentId, AgentKind, AgentState, BearerUse, Span, Timestamp};
use chancery_store::{StoreError, agents, enrolments, findings};

use crate::registrar::{Beside, By, Registrar};
use crate::{EnrolmentCode, RegisterError, fields};

/// What is to be said of a new identity.
#[derive(Debug, Clone)]
pub struct Registration {
    /// `[a-z0-9][a-z0-9-]{0,62}`, unique for ever.
    pub name: String,
    /// What kind of identity it is.
    pub kind: AgentKind,
    /// The accountable business person. Mandatory.
    pub sponsor: String,
    /// The technical keeper. Mandatory.
    pub owner: String,
    /// Why it exists. Mandatory.
    pub purpose: String,
    /// The template it is an instance of.
    pub blueprint: Option<String>,
    /// How long it may live; 90 days if nothing is said, 365 at most.
    pub expires_in: Option<Span>,
}

/// A new identity, and the code with which it enrols its key.
#[derive(Debug)]
pub struct Registered {
    /// As it is stored.
    pub agent: Agent,
    /// Shown this once.
    pub code: EnrolmentCode,
}

impl Registrar {
    /// Registers an identity. It can do nothing until it has enrolled a key.
    pub async fn register(&self, request: &Registration, actor: &str) -> Result<Registered, RegisterError> {
        let now = self.clock.now();
        let agent = self.named(request, now)?;
        let code = EnrolmentCode::new(now, self.config.code_lifetime, &*self.random);
        let draft = By { actor, verb: "register", reason: None }.draft(now, "agent", &agent.name, &agent);
        let (stored, enrolment) = (agent.clone(), code.stored(&agent.id, now));
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                if agents::by_name(&mut *tx, &stored.name).await?.is_some() {
                    return Err(StoreError::refuse(RegisterError::NameTaken(stored.name)));
                }
                agents::insert(tx, &stored).await?;
                enrolments::insert(tx, &enrolment).await
            })
        });
        write.await?;
        Ok(Registered { agent, code })
    }

    /// A new enrolment code, for a lost one or a new key. It voids the ones before.
    pub async fn new_code(&self, name_or_id: &str, actor: &str) -> Result<EnrolmentCode, RegisterError> {
        let now = self.clock.now();
        let agent = self.agent(name_or_id).await?;
        if agent.state == AgentState::Suspended {
            let verb = "given an enrolment code";
            return Err(chancery_model::TransitionRefused { name: agent.name, state: agent.state, verb }.into());
        }
        let code = EnrolmentCode::new(now, self.config.code_lifetime, &*self.random);
        let by = By { actor, verb: "new_code", reason: None };
        let draft = by.draft(now, "agent", &agent.name, &serde_json::json!({ "expires_at": code.expires_at }));
        let enrolment = code.stored(&agent.id, now);
        let write =
            self.store.write(draft, move |tx| Box::pin(async move { enrolments::insert(tx, &enrolment).await }));
        write.await?;
        Ok(code)
    }

    /// Stops an agent: its next call is refused, whatever tokens it holds.
    pub async fn suspend(&self, name_or_id: &str, reason: &str, actor: &str) -> Result<Agent, RegisterError> {
        let reason = fields::said("reason", reason)?;
        let by = By { actor, verb: "suspend", reason: Some(&reason) };
        self.change(name_or_id, &by, |agent, _| Ok(agent.suspend()?), nothing()).await
    }

    /// Lets it go on. Sessions from before the suspension stay ended.
    pub async fn resume(&self, name_or_id: &str, reason: &str, actor: &str) -> Result<Agent, RegisterError> {
        let reason = fields::said("reason", reason)?;
        let by = By { actor, verb: "resume", reason: Some(&reason) };
        self.change(name_or_id, &by, |agent, _| Ok(agent.resume()?), nothing()).await
    }

    /// Sets a new end, counted from now. At most 365 days.
    pub async fn extend(&self, name_or_id: &str, expires_in: Span, actor: &str) -> Result<Agent, RegisterError> {
        let lasts = self.lasting(Some(expires_in))?;
        let soon = self.config.expiring;
        let by = By { actor, verb: "extend", reason: None };
        let beside: Beside = Arc::new(move |tx, agent| {
            Box::pin(async move {
                if lasts.0 > soon.0 {
                    let now = agent.expires_at - lasts;
                    findings::close(tx, crate::findings::EXPIRING, &agent.name, now).await?;
                }
                Ok(())
            })
        });
        self.change(name_or_id, &by, |agent, now| Ok(Agent { expires_at: now + lasts, ..agent }), beside).await
    }

    /// Allows or refuses plain bearer tokens. Allowing opens a finding, refusing closes it, in the same commit.
    pub async fn set_bearer(
        &self,
        name_or_id: &str,
        bearer: BearerUse,
        reason: &str,
        actor: &str,
    ) -> Result<Agent, RegisterError> {
        let reason = fields::said("reason", reason)?;
        let verb = if bearer == BearerUse::Allowed { "allow_bearer" } else { "refuse_bearer" };
        let by = By { actor, verb, reason: Some(&reason) };
        let now = self.clock.now();
        let beside: Beside = Arc::new(move |tx, agent| {
            Box::pin(async move {
                match crate::findings::bearer(&agent, now) {
                    Some(finding) => findings::open(tx, &finding).await,
                    None => findings::close(tx, crate::findings::BEARER, &agent.name, now).await.map(drop),
                }
            })
        });
        self.change(name_or_id, &by, |agent, _| Ok(Agent { bearer, ..agent }), beside).await
    }

    fn named(&self, request: &Registration, now: Timestamp) -> Result<Agent, RegisterError> {
        Ok(Agent {
            id: AgentId::new(now, &*self.random),
            name: fields::name(&request.name)?,
            kind: request.kind,
            sponsor: fields::said("sponsor", &request.sponsor)?,
            owner: fields::said("owner", &request.owner)?,
            purpose: fields::said("purpose", &request.purpose)?,
            blueprint: request.blueprint.as_deref().map(fields::name).transpose()?,
            state: AgentState::Registered,
            epoch: 1,
            bearer: BearerUse::Refused,
            key_thumbprint: None,
            public_jwk: None,
            created_at: now,
            expires_at: now + self.lasting(request.expires_in)?,
        })
    }

    fn lasting(&self, expires_in: Option<Span>) -> Result<Span, RegisterError> {
        let lasts = expires_in.unwrap_or(self.config.expiry);
        if lasts.0 > 0 && lasts.0 <= self.config.longest.0 {
            return Ok(lasts);
        }
        let most = self.config.longest.as_seconds() / 86_400;
        Err(RegisterError::Field { field: "expires", why: format!("an end between now and {most} days is accepted") })
    }
}

fn nothing() -> Beside {
    Arc::new(|_, _| Box::pin(std::future::ready(Ok(()))))
}
