//! Identity assertions (ID-JAG): an identity provider says in whose name an agent acts, and what it cannot say.

use chancery_model::Span;
use chancery_server::{Partner, Provider};
use chancery_testkit::{Answer, Builder, TestApp};
use serde_json::{Value, json};

use super::client::{Flow, MARA, claims, with};
use crate::federation::issuer::{Issuer, Key, Workload};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const SUBJECT: &str = "00u1a2b3c4";

/// A server that takes the word of an identity provider, at which Mara has an account.
struct House {
    flow: Flow,
    idp: Issuer,
    key: Key,
}

impl House {
    async fn open() -> Self {
        Self::with(TestApp::builder(), None).await
    }

    /// `tenant` is the provider's, in the configuration.
    async fn with(builder: Builder, tenant: Option<&str>) -> Self {
        let key = Key::rsa();
        let idp = Issuer::start(&[key.jwk("i1")]).await;
        let (issuer, address, tenant) = (idp.url().to_owned(), idp.address.to_string(), tenant.map(str::to_owned));
        let builder = builder.config(move |config| {
            config.fetch.allow = vec![address];
            config.delegation.providers = vec![Provider { issuer, jwks_uri: None, tenant }];
        });
        let house = Self { flow: Flow::with(builder).await, idp, key };
        house.account(MARA, SUBJECT).await.ok();
        house
    }

    async fn account(&self, person: &str, subject: &str) -> Answer {
        let body = json!({"issuer": self.idp.url(), "subject": subject});
        self.flow.app.admin("POST", &format!("/v1/people/{person}/accounts"), body).await
    }

    /// What the provider says: Mara, to us, for `helper`, with these changes.
    fn claims(&self, changes: &Value) -> Value {
        let now = self.flow.app.time().now().seconds();
        let mut claims = json!({
            "iss": self.idp.url(), "sub": SUBJECT, "aud": self.flow.app.url(), "client_id": "helper",
            "jti": format!("jag-{now}-{}", changes), "iat": now, "exp": now + 300, "resource": self.flow.resource(),
            "email": "someone@else.example", "auth_time": now - 60,
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    }

    fn signed(&self, claims: &Value) -> String {
        self.key.sign(&json!({"alg": "RS256", "kid": "i1", "typ": "oauth-id-jag+jwt"}), claims)
    }

    fn assertion(&self, changes: &Value) -> String {
        self.signed(&self.claims(changes))
    }

    /// `helper` shows an assertion, with these parameters besides.
    async fn show(&self, assertion: &str, more: &[(&str, &str)]) -> Answer {
        let form = [&[("grant_type", GRANT), ("assertion", assertion)][..], more].concat();
        self.flow.post("/oauth/token", &form).await
    }

    async fn call(&self, token: &str) -> Answer {
        Workload::with(&self.flow.app, self.flow.agent.key().clone()).call(token).await
    }
}

/// A grant of everything at `crm`.
async fn grant(app: &TestApp, principal: &str, mode: &str) {
    let body = json!({
        "template": "use-server", "principal": principal, "resource": "Server::\"crm\"", "mode": mode,
        "justification": "a test",
    });
    app.admin("POST", "/v1/grants", body).await.ok();
}

fn why(answer: &Answer) -> String {
    answer.json()["error_description"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn an_agent_acts_for_the_person_that_an_identity_provider_names() {
    let house = House::open().await;
    let app = &house.flow.app;
    grant(app, "Agent::\"helper\"", "autonomous").await;
    let answer = house.show(&house.assertion(&json!({})), &[]).await;
    let said = answer.ok();
    assert_eq!((&said["token_type"], said.get("refresh_token")), (&json!("DPoP"), None));
    assert_eq!(said["authorization_details"].as_array().map(Vec::len), Some(3), "everything at the one server");
    let token = said["access_token"].as_str().unwrap();
    let (people, agent) = (
        app.admin("GET", "/v1/people", json!(null)).await.ok(),
        app.admin("GET", "/v1/agents/helper", json!(null)).await,
    );
    let said = claims(token);
    assert_eq!((&said["sub"], &said["act"]["sub"]), (&people["items"][0]["id"], &agent.ok()["id"]));

    // The agent's own right is none to act for people, and a person who may not cannot lend it.
    let denied =
        |answer: Answer| async move { !answer.text().contains("echo: hello") && answer.text().contains("denied") };
    assert!(denied(house.call(token).await).await, "an autonomous grant counted");
    grant(app, "Agent::\"helper\"", "on_behalf_of").await;
    assert!(denied(house.call(token).await).await, "the person has no right");
    grant(app, &format!("Human::\"{MARA}\""), "on_behalf_of").await;
    let called = house.call(token).await.ok();
    assert!(called.to_string().contains("hello") && !called.to_string().contains("denied"), "{called}");

    let log = app.log().await;
    let opened = log.iter().find(|entry| entry.to_string().contains("identity assertion `jag-")).expect("an entry");
    assert!(opened.to_string().contains(house.idp.url()) && opened.to_string().contains(MARA), "{opened:#}");
    let session = app.admin("GET", "/v1/sessions", json!(null)).await.ok()["items"][0].clone();
    let ends = chancery_model::Timestamp::parse(session["ends_at"].as_str().unwrap()).unwrap();
    assert_eq!(ends, app.time().now() + Span::hours(1), "the provider is asked again after an hour");

    // Whoever stops the person, or takes the account away, stops what is done by it.
    let which = format!("issuer={}&subject={SUBJECT}&reason=left", chancery_testkit::encoded(house.idp.url()));
    app.admin("DELETE", &format!("/v1/people/{MARA}/accounts?{which}"), json!(null)).await.ok();
    assert_eq!(house.call(token).await.status, 401);
    let refused = house.show(&house.assertion(&json!({"jti": "later"})), &[]).await;
    assert!(why(&refused).contains("no person here has the account"), "{}", refused.text());
}

#[tokio::test]
async fn every_other_assertion_is_refused() {
    let house = House::open().await;
    let app = &house.flow.app;
    app.register("other", "agent").await;
    let (now, url) = (app.time().now().seconds(), app.url().to_owned());
    for (what, changes, word) in [
        ("another issuer", json!({"iss": "https://login.other.example"}), "`iss`"),
        ("the issuer with a slash", json!({"iss": format!("{}/", house.idp.url())}), "`iss`"),
        ("ourselves", json!({"iss": url}), "`iss`"),
        ("no issuer", json!({"iss": null}), "iss"),
        ("another audience", json!({"aud": "https://other.example"}), "`aud`"),
        ("the token endpoint", json!({"aud": format!("{url}/oauth/token")}), "`aud`"),
        ("us and others", json!({"aud": [url, "https://other.example"]}), "`aud`"),
        ("no audience", json!({"aud": null}), "`aud`"),
        ("another client", json!({"client_id": "other"}), "`client_id`"),
        ("an unknown client", json!({"client_id": "ghost"}), "`client_id`"),
        ("no client", json!({"client_id": null}), "`client_id`"),
        ("expired", json!({"iat": now - 400, "exp": now - 60}), "expired"),
        ("no end", json!({"exp": null}), "`exp`"),
        ("no beginning", json!({"iat": null}), "`iat`"),
        ("not yet", json!({"nbf": now + 60}), "future"),
        ("made tomorrow", json!({"iat": now + 86_400, "exp": now + 86_500}), "future"),
        ("good for an hour", json!({"exp": now + 3_600}), "20 minutes"),
        ("no name", json!({"jti": null}), "`jti`"),
        ("an empty name", json!({"jti": ""}), "`jti`"),
        ("a tenant", json!({"tenant": "t1"}), "`tenant`"),
        ("a scope", json!({"scope": "crm.read"}), "`scope`"),
        ("scopes as a list", json!({"scope": ["crm.read"]}), "`scope`"),
        ("another key", json!({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}), "`cnf`"),
        ("a certificate", json!({"cnf": {"x5t#S256": "x"}}), "`cnf`"),
        ("nobody", json!({"sub": null}), "`sub`"),
        ("an unknown person", json!({"sub": "00u9"}), "no person here has the account"),
        ("a name of ours", json!({"sub": MARA}), "no person here has the account"),
        ("other letters", json!({"sub": SUBJECT.to_uppercase()}), "no person here has the account"),
        ("details that mean nothing", json!({"authorization_details": [{"type": "payment"}]}), "authorization_details"),
    ] {
        let answer = house.show(&house.assertion(&changes), &[]).await;
        assert_eq!((answer.status.as_u16(), answer.json()["error"].as_str()), (400, Some("invalid_grant")), "{what}");
        assert!(why(&answer).contains(word), "{what}: {}", answer.text());
    }
    for (what, resource) in [
        ("no server of ours", json!(app.at("/mcp/ghost"))),
        ("no server at all", json!(app.at("/access/v1"))),
        ("somebody else's", json!("https://other.example/mcp")),
        ("several", json!([app.at("/mcp/crm"), app.at("/mcp/billing")])),
    ] {
        let answer = house.show(&house.assertion(&json!({"resource": resource})), &[]).await;
        assert_eq!(answer.json()["error"], "invalid_target", "{what}: {}", answer.text());
    }
    let claims = house.claims(&json!({"jti": "signed"}));
    for (what, key, header) in [
        ("an unknown key", &house.key, json!({"alg": "RS256", "kid": "i2", "typ": "oauth-id-jag+jwt"})),
        ("another's key", &Key::rsa(), json!({"alg": "RS256", "kid": "i1", "typ": "oauth-id-jag+jwt"})),
        ("a key of its own", &house.key, json!({"alg": "RS256", "kid": "i1", "typ": "oauth-id-jag+jwt", "jwk": {}})),
        ("no algorithm", &house.key, json!({"alg": "none", "kid": "i1", "typ": "oauth-id-jag+jwt"})),
        ("an identity token", &house.key, json!({"alg": "RS256", "kid": "i1", "typ": "JWT"})),
        ("an access token", &house.key, json!({"alg": "RS256", "kid": "i1", "typ": "at+jwt"})),
        ("no type", &house.key, json!({"alg": "RS256", "kid": "i1"})),
    ] {
        let answer = house.show(&key.sign(&header, &claims), &[]).await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
    }
    assert!(house.show(&house.signed(&claims), &[]).await.status.is_success(), "nothing was wrong with the rest of it");
}

#[tokio::test]
async fn an_assertion_is_good_once_and_for_its_client_alone() {
    let house = House::open().await;
    let app = &house.flow.app;
    let assertion = house.assertion(&json!({}));
    let alone = [
        ("grant_type".to_owned(), GRANT.to_owned()),
        ("assertion".to_owned(), assertion.clone()),
        ("client_id".to_owned(), "helper".to_owned()),
    ];
    let nobody = house.flow.send(Some(house.flow.agent.key()), "/oauth/token", &alone).await;
    assert_eq!((nobody.status.as_u16(), nobody.json()["error"].as_str()), (401, Some("invalid_client")));
    // A thief with a client of its own.
    let thief = app.agent("thief").await;
    let proved = thief.key().assertion("thief", app.url(), app.time().now(), &*app.random()).unwrap();
    let form = [
        ("grant_type", GRANT),
        ("assertion", assertion.as_str()),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", proved.as_str()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let stolen = house.flow.send(Some(thief.key()), "/oauth/token", &form).await;
    assert!(why(&stolen).contains("`client_id`"), "{}", stolen.text());
    assert!(house.show(&assertion, &[]).await.status.is_success(), "neither of them used it up");
    assert!(why(&house.show(&assertion, &[]).await).contains("used before"));

    let bound = json!({"cnf": {"jkt": house.flow.agent.key().thumbprint()}, "jti": "bound"});
    assert!(house.show(&house.assertion(&bound), &[]).await.status.is_success());

    app.admin("POST", &format!("/v1/people/{MARA}/suspend"), json!({"reason": "left"})).await.ok();
    let refused = house.show(&house.assertion(&json!({"jti": "suspended"})), &[]).await;
    assert!(why(&refused).contains("suspended"), "{}", refused.text());
    app.admin("POST", &format!("/v1/people/{MARA}/resume"), json!({"reason": "back"})).await.ok();
    assert!(house.show(&house.assertion(&json!({"jti": "resumed"})), &[]).await.status.is_success());
    house.idp.break_down(true);
    app.clock().advance(Span::minutes(16));
    let late = house.show(&house.assertion(&json!({"jti": "late"})), &[]).await;
    assert_eq!(late.status, 503, "{}", late.text());
}

#[tokio::test]
async fn what_an_assertion_allows_can_only_become_less() {
    let house = House::open().await;
    let echo = json!([{"type": "mcp_tool", "server": "crm", "tools": ["echo"]}]);
    let says = |jti: &str| house.assertion(&json!({"authorization_details": echo, "jti": jti}));
    let as_said = house.show(&says("a"), &[]).await.ok();
    assert_eq!(as_said["authorization_details"], echo);
    let less = json!([{"type": "mcp_tool", "server": "crm", "tools": ["echo"], "calls": 1}]).to_string();
    let narrowed = house.show(&says("b"), &[("authorization_details", &less)]).await.ok();
    assert_eq!(narrowed["authorization_details"][0]["calls"], 1);
    for (jti, more) in [
        ("c", json!([{"type": "mcp_tool", "server": "crm"}])),
        ("d", json!([{"type": "mcp_tool", "server": "crm", "tools": ["echo", "delete"]}])),
        (
            "e",
            json!([{"type": "mcp_tool", "server": "crm", "tools": ["echo"]}, {"type": "mcp_prompt", "server": "crm"}]),
        ),
        ("f", json!([{"type": "mcp_tool", "server": "billing"}])),
    ] {
        let wider = house.show(&says(jti), &[("authorization_details", &more.to_string())]).await;
        assert_eq!(wider.json()["error"], "invalid_authorization_details", "{jti}: {}", wider.text());
    }
    let billing = house.flow.app.at("/mcp/billing");
    let elsewhere = house.show(&says("g"), &[("resource", &billing)]).await;
    assert_eq!(elsewhere.json()["error"], "invalid_target", "the assertion is about another resource");
    let both = json!({"resource": [house.flow.resource(), billing], "jti": "h"});
    let chosen = house.show(&house.assertion(&both), &[("resource", &billing)]).await.ok();
    assert_eq!(claims(chosen["access_token"].as_str().unwrap())["aud"], billing);
    let scope = house.show(&says("i"), &[("scope", "crm.read")]).await;
    assert_eq!(scope.json()["error"], "invalid_scope");
}

#[tokio::test]
async fn of_a_provider_with_tenants_one_is_meant() {
    let house = House::with(TestApp::builder(), Some("acme")).await;
    for tenant in [json!(null), json!("other"), json!("ACME"), json!(["acme"]), json!("")] {
        let refused = house.show(&house.assertion(&json!({"tenant": tenant})), &[]).await;
        assert!(why(&refused).contains("`tenant`"), "{tenant}: {}", refused.text());
    }
    assert!(house.show(&house.assertion(&json!({"tenant": "acme"})), &[]).await.status.is_success());
}

/// What was used is remembered in memory alone.
#[tokio::test]
async fn an_assertion_from_before_a_restart_is_not_taken_after_it() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = held.local_addr().unwrap();
    drop(held);
    let mut house = House::with(TestApp::builder().config(|config| config.listen = listen), None).await;
    let assertion = house.assertion(&json!({}));
    assert!(house.show(&assertion, &[]).await.status.is_success());
    house.flow.app = house.flow.app.restart().await;
    let again = house.show(&assertion, &[]).await;
    assert!(why(&again).contains("before the server's start"), "{}", again.text());
    // A provider's clock may be ahead of ours by as much.
    house.flow.app.clock().advance(Span::seconds(30));
    assert!(house.show(&house.assertion(&json!({})), &[]).await.status.is_success());
}

#[tokio::test]
async fn the_rules_about_delegation_are_asked_and_accounts_are_of_known_providers() {
    let forbid = "@id(\"never\") forbid (principal is Human, action == Action::\"delegate\", resource);";
    let house = House::with(TestApp::builder().policy("never.cedar", forbid), None).await;
    let app = &house.flow.app;
    let denied = house.show(&house.assertion(&json!({})), &[]).await;
    assert_eq!(denied.json()["error"], "access_denied", "{}", denied.text());

    assert_eq!(house.account("ghost@example.com", "x").await.problem(404), "C6030");
    assert_eq!(house.account(MARA, SUBJECT).await.problem(409), "C1063");
    assert_eq!(house.account(MARA, "00u*").await.problem(400), "C6003");
    let foreign = json!({"issuer": "https://other.example", "subject": "x"});
    assert_eq!(app.admin("POST", &format!("/v1/people/{MARA}/accounts"), foreign).await.problem(422), "C1062");
    let gone = format!("/v1/people/{MARA}/accounts?issuer=x&subject=y");
    assert_eq!(app.admin("DELETE", &gone, json!(null)).await.problem(404), "C1064");
    let listed = app.admin("GET", &format!("/v1/people/{MARA}/accounts"), json!(null)).await.ok();
    assert_eq!((&listed["items"][0]["subject"], &listed["items"][0]["person"]), (&json!(SUBJECT), &json!(MARA)));

    let metadata = "/.well-known/oauth-authorization-server";
    let said = app.http().get(&app.at(metadata)).await.ok();
    let profiles = json!(["urn:ietf:params:oauth:grant-profile:id-jag"]);
    assert_eq!(said["authorization_grant_profiles_supported"], profiles);
    let without = TestApp::start().await;
    assert!(
        without.http().get(&without.at(metadata)).await.ok().get("authorization_grant_profiles_supported").is_none()
    );
}

/// Two servers of two companies: what one says of its person opens a session at the other.
#[tokio::test]
async fn what_one_chancery_says_of_a_person_another_takes() {
    // Both must know the other's address before they start: the first one's port is held until then.
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let first = held.local_addr().unwrap();
    let issuer = format!("http://{first}");
    let keys = format!("{issuer}/oauth/jwks");
    let other = Flow::with(TestApp::builder().config(|config| {
        config.fetch.allow = vec![first.to_string()];
        config.delegation.providers = vec![Provider { issuer: issuer.clone(), jwks_uri: Some(keys), tenant: None }];
    }))
    .await;
    drop(held);
    let issuer_of_other = other.app.url().to_owned();
    let partner = Partner { issuer: issuer_of_other.clone(), client_id: Some("helper".into()), scopes: Vec::new() };
    let mut home = Flow::with(TestApp::builder().config(|config| {
        config.listen = first;
        config.delegation.partners = vec![partner];
    }))
    .await;
    assert_eq!(home.app.url(), issuer);
    let resource = other.resource();
    let exchange = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:id-jag"),
        ("audience", &issuer_of_other),
        ("resource", &resource),
    ];
    let own = home.tokens().await["access_token"].as_str().unwrap().to_owned();
    let silent = home.post("/oauth/token", &[&exchange[..], &[("subject_token", &own)]].concat()).await;
    assert_eq!(silent.json()["error"], "invalid_authorization_details", "Mara was not asked about others");
    let details = json!([
        {"type": "mcp_tool", "server": "crm"},
        {"type": "identity_assertion", "audience": issuer_of_other},
    ]);
    let request = with(&home.request(), &[("authorization_details", &details.to_string())]);
    let code = home.code(&request).await;
    let own = home.redeem(&code).await.ok()["access_token"].as_str().unwrap().to_owned();
    let subject = claims(&own)["sub"].as_str().unwrap().to_owned();
    let form = [&exchange[..], &[("subject_token", &own)]].concat();
    let told = home.post("/oauth/token", &form).await.ok();
    assert_eq!(told["token_type"], "N_A");
    let assertion = told["access_token"].as_str().unwrap();

    let form = [("grant_type", GRANT), ("assertion", assertion)];
    let unknown = other.post("/oauth/token", &form).await;
    assert!(why(&unknown).contains("no person here has the account"), "{}", unknown.text());
    let account = json!({"issuer": issuer, "subject": subject});
    other.app.admin("POST", &format!("/v1/people/{MARA}/accounts"), account).await.ok();
    let taken = other.post("/oauth/token", &form).await.ok();
    let token = taken["access_token"].as_str().unwrap();
    grant(&other.app, "Agent::\"helper\"", "on_behalf_of").await;
    grant(&other.app, &format!("Human::\"{MARA}\""), "on_behalf_of").await;
    let called = Workload::with(&other.app, other.agent.key().clone()).call(token).await.ok();
    assert!(called.to_string().contains("hello") && !called.to_string().contains("denied"), "{called}");
    assert!(!home.is_in_force(token).await && !other.is_in_force(&own).await, "neither is a token of the other");
}
