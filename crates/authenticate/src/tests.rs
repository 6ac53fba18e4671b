//! The room from its doors, with a real store on a real disk and a clock that tests move.

use std::path::Path;
use std::sync::Arc;

use chancery_fetch::Fetcher;
use chancery_model::{
    Agent, AgentId, AgentKind, AgentState, BearerUse, Change, Clock, Draft, Kind, Random, Secret, Span,
};
use chancery_store::enrolments::Enrolment as StoredCode;
use chancery_store::{Store, agents, enrolments};
use tempfile::TempDir;

use crate::client::{AgentKey, ProofFor};
use crate::testing::{Counting, MockClock};
use crate::{
    Authenticator, Caller, Config, Enrolment, OauthError, Refused, RequestFacts, TokenRequest, TokenResponse, Vault,
};

mod blueprints;
mod caller;
mod clients;
mod consent;
mod containments;
mod dpop;
mod enrol;
mod exchange;
mod forged;
mod promises;
mod sessions;
mod token;

pub(crate) const START: i64 = 1_795_000_000;
pub(crate) const AUDIENCE: &str = "http://127.0.0.1:8420/mcp/crm";
/// Where callers of [`AUDIENCE`] go.
pub(crate) const DOOR: crate::At<'static> = crate::At { audience: AUDIENCE, server: "crm", tool: None };
pub(crate) const ISSUER: &str = "http://127.0.0.1:8420";
pub(crate) const TOKEN_URL: &str = "http://127.0.0.1:8420/oauth/token";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// One data directory, one clock, one authenticator, one enrolled agent.
pub(crate) struct World {
    dir: TempDir,
    pub(crate) clock: Arc<MockClock>,
    pub(crate) random: Arc<Counting>,
    pub(crate) store: Store,
    pub(crate) auth: Arc<Authenticator>,
    pub(crate) key: AgentKey,
}

pub(crate) fn config() -> Config {
    Config { audiences: vec![AUDIENCE.into(), format!("{ISSUER}/mcp/billing")], ..Config::default() }
}

/// Reaches documents on this machine only where a test lists them.
fn fetcher(allow: &[String]) -> Arc<Fetcher> {
    Arc::new(Fetcher::new(chancery_fetch::Config { allow: allow.to_vec(), ..Default::default() }).unwrap())
}

async fn open(
    dir: &Path,
    config: Config,
    allow: &[String],
    clock: Arc<MockClock>,
    random: Arc<Counting>,
) -> (Store, Arc<Authenticator>) {
    let data = dir.join("data");
    let settings = chancery_store::Config::at(&data);
    let store = Store::open(&settings, clock.clone(), random.clone()).await.unwrap();
    let vault = Vault::open(&dir.join("kek"), &data, random.clone()).unwrap();
    let auth = Authenticator::open(config, store.clone(), vault, fetcher(allow), clock, random).await.unwrap();
    (store, auth)
}

impl World {
    /// With agent `crm` enrolled.
    pub(crate) async fn new() -> Self {
        Self::with(config()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::reaching(config, &[]).await
    }

    /// With documents at these places within reach.
    pub(crate) async fn reaching(config: Config, allow: &[String]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clock, random) = (MockClock::at(START), Counting::from(1));
        let (store, auth) = open(dir.path(), config, allow, clock.clone(), random.clone()).await;
        let world = Self { dir, clock, random, store, auth, key: AgentKey::generate().unwrap() };
        world.register("crm").await;
        let code = world.code("crm", Span::minutes(15)).await;
        world.enrol(&code, &world.key).await.unwrap();
        world
    }

    /// The process ends and starts again on the same data, its clock having gone on by `span`.
    pub(crate) async fn restart(self, span: Span) -> Self {
        let config = self.auth.config().clone();
        self.store.close().await;
        self.clock.advance(span);
        let random = Counting::from(2);
        let (store, auth) = open(self.dir.path(), config, &[], self.clock.clone(), random.clone()).await;
        Self { store, auth, random, ..self }
    }

    pub(crate) async fn register(&self, name: &str) -> Agent {
        let now = self.clock.now();
        let agent = Agent {
            id: AgentId::new(now, &*self.random as &dyn Random),
            name: name.into(),
            kind: AgentKind::Agent,
            sponsor: "ann@acme.example".into(),
            owner: "bob@acme.example".into(),
            purpose: "answers customers".into(),
            blueprint: None,
            manifest: None,
            state: AgentState::Registered,
            epoch: 1,
            bearer: BearerUse::Refused,
            key_thumbprint: None,
            public_jwk: None,
            created_at: now,
            expires_at: now + Span::days(90),
        };
        let stored = agent.clone();
        let write =
            self.store.write(self.draft(), move |tx| Box::pin(async move { agents::insert(tx, &stored).await }));
        write.await.unwrap();
        agent
    }

    /// Changes an agent as the other room would.
    pub(crate) async fn change(&self, name: &str, step: impl FnOnce(Agent) -> Agent) {
        let agent = step((*self.auth.agent(name).unwrap()).clone());
        let write = self.store.write(self.draft(), move |tx| Box::pin(async move { agents::update(tx, &agent).await }));
        write.await.unwrap();
    }

    pub(crate) async fn code(&self, agent: &str, lifetime: Span) -> Secret {
        let now = self.clock.now();
        let code = crate::jose::encode(&(&*self.random as &dyn Random).bytes::<20>());
        let stored = StoredCode {
            code_hash: enrolments::code_hash(&code),
            agent: self.auth.agent(agent).unwrap().id.clone(),
            created_at: now,
            expires_at: now + lifetime,
            used_at: None,
        };
        let write =
            self.store.write(self.draft(), move |tx| Box::pin(async move { enrolments::insert(tx, &stored).await }));
        write.await.unwrap();
        Secret::new(code)
    }

    pub(crate) async fn enrol(&self, code: &Secret, key: &AgentKey) -> Result<crate::Enrolled, crate::EnrolError> {
        let proof = key.enrolment_proof(code, ISSUER, self.clock.now()).unwrap();
        self.auth.enrol(&Enrolment { code, jwk: key.jwk(), proof: &proof }).await
    }

    pub(crate) fn assertion(&self) -> String {
        self.key.assertion("crm", ISSUER, self.clock.now(), &*self.random).unwrap()
    }

    pub(crate) fn proof_by(&self, key: &AgentKey, method: &str, url: &str, token: Option<&str>) -> String {
        let nonce = self.auth.dpop_nonce();
        let request = ProofFor { method, url, token, nonce: nonce.as_deref() };
        key.proof(request, self.clock.now(), &*self.random).unwrap()
    }

    pub(crate) fn token_proof(&self) -> String {
        self.proof_by(&self.key, "POST", TOKEN_URL, None)
    }

    pub(crate) async fn ask(&self, form: &[(String, String)], dpop: Option<&str>) -> Result<TokenResponse, OauthError> {
        self.auth.token(TokenRequest { form, authorization: None, dpop, certificate: None, url: TOKEN_URL }).await
    }

    /// A bound token, new session.
    pub(crate) async fn token(&self) -> String {
        let answer = self.ask(&form(&self.assertion()), Some(&self.token_proof())).await.unwrap();
        answer.body.access_token.expose().to_owned()
    }

    /// A proof for a call with this token.
    pub(crate) fn proof(&self, token: &str) -> String {
        self.proof_by(&self.key, "POST", AUDIENCE, Some(token))
    }

    pub(crate) fn call(&self, token: &str, proof: &str) -> Result<Caller, Refused> {
        self.present(&format!("DPoP {token}"), Some(proof))
    }

    /// A call with a fresh proof.
    pub(crate) fn call_now(&self, token: &str) -> Result<Caller, Refused> {
        self.call(token, &self.proof(token))
    }

    pub(crate) fn present(&self, authorization: &str, dpop: Option<&str>) -> Result<Caller, Refused> {
        let authorization = Some(authorization);
        self.auth.caller(&RequestFacts {
            method: "POST",
            url: AUDIENCE,
            authorization,
            dpop,
            certificate: None,
            audience: AUDIENCE,
        })
    }

    fn draft(&self) -> Draft {
        let change = Change { noun: "test".into(), id: "test".into(), verb: "test".into(), after: None };
        Draft { kind: Kind::Change, at: self.clock.now(), change: Some(change), ..Draft::default() }
    }
}

/// A token request's form with everything right.
pub(crate) fn form(assertion: &str) -> Vec<(String, String)> {
    let pairs = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion),
        ("resource", AUDIENCE),
    ];
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec()
}
