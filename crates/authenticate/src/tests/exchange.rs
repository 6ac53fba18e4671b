//! Token exchange: tasks, delegations, and everything that must not widen or splice them.

use std::sync::Arc;

use chancery_model::{AgentKind, Clock, Person, PersonId, PersonState, Random, SessionId, Span, Timestamp};
use chancery_store::{BoxFuture, StoreError, Tx};
use serde_json::{Value, json};

use super::{AUDIENCE, ISSUER, TOKEN_URL, World, config, form};
use crate::client::{AgentKey, ProofFor};
use crate::jose::decode;
use crate::token::TokenBody;
use crate::{Caller, Config, DelegationLimits, Delegations, Handing, OauthError, Partner, RequestFacts, TokenRequest};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub(in crate::tests) const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

/// Everybody may delegate to everybody, but nobody to `outcast`, and to `concierge` only what is done for a person.
pub(in crate::tests) struct Lenient;

impl Delegations for Lenient {
    fn may_delegate(&self, link: &Handing<'_>) -> Result<(), String> {
        match link.to {
            "outcast" => Err("nobody may hand anything to the outcast".into()),
            "concierge" if !link.human => Err("the concierge works for people".into()),
            _ => Ok(()),
        }
    }
}

/// An enrolled agent.
pub(in crate::tests) struct Party {
    pub(in crate::tests) name: String,
    pub(in crate::tests) key: AgentKey,
}

impl World {
    pub(in crate::tests) async fn party(&self, name: &str) -> Party {
        let key = AgentKey::generate().unwrap();
        self.register(name).await;
        let code = self.code(name, Span::minutes(15)).await;
        self.enrol(&code, &key).await.unwrap();
        Party { name: name.into(), key }
    }

    async fn lenient(config: Config) -> Self {
        let world = Self::with(config).await;
        world.auth.set_delegations(Box::new(Lenient));
        world
    }

    pub(in crate::tests) async fn write<F>(&self, change: F)
    where
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<(), StoreError>> + Send + 'static,
    {
        self.store.write(self.draft(), change).await.unwrap();
    }

    pub(in crate::tests) async fn person(&self, name: &str) -> Arc<Person> {
        let person = Person {
            roles: Vec::new(),
            id: PersonId::new(self.clock.now(), &*self.random as &dyn Random),
            name: name.into(),
            display: None,
            state: PersonState::Active,
            epoch: 1,
            created_at: self.clock.now(),
        };
        let stored = person.clone();
        self.write(move |tx| Box::pin(async move { chancery_store::persons::insert(tx, &stored).await })).await;
        Arc::new(person)
    }

    /// A session that a person opened for an agent, as the authorization endpoint will.
    pub(in crate::tests) async fn acting_for(&self, party: &Party, person: &Arc<Person>) -> String {
        let slot = self.auth.directory.agent(&party.name).unwrap();
        let opening = crate::sessions::Opening { human: Some(person.clone()), ..crate::sessions::Opening::of(&slot) };
        let session = self.auth.open_session(opening).await.unwrap();
        let form = self.pairs(party, &[("grant_type", "client_credentials"), ("sid", session.session().id.as_str())]);
        self.sent(party, form).await.unwrap().access_token.expose().to_owned()
    }

    fn pairs(&self, party: &Party, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let assertion = party.key.assertion(&party.name, ISSUER, self.now(), &*self.random).unwrap();
        let mut pairs = form(&assertion);
        let given = |name: &str| more.iter().any(|(key, _)| *key == name);
        pairs.retain(|(key, _)| !(given(key) || key == "resource" && given("may_act")));
        pairs.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        pairs
    }

    pub(in crate::tests) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn sent(&self, party: &Party, form: Vec<(String, String)>) -> Result<TokenBody, OauthError> {
        let proof = self.proof_by(&party.key, "POST", TOKEN_URL, None);
        self.ask(&form, Some(&proof)).await.map(|answer| answer.body)
    }

    pub(in crate::tests) async fn own_token(&self, party: &Party) -> String {
        let form = self.pairs(party, &[("grant_type", "client_credentials")]);
        self.sent(party, form).await.unwrap().access_token.expose().to_owned()
    }

    pub(in crate::tests) async fn exchanged(
        &self,
        party: &Party,
        subject: &str,
        more: &[(&str, &str)],
    ) -> Result<TokenBody, OauthError> {
        let base = [("grant_type", EXCHANGE), ("subject_token", subject), ("subject_token_type", ACCESS)];
        let given = |name: &str| more.iter().any(|(key, _)| *key == name);
        let base: Vec<_> = base.into_iter().filter(|(key, _)| !given(key)).collect();
        let form = self.pairs(party, &[&base[..], more].concat());
        self.sent(party, form).await
    }

    /// `from` hands over, `to` takes.
    async fn handed(&self, from: &Party, token: &str, to: &Party, limits: &Value) -> Result<String, OauthError> {
        let details = limits.to_string();
        let mut more = vec![("may_act", to.name.as_str())];
        if !limits.is_null() {
            more.push(("authorization_details", &details));
        }
        let handed = self.exchanged(from, token, &more).await?;
        let taken = self.exchanged(to, handed.access_token.expose(), &[]).await?;
        Ok(taken.access_token.expose().to_owned())
    }

    pub(in crate::tests) fn used(&self, party: &Party, token: &str) -> Result<Caller, String> {
        let nonce = self.auth.dpop_nonce();
        let asked = ProofFor { method: "POST", url: AUDIENCE, token: Some(token), nonce: nonce.as_deref() };
        let proof = party.key.proof(asked, self.now(), &*self.random).unwrap();
        let authorization = format!("DPoP {token}");
        let facts = RequestFacts {
            method: "POST",
            url: AUDIENCE,
            authorization: Some(&authorization),
            dpop: Some(&proof),
            certificate: None,
            audience: AUDIENCE,
        };
        self.auth.caller(&facts).map_err(|refused| refused.why)
    }
}

pub(in crate::tests) fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&decode(payload).unwrap()).unwrap()
}

fn tools(tools: &[&str]) -> Value {
    json!([{"type": "mcp_tool", "server": "crm", "tools": tools}])
}

#[tokio::test]
async fn a_chain_of_three_agents_stands_in_the_token_and_before_the_door() {
    let world = World::lenient(config()).await;
    let (a, b, c) = (world.party("a").await, world.party("b").await, world.party("c").await);
    let anna = world.person("anna").await;
    let root = world.acting_for(&a, &anna).await;
    assert_eq!(claims_of(&root)["act"], json!({"sub": claims_of(&root)["client_id"]}));
    let second = world.handed(&a, &root, &b, &tools(&["read", "write"])).await.unwrap();
    let third = world.handed(&b, &second, &c, &tools(&["read"])).await.unwrap();
    let said = claims_of(&third);
    let id = |party: &Party| world.auth.agent(&party.name).unwrap().id.to_string();
    assert_eq!(said["sub"], anna.id.as_str());
    assert_eq!(said["client_id"], id(&c));
    assert_eq!(said["act"], json!({"sub": id(&c), "act": {"sub": id(&b), "act": {"sub": id(&a)}}}));
    let caller = world.used(&c, &third).unwrap();
    assert_eq!(caller.chain, ["anna", "a", "b", "c"]);
    assert_eq!(caller.human.as_deref(), Some("anna"));
    let ancestors: Vec<&str> = caller.ancestors.iter().map(|agent| agent.name.as_str()).collect();
    assert_eq!((ancestors.as_slice(), caller.limits.len()), (&["a", "b"][..], 2));
    assert!(world.used(&a, &third).is_err(), "with the key of another");
}

#[tokio::test]
async fn the_rules_are_told_whether_a_person_is_at_the_root() {
    let world = World::lenient(config()).await;
    let (a, b) = (world.party("a").await, world.party("concierge").await);
    let own = world.own_token(&a).await;
    let refused = world.handed(&a, &own, &b, &Value::Null).await.unwrap_err();
    assert!(refused.description.contains("works for people"), "{}", refused.description);
    let anna = world.person("anna").await;
    let root = world.acting_for(&a, &anna).await;
    world.handed(&a, &root, &b, &Value::Null).await.unwrap();
}

#[tokio::test]
async fn what_must_not_be_exchanged() {
    let world = World::lenient(config()).await;
    let (a, b, c) = (world.party("a").await, world.party("b").await, world.party("c").await);
    world.register("outcast").await;
    let own = world.own_token(&a).await;
    let why = |result: Result<TokenBody, OauthError>| {
        let e = result.unwrap_err();
        format!("{}: {}", e.error, e.description)
    };
    // Actor is not presenter, and the token was not handed over.
    assert!(why(world.exchanged(&b, &own, &[]).await).contains("no `may_act`"));
    let handed = world.exchanged(&a, &own, &[("may_act", "b")]).await.unwrap();
    let handed = handed.access_token.expose();
    assert_eq!(claims_of(handed)["aud"], ISSUER, "no resource takes it");
    assert!(why(world.exchanged(&c, handed, &[]).await).contains("names another agent"));
    assert!(why(world.exchanged(&a, handed, &[]).await).contains("was handed over"));
    assert!(world.used(&a, handed).unwrap_err().contains("it is for"));
    // The request says nothing about the chain.
    assert!(why(world.exchanged(&b, handed, &[("act", r#"{"sub":"x"}"#)]).await).contains("leave them out"));
    // Another kind of token.
    let kinds = [("subject_token_type", "urn:ietf:params:oauth:token-type:id_token")];
    assert!(why(world.exchanged(&b, handed, &kinds).await).contains("must be"));
    let wanted = [("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token")];
    assert!(why(world.exchanged(&b, handed, &wanted).await).contains("requested_token_type"));
    // A loop, and one that the rules refuse.
    let taken = world.exchanged(&b, handed, &[]).await.unwrap();
    let back = world.exchanged(&b, taken.access_token.expose(), &[("may_act", "a")]).await;
    assert!(why(back).contains("no loops"));
    assert!(why(world.exchanged(&b, taken.access_token.expose(), &[("may_act", "b")]).await).contains("no loops"));
    assert!(why(world.exchanged(&a, &own, &[("may_act", "outcast")]).await).contains("may act at present"));
    // Somebody who has the token without its key.
    let form = world.pairs(&a, &[("grant_type", EXCHANGE), ("subject_token", &own), ("subject_token_type", ACCESS)]);
    let proof = world.proof_by(&c.key, "POST", TOKEN_URL, None);
    let stolen = world.ask(&form, Some(&proof)).await;
    assert!(why(stolen.map(|answer| answer.body)).contains("not bound to the key"));
    // Without any proof.
    let form = world.pairs(&a, &[("grant_type", EXCHANGE), ("subject_token", &own), ("subject_token_type", ACCESS)]);
    let request = TokenRequest { form: &form, authorization: None, dpop: None, certificate: None, url: TOKEN_URL };
    assert!(world.auth.token(request).await.is_err());
    // What expired.
    world.clock.advance(Span::minutes(5));
    assert!(why(world.exchanged(&b, handed, &[]).await).contains("expired"));
}

#[tokio::test]
async fn subject_and_actor_are_of_one_flow() {
    let world = World::lenient(config()).await;
    let (a, b, c) = (world.party("a").await, world.party("b").await, world.party("c").await);
    let (anna, bert) = (world.person("anna").await, world.person("bert").await);
    let of_anna = world.acting_for(&a, &anna).await;
    let handed = world.exchanged(&a, &of_anna, &[("may_act", "b")]).await.unwrap();
    let handed = handed.access_token.expose();
    let actor =
        |token: &str| [("actor_token".to_owned(), token.to_owned()), ("actor_token_type".into(), ACCESS.into())];
    let with = async |token: String| {
        let pairs = actor(&token);
        let more: Vec<(&str, &str)> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        world.exchanged(&b, handed, &more).await.map_err(|e| e.description)
    };
    let of_bert = world.acting_for(&b, &bert).await;
    assert!(with(of_bert).await.unwrap_err().contains("two flows"));
    let of_c = world.own_token(&c).await;
    assert!(with(of_c).await.unwrap_err().contains("not one of the client"));
    let own = world.own_token(&b).await;
    let taken = with(own).await.unwrap();
    assert_eq!(claims_of(taken.access_token.expose())["sub"], anna.id.as_str());
}

#[tokio::test]
async fn nothing_gets_wider_or_longer_down_a_chain() {
    let world = World::lenient(config()).await;
    let (a, b) = (world.party("a").await, world.party("b").await);
    let own = world.own_token(&a).await;
    let narrow = tools(&["read"]).to_string();
    let task = world.exchanged(&a, &own, &[("authorization_details", &narrow), ("purpose", "look")]).await.unwrap();
    let (token, details) = (task.access_token.expose(), task.authorization_details.unwrap());
    assert_eq!(serde_json::to_value(&*details).unwrap(), tools(&["read"]));
    let error = async |details: Value| {
        let details = details.to_string();
        world.exchanged(&a, token, &[("authorization_details", &details)]).await.unwrap_err().error
    };
    assert_eq!(error(tools(&["read", "write"])).await, "invalid_authorization_details");
    assert_eq!(error(tools(&[])).await, "invalid_authorization_details");
    assert_eq!(error(json!([{"type": "mcp_resource", "server": "crm"}])).await, "invalid_authorization_details");
    // Another server than the session has anything to do with.
    let foreign = world.exchanged(&a, token, &[("resource", "http://127.0.0.1:8420/mcp/billing")]).await;
    assert_eq!(foreign.unwrap_err().error, "invalid_target");
    // No details asked for: what is above holds all the same.
    let below = world.handed(&a, token, &b, &Value::Null).await.unwrap();
    assert_eq!(claims_of(&below)["authorization_details"], tools(&["read"]));
    assert_eq!(world.used(&b, &below).unwrap().limits.len(), 1);
    assert!(claims_of(&below)["exp"].as_i64() <= claims_of(token)["exp"].as_i64());
}

#[tokio::test]
async fn a_chain_is_at_most_so_deep() {
    let world = World::lenient(Config { delegation: DelegationLimits { depth: 3 }, ..config() }).await;
    let mut parties = Vec::new();
    for name in ["a", "b", "c", "d"] {
        parties.push(world.party(name).await);
    }
    let mut token = world.own_token(&parties[0]).await;
    for pair in parties.windows(2).take(2) {
        token = world.handed(&pair[0], &token, &pair[1], &Value::Null).await.unwrap();
    }
    let deeper = world.handed(&parties[2], &token, &parties[3], &Value::Null).await.unwrap_err();
    assert!(deeper.description.contains("4 agents, and may have 3"), "{}", deeper.description);
}

#[tokio::test]
async fn without_rules_nobody_acts_for_anybody() {
    let world = World::with(config()).await;
    let (a, b) = (world.party("a").await, world.party("b").await);
    let own = world.own_token(&a).await;
    assert_eq!(world.handed(&a, &own, &b, &Value::Null).await.unwrap_err().error, "access_denied");
}

#[tokio::test]
async fn whoever_stops_a_link_stops_all_below() {
    let world = World::lenient(config()).await;
    let (a, b, c) = (world.party("a").await, world.party("b").await, world.party("c").await);
    let anna = world.person("anna").await;
    let chain = async || {
        let root = world.acting_for(&a, &anna).await;
        let second = world.handed(&a, &root, &b, &Value::Null).await.unwrap();
        let third = world.handed(&b, &second, &c, &Value::Null).await.unwrap();
        world.used(&c, &third).unwrap();
        (root, second, third)
    };
    let sid = |token: &str| claims_of(token)["sid"].as_str().unwrap().parse::<SessionId>().unwrap();
    // The root's session.
    let (root, second, third) = chain().await;
    world.auth.end_session(&sid(&root), "bob").await.unwrap();
    assert!(world.used(&c, &third).is_err() && world.used(&b, &second).is_err());
    assert!(world.handed(&b, &second, &c, &Value::Null).await.is_err(), "exchange after the parent was revoked");
    // The middle one's.
    let (root, second, third) = chain().await;
    world.auth.end_session(&sid(&second), "bob").await.unwrap();
    assert!(world.used(&c, &third).unwrap_err().contains("`b`, for whom it acts"));
    assert!(world.used(&a, &root).is_ok(), "what is above goes on");
    // An agent in the chain.
    let (root, _, third) = chain().await;
    world.change("b", |agent| agent.suspend().unwrap()).await;
    assert!(world.used(&c, &third).is_err());
    assert!(world.used(&a, &root).is_ok());
    world.change("b", |agent| agent.resume(false).unwrap()).await;
    assert!(world.used(&c, &third).is_err(), "what ended stays ended");
    // The person.
    let (root, _, third) = chain().await;
    let gone = (*anna).clone().into_state(PersonState::Suspended).unwrap();
    world.write(move |tx| Box::pin(async move { chancery_store::persons::update(tx, &gone).await })).await;
    assert!(world.used(&c, &third).is_err());
    assert!(world.used(&a, &root).unwrap_err().contains("`anna`"));
}

#[tokio::test]
async fn chains_outlive_a_restart_and_dead_ones_do_not() {
    let world = World::lenient(config()).await;
    let (a, b) = (world.party("a").await, world.party("b").await);
    let own = world.own_token(&a).await;
    let below = world.handed(&a, &own, &b, &Value::Null).await.unwrap();
    let dead = world.handed(&a, &own, &b, &tools(&["read"])).await.unwrap();
    let sid = |token: &str| claims_of(token)["sid"].as_str().unwrap().parse::<SessionId>().unwrap();
    world.auth.end_session(&sid(&dead), "bob").await.unwrap();
    let world = world.restart(Span::seconds(30)).await;
    assert_eq!(world.used(&b, &below).unwrap().chain, ["a", "b"]);
    assert!(world.used(&b, &dead).is_err());
    world.auth.end_session(&sid(&own), "bob").await.unwrap();
    let world = world.restart(Span::seconds(30)).await;
    assert!(world.used(&b, &below).is_err(), "its root ended before the restart");
}

#[tokio::test]
async fn use_of_a_child_is_use_of_what_it_hangs_on() {
    let world = World::lenient(config()).await;
    let (a, b) = (world.party("a").await, world.party("b").await);
    let own = world.own_token(&a).await;
    let below = world.handed(&a, &own, &b, &Value::Null).await.unwrap();
    let sid = claims_of(&below)["sid"].as_str().unwrap().to_owned();
    let mut token = below;
    for _ in 0..10 {
        world.clock.advance(Span::minutes(4));
        world.auth.tidy().await;
        world.used(&b, &token).unwrap();
        let form = world.pairs(&b, &[("grant_type", "client_credentials"), ("sid", &sid)]);
        token = world.sent(&b, form).await.unwrap().access_token.expose().to_owned();
    }
    assert_eq!(claims_of(&token)["act"]["sub"], claims_of(&token)["client_id"]);
    world.clock.advance(Span::minutes(15));
    assert!(world.used(&b, &token).is_err());
}

#[tokio::test]
async fn a_token_is_told_about_and_given_back() {
    let world = World::lenient(config()).await;
    let (a, b, c) = (world.party("a").await, world.party("b").await, world.party("c").await);
    world.change("c", |agent| chancery_model::Agent { kind: AgentKind::ServiceAccount, ..agent }).await;
    let own = world.own_token(&a).await;
    let below = world.handed(&a, &own, &b, &tools(&["read"])).await.unwrap();
    let about =
        |party: &Party, token: &str| world.pairs(party, &[("token", token), ("token_type_hint", "access_token")]);
    let said = async |party: &Party, token: &str| {
        let form = about(party, token);
        let request = TokenRequest { form: &form, authorization: None, dpop: None, certificate: None, url: TOKEN_URL };
        serde_json::to_value(world.auth.introspect(&request).await.unwrap()).unwrap()
    };
    let facts = said(&c, &below).await;
    assert_eq!((&facts["active"], &facts["act"]), (&json!(true), &claims_of(&below)["act"]));
    assert_eq!((&facts["authorization_details"], &facts["cnf"]), (&tools(&["read"]), &claims_of(&below)["cnf"]));
    assert_eq!(said(&a, &below).await["active"], true, "who delegated may ask");
    assert_eq!(said(&b, &own).await, json!({"active": false}), "not about what is above");
    assert_eq!(said(&c, "nonsense").await, json!({"active": false}));
    let revoke = async |party: &Party, token: &str| {
        let form = about(party, token);
        let request = TokenRequest { form: &form, authorization: None, dpop: None, certificate: None, url: TOKEN_URL };
        world.auth.revoke(&request).await.unwrap();
    };
    revoke(&c, &own).await;
    assert_eq!(said(&c, &own).await["active"], true, "a stranger revokes nothing");
    revoke(&a, &own).await;
    assert_eq!(said(&c, &own).await, json!({"active": false}));
    assert_eq!(said(&c, &below).await, json!({"active": false}), "and everything below it");
    assert!(world.used(&b, &below).is_err());
}

#[tokio::test]
async fn partners_are_told_in_whose_name_and_systems_which_transaction() {
    let scopes = vec!["read".into(), "write".into()];
    let partner = Partner { issuer: "https://as.partner.example".into(), client_id: Some("acme".into()), scopes };
    let world = World::lenient(Config { partners: vec![partner], ..config() }).await;
    let (a, b) = (world.party("a").await, world.party("b").await);
    let anna = world.person("anna").await;
    let root = world.acting_for(&a, &anna).await;
    let wants = [("requested_token_type", "urn:ietf:params:oauth:token-type:id-jag"), ("scope", "read write")];
    let told = [&wants[..], &[("audience", "https://as.partner.example")]].concat();
    let jag = world.exchanged(&a, &root, &told).await.unwrap();
    assert_eq!((jag.token_type, jag.issued_token_type), ("N_A", Some(wants[0].1)));
    let jag = jag.access_token.expose().to_owned();
    let header: Value = serde_json::from_slice(&decode(jag.split('.').next().unwrap()).unwrap()).unwrap();
    let said = claims_of(&jag);
    assert_eq!(header["typ"], "oauth-id-jag+jwt");
    assert_eq!((&said["sub"], &said["client_id"]), (&json!(anna.id.as_str()), &json!("acme")));
    assert_eq!((&said["aud"], &said["scope"]), (&json!("https://as.partner.example"), &json!("read write")));
    assert!(world.used(&a, &jag).is_err() && world.exchanged(&a, &jag, &[]).await.is_err(), "it is no access token");
    let stranger = [&wants[..], &[("audience", "https://other.example")]].concat();
    assert_eq!(world.exchanged(&a, &root, &stranger).await.unwrap_err().error, "invalid_target");
    let own = world.own_token(&b).await;
    assert_eq!(world.exchanged(&b, &own, &told).await.unwrap_err().error, "invalid_grant", "no person behind it");
    let more = [wants[0], ("scope", "read admin"), ("audience", "https://as.partner.example")];
    assert_eq!(world.exchanged(&a, &root, &more).await.unwrap_err().error, "invalid_scope");
    let narrow = world.exchanged(&a, &root, &[("authorization_details", &tools(&["read"]).to_string())]).await.unwrap();
    let refused = world.exchanged(&a, narrow.access_token.expose(), &told).await.unwrap_err();
    assert_eq!(refused.error, "invalid_authorization_details", "nothing was said of partners");
    let vouching = json!({"type": "identity_assertion", "audience": "https://as.partner.example", "scopes": ["read"]});
    let detail = json!([{"type": "mcp_tool", "server": "crm"}, vouching]);
    let narrow_too = world.exchanged(&a, &root, &[("authorization_details", &detail.to_string())]).await.unwrap();
    let reads = [wants[0], ("scope", "read"), ("audience", "https://as.partner.example")];
    assert!(world.exchanged(&a, narrow_too.access_token.expose(), &reads).await.is_ok());
    assert!(world.exchanged(&a, narrow_too.access_token.expose(), &told).await.is_err(), "write was not named");

    let wants =
        [("requested_token_type", "urn:ietf:params:oauth:token-type:txn_token"), ("request_details", r#"{"order":7}"#)];
    let txn = world.exchanged(&a, &root, &wants).await.unwrap();
    let said = claims_of(txn.access_token.expose());
    assert_eq!((&said["aud"], &said["tctx"]["order"]), (&json!(ISSUER), &json!(7)));
    assert_eq!((&said["sub"], &said["req_wl"]), (&json!(anna.id.as_str()), &claims_of(&root)["client_id"]));
    assert!(said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap() <= 60);
    let scoped = world.exchanged(&a, &root, &[wants[0], ("scope", "anything")]).await;
    assert_eq!(scoped.unwrap_err().error, "invalid_scope");
    let below = world.exchanged(&a, narrow.access_token.expose(), &wants).await.unwrap();
    assert_eq!(claims_of(below.access_token.expose())["authorization_details"], tools(&["read"]));
    let twice = world.exchanged(&a, &root, &[wants[0], ("request_details", r#"{"a":1,"a":2}"#)]).await;
    assert_eq!(twice.unwrap_err().error, "invalid_request");
    let both = [wants[0], ("may_act", "b")];
    assert_eq!(world.exchanged(&a, &root, &both).await.unwrap_err().error, "invalid_request");
}

#[tokio::test]
async fn a_token_that_is_bound_to_nothing_or_not_ours_is_not_exchanged() {
    let world = World::lenient(config()).await;
    let (a, b) = (world.party("a").await, world.party("b").await);
    world.change("a", |agent| chancery_model::Agent { bearer: chancery_model::BearerUse::Allowed, ..agent }).await;
    let form = world.pairs(&a, &[("grant_type", "client_credentials")]);
    let bearer = world.ask(&form, None).await.unwrap().body;
    assert_eq!(bearer.token_type, "Bearer");
    // Binding it by an exchange would make a stolen token a good one.
    let bound = world.exchanged(&a, bearer.access_token.expose(), &[]).await.unwrap_err();
    assert!(bound.description.contains("not bound to the key"), "{}", bound.description);
    // And without a proof nothing comes out of an exchange at all.
    let own = world.own_token(&a).await;
    let form = world.pairs(&a, &[("grant_type", EXCHANGE), ("subject_token", &own), ("subject_token_type", ACCESS)]);
    assert!(world.ask(&form, None).await.is_err());
    // The same server name at another issuer, with other keys.
    let other = World::lenient(config()).await;
    let foreign = other.party("a").await;
    let token = other.own_token(&foreign).await;
    assert!(world.exchanged(&a, &token, &[]).await.unwrap_err().description.contains("current key of ours"));
    // Another kind of signed thing: the agent's own client assertion, and its proof.
    let assertion = a.key.assertion("a", ISSUER, world.now(), &*world.random).unwrap();
    for other in [assertion, world.proof_by(&b.key, "POST", TOKEN_URL, None)] {
        assert_eq!(world.exchanged(&a, &other, &[]).await.unwrap_err().error, "invalid_grant");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_that_races_with_the_end_of_its_root_gives_nothing_that_lasts() {
    let world = Arc::new(World::lenient(config()).await);
    let (a, b) = (world.party("a").await, world.party("b").await);
    for _ in 0..20 {
        let own = world.own_token(&a).await;
        let handed = world.exchanged(&a, &own, &[("may_act", "b")]).await.unwrap();
        let sid = claims_of(&own)["sid"].as_str().unwrap().parse::<SessionId>().unwrap();
        let (taken, ended) =
            tokio::join!(world.exchanged(&b, handed.access_token.expose(), &[]), world.auth.end_session(&sid, "bob"));
        ended.unwrap();
        if let Ok(taken) = taken {
            assert!(world.used(&b, taken.access_token.expose()).is_err());
        }
    }
}

/// What cannot be looked up is not given back: whoever asked must be told.
#[tokio::test]
async fn a_revocation_that_cannot_be_looked_up_is_an_error() {
    let world = World::lenient(config()).await;
    let a = world.party("a").await;
    let revoke = async || {
        let form = world.pairs(&a, &[("token", "chy-refresh-of-nobody"), ("token_type_hint", "refresh_token")]);
        let request = TokenRequest { form: &form, authorization: None, dpop: None, certificate: None, url: TOKEN_URL };
        world.auth.revoke(&request).await
    };
    revoke().await.expect("what is not known is given back already (RFC 7009, section 2.2)");
    world.store.close().await;
    assert_eq!(revoke().await.unwrap_err().error, "temporarily_unavailable");
}

#[tokio::test]
async fn tasks_below_tasks_come_to_an_end() {
    let world = World::lenient(config()).await;
    let a = world.party("a").await;
    let mut token = world.own_token(&a).await;
    for depth in 1..=1_000 {
        match world.exchanged(&a, &token, &[("purpose", "one below")]).await {
            Ok(body) => token = body.access_token.expose().to_owned(),
            Err(refused) => {
                assert!(refused.description.contains("hang on"), "{refused}");
                assert!((8..100).contains(&depth), "{depth}");
                return;
            }
        }
    }
    panic!("no end of it");
}

#[tokio::test]
async fn a_session_that_goes_on_is_not_asked_to_be_another() {
    let world = World::lenient(config()).await;
    let a = world.party("a").await;
    let own = world.own_token(&a).await;
    let sid = claims_of(&own)["sid"].as_str().unwrap().to_owned();
    let narrow = tools(&["read"]).to_string();
    for more in [("authorization_details", &*narrow), ("purpose", "less")] {
        let form = world.pairs(&a, &[("grant_type", "client_credentials"), ("sid", &sid), more]);
        let refused = world.sent(&a, form).await.unwrap_err();
        assert_eq!(refused.error, "invalid_request", "{more:?}: it would not be narrower");
    }
}

#[tokio::test]
async fn a_token_of_a_key_that_was_taken_back_is_refused_even_if_it_was_remembered_late() {
    let world = World::lenient(config()).await;
    let a = world.party("a").await;
    let own = world.own_token(&a).await;
    let digest = crate::jose::sha256(own.as_bytes());
    let verified = world.auth.access(&own, digest).unwrap();
    world.auth.rotate_token_key(crate::Retiring::AtOnce, "ada@example.com").await.unwrap();
    world.auth.verified.put(digest, verified);
    assert!(world.used(&a, &own).is_err());
}
