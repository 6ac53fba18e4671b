//! Token exchange (RFC 8693): a session below a session.
//!
//! What can be exchanged is an access token of ours, in two ways:
//!
//! - By the agent it was issued to, with proof of the key it is bound to. It gets a token of the same session for another
//!   resource, or opens a *task* below it (`authorization_details`, `purpose`), or hands it over (`may_act`): a token that
//!   no resource takes and that exactly one other agent can exchange.
//! - By the agent that the token names in `may_act`. It opens a *delegation* below it: from then on that agent acts for
//!   everybody in the chain.
//!
//! A chain cannot be widened: a session admits what every session above it admits. It cannot be spliced: the actor is the
//! agent that authenticates, and the subject's token was made for that agent alone.

use std::sync::Arc;

use chancery_model::{AgentId, Covered, Limit, Stated, problem};

use super::authorization_code::overtaken;
use super::elsewhere::{ID_JAG, TXN_TOKEN};
use super::form::request;
use super::{Call, OauthError, TokenBody, Wanted};
use crate::access::{Access, Binding};
use crate::authenticator::Authenticator;
use crate::clients::Client;
use crate::delegation::{Handing, Principal};
use crate::directory::SessionSlot;
use crate::fault::Fault;
use crate::jose::sha256;
use crate::lineage::Lineage;
use crate::sessions::{Opening, demand_same};

pub(super) const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The one type of token that is taken and, unless another is asked for, issued (RFC 8693, section 3).
pub(crate) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

const ISSUED: &str = "`urn:ietf:params:oauth:token-type:access_token`, `…:id-jag` and `…:txn_token`";

/// What is asked for.
pub(super) struct Exchange<'a> {
    pub(super) subject: Arc<Access>,
    pub(super) lineage: Lineage,
    pub(super) client: Client,
    binding: Binding,
    /// The agent that is to act next, where the token is to be handed over.
    next: Option<AgentId>,
    pub(super) limits: Vec<Limit>,
    purpose: Option<&'a str>,
    instance: Option<&'a str>,
    manifest: Option<Stated>,
    audience: &'a str,
}

impl Authenticator {
    /// Answers an exchange.
    pub(super) async fn exchange(&self, call: &Call<'_>) -> Result<TokenBody, OauthError> {
        let form = &call.form;
        let kind = wanted_kind(call)?;
        let client = self.client(call).await?;
        let subject = self.subject(form.needed("subject_token")?, form.needed("subject_token_type")?)?;
        self.actor(call, &client, &subject)?;
        let binding =
            self.binding(call, &client)?.ok_or_else(|| refused("a token without a binding is not exchanged"))?;
        let next = form.one("may_act")?.map(|name| self.next_actor(name)).transpose()?;
        let exchange = Exchange {
            audience: self.exchanged_for(call, next.is_some() || kind != ACCESS_TOKEN)?,
            lineage: Lineage::of(&subject.session),
            limits: form.limits()?,
            purpose: form.purpose()?,
            instance: form.instance()?,
            manifest: form.manifest()?,
            subject,
            client,
            binding,
            next,
        };
        if !self.faults.has(Fault::Limits) {
            exchange.narrows()?;
        }
        exchange.reaches(&self.config.issuer)?;
        if kind != ACCESS_TOKEN && !exchange.limits.is_empty() {
            return Err(request("open a narrower task first, then exchange its token"));
        }
        match kind {
            ID_JAG if exchange.is_own() => return self.identity_assertion(call, &exchange).await,
            TXN_TOKEN if exchange.is_own() => return self.transaction_token(call, &exchange).await,
            ACCESS_TOKEN => {}
            _ => return Err(request("take the session over first: only an agent's own token is exchanged for this")),
        }
        let session = match exchange.is_own() {
            true => self.own(&exchange).await?,
            false => self.delegated(&exchange).await?,
        };
        let until = Some(exchange.subject.expires);
        let wanted = Wanted {
            audience: exchange.audience,
            binding: Some(exchange.binding),
            until,
            may_act: exchange.next.as_ref(),
            scope: None,
        };
        let body = self.issue(&session, &wanted)?;
        Ok(TokenBody { issued_token_type: Some(ACCESS_TOKEN), ..body })
    }

    /// An access token of ours that is in force.
    fn subject(&self, token: &str, kind: &str) -> Result<Arc<Access>, OauthError> {
        if kind != ACCESS_TOKEN {
            return Err(request(format!("`subject_token_type` and `actor_token_type` must be `{ACCESS_TOKEN}`")));
        }
        let now = self.clock.now();
        let access = self.access(token, sha256(token.as_bytes())).map_err(|reason| refused(reason.why))?;
        if now >= access.expires || now < access.not_before {
            return Err(refused("the subject or actor token expired, or is not valid yet"));
        }
        self.in_force(&access.session, now).map_err(overtaken)?;
        Ok(access)
    }

    /// The actor is the client. An actor token can only say the same, of the same flow.
    fn actor(&self, call: &Call<'_>, client: &Client, subject: &Access) -> Result<(), OauthError> {
        let own = client.slot.agent().id.clone();
        if let Some(token) = call.form.one("actor_token")? {
            let actor = self.subject(token, call.form.needed("actor_token_type")?)?;
            let lineage = Lineage::of(&actor.session);
            let alone = lineage.human.is_none() && lineage.depth() == 1;
            if actor.session.session().agent != own {
                return Err(refused("the actor token is not one of the client that sends it"));
            }
            let of_this_flow = alone || lineage.root.id == Lineage::of(&subject.session).root.id;
            if !of_this_flow && !self.faults.has(Fault::Flow) {
                return Err(refused(
                    "the actor token acts for somebody else already: subject and actor are of two flows",
                ));
            }
            self.holds(call, &actor)?;
        } else if call.form.one("actor_token_type")?.is_some() {
            return Err(request("`actor_token_type` came without `actor_token`"));
        }
        if subject.session.session().agent == own {
            return match subject.may_act {
                None => self.holds(call, subject),
                Some(_) => {
                    Err(refused("the subject token was handed over: only the agent in its `may_act` exchanges it"))
                }
            };
        }
        match &subject.may_act {
            Some(named) if *named == own => Ok(()),
            _ if self.faults.has(Fault::MayAct) => Ok(()),
            Some(_) => Err(refused("the subject token's `may_act` names another agent")),
            None => Err(refused("the subject token has no `may_act`: its agent has to hand it over first")),
        }
    }

    /// The sender of a token of its own proves the key that it is bound to.
    fn holds(&self, call: &Call<'_>, token: &Access) -> Result<(), OauthError> {
        let held = match token.binding {
            Some(Binding::Key(jkt)) => call.proof.as_ref().is_some_and(|proof| *proof.key.thumbprint() == jkt),
            Some(Binding::Certificate(known)) => {
                call.request.certificate.is_some_and(|shown| sha256(shown.leaf()) == known)
            }
            None => false,
        };
        let why = "the token is not bound to the key or certificate that this request proves";
        if held { Ok(()) } else { Err(OauthError::new(problem::BAD_PROOF, "invalid_grant", why)) }
    }

    fn next_actor(&self, name: &str) -> Result<AgentId, OauthError> {
        let slot = self.directory.agent(name).filter(|slot| slot.demand_active(self.clock.now()).is_ok());
        slot.map(|slot| slot.agent().id.clone())
            .ok_or_else(|| request("`may_act` names no agent that may act at present"))
    }

    /// A token that is handed over is for us; every other one for one of our resources.
    fn exchanged_for<'a>(&'a self, call: &Call<'a>, not_ours: bool) -> Result<&'a str, OauthError> {
        if !not_ours {
            return self.resource(&call.form);
        }
        if call.form.one("requested_token_type")?.is_some_and(|kind| kind != ACCESS_TOKEN) {
            return Ok(&self.config.issuer);
        }
        let (audience, resource) = (call.form.one("audience")?, call.form.one("resource")?);
        match resource.or(audience) {
            None => Ok(&self.config.issuer),
            Some(named) if named == self.config.issuer => Ok(&self.config.issuer),
            Some(_) => {
                let why = "a token that is handed over is for this server alone: leave `resource` out";
                Err(OauthError::new(problem::BAD_RESOURCE, "invalid_target", why))
            }
        }
    }

    /// The session of the agent's own token, or a task below it.
    async fn own(&self, exchange: &Exchange<'_>) -> Result<Arc<SessionSlot>, OauthError> {
        if let Some(next) = &exchange.next {
            let from = Principal::Agent(&exchange.client.slot.agent().name);
            self.may_delegate(exchange, from, next)?;
        }
        if exchange.limits.is_empty() && exchange.purpose.is_none() && exchange.next.is_none() {
            demand_same(exchange.manifest.as_ref(), &exchange.subject.session.session())?;
            return Ok(exchange.subject.session.clone());
        }
        let verb = if exchange.next.is_some() { "hand over" } else { "open task" };
        Ok(self.open_session(exchange.opening(verb)).await?)
    }

    /// A session of the agent that acts from now on, below the one that was handed over.
    async fn delegated(&self, exchange: &Exchange<'_>) -> Result<Arc<SessionSlot>, OauthError> {
        if exchange.next.is_some() {
            return Err(request("take the session over first, then hand it on"));
        }
        let (own, from) = (exchange.client.slot.agent(), exchange.subject.session.agent().agent());
        self.may_delegate(exchange, Principal::Agent(&from.name), &own.id)?;
        Ok(self.open_session(exchange.opening("delegate")).await?)
    }

    /// May this agent be the next link? Asked when a session is handed over, and again when it is taken over.
    fn may_delegate(&self, exchange: &Exchange<'_>, from: Principal<'_>, to: &AgentId) -> Result<(), OauthError> {
        let denied = |why: String| OauthError::new(problem::MAY_NOT_DELEGATE, "access_denied", why);
        if exchange.lineage.agents.iter().any(|agent| agent.id == *to) {
            return Err(denied("the agent is in the chain already: a chain has no loops".into()));
        }
        let (depth, most) = (exchange.lineage.depth() + 1, self.config.delegation.depth);
        if depth > most {
            return Err(denied(format!("the chain would have {depth} agents, and may have {most}")));
        }
        let Some(actor) = self.directory.agent_of(to) else { return Err(denied("the agent is unknown".into())) };
        let human = exchange.lineage.human.is_some();
        let link = Handing { from, to: &actor.agent().name, depth, human };
        self.delegations.load().may_delegate(&link).map_err(denied)
    }
}

impl<'a> Exchange<'a> {
    fn is_own(&self) -> bool {
        self.subject.session.session().agent == self.client.slot.agent().id
    }

    pub(super) fn agent(&self) -> AgentId {
        self.client.slot.agent().id.clone()
    }

    fn opening(&'a self, verb: &'static str) -> Opening<'a> {
        Opening {
            instance: self.instance,
            manifest: self.manifest.as_ref(),
            parent: Some(&self.subject.session),
            purpose: self.purpose,
            limits: self.limits.clone(),
            verb,
            detail: self.client.detail(),
            ..Opening::of(&self.client.slot)
        }
    }

    /// What is asked for is within what every session above has. This is for the answer: what is enforced is that each of
    /// the sets covers an act.
    fn narrows(&self) -> Result<(), OauthError> {
        let wider = self.lineage.limits.iter().find_map(|held| Limit::within(&self.limits, held).err());
        wider.map_or(Ok(()), |wider| {
            let why = format!("the detail about server `{}` asks for more than the subject has", wider.server());
            Err(OauthError::new(problem::BAD_LIMITS, "invalid_authorization_details", why))
        })
    }

    /// The resource is one that the narrowed session has anything to do with.
    fn reaches(&self, issuer: &str) -> Result<(), OauthError> {
        let server = self.audience.strip_prefix(issuer).and_then(|path| path.strip_prefix("/mcp/"));
        let Some(server) = server else { return Ok(()) };
        let own = Some(&*self.limits).into_iter();
        let mut sets = self.lineage.limits.iter().map(|set| &**set).chain(own);
        if sets.all(|set| Limit::cover(set, Covered::Server(server))) {
            return Ok(());
        }
        let why = format!("the session has nothing to do with server `{server}`");
        Err(OauthError::new(problem::BAD_RESOURCE, "invalid_target", why))
    }
}

/// What is to be issued. Nothing about the chain is taken from the request but who is to act next.
fn wanted_kind(call: &Call<'_>) -> Result<&'static str, OauthError> {
    if call.form.one("act")?.is_some() || call.form.one("cnf")?.is_some() || call.form.one("sub")?.is_some() {
        return Err(request("`act`, `cnf` and `sub` follow from the tokens: leave them out"));
    }
    let kind = call.form.one("requested_token_type")?.unwrap_or(ACCESS_TOKEN);
    let known = [ACCESS_TOKEN, ID_JAG, TXN_TOKEN].into_iter().find(|known| *known == kind);
    let known = known.ok_or_else(|| request(format!("`requested_token_type` must be one of {ISSUED}")))?;
    if known != ACCESS_TOKEN && call.form.one("may_act")?.is_some() {
        return Err(request("`may_act` hands over an access token and nothing else"));
    }
    Ok(known)
}

fn refused(why: impl Into<String>) -> OauthError {
    OauthError::new(problem::BAD_GRANT_TOKEN, "invalid_grant", why)
}
