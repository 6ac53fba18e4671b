//! Tokens that need nobody: as ourselves, or with an assertion (RFC 6749, section 4.4; RFC 7523, section 2.1; RFC 8693).

use std::sync::Arc;

use chancery_authenticate::client::AgentKey;
use chancery_model::Secret;

use super::challenge::Challenge;
use super::client::{AuthMethod, Client, ClientProof};
use super::config::{Dpop, IdentityProvider, OAuth, OAuthMode};
use super::discovery::{Discovered, Wanted, authorization_server, discover};
use super::error::ConnectError;
use super::form::Form;
use super::kept::{Connection, KnownClient, Tokens};
use super::token::{Issued, TokenAsk};
use super::{Connections, Target, scopes};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

/// Everything a token request follows from.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) found: Discovered,
    pub(super) known: KnownClient,
    pub(super) client: Client,
    pub(super) scopes: Vec<String>,
    pub(super) key: Option<Arc<AgentKey>>,
}

impl Connections {
    /// Finds out whom to ask for what.
    pub(super) async fn plan(
        &self,
        target: &Target,
        challenge: Option<Challenge>,
        before: Option<&Connection>,
        granted: &[String],
    ) -> Result<Plan, ConnectError> {
        let oauth = &target.oauth;
        let challenge = match challenge {
            Some(challenge) => challenge,
            None => target.prober.challenge().await?,
        };
        let issuer = oauth.issuer.as_deref().or(remembered(oauth, before));
        let wanted = Wanted { url: &target.url, challenge: &challenge, issuer, legacy: oauth.legacy };
        let found = discover(&*self.means.exchange, wanted).await?;
        let known = self.client_at(target, &found.server, before).await?;
        let client = self.open(oauth, &known).await?;
        let granted = if before.is_some_and(|b| b.server.issuer == found.server.issuer) { granted } else { &[] };
        let lasting = oauth.mode == OAuthMode::AuthorizationCode;
        let scopes = scopes::wanted(oauth.scopes.as_deref(), &challenge, &found, granted, lasting);
        let key = binding(oauth, &found)?;
        Ok(Plan { found, known, client, scopes, key })
    }

    /// Obtains a token without asking anybody.
    pub(super) async fn grant(
        &self,
        target: &Target,
        challenge: Option<Challenge>,
        before: Option<&Connection>,
        granted: &[String],
    ) -> Result<Connection, ConnectError> {
        let plan = self.plan(target, challenge, before, granted).await?;
        let issued = match target.oauth.mode {
            OAuthMode::ClientCredentials => self.as_ourselves(&plan).await,
            OAuthMode::JwtBearer => self.with_assertion(&plan, &self.assertion(&target.oauth).await?).await,
            OAuthMode::IdentityAssertion => {
                let assertion = self.identity_assertion(&target.oauth, &plan).await?;
                self.with_assertion(&plan, &assertion).await
            }
            OAuthMode::AuthorizationCode => Err(ConnectError::not_connected("somebody has to authorize it")),
        }?;
        Ok(self.connected(plan, issued, before))
    }

    /// The connection that a token makes.
    pub(super) fn connected(&self, plan: Plan, issued: Issued, before: Option<&Connection>) -> Connection {
        let now = self.means.clock.now();
        Connection {
            scopes: issued.scopes.clone().unwrap_or(plan.scopes),
            tokens: Some(Tokens::of(issued, plan.key, now)),
            server: plan.found.server,
            client: plan.known,
            resource: plan.found.resource,
            connected_at: now,
            version: before.map_or(1, |before| before.version + 1),
            cut: false,
        }
    }

    async fn as_ourselves(&self, plan: &Plan) -> Result<Issued, ConnectError> {
        plan.found.server.check_grant("client_credentials")?;
        let form = || plan.about(Form::of("client_credentials"));
        plan.ask(&[]).token(&self.means, form).await
    }

    async fn with_assertion(&self, plan: &Plan, assertion: &Secret) -> Result<Issued, ConnectError> {
        plan.found.server.check_grant(JWT_BEARER)?;
        let form = || plan.about(Form::of(JWT_BEARER)).and("assertion", assertion.expose());
        plan.ask(&[assertion]).token(&self.means, form).await
    }

    /// The assertion that somebody else gave us. A file is read anew each time: whoever writes it replaces it in time.
    async fn assertion(&self, oauth: &OAuth) -> Result<Secret, ConnectError> {
        if let Some(name) = &oauth.assertion {
            return self.secret(name).await;
        }
        let path = oauth.assertion_file.clone().unwrap_or_default();
        let read = tokio::fs::read_to_string(&path).await;
        let text = read.map_err(|e| ConnectError::secret(format!("{}: {e}", path.display())))?;
        Ok(Secret::new(text.trim().to_owned()))
    }

    /// Exchanges the ID token at its identity provider for an assertion to exactly this authorization server about
    /// exactly this resource (draft-ietf-oauth-identity-assertion-authz-grant, section 4.3).
    async fn identity_assertion(&self, oauth: &OAuth, plan: &Plan) -> Result<Secret, ConnectError> {
        let none = || ConnectError::secret("no identity provider is configured");
        let provider = oauth.identity_provider.as_ref().ok_or_else(none)?;
        let server = authorization_server(&*self.means.exchange, &provider.issuer).await?;
        let missing = || ConnectError::metadata(format!("the issuer `{}` publishes no metadata", provider.issuer));
        let server = server.ok_or_else(missing)?;
        let client = self.provider_client(provider, &server).await?;
        let subject = self.secret(&provider.subject).await?;
        let form = || {
            plan.about(Form::of(TOKEN_EXCHANGE))
                .and("requested_token_type", ID_JAG)
                .and("audience", &plan.found.server.issuer)
                .and("subject_token", subject.expose())
                .and("subject_token_type", ID_TOKEN)
        };
        let ask = TokenAsk { server: &server, client: &client, key: None, secrets: &[&subject] };
        ask.assertion(&self.means, ID_JAG, form).await
    }

    async fn provider_client(
        &self,
        provider: &IdentityProvider,
        server: &super::metadata::AuthorizationServer,
    ) -> Result<Client, ConnectError> {
        let id = provider.client_id.clone();
        let Some(name) = &provider.secret else { return Ok(Client { id, proof: ClientProof::None }) };
        let secret = self.secret(name).await?;
        let both = [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost];
        let proof = match AuthMethod::choose(&both, server)? {
            AuthMethod::ClientSecretPost => ClientProof::Post(secret),
            _ => ClientProof::Basic(secret),
        };
        Ok(Client { id, proof })
    }
}

impl Plan {
    /// What it is for, in every request the same (RFC 8707, section 2).
    fn about(&self, form: Form) -> Form {
        form.and("resource", &self.found.resource).and_some("scope", scopes::parameter(&self.scopes))
    }

    fn ask<'a>(&'a self, secrets: &'a [&'a Secret]) -> TokenAsk<'a> {
        TokenAsk { server: &self.found.server, client: &self.client, key: self.key.as_deref(), secrets }
    }
}

impl Tokens {
    pub(super) fn of(issued: Issued, key: Option<Arc<AgentKey>>, now: chancery_model::Timestamp) -> Self {
        Self {
            access: issued.access,
            scheme: issued.scheme,
            refresh: issued.refresh,
            key,
            issued_at: now,
            expires_at: issued.expires_at,
        }
    }
}

/// A client that was registered by hand belongs to one issuer. Where the configuration does not say to which, it is the
/// one it was used with first: an upstream that later names another does not get its secret sent there.
fn remembered<'b>(oauth: &OAuth, before: Option<&'b Connection>) -> Option<&'b str> {
    before.filter(|_| oauth.client_id.is_some()).map(|before| before.server.issuer.as_str())
}

/// The key that tokens are to be bound to, a new one for each connection.
fn binding(oauth: &OAuth, found: &Discovered) -> Result<Option<Arc<AgentKey>>, ConnectError> {
    let can = found.server.dpop_signing_alg_values_supported.iter().any(|name| name == "ES256");
    let issuer = &found.server.issuer;
    match oauth.dpop {
        Dpop::Off if found.bound => Err(ConnectError::metadata("the upstream takes only tokens bound to a key")),
        Dpop::Required if !can => Err(ConnectError::metadata(format!("`{issuer}` does not bind tokens to ES256 keys"))),
        Dpop::Auto | Dpop::Required if can => {
            let key = AgentKey::generate().map_err(|e| ConnectError::internal(e.to_string()))?;
            Ok(Some(Arc::new(key)))
        }
        _ => Ok(None),
    }
}
