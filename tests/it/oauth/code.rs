//! The authorization code flow, and what tries to get around it (attack classes A1, A4 and A8).

use chancery_authenticate::client::AgentKey;
use chancery_model::Span;
use chancery_testkit::{Browser, hidden};
use serde_json::json;

use super::client::{CALLBACK, CODE, Flow, MARA, VERIFIER, claims, onward, parameters, with};

#[tokio::test]
async fn a_person_lets_an_agent_act_for_them() {
    let mut flow = Flow::start().await;
    let request = flow.request();
    let page = flow.ask(&request).await;
    let text = page.text();
    for shown in ["Let helper act for you?", "is tested", "mara@example.com", "https://app.example", "every tool"] {
        assert!(text.contains(shown), "{shown} is not shown: {text}");
    }
    let answer = flow.press(&page, "allow").await;
    let back = onward(&answer);
    let said = parameters(&back);
    assert_eq!((said["state"].as_str(), said["iss"].as_str()), (Some("a b&c=d"), Some(flow.app.url())));
    let tokens = flow.redeem(said["code"].as_str().unwrap()).await.ok();
    assert_eq!(tokens["token_type"], "DPoP");
    assert_eq!(tokens["authorization_details"].as_array().map(Vec::len), Some(3));
    let token = tokens["access_token"].as_str().unwrap();
    let claims = claims(token);
    let people = flow.app.admin("GET", "/v1/people", json!(null)).await.ok();
    let agent = flow.app.admin("GET", "/v1/agents/helper", json!(null)).await.ok();
    assert_eq!(claims["sub"], people["items"][0]["id"], "it stands for the person");
    assert_eq!(claims["act"]["sub"], agent["id"], "the agent acts");
    assert_eq!(claims["aud"], flow.resource());
    assert!(flow.is_in_force(token).await);
    for (whose, count) in [(MARA, 1), ("somebody@example.com", 0)] {
        let sessions = flow.app.admin("GET", &format!("/v1/sessions?human={whose}"), json!(null)).await.ok();
        assert_eq!(sessions["items"].as_array().map(Vec::len), Some(count), "{sessions}");
        if count == 1 {
            let session = &sessions["items"][0];
            assert_eq!((&session["id"], &session["human"]), (&claims["sid"], &json!(MARA)));
            assert_eq!(session["authorization_details"], tokens["authorization_details"]);
        }
    }
    assert_eq!(flow.app.admin("GET", "/v1/sessions?all=true", json!(null)).await.problem(400), "C7007");
    let log = flow.app.log().await;
    let consent = log.iter().find(|entry| entry["change"] == "allow consent").expect("the consent is recorded");
    assert!(consent.to_string().contains(MARA) && consent.to_string().contains("helper"), "{consent}");
}

#[tokio::test]
async fn nobody_is_sent_anywhere_but_to_a_registered_address() {
    let mut flow = Flow::start().await;
    let request = flow.request();
    for address in [
        "https://app.example/cb/",
        "https://app.example/CB",
        "https://APP.example/cb",
        "https://app.example:443/cb",
        "https://app.example/cb?x=y",
        "https://app.example/cb#x",
        "https://a@app.example/cb",
        "https://app.example@evil.example/cb",
        "https://app.example.evil.example/cb",
        "https://app.example/%2e%2e/cb",
        "https://app.example/x/../cb",
        "https://app.example/%63b",
        "http://app.example/cb",
        "//app.example/cb",
        "/cb",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://localhost/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://127.0.0.1:1@evil.example/cb",
        "http://127.0.0.1/other",
        "http://127.0.0.2/cb",
    ] {
        let page = flow.ask(&with(&request, &[("redirect_uri", address)])).await;
        assert_eq!(page.status, 400, "{address}");
        assert_eq!(onward(&page), "", "{address}: {}", page.text());
    }
    for client in ["ghost", "https://evil.example/client.json", "javascript:alert(1)"] {
        let page = flow.ask(&with(&request, &[("client_id", client)])).await;
        assert!(page.status.is_client_error() && onward(&page).is_empty(), "{client}: {}", page.status);
    }
    let twice = [request.clone(), vec![("redirect_uri".into(), "https://evil.example".into())]].concat();
    assert_eq!(flow.ask(&twice).await.status, 400);
    let page = flow.ask(&with(&request, &[("redirect_uri", "http://127.0.0.1:51004/cb")])).await;
    assert_eq!(page.status, 200, "a program on this computer listens where it can");
    assert!(page.text().contains("Any program here could pose"), "{}", page.text());
}

#[tokio::test]
async fn what_is_wrong_goes_back_to_the_client() {
    let mut flow = Flow::start().await;
    let request = flow.request();
    let ghost = flow.app.at("/mcp/ghost");
    let access = flow.app.at("/access/v1");
    let other = r#"[{"type":"mcp_tool","server":"billing"}]"#;
    for (changes, error) in [
        (&[("code_challenge", "")][..], "invalid_request"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("code_challenge_method", "")], "invalid_request"),
        (&[("code_challenge", VERIFIER), ("code_challenge_method", "plain")], "invalid_request"),
        (&[("code_challenge", "short")], "invalid_request"),
        (&[("response_type", "token")], "unsupported_response_type"),
        (&[("response_type", "code id_token")], "unsupported_response_type"),
        (&[("response_mode", "fragment")], "invalid_request"),
        (&[("response_mode", "form_post")], "invalid_request"),
        (&[("scope", "openid")], "invalid_scope"),
        (&[("request", "e30.e30.")], "request_not_supported"),
        (&[("resource", "")], "invalid_target"),
        (&[("resource", ghost.as_str())], "invalid_target"),
        (&[("resource", access.as_str())], "invalid_target"),
        (&[("authorization_details", "{}")], "invalid_authorization_details"),
        (&[("authorization_details", r#"[{"type":"payment"}]"#)], "invalid_authorization_details"),
        (&[("authorization_details", other)], "invalid_authorization_details"),
        (&[("prompt", "none login")], "invalid_request"),
        (&[("max_age", "-1")], "invalid_request"),
        (&[("acr_values", "urn:other")], "unmet_authentication_requirements"),
        (&[("dpop_jkt", "x")], "invalid_request"),
        (&[("prompt", "none")], "consent_required"),
    ] {
        let answer = flow.ask(&with(&request, changes)).await;
        let said = parameters(&onward(&answer));
        assert_eq!(answer.status, 303, "{changes:?}: {}", answer.text());
        assert!(onward(&answer).starts_with("https://app.example/cb?"), "{changes:?}");
        assert_eq!((said["error"].as_str(), said["iss"].as_str()), (Some(error), Some(flow.app.url())), "{changes:?}");
        assert_eq!(said["state"], "a b&c=d");
    }
    let mut nobody = Browser::new(&flow.app);
    let path = format!("/oauth/authorize?{}", super::client::query(&with(&request, &[("prompt", "none")])));
    assert_eq!(parameters(&onward(&nobody.get(&path).await))["error"], "login_required");
}

#[tokio::test]
async fn a_no_goes_back_as_one() {
    let mut flow = Flow::start().await;
    let page = {
        let request = flow.request();
        flow.ask(&request).await
    };
    let said = parameters(&onward(&flow.press(&page, "deny").await));
    assert_eq!((said["error"].as_str(), said.get("code")), (Some("access_denied"), None));
}

#[tokio::test]
async fn an_answer_comes_from_our_page_and_is_about_what_was_shown() {
    let mut flow = Flow::start().await;
    let page = {
        let request = flow.request();
        flow.ask(&request).await.text()
    };
    let (form, request, shown) = (hidden(&page, "form"), hidden(&page, "request"), hidden(&page, "shown"));
    let yes = |form: &str, request: &str, shown: &str| {
        [("form", form), ("request", request), ("shown", shown), ("lasts", "60"), ("keep", "0"), ("answer", "allow")]
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
    };
    let other = request.replace("crm", "billing");
    for fields in
        [yes("", &request, &shown), yes("x", &request, &shown), yes(&form, &other, &shown), yes(&form, &request, "")]
    {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let answer = flow.browser.post("/oauth/consent", &fields).await;
        assert!(answer.status.is_client_error() && onward(&answer).is_empty(), "{fields:?}: {}", answer.text());
    }
    let fields = yes(&form, &request, &shown);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let foreign = flow.browser.post_with("/oauth/consent", &fields, &[("origin", "https://evil.example")]).await;
    assert_eq!(foreign.status, 403);
    let answer = flow.browser.post("/oauth/consent", &fields).await;
    assert!(onward(&answer).contains("code="), "{}", answer.text());
}

#[tokio::test]
async fn a_person_can_take_away_and_not_add() {
    let mut flow = Flow::start().await;
    let details = r#"[{"type":"mcp_tool","server":"crm","tools":["echo"]},{"type":"mcp_tool","server":"billing"}]"#;
    let request = with(&flow.request(), &[("authorization_details", details)]);
    let page = flow.ask(&request).await.text();
    let (form, request, shown) = (hidden(&page, "form"), hidden(&page, "request"), hidden(&page, "shown"));
    let answer = |keep: &'static str| {
        [
            ("form", form.clone()),
            ("request", request.clone()),
            ("shown", shown.clone()),
            ("lasts", "99999999".into()),
            ("keep", keep.into()),
            ("answer", "allow".into()),
        ]
    };
    for (keep, allowed) in [("1", false), ("7", false), ("", false), ("0", true)] {
        let fields = answer(keep);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let said = parameters(&onward(&flow.browser.post("/oauth/consent", &fields).await));
        assert_eq!(said.get("code").is_some(), allowed, "{keep}: {said}");
        if let Some(code) = said["code"].as_str() {
            let tokens = flow.redeem(code).await.ok();
            assert_eq!(tokens["authorization_details"].as_array().map(Vec::len), Some(1), "{tokens}");
            let other = flow.app.at("/mcp/billing");
            let refresh = tokens["refresh_token"].as_str().unwrap();
            let form = [("grant_type", "refresh_token"), ("refresh_token", refresh), ("resource", other.as_str())];
            assert_eq!(flow.post("/oauth/token", &form).await.json()["error"], "invalid_target", "it was taken away");
        }
    }
}

#[tokio::test]
async fn a_code_needs_its_client_its_verifier_its_key_and_its_time() {
    let mut flow = Flow::start().await;
    let request = flow.request();
    let code = flow.code(&request).await;
    let verifier = "a".repeat(43);
    for form in [
        vec![("code", code.as_str())],
        vec![("code", code.as_str()), ("code_verifier", "")],
        vec![("code", code.as_str()), ("code_verifier", verifier.as_str())],
        vec![("code", code.as_str()), ("code_verifier", super::client::CHALLENGE)],
        vec![("code", "chy-code-x"), ("code_verifier", VERIFIER)],
        vec![("code", code.as_str()), ("code_verifier", VERIFIER), ("redirect_uri", "https://app.example/other")],
        vec![("code", code.as_str()), ("code", code.as_str()), ("code_verifier", VERIFIER)],
        vec![("code", code.as_str()), ("code_verifier", VERIFIER), ("resource", "https://other.example")],
    ] {
        let form = [vec![("grant_type", CODE)], form].concat();
        let answer = flow.post("/oauth/token", &form).await;
        assert_eq!(answer.status, 400, "{form:?}: {}", answer.text());
    }
    let anonymous =
        with(&[], &[("grant_type", CODE), ("code", &code), ("code_verifier", VERIFIER), ("client_id", "helper")]);
    let answer = flow.send(Some(&AgentKey::generate().unwrap()), "/oauth/token", &anonymous).await;
    assert_eq!(answer.json()["error"], "invalid_client");
    flow.redeem(&code).await.ok();

    let thief = flow.app.agent("thief").await;
    let code = flow.code(&request).await;
    let (now, random) = (flow.app.time().now(), flow.app.random());
    let assertion = thief.key().assertion("thief", flow.app.url(), now, &*random).unwrap();
    let form = with(
        &[],
        &[
            ("grant_type", CODE),
            ("code", &code),
            ("code_verifier", VERIFIER),
            ("client_assertion", &assertion),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ],
    );
    assert_eq!(flow.send(Some(thief.key()), "/oauth/token", &form).await.json()["error"], "invalid_grant");
    flow.redeem(&code).await.ok();

    let bound = with(&request, &[("dpop_jkt", &flow.agent.key().thumbprint())]);
    let code = flow.code(&bound).await;
    let form = [("grant_type", CODE), ("code", code.as_str()), ("code_verifier", VERIFIER)];
    let other = flow.post_by(&AgentKey::generate().unwrap(), "/oauth/token", &form).await;
    assert_eq!(other.json()["error"], "invalid_grant", "another key");
    flow.redeem(&code).await.ok();

    let code = flow.code(&request).await;
    flow.app.clock().advance(Span::seconds(60));
    assert_eq!(flow.redeem(&code).await.json()["error"], "invalid_grant", "a code lives a minute");
}

/// Somebody else's code, put into the flow of this browser, does not fit its verifier, nor does a verifier that was good
/// before (RFC 9700, section 4.5).
#[tokio::test]
async fn codes_of_two_flows_cannot_be_swapped() {
    let mut flow = Flow::start().await;
    let request = flow.request();
    let own = flow.code(&request).await;
    let other_verifier = "b".repeat(43);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, other_verifier.as_bytes());
    let challenge = chancery_authenticate::jose::encode(digest.as_ref());
    let own_browser = std::mem::replace(&mut flow.browser, Browser::of_person(&flow.app, "lee").await);
    let injected = flow.code(&with(&request, &[("code_challenge", &challenge)])).await;
    flow.browser = own_browser;
    let redeem = async |flow: &Flow, code: &str, verifier: &str| {
        let form = [("grant_type", CODE), ("code", code), ("code_verifier", verifier)];
        flow.post("/oauth/token", &form).await
    };
    for (code, verifier) in [(&injected, VERIFIER), (&own, other_verifier.as_str())] {
        assert_eq!(redeem(&flow, code, verifier).await.json()["error"], "invalid_grant");
    }
    let tokens = redeem(&flow, &own, VERIFIER).await.ok();
    assert_eq!(redeem(&flow, &injected, VERIFIER).await.json()["error"], "invalid_grant", "a verifier that was used");
    assert!(flow.is_in_force(tokens["access_token"].as_str().unwrap()).await, "a wrong guess ends nothing");
    redeem(&flow, &injected, &other_verifier).await.ok();
}

#[tokio::test]
async fn a_few_wrong_verifiers_are_the_end_of_a_code() {
    let mut flow = Flow::start().await;
    let request = flow.request();
    let code = flow.code(&request).await;
    for n in 0..5 {
        let wrong = format!("{n}").repeat(43);
        let form = [("grant_type", CODE), ("code", code.as_str()), ("code_verifier", wrong.as_str())];
        assert_eq!(flow.post("/oauth/token", &form).await.json()["error"], "invalid_grant");
    }
    assert_eq!(flow.redeem(&code).await.json()["error"], "invalid_grant");
}

#[tokio::test]
async fn the_second_use_of_a_code_ends_what_the_first_opened() {
    let mut flow = Flow::start().await;
    let request = flow.request();
    let code = flow.code(&request).await;
    let tokens = flow.redeem(&code).await.ok();
    let (access, refresh) = (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    assert!(flow.is_in_force(access).await);
    let guess = [("grant_type", CODE), ("code", code.as_str()), ("code_verifier", VERIFIER.trim_end_matches('k'))];
    flow.post("/oauth/token", &guess).await;
    assert!(flow.is_in_force(access).await, "who does not know the verifier ends nothing");
    assert_eq!(flow.redeem(&code).await.json()["error"], "invalid_grant");
    assert!(!flow.is_in_force(access).await, "the session lives");
    assert_eq!(flow.refresh(refresh).await.json()["error"], "invalid_grant");
}

#[tokio::test]
async fn a_suspended_person_ends_everything_done_in_their_name() {
    let mut flow = Flow::start().await;
    let request = flow.request();
    let tokens = flow.tokens().await;
    let (access, refresh) = (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    let code = flow.code(&request).await;
    let page = flow.ask(&request).await;
    flow.app.admin("POST", &format!("/v1/people/{MARA}/suspend"), json!({"reason": "left"})).await.ok();
    assert!(!flow.is_in_force(access).await, "a token");
    assert_eq!(flow.refresh(refresh).await.json()["error"], "invalid_grant", "a refresh token");
    assert_eq!(flow.redeem(&code).await.json()["error"], "invalid_grant", "a code");
    assert_eq!(flow.press(&page, "allow").await.status, 401, "a page");
    flow.app.admin("POST", &format!("/v1/people/{MARA}/resume"), json!({})).await.ok();
    assert!(!flow.is_in_force(access).await && flow.redeem(&code).await.status == 400, "what ended stays ended");
}

#[tokio::test]
async fn without_a_rule_that_lets_them_nobody_consents() {
    let mut flow = Flow::with(chancery_testkit::TestApp::builder()).await;
    flow.app.write_policy(
        "people.cedar",
        "@id(\"x\") permit (principal == Human::\"lee\", action == Action::\"delegate\", resource is Agent);",
    );
    flow.app.admin("POST", "/v1/policies/reload", json!({})).await.ok();
    let request = flow.request();
    let said = parameters(&onward(&flow.ask(&request).await));
    assert_eq!(said["error"], "access_denied", "{said}");
}

#[tokio::test]
async fn a_flow_goes_on_after_a_restart() {
    let mut flow = Flow::start().await;
    let tokens = flow.tokens().await;
    let request = flow.request();
    let code = flow.code(&request).await;
    let app = flow.app.restart().await;
    let (agent, browser) = (flow.agent.at(&app), flow.browser.at(&app));
    let mut flow = Flow { app, agent, browser, ..flow };
    // The port is another one, and with it every resource: what was granted there is not to be had here.
    let answer = flow.redeem(&code).await;
    assert_eq!(answer.json()["error"], "invalid_target", "{}", answer.text());
    let answer = flow.refresh(tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(answer.json()["error"], "invalid_target", "{}", answer.text());
    let request = flow.request();
    assert_eq!(flow.ask(&request).await.status, 200, "the login outlives it");
}

#[tokio::test]
async fn an_old_login_is_not_enough_where_a_new_one_is_asked_for() {
    let mut flow = Flow::start().await;
    flow.app.clock().advance(Span::minutes(2));
    let request = flow.request();
    for changes in [&[("prompt", "login")][..], &[("max_age", "100")]] {
        let page = flow.ask(&with(&request, changes)).await;
        assert!(page.status == 401 && onward(&page).is_empty(), "{changes:?}: {}", page.text());
    }
    assert_eq!(flow.ask(&with(&request, &[("max_age", "1000")])).await.status, 200);
    let app = &flow.app;
    flow.browser.sign_in(app, MARA).await;
    let page = flow.ask(&with(&request, &[("prompt", "login"), ("acr_values", "urn:chancery:acr:link")])).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let back = onward(&flow.press(&page, "allow").await);
    assert!(back.starts_with(CALLBACK) && back.contains("code="), "{back}");
}
