//! Registration and the steps of an agent's life that people take.

use std::sync::Arc;

use chancery_model::{
    Agent, AgentId, AgentKind, AgentState, BearerUse, Blueprint, Finding, ObjectState, Span, Timestamp, Urn,
};
use chancery_store::{StoreError, Tx, adoptions, agents, clients, enrolments, findings, objects, trust_sources};

use crate::registrar::{Beside, By, Registrar, nothing};
use crate::{EnrolmentCode, RegisterError, fields};

/// What is to be said of a new identity.
#[derive(Debug, Clone)]
pub struct Registration {
    /// `[a-z0-9][a-z0-9-]{0,62}`, unique for ever.
    pub name: String,
    /// What kind of identity it is.
    pub kind: AgentKind,
    /// The accountable business person. Mandatory, unless the blueprint says it.
    pub sponsor: Option<String>,
    /// The technical keeper. Mandatory, unless the blueprint says it.
    pub owner: Option<String>,
    /// Why it exists. Mandatory, unless the blueprint says it.
    pub purpose: Option<String>,
    /// The name of the blueprint it is an instance of.
    pub blueprint: Option<String>,
    /// How long it may live, 365 days at most. If nothing is said, as long as the blueprint says, else 90 days.
    pub expires_in: Option<Span>,
    /// The discovered object that it is.
    pub adopts: Option<Urn>,
}

/// A new identity, and the code with which it enrols its key.
#[derive(Debug)]
pub struct Registered {
    /// As it is stored.
    pub agent: Agent,
    /// Shown this once.
    pub code: EnrolmentCode,
}

/// The identity is this object from now on. It is no shadow any more.
async fn adopt(tx: &mut Tx, urn: &Urn, agent: &Agent, by: &str) -> Result<(), StoreError> {
    let refuse = |why: String| Err(StoreError::refuse(RegisterError::Adoption(why)));
    let Some(found) = objects::get(&mut *tx, urn).await? else {
        return refuse(format!("nothing in the inventory is called `{urn}`"));
    };
    if let Some(other) = found.adopted_by {
        return refuse(format!("`{urn}` is `{other}` already"));
    }
    if found.state == ObjectState::Gone {
        return refuse(format!("`{urn}` is gone"));
    }
    if !urn.kind().acts() {
        return refuse(format!("`{urn}` is nobody who acts: nobody answers for a {}", urn.kind()));
    }
    adoptions::insert(tx, found.id, &agent.id, by, agent.created_at).await?;
    findings::close(tx, Finding::SHADOW, urn.as_str(), agent.created_at).await.map(drop)
}

impl Registrar {
    /// Registers an identity. It can do nothing until it has enrolled a key.
    pub async fn register(&self, request: &Registration, actor: &str) -> Result<Registered, RegisterError> {
        let now = self.clock.now();
        let blueprint = self.blueprint_of(request.blueprint.as_deref()).await?;
        let agent = self.named(request, blueprint.as_ref(), now)?;
        let code = EnrolmentCode::new(now, self.config.code_lifetime, &*self.random);
        let draft = By { actor, verb: "register", reason: None }.draft(now, "agent", &agent.name, &agent);
        let (stored, enrolment) = (agent.clone(), code.stored(&agent.id, now));
        let (adopts, by) = (request.adopts.clone(), actor.to_owned());
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                if agents::is_taken(&mut *tx, &stored.name).await? {
                    return Err(StoreError::refuse(RegisterError::NameTaken(stored.name)));
                }
                agents::insert(tx, &stored).await?;
                if let Some(urn) = adopts {
                    adopt(tx, &urn, &stored, &by).await?;
                }
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
        self.change(name_or_id, &by, |agent: Agent, _| Ok(agent.suspend()?), nothing()).await
    }

    /// Lets it go on. Sessions from before the suspension stay ended.
    pub async fn resume(&self, name_or_id: &str, reason: &str, actor: &str) -> Result<Agent, RegisterError> {
        let reason = fields::said("reason", reason)?;
        let by = By { actor, verb: "resume", reason: Some(&reason) };
        let agent = self.agent(name_or_id).await?;
        let trusted = !trust_sources::of_agent(&self.store, &agent.id).await?.is_empty();
        let named = !clients::of_agent(&self.store, &agent.id).await?.is_empty();
        let shown = self.has_certificate(&agent).await?;
        let able = trusted || named || shown || self.has_client_secret(name_or_id).await?;
        self.change(name_or_id, &by, |agent: Agent, _| Ok(agent.resume(able)?), nothing()).await
    }

    /// Sets a new end, counted from now. At most 365 days.
    pub async fn extend(&self, name_or_id: &str, expires_in: Span, actor: &str) -> Result<Agent, RegisterError> {
        let lasts = self.lasting(Some(expires_in))?;
        let soon = self.config.expiring;
        let by = By { actor, verb: "extend", reason: None };
        let beside: Beside<Agent> = Arc::new(move |tx, agent| {
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
        let beside: Beside<Agent> = Arc::new(move |tx, agent| {
            Box::pin(async move {
                match crate::findings::bearer(&agent, now) {
                    Some(finding) => findings::open(tx, &finding).await,
                    None => findings::close(tx, crate::findings::BEARER, &agent.name, now).await.map(drop),
                }
            })
        });
        self.change(name_or_id, &by, |agent, _| Ok(Agent { bearer, ..agent }), beside).await
    }

    /// The blueprint that a registration names. One that is stopped takes no new instances.
    async fn blueprint_of(&self, name: Option<&str>) -> Result<Option<Blueprint>, RegisterError> {
        let Some(name) = name else { return Ok(None) };
        let blueprint = self.blueprint(&fields::name("blueprint", name)?).await?;
        blueprint.demand_active("instantiated")?;
        Ok(Some(blueprint))
    }

    /// The identity of a request: what it leaves open, its blueprint says.
    pub(crate) fn named(
        &self,
        request: &Registration,
        blueprint: Option<&Blueprint>,
        now: Timestamp,
    ) -> Result<Agent, RegisterError> {
        let said = |field, own: &Option<String>, inherited: fn(&Blueprint) -> &String| {
            fields::said(field, own.as_ref().or(blueprint.map(inherited)).map_or("", String::as_str))
        };
        Ok(Agent {
            id: AgentId::new(now, &*self.random),
            name: fields::name("name", &request.name)?,
            kind: request.kind,
            sponsor: said("sponsor", &request.sponsor, |blueprint| &blueprint.sponsor)?,
            owner: said("owner", &request.owner, |blueprint| &blueprint.owner)?,
            purpose: said("purpose", &request.purpose, |blueprint| &blueprint.purpose)?,
            blueprint: blueprint.map(|blueprint| blueprint.name.clone()),
            manifest: None,
            state: AgentState::Registered,
            epoch: 1,
            bearer: BearerUse::Refused,
            key_thumbprint: None,
            public_jwk: None,
            created_at: now,
            expires_at: now + self.lasting(request.expires_in.or(blueprint.map(|blueprint| blueprint.lifetime)))?,
        })
    }

    pub(crate) fn lasting(&self, expires_in: Option<Span>) -> Result<Span, RegisterError> {
        let lasts = expires_in.unwrap_or(self.config.expiry);
        if lasts.0 > 0 && lasts.0 <= self.config.longest.0 {
            return Ok(lasts);
        }
        let most = self.config.longest.as_seconds() / 86_400;
        Err(RegisterError::Field { field: "expires", why: format!("an end between now and {most} days is accepted") })
    }
}
