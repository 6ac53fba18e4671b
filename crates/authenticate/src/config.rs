//! What can be set.

use chancery_model::Span;
use chancery_webauthn::Party;

use crate::token::{Partner, Provider, Transactions};
use crate::{delegation, dpop};

/// Settings of this room, with safe defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our issuer identifier (RFC 8414): scheme, host and port, without a slash at the end.
    pub issuer: String,
    /// What browsers of people call this server: `https` and a host name, or `http` and `localhost`, and the port. Passkeys
    /// are for its host name.
    pub people_url: String,
    /// The resources tokens can be asked for (RFC 8707), letter by letter: one per door.
    pub audiences: Vec<String>,
    /// Resources whose tokens carry scopes (RFC 6749, section 3.3); elsewhere rights come from grants and policies.
    pub scoped: Vec<Scoped>,
    /// How long an access token lives.
    pub token_lifetime: Span,
    /// The longest life a client assertion may have.
    pub assertion_lifetime: Span,
    /// How far an agent's clock may be off.
    pub skew: Span,
    /// How proofs are judged.
    pub dpop: dpop::Config,
    /// How sessions end.
    pub sessions: SessionLimits,
    /// How chains of delegation are bounded.
    pub delegation: delegation::Limits,
    /// Authorization servers that take our word for who our people are.
    pub partners: Vec<Partner>,
    /// Identity providers whose word is taken for who people are.
    pub providers: Vec<Provider>,
    /// The audience of transaction tokens; the issuer where there is none.
    pub transactions: Transactions,
    /// Whether only authorization requests that were pushed are taken (RFC 9126, section 5).
    pub require_pushed: bool,
    /// Whether clients may register themselves (RFC 7591).
    pub registration: bool,
    /// The door where clients show certificates, if there is one.
    pub clients: Option<ByCertificate>,
    /// How many verified tokens are remembered.
    pub cached_tokens: usize,
}

/// A resource whose tokens carry scopes.
#[derive(Debug, Clone)]
pub struct Scoped {
    /// One of the resources.
    pub resource: String,
    /// The scopes there are. A request that names none gets all of them.
    pub scopes: &'static [&'static str],
}

/// Clients that show certificates (RFC 8705).
#[derive(Debug, Clone)]
pub struct ByCertificate {
    /// What clients call the TLS door, without a slash at the end.
    pub url: String,
    /// The roots their certificates may lead to, each in DER.
    pub roots: Vec<Vec<u8>>,
}

/// How sessions end.
#[derive(Debug, Clone)]
pub struct SessionLimits {
    /// The longest a session may last.
    pub maximum: Span,
    /// How long it may be left unused.
    pub idle: Span,
    /// How many one agent may have open.
    pub per_agent: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            issuer: "http://127.0.0.1:8420".into(),
            people_url: "http://localhost:8420".into(),
            audiences: Vec::new(),
            scoped: Vec::new(),
            token_lifetime: Span::minutes(5),
            assertion_lifetime: Span::minutes(5),
            skew: Span::seconds(5),
            dpop: dpop::Config::default(),
            sessions: SessionLimits::default(),
            delegation: delegation::Limits::default(),
            partners: Vec::new(),
            providers: Vec::new(),
            transactions: Transactions::default(),
            require_pushed: false,
            registration: false,
            clients: None,
            cached_tokens: 65_536,
        }
    }
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { maximum: Span::hours(8), idle: Span::minutes(15), per_agent: 10_000 }
    }
}

impl Config {
    /// Where tokens are to be asked for.
    pub fn token_endpoint(&self) -> String {
        format!("{}/oauth/token", self.issuer)
    }

    /// Where passkeys are for: WebAuthn takes no IP address (Level 3, section 5.1.3).
    pub(crate) fn party(&self) -> Party {
        let authority = self.people_url.split_once("://").map_or("", |(_, authority)| authority);
        let id = authority.split(':').next().unwrap_or_default().to_ascii_lowercase();
        // As browsers write it: without the port that the scheme has anyway.
        let usual = if self.people_url.starts_with("https:") { ":443" } else { ":80" };
        let origin = self.people_url.strip_suffix(usual).unwrap_or(&self.people_url).to_ascii_lowercase();
        Party { id, origin }
    }

    /// What transaction tokens are for.
    pub(crate) fn trust_domain(&self) -> &str {
        self.transactions.audience.as_deref().unwrap_or(&self.issuer)
    }

    /// Where tokens are asked about (RFC 7662).
    pub fn introspection_endpoint(&self) -> String {
        format!("{}/oauth/introspect", self.issuer)
    }

    /// Where tokens are given back (RFC 7009).
    pub fn revocation_endpoint(&self) -> String {
        format!("{}/oauth/revoke", self.issuer)
    }

    /// Where people are asked.
    pub fn authorization_endpoint(&self) -> String {
        format!("{}/oauth/authorize", self.issuer)
    }

    /// Where authorization requests are pushed.
    pub fn pushed_request_endpoint(&self) -> String {
        format!("{}/oauth/par", self.issuer)
    }

    /// Where clients register themselves.
    pub fn registration_endpoint(&self) -> String {
        format!("{}/oauth/register", self.issuer)
    }

    /// Where devices ask.
    pub fn device_endpoint(&self) -> String {
        format!("{}/oauth/device_authorization", self.issuer)
    }

    /// Where clients ask for people who are somewhere else.
    pub fn backchannel_endpoint(&self) -> String {
        format!("{}/oauth/bc-authorize", self.issuer)
    }

    /// Where our public keys are.
    pub fn jwks_uri(&self) -> String {
        format!("{}/oauth/jwks", self.issuer)
    }
}
