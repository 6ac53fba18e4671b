//! Authorization requests (OAuth 2.1 draft, section 4.1.1; RFC 7636, 8707, 9207, 9396, 9449 section 10, 9470 section 5).
//!
//! Until the client and the address to go back to are known, nobody is sent anywhere: what is wrong is shown. From then
//! on errors go back to the client.

use std::sync::Arc;

use chancery_model::{Agent, Client, Covered, Hash, Limit, Span, problem};

use super::Question;
use crate::authenticator::Authenticator;
use crate::directory::AgentSlot;
use crate::people::SignedIn;
use crate::token::{Form, OauthError};

/// The longest `state` that is echoed, in bytes.
const STATE: usize = 2_048;
/// A login is as good as new for so long: somebody has to come back and read the page.
const NEW: Span = Span::seconds(60);
/// How long they may take to read it.
pub(super) const READING: Span = Span::minutes(5);
/// The one way in which people show who they are (RFC 9470): by a link that was handed to them.
pub(crate) const ACR: &str = "urn:chancery:acr:link";

/// An authorization request that can be put to a person.
pub struct Asked {
    pub(crate) client: Arc<Client>,
    pub(crate) slot: Arc<AgentSlot>,
    pub(crate) redirect_uri: String,
    state: Option<String>,
    issuer: String,
    pub(crate) challenge: String,
    pub(crate) resource: String,
    pub(crate) limits: Vec<Limit>,
    pub(crate) key: Option<Hash>,
    /// The pushed request it is.
    pub(crate) pushed: Option<Hash>,
    silent: bool,
    max_age: Option<Span>,
}

/// An authorization request that is not put to anybody.
#[derive(Debug)]
pub struct AskRefused {
    /// Why.
    pub error: OauthError,
    /// Where the browser goes with it; none if it is to be shown.
    pub location: Option<String>,
}

impl AskRefused {
    pub(crate) fn shown(error: OauthError) -> Self {
        Self { error, location: None }
    }
}

impl Authenticator {
    /// Reads an authorization request: its parameters, or those that were pushed before (RFC 9126, section 4).
    ///
    /// # Errors
    /// [`AskRefused`].
    pub async fn asked(&self, parameters: &[(String, String)]) -> Result<Asked, AskRefused> {
        self.asked_within(parameters, Span::seconds(0)).await
    }

    /// The same again, with its person's answer: what was pushed does not end while they read.
    ///
    /// # Errors
    /// [`AskRefused`].
    pub async fn asked_before(&self, parameters: &[(String, String)]) -> Result<Asked, AskRefused> {
        self.asked_within(parameters, READING).await
    }

    async fn asked_within(&self, parameters: &[(String, String)], read: Span) -> Result<Asked, AskRefused> {
        let form = Form(parameters);
        let uri = form.one("request_uri").map_err(AskRefused::shown)?;
        match uri {
            Some(uri) => {
                let client_id = form.needed("client_id").map_err(AskRefused::shown)?;
                let (hash, parameters) = self.pushed(client_id, uri, read).await.map_err(AskRefused::shown)?;
                Ok(Asked { pushed: Some(hash), ..self.read_asked(Form(&parameters)).await? })
            }
            None if self.config.require_pushed => {
                Err(AskRefused::shown(bad("this server takes pushed authorization requests only (RFC 9126)")))
            }
            None => self.read_asked(form).await,
        }
    }

    pub(super) async fn read_asked(&self, form: Form<'_>) -> Result<Asked, AskRefused> {
        let client_id = form.needed("client_id").map_err(AskRefused::shown)?;
        let client = self.client_of(client_id).await.map_err(AskRefused::shown)?;
        let redirect_uri = form.needed("redirect_uri").map_err(AskRefused::shown)?;
        if !client.may_redirect_to(redirect_uri) {
            let why = "the `redirect_uri` is not one of the client's, letter by letter";
            return Err(AskRefused::shown(OauthError::new(problem::UNKNOWN_CLIENT, "invalid_request", why)));
        }
        let state = form.one("state").map_err(AskRefused::shown)?;
        if state.is_some_and(|state| state.len() > STATE) {
            return Err(AskRefused::shown(bad("`state` is longer than 2048 bytes")));
        }
        let slot = self.directory.agent_of(&client.agent);
        let slot = slot.ok_or_else(|| AskRefused::shown(bad("the client's agent is gone")))?;
        let mut asked = Asked {
            client,
            slot,
            redirect_uri: redirect_uri.to_owned(),
            state: state.map(str::to_owned),
            issuer: self.config.issuer.clone(),
            challenge: String::new(),
            resource: String::new(),
            limits: Vec::new(),
            key: None,
            pushed: None,
            silent: false,
            max_age: None,
        };
        match self.fill(&mut asked, form) {
            Ok(()) => Ok(asked),
            Err(e) => Err(asked.refuse(e)),
        }
    }

    fn fill(&self, asked: &mut Asked, form: Form<'_>) -> Result<(), OauthError> {
        protocol(form)?;
        asked.challenge = challenge(form)?;
        form.refuse_scope()?;
        let resource = self.resource(&form)?;
        asked.limits = self.wanted_limits(&form, resource)?;
        asked.resource = resource.to_owned();
        asked.key = form.one("dpop_jkt")?.map(|text| super::thumbprint(text).ok_or_else(bad_key)).transpose()?;
        (asked.silent, asked.max_age) = prompt(form)?;
        let active = asked.slot.demand_active(self.clock.now());
        active.map_err(|reason| OauthError::new(reason.row, "unauthorized_client", reason.why))?;
        Ok(())
    }

    /// What a client asks for at a resource of ours: the details it names, or everything at this one server.
    pub(crate) fn wanted_limits(&self, form: &Form<'_>, resource: &str) -> Result<Vec<Limit>, OauthError> {
        let nobodys = || {
            let why = "people let agents reach upstream servers: ask for the resource of one";
            OauthError::new(problem::BAD_RESOURCE, "invalid_target", why)
        };
        let server = self.server_of(resource).ok_or_else(nobodys)?;
        let limits = form.limits()?;
        if limits.is_empty() {
            return Ok(everything_at(server));
        }
        let refused = |why: String| OauthError::new(problem::BAD_LIMITS, "invalid_authorization_details", why);
        if let Some(unknown) = limits.iter().find(|limit| !self.can_be_met(limit)) {
            return Err(refused(format!("there is no server or partner `{}` for this", unknown.server())));
        }
        if !Limit::cover(&limits, Covered::Server(server)) {
            return Err(refused(format!("none of the details is about server `{server}`, which is the `resource`")));
        }
        Ok(limits)
    }

    /// Is it about a server of ours, or about a partner and scopes of it that the configuration names?
    fn can_be_met(&self, limit: &Limit) -> bool {
        match limit {
            Limit::IdentityAssertion { audience, scopes } => {
                let partner = self.config.partners.iter().find(|partner| partner.issuer == *audience);
                partner.is_some_and(|partner| scopes.iter().all(|scope| partner.scopes.contains(scope)))
            }
            _ => self.server_of(&format!("{}/mcp/{}", self.config.issuer, limit.server())).is_some(),
        }
    }
}

fn everything_at(server: &str) -> Vec<Limit> {
    let server = server.to_owned();
    vec![
        Limit::McpTool { server: server.clone(), tools: Vec::new(), constraints: Default::default(), calls: None },
        Limit::McpResource { server: server.clone(), resources: Vec::new() },
        Limit::McpPrompt { server, prompts: Vec::new() },
    ]
}

fn protocol(form: Form<'_>) -> Result<(), OauthError> {
    let error = |error, why| Err(OauthError::new(problem::BAD_AUTHORIZATION_REQUEST, error, why));
    if form.one("request")?.is_some() {
        return error("request_not_supported", "push the request instead (RFC 9126)");
    }
    if form.needed("response_type")? != "code" {
        return error("unsupported_response_type", "`response_type` must be `code`");
    }
    if form.one("response_mode")?.is_some_and(|mode| mode != "query") {
        return error("invalid_request", "`response_mode` must be `query`, or left out");
    }
    let known = |acr: &str| acr.split(' ').any(|acr| acr == ACR);
    if form.one("acr_values")?.is_some_and(|wanted| !known(wanted)) {
        return error("unmet_authentication_requirements", "people sign in here in none of the ways of `acr_values`");
    }
    Ok(())
}

/// PKCE (RFC 7636), always, and never `plain` (OAuth 2.1 draft, section 4.1.1).
fn challenge(form: Form<'_>) -> Result<String, OauthError> {
    let challenge = form.one("code_challenge")?.ok_or_else(|| bad("`code_challenge` is missing (RFC 7636)"))?;
    if form.one("code_challenge_method")? != Some("S256") {
        return Err(bad("`code_challenge_method` must be `S256`"));
    }
    match super::thumbprint(challenge) {
        Some(_) => Ok(challenge.to_owned()),
        None => Err(bad("`code_challenge` is not the base64url SHA-256 of a verifier")),
    }
}

/// Whether nobody may be shown anything, and how old the login may be.
fn prompt(form: Form<'_>) -> Result<(bool, Option<Span>), OauthError> {
    let (mut silent, mut anew) = (false, false);
    let words = form.one("prompt")?.unwrap_or_default();
    for word in words.split(' ').filter(|word| !word.is_empty()) {
        match word {
            "none" => silent = true,
            "login" => anew = true,
            // Everybody is always asked.
            "consent" => {}
            _ => return Err(bad("`prompt` may be `login`, `consent` or `none`")),
        }
    }
    if silent && words.trim() != "none" {
        return Err(bad("`prompt=none` stands alone"));
    }
    let age = form.one("max_age")?.map(str::parse::<u32>).transpose();
    let age = age.map_err(|_| bad("`max_age` is not a number of seconds"))?.map(|age| Span::seconds(age.into()));
    Ok((silent, if anew { Some(Span::seconds(0)) } else { age }))
}

impl Asked {
    /// Who is to act.
    pub fn agent(&self) -> Arc<Agent> {
        self.slot.agent()
    }

    /// The client that asks.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What it asks for. Never empty.
    pub fn limits(&self) -> &[Limit] {
        &self.limits
    }

    /// Where the browser goes with the answer.
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Nobody is to be shown anything (`prompt=none`). Everybody is always asked here, so it can only be refused: the
    /// address to go back to.
    pub fn silent(&self, signed_in: bool) -> Option<String> {
        let (error, why) = match signed_in {
            true => ("consent_required", "people are always asked"),
            false => ("login_required", "nobody is signed in"),
        };
        self.silent.then(|| self.back_with(&OauthError::new(problem::NOT_SIGNED_IN, error, why)))
    }

    /// How old the login may be when the page is shown (`max_age`, `prompt=login`). One that is just made always passes.
    pub fn needs_login_within(&self) -> Option<Span> {
        self.max_age.map(|age| Span(age.0.max(NEW.0)))
    }

    /// The same when the page is answered.
    pub fn is_answered_in_time(&self, by: &SignedIn, now: chancery_model::Timestamp) -> bool {
        self.needs_login_within().is_none_or(|within| by.is_fresh(now, Span(within.0 + READING.0)))
    }

    /// The address the browser goes back to with an error.
    pub fn refuse(&self, error: OauthError) -> AskRefused {
        AskRefused { location: Some(self.back_with(&error)), error }
    }

    pub(super) fn back_with(&self, error: &OauthError) -> String {
        let described: String = error.description.chars().map(describable).take(300).collect();
        self.back(&[("error", error.error), ("error_description", &described)])
    }

    /// The address with these parameters, the `state`, and who answers (RFC 9207).
    pub(super) fn back(&self, parameters: &[(&str, &str)]) -> String {
        let mut location = self.redirect_uri.clone();
        let state = self.state.as_deref().map(|state| ("state", state));
        for (name, value) in parameters.iter().copied().chain(state).chain([("iss", self.issuer.as_str())]) {
            location.push(if location.contains('?') { '&' } else { '?' });
            location.push_str(name);
            location.push('=');
            location.push_str(&encoded(value));
        }
        location
    }

    pub(super) fn question(&self) -> Question<'_> {
        Question { slot: &self.slot, client: &self.client, resource: &self.resource, limits: &self.limits }
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Asked({} for {})", self.client.id, self.resource)
    }
}

/// What may stand in `error_description` (RFC 6749, section 4.1.2.1).
fn describable(c: char) -> char {
    if matches!(c, ' '..='~') && c != '"' && c != '\\' { c } else { '\'' }
}

/// For a query. Nothing but letters, digits and `-._~` stays as it is.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&format!("{byte:02X}"));
        }
    }
    out
}

fn bad_key() -> OauthError {
    bad("`dpop_jkt` is not a thumbprint")
}

pub(super) fn bad(why: impl Into<String>) -> OauthError {
    OauthError::new(problem::BAD_AUTHORIZATION_REQUEST, "invalid_request", why)
}
