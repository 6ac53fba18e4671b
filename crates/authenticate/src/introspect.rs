//! Introspection (RFC 7662) of access tokens, and revocation (RFC 7009) of access and refresh tokens.

use std::sync::Arc;

use chancery_model::{AgentKind, Limit, Who};
use serde::Serialize;

use crate::access::{Access, Binding, Confirm, Sub};
use crate::authenticator::Authenticator;
use crate::clients::Client;
use crate::directory::SessionSlot;
use crate::jose::sha256;
use crate::lineage::{Act, Lineage};
use crate::token::{Call, Form, OauthError, TokenRequest};

/// What is said of a token (RFC 7662, section 2.2). Of one that is not in force, or that is none of the asking client's
/// business, only that it is not active.
#[derive(Debug, Default, Serialize)]
pub struct Introspection {
    active: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    facts: Option<Box<Facts>>,
}

#[derive(Debug, Serialize)]
struct Facts {
    iss: String,
    sub: String,
    aud: String,
    exp: i64,
    nbf: i64,
    jti: Arc<str>,
    client_id: String,
    sid: String,
    token_type: &'static str,
    /// The name of the person in whose name it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Act>,
    #[serde(skip_serializing_if = "Option::is_none")]
    may_act: Option<Sub>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirm>,
    /// The running copy that opened the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// What the session is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_details: Option<Arc<[Limit]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<Arc<str>>,
}

impl Introspection {
    /// Is the token in force, and the asking client's business?
    pub fn is_active(&self) -> bool {
        self.active
    }
}

impl Authenticator {
    /// Says what a token is. A service account, which enforces, may ask about every token; any other agent about those in
    /// whose chain it stands.
    ///
    /// # Errors
    /// `invalid_client` and `invalid_request`; a token that cannot be read is not active, which is no error.
    pub async fn introspect(&self, request: &TokenRequest<'_>) -> Result<Introspection, OauthError> {
        let (call, token) = about(request)?;
        let (client, now) = (self.client(&call).await?, self.clock.now());
        let known = self.access(token, sha256(token.as_bytes())).ok();
        let live = known.filter(|access| {
            now < access.expires && now >= access.not_before && self.in_force(&access.session, now).is_ok()
        });
        Ok(match live.filter(|access| may_see(&client, &access.session)) {
            Some(access) => Introspection { active: true, facts: Some(Box::new(self.facts(&access))) },
            None => Introspection::default(),
        })
    }

    /// Ends the session that a token names, and with it every session below and every token of theirs. A token that is not
    /// one, or not in force any more, is revoked already. A public client only says which one it is (RFC 7009, section 2.1):
    /// that it holds the token is what it shows.
    ///
    /// # Errors
    /// `invalid_client`, `invalid_request`, and `temporarily_unavailable` when the end could not be made durable.
    pub async fn revoke(&self, request: &TokenRequest<'_>) -> Result<(), OauthError> {
        let (call, token) = about(request)?;
        let known = self.identified_client(&call).await?;
        let session = match self.access(token, sha256(token.as_bytes())) {
            Ok(access) => Some(access.session.clone()),
            Err(_) => self.refreshed_by(token).await?,
        };
        let Some(session) = session.filter(|session| known.may_end(session)) else { return Ok(()) };
        let (agent, session) = (known.client.slot.agent(), session.session().id.clone());
        let who = Who { agent: Some(agent.id.to_string()), name: Some(agent.name.clone()), ..Who::default() };
        self.end(&session, who, None).await?;
        Ok(())
    }

    fn facts(&self, access: &Access) -> Facts {
        let (session, lineage) = (access.session.session(), Lineage::of(&access.session));
        Facts {
            iss: self.config.issuer.clone(),
            sub: lineage.subject().to_owned(),
            aud: access.audience.clone(),
            exp: access.expires.seconds(),
            nbf: access.not_before.seconds(),
            jti: access.id.clone(),
            client_id: session.agent.to_string(),
            sid: session.id.to_string(),
            token_type: if matches!(access.binding, Some(Binding::Key(_))) { "DPoP" } else { "Bearer" },
            username: lineage.human.as_ref().map(|person| person.name.clone()),
            act: lineage.act(),
            may_act: access.may_act.as_ref().map(|agent| Sub { sub: agent.to_string() }),
            cnf: access.binding.map(Confirm::from),
            instance: session.instance.clone(),
            purpose: session.purpose.clone(),
            authorization_details: lineage.limits.first().cloned(),
            scope: access.scope.clone(),
        }
    }
}

fn about<'a>(request: &'a TokenRequest<'a>) -> Result<(Call<'a>, &'a str), OauthError> {
    let call = Call { form: Form(request.form), request, proof: None };
    // It is read, so that it is said when it comes twice. It is only a hint: one kind of token cannot be taken for another.
    call.form.one("token_type_hint")?;
    let token = call.form.needed("token")?;
    Ok((call, token))
}

fn may_see(client: &Client, session: &SessionSlot) -> bool {
    client.slot.agent().kind == AgentKind::ServiceAccount || client.stands_in(session)
}
