//! Connections: credentials that are obtained and renewed by OAuth, and what an upstream, its authorization server or
//! anybody in between may try.

use chancery_model::Span;
use chancery_testkit::{Agent, Answer, TestApp};
use serde_json::{Value, json};

use super::world::{Refreshing, World};

const SERVER: &str = "crm";

async fn started(world: &World, oauth: Value) -> (TestApp, Agent) {
    let app = world.behind(oauth).start().await;
    let agent = app.agent("reader").await;
    app.grant("reader", SERVER).await;
    (app, agent)
}

fn by_person() -> Value {
    json!({"mode": "authorization_code"})
}

async fn begin(app: &TestApp) -> Answer {
    app.admin("POST", "/v1/connections/crm/authorize", json!({})).await
}

/// Opens the address as a browser does; gives the address it is sent back to.
async fn visit(app: &TestApp, begun: &Value) -> String {
    let asked = app.http().get(begun["url"].as_str().unwrap()).await;
    assert_eq!(asked.status, 302, "{}", asked.text());
    asked.header("location")
}

async fn connect(app: &TestApp) {
    let begun = begin(app).await.ok();
    let page = app.http().get(&visit(app, &begun).await).await;
    assert_eq!(page.status, 200, "{}", page.text());
}

async fn call(agent: &Agent) -> Value {
    agent.call(SERVER, "headers", json!({})).await
}

/// The code of a refusal that a model reads.
fn code(answer: &Value) -> &str {
    answer["result"]["_meta"]["chancery/decision"]["code"].as_str().unwrap_or_default()
}

fn works(answer: &Value) -> bool {
    let works = answer["result"]["content"].is_array() && answer["result"]["isError"] != true;
    if !works {
        println!("{answer}");
    }
    works
}

async fn state(app: &TestApp) -> Value {
    app.admin("GET", "/v1/connections", Value::Null).await.ok()["items"][0].clone()
}

#[tokio::test]
async fn a_person_connects_a_server_and_its_token_is_nobodys_else() {
    let world = World::start().await;
    let (app, agent) = started(&world, by_person()).await;
    assert_eq!(code(&call(&agent).await), "C4020", "nobody has connected it");
    assert_eq!(state(&app).await["state"], "none");

    let begun = begin(&app).await.ok();
    let back = visit(&app, &begun).await;
    assert!(back.starts_with(&app.at("/connections/callback/crm?")), "{back}");
    let page = app.http().get(&back).await;
    assert!(page.text().contains("crm is connected"), "{}", page.text());
    let progress = format!("/v1/connections/crm/authorize/{}", begun["id"].as_str().unwrap());
    assert_eq!(app.admin("GET", &progress, Value::Null).await.ok()["state"], "connected");

    // The upstream says what it was sent, and what its authorization server gave besides.
    let (token, refresh) = (world.newest_token(), world.newest_refresh());
    let answer = agent.rpc(SERVER, "tools/call", json!({"name": "headers", "arguments": {}})).await;
    assert_eq!(answer.text().matches("[removed by chancery]").count(), 2, "{}", answer.text());
    assert!(!answer.text().contains(&token) && !answer.text().contains(&refresh), "{}", answer.text());
    assert_eq!(world.calls(), 1);
    let shown = format!("{} {:?}", state(&app).await, app.log().await);
    assert!(!shown.contains(&token) && !shown.contains(&refresh), "{shown}");
    let made = app.log().await.into_iter().find(|entry| entry["change"] == "connect connection").unwrap();
    assert!(made["human"].as_str().unwrap().starts_with("local:") && made["changed"] == "crm", "{made}");
    let directory = app.stop().await;
    for secret in [&token, &refresh] {
        assert_eq!(super::credentials::files_with(directory.path(), secret.as_bytes()), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_authorization_response_works_once_and_only_with_its_state() {
    let world = World::start().await;
    let (app, agent) = started(&world, by_person()).await;
    for forged in ["?code=x&state=guessed", "?code=x", ""] {
        let forged = format!("/connections/callback/crm{forged}");
        assert_eq!(app.http().get(&app.at(&forged)).await.status, 400, "{forged}");
    }
    let back = visit(&app, &begin(&app).await.ok()).await;
    let twice = format!("{back}&code=other");
    assert_eq!(app.http().get(&twice).await.status, 400, "two codes");
    assert_eq!(app.http().get(&back).await.status, 200);
    assert_eq!(app.http().get(&back).await.status, 400, "the same once more");
    assert_eq!(world.asked("authorization_code"), 1);
    assert!(works(&call(&agent).await));

    let late = visit(&app, &begin(&app).await.ok()).await;
    app.clock().advance(Span::minutes(10));
    assert_eq!(app.http().get(&late).await.status, 400, "too late");
    assert_eq!(world.asked("authorization_code"), 1);
}

#[tokio::test]
async fn a_code_goes_to_no_other_issuer_than_the_one_that_was_asked() {
    for (iss, advertised, taken) in [
        (Some("https://evil.example".to_owned()), true, false),
        (Some("https://evil.example".to_owned()), false, false),
        (None, true, false),
        (None, false, true),
    ] {
        let world = World::start().await;
        world.set(|behaviour| (behaviour.iss, behaviour.iss_supported) = (Some(iss.clone()), advertised));
        let (app, _agent) = started(&world, by_person()).await;
        let back = visit(&app, &begin(&app).await.ok()).await;
        let page = app.http().get(&back).await;
        assert_eq!(page.status == 200, taken, "{iss:?} {advertised}: {}", page.text());
        assert_eq!(world.asked("authorization_code"), usize::from(taken), "{iss:?} {advertised}");
    }
}

#[tokio::test]
async fn metadata_that_is_about_somebody_else_or_unsafe_is_not_used() {
    type Change = fn(&mut super::world::Behaviour);
    let wrong: [(&str, Change); 6] = [
        ("another issuer", |b| b.issuer = Some("https://evil.example".into())),
        ("another resource", |b| b.resource = Some("https://evil.example/mcp".into())),
        ("no PKCE", |b| b.pkce = false),
        ("a script", |b| b.authorization_endpoint = Some("javascript:alert(document.cookie)".into())),
        ("a program", |b| b.authorization_endpoint = Some("file:///bin/sh".into())),
        ("no TLS", |b| b.authorization_endpoint = Some("http://as.example/authorize".into())),
    ];
    for (what, change) in wrong {
        let world = World::start().await;
        world.set(change);
        let (app, agent) = started(&world, by_person()).await;
        let refused = begin(&app).await;
        assert_eq!(refused.problem(502), "C4023", "{what}: {}", refused.text());
        assert_eq!(world.asked("authorize") + world.asked("authorization_code"), 0, "{what}");
        assert_eq!(code(&call(&agent).await), "C4020", "{what}");
        assert_eq!(world.calls(), 0, "{what}");
    }
}

#[tokio::test]
async fn a_hundred_calls_share_one_renewal() {
    let world = World::start().await;
    let (app, agent) = started(&world, by_person()).await;
    connect(&app).await;
    assert!(works(&call(&agent).await));
    app.clock().advance(Span::seconds(121));
    let calls = (0..100).map(|_| {
        let agent = agent.clone();
        tokio::spawn(async move { works(&call(&agent).await) })
    });
    for call in calls.collect::<Vec<_>>() {
        assert!(call.await.unwrap());
    }
    assert_eq!(world.asked("refresh_token"), 1);
    assert_eq!(world.calls(), 101);
}

#[tokio::test]
async fn a_token_that_the_upstream_takes_back_is_replaced_once_for_all_who_hold_it() {
    let world = World::start().await;
    let (app, agent) = started(&world, by_person()).await;
    connect(&app).await;
    assert!(works(&call(&agent).await));
    world.take_back();
    let calls = (0..20).map(|_| {
        let agent = agent.clone();
        tokio::spawn(async move { works(&call(&agent).await) })
    });
    for call in calls.collect::<Vec<_>>() {
        assert!(call.await.unwrap());
    }
    assert_eq!(world.asked("refresh_token"), 1);
    let token = world.newest_token();
    let answer = agent.rpc(SERVER, "tools/call", json!({"name": "headers", "arguments": {}})).await;
    assert!(!answer.text().contains(&token) && answer.text().contains("[removed by chancery]"), "{}", answer.text());
}

#[tokio::test]
async fn a_renewal_that_fails_lets_nothing_through() {
    let world = World::start().await;
    let (app, agent) = started(&world, by_person()).await;
    connect(&app).await;
    assert!(works(&call(&agent).await));

    // An authorization server that does not answer takes nothing away before the token's own end …
    world.set(|behaviour| behaviour.refreshing = Refreshing::Down);
    app.clock().advance(Span::seconds(110));
    assert!(works(&call(&agent).await));
    // … and after it nothing passes, and it is not asked by each call anew.
    app.clock().advance(Span::seconds(15));
    let (asked, passed) = (world.asked("refresh_token"), world.calls());
    for _ in 0..5 {
        assert_eq!(code(&call(&agent).await), "C4026");
    }
    assert_eq!((world.asked("refresh_token") - asked, world.calls() - passed), (1, 0));

    // One that says no ends the connection, also across a restart.
    world.set(|behaviour| behaviour.refreshing = Refreshing::Refused);
    app.clock().advance(Span::seconds(6));
    assert_eq!(code(&call(&agent).await), "C4020");
    assert_eq!(state(&app).await["state"], "lapsed");
    let asked = world.asked("refresh_token");
    let app = app.restart().await;
    assert_eq!(state(&app).await["state"], "lapsed");
    assert_eq!(code(&call(&agent.at(&app)).await), "C4020");
    assert_eq!((world.asked("refresh_token") - asked, world.calls() - passed), (0, 0));

    // The server has another address now: it is registered with that one, once.
    world.set(|behaviour| behaviour.refreshing = Refreshing::Rotates);
    connect(&app).await;
    connect(&app).await;
    assert_eq!(world.asked("register"), 2);
    assert!(works(&call(&agent.at(&app)).await));
}

#[tokio::test]
async fn a_restart_keeps_the_connection() {
    let world = World::start().await;
    world.set(|behaviour| behaviour.dpop = true);
    let (app, agent) = started(&world, by_person()).await;
    connect(&app).await;
    assert!(works(&call(&agent).await));
    assert_eq!(state(&app).await["bound"], true);
    let app = app.restart().await;
    let agent = agent.at(&app);
    assert!(works(&call(&agent).await));
    assert_eq!((world.asked("authorization_code"), world.asked("refresh_token")), (1, 0));
    // The refresh token was rotated and kept, and so was the key that tokens are bound to.
    for _ in 0..3 {
        app.clock().advance(Span::seconds(121));
        assert!(works(&call(&agent).await));
    }
    assert_eq!(world.asked("refresh_token"), 3);
    assert_eq!(world.keys(), 1);
}

#[tokio::test]
async fn more_scope_needs_somebody_and_what_was_granted_stays() {
    let world = World::start().await;
    world.set(|behaviour| behaviour.wants = Some("write".into()));
    let (app, agent) = started(&world, by_person()).await;
    connect(&app).await;
    let refused = call(&agent).await;
    assert_eq!(code(&refused), "C4021", "{refused}");
    assert!(state(&app).await["detail"].as_str().unwrap().contains("write"));
    let begun = begin(&app).await.ok();
    assert_eq!(begun["scopes"], json!(["read", "write"]));
    app.http().get(&visit(&app, &begun).await).await;
    assert!(works(&call(&agent).await));
}

#[tokio::test]
async fn a_configured_list_of_scopes_is_not_widened() {
    let world = World::start().await;
    world.set(|behaviour| behaviour.wants = Some("write".into()));
    let oauth = json!({"mode": "client_credentials", "client_id": "us", "secret": "client", "scopes": ["read"]});
    let (app, agent) = started(&world, oauth).await;
    app.secret("client", "the-clients-secret").await;
    let refused = call(&agent).await;
    assert_eq!(code(&refused), "C4021", "{refused}");
    assert_eq!(world.asked("client_credentials"), 1);
}

#[tokio::test]
async fn as_ourselves_nobody_is_needed_and_a_later_issuer_gets_no_secret() {
    let world = World::start().await;
    world.set(|behaviour| behaviour.wants = Some("write".into()));
    let oauth = json!({"mode": "client_credentials", "client_id": "us", "secret": "client"});
    let (app, agent) = started(&world, oauth).await;
    assert_eq!(code(&call(&agent).await), "C4010", "the client's secret is not stored yet");
    app.secret("client", "the-clients-secret").await;
    assert!(works(&call(&agent).await), "with the scope that the upstream asked for");
    assert_eq!(world.asked("client_credentials"), 2);

    // From now on the upstream names another issuer.
    let evil = World::start().await;
    world.set(|behaviour| behaviour.authorization_server = Some(evil.at("")));
    world.take_back();
    let refused = call(&agent).await;
    assert_eq!(code(&refused), "C4023", "{refused}");
    assert_eq!(evil.asked("client_credentials"), 0);
}

#[tokio::test]
async fn a_cut_connection_is_gone_from_here_and_told_to_its_issuer() {
    let world = World::start().await;
    let (app, agent) = started(&world, by_person()).await;
    connect(&app).await;
    assert!(works(&call(&agent).await));
    assert_eq!(app.admin("DELETE", "/v1/connections/crm?reason=audit", Value::Null).await.status, 204);
    assert_eq!(code(&call(&agent).await), "C4020");
    assert_eq!((world.calls(), world.asked("revoke")), (1, 1));
    assert_eq!(state(&app).await["state"], "cut");
    assert_eq!(app.admin("DELETE", "/v1/connections/crm", Value::Null).await.problem(404), "C4025");
    let app = app.restart().await;
    let agent = agent.at(&app);
    assert_eq!(code(&call(&agent).await), "C4020");
    connect(&app).await;
    assert!(works(&call(&agent).await), "somebody authorized it again");
}

/// Where nobody is needed to connect, a call does not undo what an administrator cut.
#[tokio::test]
async fn a_cut_connection_is_not_made_again_by_a_call() {
    let world = World::start().await;
    let oauth = json!({"mode": "client_credentials", "client_id": "us", "secret": "client"});
    let (app, agent) = started(&world, oauth).await;
    app.secret("client", "the-clients-secret").await;
    assert_eq!(begin(&app).await.problem(404), "C4025", "there is nothing to be asked for");
    assert!(works(&call(&agent).await));
    assert_eq!(app.admin("DELETE", "/v1/connections/crm?reason=audit", Value::Null).await.status, 204);
    for _ in 0..2 {
        assert_eq!(code(&call(&agent).await), "C4020");
    }
    app.secret("client", "the-clients-secret").await;
    let app = app.restart().await;
    let agent = agent.at(&app);
    assert_eq!(code(&call(&agent).await), "C4020", "after a restart as well");
    assert_eq!(
        (state(&app).await["state"].clone(), world.asked("client_credentials"), world.calls()),
        (json!("cut"), 1, 1)
    );

    let begun = begin(&app).await.ok();
    assert_eq!(begun["url"], Value::Null, "nobody is needed");
    let progress = format!("/v1/connections/crm/authorize/{}", begun["id"].as_str().unwrap());
    assert_eq!(app.admin("GET", &progress, Value::Null).await.ok()["state"], "connected");
    assert!(works(&call(&agent).await));
    assert_eq!((state(&app).await["state"].clone(), world.asked("client_credentials")), (json!("open"), 2));
}

#[tokio::test]
async fn so_many_authorizations_are_begun_at_a_time_and_no_more() {
    let world = World::start().await;
    let (app, _agent) = started(&world, by_person()).await;
    for _ in 0..64 {
        begin(&app).await.ok();
    }
    assert_eq!(begin(&app).await.problem(400), "C4024");
    app.clock().advance(Span::minutes(10));
    begin(&app).await.ok();
}

/// A client that proves itself with our own key, which anybody can read the public half of.
#[tokio::test]
async fn others_read_who_we_are_and_which_key_is_ours() {
    let world = World::start().await;
    let oauth = json!({"mode": "client_credentials", "client_id": "us", "auth": "private_key_jwt"});
    let (app, agent) = started(&world, oauth).await;
    assert!(works(&call(&agent).await));
    let keys = app.http().get(&app.at("/connections/jwks")).await.ok();
    let kid = keys["keys"][0]["kid"].as_str().unwrap();
    assert!(world.assertions().iter().all(|header| header.contains(kid)) && !world.assertions().is_empty());
    assert!(keys["keys"][0]["d"].is_null(), "{keys}");
    let about = app.http().get(&app.at("/connections/client/crm")).await.ok();
    assert_eq!(about["client_id"], app.at("/connections/client/crm"));
    assert_eq!(about["redirect_uris"], json!([app.at("/connections/callback/crm")]));
    assert_eq!(app.http().get(&app.at("/connections/client/other")).await.problem(404), "C4025");
    let app = app.restart().await;
    assert_eq!(app.http().get(&app.at("/connections/jwks")).await.ok(), keys, "it is the same after a restart");
}

/// A call waits at the authorization server while its agent, or where it goes, is stopped: it is not sent again.
#[tokio::test]
async fn whoever_is_stopped_while_a_token_is_renewed_does_not_pass() {
    for kill in [None, Some(("agent", "reader")), Some(("server", SERVER)), Some(("tool", "crm/headers"))] {
        let world = World::start().await;
        let (app, agent) = started(&world, by_person()).await;
        connect(&app).await;
        assert!(works(&call(&agent).await));
        world.take_back();
        world.set(|behaviour| behaviour.refreshing = Refreshing::Waits);
        let (waiting, before) = (tokio::spawn(async move { call(&agent).await }), world.calls());
        world.is_asked().await;
        match kill {
            None => app.admin("POST", "/v1/agents/reader/suspend", json!({"reason": "stolen"})).await.ok(),
            Some((scope, subject)) => crate::kill::kill(&app, scope, subject).await,
        };
        world.answer();
        let refused = waiting.await.unwrap();
        assert!(!works(&refused), "{refused}");
        assert_eq!(world.calls(), before, "{kill:?}");
    }
}

/// A call waits at the authorization server, for its first token or for another one, while what allowed it is taken
/// back: it is not sent.
#[tokio::test]
async fn what_allowed_a_call_counts_until_it_is_sent() {
    const FORBID: &str = r#"@id("no-more") forbid (principal, action in Action::"tools/call", resource);"#;
    for (ended, revoked) in [(true, true), (false, true), (true, false), (false, false)] {
        let world = World::start().await;
        let app = world.behind(by_person()).start().await;
        let agent = app.agent("reader").await;
        let grant = app.grant("reader", SERVER).await;
        connect(&app).await;
        assert!(works(&call(&agent).await));
        if ended {
            app.clock().advance(Span::seconds(121));
        } else {
            world.take_back();
        }
        world.set(|behaviour| behaviour.refreshing = Refreshing::Waits);
        let (waiting, before) = (tokio::spawn(async move { call(&agent).await }), world.calls());
        world.is_asked().await;
        if revoked {
            app.admin("DELETE", &format!("/v1/grants/{grant}"), Value::Null).await;
        } else {
            app.write_policy("no-more.cedar", FORBID);
            app.admin("POST", "/v1/policies/reload", Value::Null).await.ok();
        }
        world.answer();
        let refused = waiting.await.unwrap();
        assert_eq!((code(&refused), world.calls() - before), ("C2001", 0), "{ended} {revoked}: {refused}");
    }
}

/// A mix-up (RFC 9700, section 4.4): a server that lies sends the browser on to an honest one, which knows us by another
/// address and sends the code there, under the liar's state. The liar is not told it.
#[tokio::test]
async fn a_code_that_comes_to_the_address_of_another_server_goes_to_nobody() {
    let world = World::start().await;
    world.set(|behaviour| (behaviour.iss, behaviour.iss_supported) = (Some(None), false));
    let (app, _agent) = started(&world, by_person()).await;
    let begun = begin(&app).await.ok();
    let back = visit(&app, &begun).await;
    let elsewhere = back.replace("/connections/callback/crm?", "/connections/callback/honest?");
    assert_ne!(back, elsewhere);
    let page = app.http().get(&elsewhere).await;
    assert!(page.status == 400 && page.text().contains("came to the address of"), "{}", page.text());
    assert_eq!(world.asked("authorization_code"), 0);
    let progress = format!("/v1/connections/crm/authorize/{}", begun["id"].as_str().unwrap());
    assert_eq!(app.admin("GET", &progress, Value::Null).await.problem(400), "C4024");
    assert_eq!(app.http().get(&back).await.status, 400, "its state is used up");
    assert_eq!(world.asked("authorization_code"), 0);
}
