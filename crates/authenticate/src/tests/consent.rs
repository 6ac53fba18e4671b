//! What people allow, from the question to the session, without a browser.

use std::sync::Arc;

use chancery_model::{Agent, ClientKind, Digest, LoginId, Manifest, Person, Span};
use chancery_store::{consents, manifests};

use super::clients::serve;
use super::exchange::{Lenient, Party};
use super::{ASSERTION_TYPE, AUDIENCE, ISSUER, TOKEN_URL, World, config};
use crate::client::AgentKey;
use crate::consent::challenge_of;
use crate::jose::sha256;
use crate::token::TokenBody;
use crate::{Narrowed, OauthError, SignedIn, TokenRequest};

const CALLBACK: &str = "https://app.example/cb";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// Pairs of a form.
type Pairs = Vec<(String, String)>;

fn pairs(given: &[(&str, &str)]) -> Pairs {
    given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn redeem<'a>(code: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("grant_type", "authorization_code"), ("code", code), ("code_verifier", VERIFIER)][..], more].concat()
}

/// A question with everything right.
fn question(client: &str, to: &str) -> Pairs {
    pairs(&[
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", to),
        ("code_challenge", &challenge_of(VERIFIER)),
        ("code_challenge_method", "S256"),
        ("resource", AUDIENCE),
    ])
}

impl World {
    /// Lets everybody consent, and gives `agent` an address.
    async fn with_address(self, agent: &str) -> Self {
        self.auth.set_delegations(Box::new(Lenient));
        let id = self.auth.agent(agent).unwrap().id.to_string();
        self.adopt_for(agent, &id, ClientKind::Registered, &[CALLBACK], false).await;
        self
    }

    fn signed_in(&self, person: &Arc<Person>) -> SignedIn {
        let login = LoginId::new(self.now(), &*self.random);
        SignedIn { person: person.clone(), login, since: self.now(), proved_at: None, form_key: String::new() }
    }

    /// Anna says yes: the code.
    async fn allowed(&self, question: &[(String, String)]) -> String {
        let anna = self.person("anna").await;
        let asked = self.auth.asked(question).await.unwrap();
        let narrowed = Narrowed { keep: (0..asked.limits().len()).collect(), lasts: Span::hours(1) };
        let back = self.auth.allow(&asked, &self.signed_in(&anna), &narrowed).await.unwrap();
        back.split("code=").nth(1).and_then(|rest| rest.split('&').next()).unwrap().to_owned()
    }

    /// A token request with a proof by this key.
    async fn sent_with(&self, key: &AgentKey, form: &[(&str, &str)]) -> Result<TokenBody, OauthError> {
        let proof = self.proof_by(key, "POST", TOKEN_URL, None);
        self.ask(&pairs(form), Some(&proof)).await.map(|answer| answer.body)
    }

    /// The same by an agent that authenticates with the key.
    async fn sent_by(&self, (name, key): (&str, &AgentKey), form: &[(&str, &str)]) -> Result<TokenBody, OauthError> {
        let assertion = key.assertion(name, ISSUER, self.now(), &*self.random).unwrap();
        let own = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion.as_str())];
        self.sent_with(key, &[form, &own].concat()).await
    }

    /// Pushes a request: its `request_uri`.
    async fn pushed(&self, form: &[(String, String)]) -> Result<String, OauthError> {
        let own = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &self.assertion())];
        let form = [form.to_vec(), pairs(&own)].concat();
        let request = TokenRequest { form: &form, authorization: None, dpop: None, certificate: None, url: TOKEN_URL };
        self.auth.push(&request).await.map(|body| body.request_uri)
    }
}

#[tokio::test]
async fn a_code_is_of_the_agent_that_its_person_was_shown() {
    let (place, url, _) = serve("x: y").await;
    let world = World::reaching(config(), &[place]).await;
    world.auth.set_delegations(Box::new(Lenient));
    world.party("other").await;
    let epoch = |name: &str| world.auth.agent(name).unwrap().epoch;
    assert_eq!(epoch("crm"), epoch("other"));
    world.adopt_for("crm", &url, ClientKind::MetadataDocument, &[], false).await;
    let code = world.allowed(&question(&url, "http://127.0.0.1/cb")).await;
    world.adopt_for("crm", &url, ClientKind::MetadataDocument, &[], true).await;
    world.adopt_for("other", &url, ClientKind::MetadataDocument, &[], false).await;
    let key = AgentKey::generate().unwrap();
    let refused = world.sent_with(&key, &redeem(&code, &[("client_id", &url)])).await.unwrap_err();
    assert!(refused.description.contains("the agent changed"), "{refused}");
    world.adopt_for("other", &url, ClientKind::MetadataDocument, &[], true).await;
    world.adopt_for("crm", &url, ClientKind::MetadataDocument, &[], false).await;
    world.sent_with(&key, &redeem(&code, &[("client_id", &url)])).await.unwrap();
}

#[tokio::test]
async fn a_blueprint_that_was_stopped_meanwhile_ends_what_was_allowed() {
    let world = World::with_blueprint().await;
    let one = world.instance("crm-1").await;
    let world = world.with_address("crm-1").await;
    let code = world.allowed(&question("crm-1", CALLBACK)).await;
    world.blueprint_becomes(|blueprint| blueprint.suspend().unwrap()).await;
    world.blueprint_becomes(|blueprint| blueprint.resume().unwrap()).await;
    let refused = world.sent_by((&one.name, &one.key), &redeem(&code, &[])).await.unwrap_err();
    assert!(refused.description.contains("the agent changed"), "{refused}");
}

#[tokio::test]
async fn an_agent_with_an_approved_manifest_states_it_with_its_code() {
    let world = World::new().await.with_address("crm").await;
    let manifest = |model: &str| Manifest {
        model: model.into(),
        prompt_digest: Digest([1; 32]),
        tools_digest: Digest([2; 32]),
        version: None,
    };
    let digest = manifests::digest(&manifest("one"));
    world.change("crm", |agent| Agent { manifest: Some(digest), epoch: agent.epoch + 1, ..agent }).await;
    let code = world.allowed(&question("crm", CALLBACK)).await;
    let other = manifest("two").canonical();
    for stated in [vec![], vec![("manifest", other.as_str())]] {
        let refused = world.sent_by(("crm", &world.key), &redeem(&code, &stated)).await.unwrap_err();
        assert_eq!((refused.error, refused.row.code), ("unauthorized_client", "C6024"), "{refused}");
    }
    let own = manifest("one").canonical();
    let body = world.sent_by(("crm", &world.key), &redeem(&code, &[("manifest", &own)])).await.unwrap();
    let token = body.access_token.expose();
    assert_eq!(world.call_now(token).unwrap().session.manifest, Some(digest));

    // Whoever goes on with the session does so as what it was opened with.
    let crm = Party { name: "crm".into(), key: AgentKey::from_text(&world.key.to_text().unwrap()).unwrap() };
    let refresh = body.refresh_token.as_ref().unwrap().expose();
    let refreshed = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    for (stated, good) in [(other.as_str(), false), (own.as_str(), true)] {
        let more = [("manifest", stated)];
        let answers = [
            world.exchanged(&crm, token, &more).await,
            world.sent_by(("crm", &world.key), &[&refreshed[..], &more].concat()).await,
        ];
        for answer in answers {
            assert_eq!(answer.is_ok(), good, "{answer:?}");
            assert!(answer.is_ok() || answer.is_err_and(|e| e.row.code == "C6024"));
        }
    }
}

#[tokio::test]
async fn a_pushed_request_is_read_as_long_as_a_page_may_be() {
    let world = World::new().await.with_address("crm").await;
    let pushed = world.pushed(&question("crm", CALLBACK)).await.unwrap();
    let asked = pairs(&[("client_id", "crm"), ("request_uri", &pushed)]);
    world.clock.advance(Span::seconds(59));
    world.auth.asked(&asked).await.unwrap();
    world.clock.advance(Span::seconds(1));
    assert!(world.auth.asked(&asked).await.is_err(), "it is not shown any more");
    // Somebody else's request does not sweep it away.
    world.pushed(&question("crm", CALLBACK)).await.unwrap();
    world.clock.advance(Span::seconds(299));
    world.auth.asked_before(&asked).await.unwrap();
    world.clock.advance(Span::seconds(1));
    assert!(world.auth.asked_before(&asked).await.is_err(), "nobody reads for so long");
}

#[tokio::test]
async fn of_a_pushed_request_is_kept_what_is_known() {
    let world = World::new().await.with_address("crm").await;
    let more = pairs(&[("state", "x"), ("junk", &"x".repeat(10_000)), ("requested_token_type", "y")]);
    let uri = world.pushed(&[question("crm", CALLBACK), more].concat()).await.unwrap();
    let name = uri.rsplit(':').next().unwrap();
    let kept = consents::pushed(&world.store, &sha256(name.as_bytes()), world.now()).await.unwrap().unwrap();
    let names: Vec<&str> = kept.form.iter().map(|(name, _)| name.as_str()).collect();
    let asked: Pairs = [question("crm", CALLBACK), pairs(&[("state", "x")])].concat();
    assert_eq!(names, asked.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());
}

#[tokio::test]
async fn guesses_at_the_same_moment_are_as_many() {
    let world = World::new().await;
    let anna = world.person("anna").await;
    let by = world.signed_in(&anna);
    let guess = |n: usize| {
        let (auth, by) = (world.auth.clone(), by.clone());
        tokio::spawn(async move { auth.device_asked(&format!("BCDF-GH{n:02}"), &by).await.map(drop).unwrap_err() })
    };
    let guesses: Vec<_> = (0..20).map(guess).collect();
    let mut wrong = 0;
    for guess in guesses {
        wrong += usize::from(guess.await.unwrap().row.code == chancery_model::problem::BAD_USER_CODE.code);
    }
    assert_eq!(wrong, 5);
}
