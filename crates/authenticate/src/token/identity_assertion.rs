//! `grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer` with an identity assertion
//! (draft-ietf-oauth-identity-assertion-authz-grant-03, section 5): an identity provider says in whose name an agent acts.
//!
//! The provider is one of the configuration, the agent authenticates by itself, and the person is the one whose account it
//! is here. What the assertion says can only take away from what the three may do. The session ends after an hour, so
//! that the provider is asked again.

use std::sync::Arc;

use chancery_model::{Covered, Limit, Person, Span, Timestamp, problem};
use serde_json::Value;

use super::elsewhere::ID_JAG_TYP;
use super::{Call, OauthError, TokenBody, Wanted};
use crate::authenticator::Authenticator;
use crate::clients::{BEFORE_START, Client};
use crate::delegation::{Handing, Principal};
use crate::federation::{Facts, Origin, SKEW, check_short_times};
use crate::jose::{Compact, Text, claims, decode_array, sha256};
use crate::sessions::Opening;

/// How long what an assertion opened lasts.
const LASTS: Span = Span::hours(1);
/// The longest `jti` that is taken, in bytes.
const LONGEST_JTI: usize = 256;
/// The grant's name in metadata (section 7.2).
pub(crate) const PROFILE: &str = "urn:ietf:params:oauth:grant-profile:id-jag";

/// An identity provider whose word is taken for who people are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Its issuer identifier, letter by letter.
    pub issuer: String,
    /// Where its keys are, if not where its metadata says.
    pub jwks_uri: Option<String>,
    /// Which of its tenants is meant, where it has several.
    pub tenant: Option<String>,
}

/// What an assertion says, verified.
struct Said {
    facts: Facts,
    issuer: String,
    /// Its name.
    id: String,
    dies: Timestamp,
}

/// What is asked for.
struct Asked<'a> {
    resource: &'a str,
    limits: Vec<Limit>,
}

/// Is this what an identity provider writes for us?
pub(super) fn is_identity_assertion(assertion: &str) -> bool {
    let header = Compact::parse(assertion);
    header.is_ok_and(|jws| jws.header().is_ok_and(|header| header.typ.as_deref() == Some(ID_JAG_TYP)))
}

impl Authenticator {
    /// Opens a session in the name of the person that the assertion is about.
    pub(super) async fn identity_asserted(&self, call: &Call<'_>, assertion: &str) -> Result<TokenBody, OauthError> {
        let form = &call.form;
        let (purpose, instance, manifest) = (form.purpose()?, form.instance()?, form.manifest()?);
        let client = self.client(call).await?;
        let said = self.said_by_provider(assertion).await?;
        self.check_client(call, &said.facts, &client)?;
        let resource = said_resource(call, &said.facts)?;
        let asked = self.narrowed(call, &said.facts, &resource)?;
        let person = self.person_said(&said)?;
        let agent = client.slot.agent();
        let link = Handing { from: Principal::Human(&person.name), to: &agent.name, depth: 1, human: true };
        let denied = |why| OauthError::new(problem::MAY_NOT_DELEGATE, "access_denied", why);
        self.delegations.load().may_delegate(&link).map_err(denied)?;
        let binding = self.binding(call, &client)?;
        let now = self.clock.now();
        self.take_assertion(&sha256(said.issuer.as_bytes()), &said.id, said.dies, now).await?;
        let opening = Opening {
            instance: instance.or(client.instance()),
            purpose,
            manifest: manifest.as_ref(),
            human: Some(person),
            limits: asked.limits,
            until: Some(now + LASTS),
            detail: Some(said.detail(&client)),
            ..Opening::of(&client.slot)
        };
        let session = self.open_session(opening).await?;
        self.issue(
            &session,
            &Wanted { audience: asked.resource, binding, until: client.until(), may_act: None, scope: None },
        )
    }

    /// The claims of an assertion of a provider of ours, for us, in its time.
    async fn said_by_provider(&self, assertion: &str) -> Result<Said, OauthError> {
        let jws = Compact::parse(assertion).map_err(|e| refuse(e.to_string()))?;
        let header = jws.header().map_err(|e| refuse(e.to_string()))?;
        header.refuse_jwk().map_err(|e| refuse(e.to_string()))?;
        let hearsay = jws.hearsay().map_err(|e| refuse(e.to_string()))?;
        let named: Hearsay<'_> = claims(&hearsay).map_err(|e| refuse(e.to_string()))?;
        let provider = self.config.providers.iter().find(|provider| *named.iss == *provider.issuer);
        let provider = provider.ok_or_else(|| refuse("its `iss` is no identity provider of this server"))?;
        let origin = match &provider.jwks_uri {
            Some(address) => Origin::At(address.clone()),
            None => Origin::Discovered(provider.issuer.clone()),
        };
        let key = self.federation.issuer_key(&origin, &header).await?;
        let payload = jws.verify(&header, &key).map_err(|e| refuse(e.to_string()))?;
        let facts = Facts::read(&payload).map_err(refuse)?;
        let dies = self.check_assertion(&facts, provider)?;
        let id = facts.text("jti").filter(|id| !id.is_empty() && id.len() <= LONGEST_JTI);
        let id = id.ok_or_else(|| refuse("its `jti` is missing, empty or longer than 256 bytes"))?.to_owned();
        Ok(Said { facts, issuer: provider.issuer.clone(), id, dies })
    }

    /// Whom it is for, from when until when, and of which tenant. The time from which on it need not be remembered.
    fn check_assertion(&self, facts: &Facts, provider: &Provider) -> Result<Timestamp, OauthError> {
        let dies = check_short_times(facts, self.clock.now()).map_err(|e| refuse(e.description))?;
        let wrong = if facts.audience() != Some(&self.config.issuer) {
            "its `aud` is not our issuer, alone and letter by letter"
        } else if facts.has("tenant") != provider.tenant.is_some() || facts.text("tenant") != provider.tenant.as_deref()
        {
            "its `tenant` is not the one of the configuration"
        } else if facts.time("iat").is_none_or(|made| self.is_from_before(made, SKEW)) {
            BEFORE_START
        } else if facts.has("scope") && facts.text("scope").is_none_or(|scope| !scope.trim().is_empty()) {
            "it has a `scope`, which has no meaning here and would be lost: ask for `authorization_details` instead"
        } else {
            return Ok(dies);
        };
        Err(refuse(wrong))
    }

    /// It was made for the client that sends it, and for the key that it proves if the provider says which.
    fn check_client(&self, call: &Call<'_>, facts: &Facts, client: &Client) -> Result<(), OauthError> {
        let named = facts.text("client_id").and_then(|id| self.directory.agent(id));
        if named.is_none_or(|named| named.agent().id != client.slot.agent().id) {
            return Err(refuse("its `client_id` is not the client that sends it"));
        }
        let Some(cnf) = facts.value("cnf") else { return Ok(()) };
        let jkt = cnf.get("jkt").and_then(Value::as_str).and_then(|text| decode_array::<32>(text).ok());
        let only = cnf.as_object().is_some_and(|members| members.len() == 1);
        let proved = call.proof.as_ref().map(|proof| *proof.key.thumbprint());
        if only && jkt.is_some() && jkt == proved {
            return Ok(());
        }
        Err(refuse("it is bound (`cnf`) to another key than that of the proof"))
    }

    /// What the session is narrowed to: what is asked for, within what the assertion allows. Without details it is
    /// everything at the one server of the resource.
    fn narrowed<'a>(&self, call: &Call<'_>, facts: &Facts, resource: &'a str) -> Result<Asked<'a>, OauthError> {
        let bad = |why: String| OauthError::new(problem::BAD_LIMITS, "invalid_authorization_details", why);
        let none = || OauthError::new(problem::BAD_RESOURCE, "invalid_target", "the `resource` is no server of ours");
        let server = self.server_of(resource).ok_or_else(none)?;
        let said = facts.value("authorization_details").map(|details| Limit::read(&details.to_string()));
        let said = said.transpose().map_err(|e| refuse(e.to_string()))?.unwrap_or_default();
        let limits = match call.form.one("authorization_details")? {
            None if !said.is_empty() => said.clone(),
            _ => self.wanted_limits(&call.form, resource)?,
        };
        if let Err(wider) = Limit::within(&limits, &said) {
            return Err(bad(format!(
                "the detail about server `{}` asks for more than the assertion has",
                wider.server()
            )));
        }
        if !Limit::cover(&limits, Covered::Server(server)) {
            return Err(bad(format!("the assertion has nothing to do with server `{server}`")));
        }
        Ok(Asked { resource, limits })
    }

    /// The person whose account at the provider it is about. Nobody is added by an assertion.
    fn person_said(&self, said: &Said) -> Result<Arc<Person>, OauthError> {
        let subject = said.facts.text("sub").filter(|subject| !subject.is_empty());
        let subject = subject.ok_or_else(|| refuse("it has no `sub`"))?;
        let known = self.directory.account(&said.issuer, subject).map(|slot| slot.person());
        let unknown = || {
            let why = format!("no person here has the account `{subject}` at {}", said.issuer);
            OauthError::new(problem::UNKNOWN_ACCOUNT, "invalid_grant", why)
        };
        let person = known.ok_or_else(unknown)?;
        match person.is_active() {
            true => Ok(person),
            false => Err(OauthError::new(problem::UNKNOWN_ACCOUNT, "invalid_grant", "the person is suspended")),
        }
    }
}

impl Said {
    /// For the record of what is done with it.
    fn detail(&self, client: &Client) -> String {
        let subject = self.facts.text("sub").unwrap_or_default();
        let said = format!("identity assertion `{}` of {} about `{subject}`", self.id, self.issuer);
        client.detail().map_or(said.clone(), |by| format!("{said}; {by}"))
    }
}

/// Only who it says it is from, to find the keys it has to be verified with.
#[derive(serde::Deserialize)]
struct Hearsay<'a> {
    #[serde(borrow)]
    iss: Text<'a>,
}

/// The resource of the token: the one that is asked for, within those of the assertion, or the only one of those.
fn said_resource(call: &Call<'_>, facts: &Facts) -> Result<String, OauthError> {
    let target = |why| OauthError::new(problem::BAD_RESOURCE, "invalid_target", why);
    let said: Option<Vec<&str>> = match facts.value("resource") {
        None => None,
        Some(Value::String(one)) => Some(vec![one]),
        Some(Value::Array(several)) => several.iter().map(Value::as_str).collect::<Option<_>>(),
        Some(_) => return Err(refuse("its `resource` is neither a text nor a list of texts")),
    };
    if facts.has("resource") && said.is_none() {
        return Err(refuse("its `resource` is neither a text nor a list of texts"));
    }
    let asked = call.form.one("resource")?;
    match (asked, said.as_deref()) {
        (Some(asked), None) => Ok(asked.to_owned()),
        (Some(asked), Some(said)) if said.contains(&asked) => Ok(asked.to_owned()),
        (Some(_), Some(_)) => Err(target("the assertion is not about this `resource`")),
        (None, Some([only])) => Ok((*only).to_owned()),
        (None, _) => Err(target("send exactly one `resource`")),
    }
}

fn refuse(why: impl Into<String>) -> OauthError {
    OauthError::new(problem::BAD_IDENTITY_ASSERTION, "invalid_grant", why)
}
