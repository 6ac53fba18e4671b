//! What an exchange issues for others than our own resources: identity assertions for the authorization servers of
//! partners (draft-ietf-oauth-identity-assertion-authz-grant), and transaction tokens for the systems behind one act
//! (draft-ietf-oauth-transaction-tokens). Neither is an access token: none of our doors takes them.

use chancery_model::{Authority, Change, Covered, Draft, Kind, Limit, Secret, Span, Timestamp, Who, problem};
use serde::Serialize;
use serde_json::{Map, Value};

use super::authorization_code::overtaken;
use super::exchange::Exchange;
use super::form::request;
use super::{Call, OauthError, TokenBody};
use crate::authenticator::Authenticator;
use crate::jose::encode;
use crate::lineage::Act;

/// The token type of an identity assertion for another authorization server.
pub(crate) const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";
/// The token type of a transaction token.
pub(crate) const TXN_TOKEN: &str = "urn:ietf:params:oauth:token-type:txn_token";
/// The `typ` of an identity assertion.
pub(crate) const ID_JAG_TYP: &str = "oauth-id-jag+jwt";
/// The `typ` of a transaction token.
pub(crate) const TXN_TYP: &str = "txntoken+jwt";
/// `token_type` of what is no access token (RFC 8693, section 2.2.1).
const NOT_ACCESS: &str = "N_A";
/// An assertion is exchanged at once.
const ASSERTION: Span = Span::minutes(5);
/// A transaction is over soon.
const TRANSACTION: Span = Span::minutes(1);
/// The longest details of a transaction that are taken, in bytes.
const DETAILS: usize = 4_096;

/// An authorization server that takes our word for who our people are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partner {
    /// Its issuer identifier, letter by letter.
    pub issuer: String,
    /// What it calls our agents; each agent's own id where there is nothing.
    pub client_id: Option<String>,
    /// What may be asked of it in our people's names.
    pub scopes: Vec<String>,
}

/// What transaction tokens say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transactions {
    /// Their audience; the issuer where there is nothing.
    pub audience: Option<String>,
    /// What a transaction may be said to be for.
    pub scopes: Vec<String>,
}

#[derive(Serialize)]
struct Assertion<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    client_id: &'a str,
    jti: &'a str,
    iat: i64,
    exp: i64,
    /// The name they are known by, where the other server does not know our ids.
    preferred_username: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Act>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
}

#[derive(Serialize)]
struct Transaction<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    txn: &'a str,
    sub: &'a str,
    /// The workload that asked.
    req_wl: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Act>,
    /// What the session is narrowed to: the systems behind it are to hold it to that.
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_details: Option<&'a [Limit]>,
    tctx: Map<String, Value>,
    rctx: Map<String, Value>,
}

impl Authenticator {
    /// Says to a partner in whose name the agent acts. Only for a session that a person stands behind.
    pub(super) async fn identity_assertion(
        &self,
        call: &Call<'_>,
        exchange: &Exchange<'_>,
    ) -> Result<TokenBody, OauthError> {
        let audience = call.form.needed("audience")?;
        let partner = self.config.partners.iter().find(|partner| partner.issuer == audience).ok_or_else(|| {
            OauthError::new(problem::BAD_RESOURCE, "invalid_target", "the `audience` is no partner of this server")
        })?;
        let human = exchange.lineage.human.as_ref().ok_or_else(|| {
            OauthError::new(problem::BAD_GRANT_TOKEN, "invalid_grant", "no person stands behind this session")
        })?;
        let scope = scope(call, &partner.scopes)?;
        let scopes: Vec<&str> = scope.iter().flat_map(|scope| scope.split(' ')).collect();
        exchange.covers(Covered::Assertion(audience, &scopes))?;
        let (now, id, agent) = (self.clock.now(), encode(&self.random.bytes::<16>()), exchange.agent());
        let expires = exchange.until(now + ASSERTION);
        let claims = Assertion {
            iss: &self.config.issuer,
            sub: human.id.as_str(),
            aud: audience,
            client_id: partner.client_id.as_deref().unwrap_or(agent.as_str()),
            jti: &id,
            iat: now.seconds(),
            exp: expires.seconds(),
            preferred_username: &human.name,
            act: exchange.lineage.act(),
            resource: call.form.one("resource")?,
            scope,
        };
        self.for_elsewhere(exchange, (ID_JAG, ID_JAG_TYP), &claims, (&id, audience), now, expires).await
    }

    /// Names one transaction, who asked for it and in whose name, for every system it passes through.
    pub(super) async fn transaction_token(
        &self,
        call: &Call<'_>,
        exchange: &Exchange<'_>,
    ) -> Result<TokenBody, OauthError> {
        let domain = self.config.trust_domain();
        if call.form.one("audience")?.is_some_and(|audience| audience != domain) {
            let why = format!("transaction tokens are for the trust domain `{domain}`");
            return Err(OauthError::new(problem::BAD_RESOURCE, "invalid_target", why));
        }
        let (now, id, agent) = (self.clock.now(), encode(&self.random.bytes::<16>()), exchange.agent());
        let expires = exchange.until(now + TRANSACTION);
        let claims = Transaction {
            iss: &self.config.issuer,
            aud: domain,
            iat: now.seconds(),
            exp: expires.seconds(),
            txn: &id,
            sub: exchange.lineage.subject(),
            req_wl: agent.as_str(),
            scope: scope(call, &self.config.transactions.scopes)?,
            act: exchange.lineage.act(),
            authorization_details: exchange.lineage.limits.first().map(|limits| &**limits),
            tctx: object(call, "request_details")?,
            rctx: object(call, "request_context")?,
        };
        self.for_elsewhere(exchange, (TXN_TOKEN, TXN_TYP), &claims, (&id, domain), now, expires).await
    }

    /// Records what is issued, then signs it.
    async fn for_elsewhere(
        &self,
        exchange: &Exchange<'_>,
        (kind, typ): (&'static str, &str),
        claims: &impl Serialize,
        (id, audience): (&str, &str),
        now: Timestamp,
        expires: Timestamp,
    ) -> Result<TokenBody, OauthError> {
        let noun = if kind == ID_JAG { "identity_assertion" } else { "transaction_token" };
        let draft = exchange.draft(now, noun, id, audience);
        let stored = self.store.append(draft).await;
        stored.map_err(|e| OauthError::new(problem::STORE_FAILED, "temporarily_unavailable", e.to_string()))?;
        self.in_force(&exchange.subject.session, self.clock.now()).map_err(overtaken)?;
        let keys = self.keys.load();
        let header = keys.signing.header(typ, &format!(r#","kid":"{}""#, keys.signing.public().thumbprint_text()));
        let token = keys.signing.sign_jws(&header, claims);
        let token = token.map_err(|e| OauthError::new(problem::INTERNAL, "temporarily_unavailable", e.to_string()))?;
        Ok(TokenBody {
            access_token: Secret::new(token),
            token_type: NOT_ACCESS,
            expires_in: (expires - now).as_seconds(),
            sid: exchange.subject.session.session().id.to_string(),
            issued_token_type: Some(kind),
            authorization_details: None,
            scope: None,
            refresh_token: None,
        })
    }
}

impl Exchange<'_> {
    /// Every session that is narrowed at all is narrowed to something that this is part of.
    fn covers(&self, act: Covered<'_>) -> Result<(), OauthError> {
        if self.lineage.limits.iter().all(|set| Limit::cover(set, act)) {
            return Ok(());
        }
        let why = "the session is narrowed, and none of its details is an `identity_assertion` of this kind";
        Err(OauthError::new(problem::BAD_LIMITS, "invalid_authorization_details", why))
    }

    fn until(&self, wanted: Timestamp) -> Timestamp {
        wanted.min(self.subject.expires).min(self.subject.session.session().ends_at)
    }

    fn draft(&self, now: Timestamp, noun: &str, id: &str, audience: &str) -> Draft {
        let (agent, session) = (self.client.slot.agent(), self.subject.session.session());
        let who = Who {
            agent: Some(agent.id.to_string()),
            name: Some(agent.name.clone()),
            instance: session.instance.clone(),
            human: self.lineage.human.as_ref().map(|person| person.name.clone()),
            chain: self.lineage.names(),
            ..Who::default()
        };
        let authority = Authority { session: Some(session.id.to_string()), ..Authority::default() };
        let change = Change { noun: noun.into(), id: id.into(), verb: "issue".into(), after: None };
        let detail = Some(format!("for {audience}"));
        Draft { kind: Kind::Change, at: now, who, authority, change: Some(change), detail, ..Draft::default() }
    }
}

/// The scope that is asked for, if the configuration lets it be asked for.
fn scope<'a>(call: &Call<'a>, known: &[String]) -> Result<Option<&'a str>, OauthError> {
    let asked = call.form.one("scope")?;
    let stranger = asked.and_then(|asked| asked.split(' ').find(|one| !known.iter().any(|known| known == one)));
    stranger.map_or(Ok(asked), |stranger| {
        let why = format!("`{stranger}` is no scope that the configuration of this server names for the audience");
        Err(OauthError::new(problem::BAD_TOKEN_REQUEST, "invalid_scope", why))
    })
}

/// A parameter that is a JSON object, or nothing.
fn object(call: &Call<'_>, name: &str) -> Result<Map<String, Value>, OauthError> {
    let Some(text) = call.form.one(name)? else { return Ok(Map::new()) };
    let read = (text.len() <= DETAILS)
        .then(|| chancery_model::parse_strict(text.as_bytes(), chancery_model::Limits::default()).ok());
    match read.flatten() {
        Some(Value::Object(members)) => Ok(members),
        _ => Err(request(format!("`{name}` is not a JSON object of at most {DETAILS} bytes"))),
    }
}
