//! Clients that state themselves in a document (draft-ietf-oauth-client-id-metadata-document): public ones, and those with
//! keys of their own.

use chancery_authenticate::client::AgentKey;
use chancery_model::Span;
use chancery_testkit::TestApp;
use serde_json::{Value, json};

use super::client::{CALLBACK, CODE, Flow, VERIFIER, claims, onward, parameters, with};
use super::document::{Document, key_set, redeeming, refreshing};
use crate::federation::issuer::Key;

async fn with_document() -> (Document, Flow) {
    let document = Document::serve(&[CALLBACK, "http://127.0.0.1/cb"]).await;
    let flow = Flow::with(document.within_reach(TestApp::builder())).await;
    document.adopt(&flow.app).await;
    (document, flow)
}

fn text<'a>(tokens: &'a Value, name: &str) -> &'a str {
    tokens[name].as_str().unwrap_or_else(|| panic!("no {name}: {tokens}"))
}

#[tokio::test]
async fn a_public_client_goes_all_the_way_with_a_key_of_its_own() {
    let (document, mut flow) = with_document().await;
    let key = AgentKey::generate().unwrap();
    let request = document.request(&flow);
    let page = flow.ask(&request).await.text();
    let origin = document.url.trim_end_matches("/client.json");
    assert!(page.contains("App") && page.contains(&format!("Program of</dt><dd><strong>{origin}<")), "{page}");

    let code = flow.code(&request).await;
    for (path, form) in [("/oauth/token", redeeming(&code).to_vec()), ("/oauth/par", vec![("response_type", "code")])] {
        let without = document.post(&flow, None, path, &form).await;
        assert_eq!(without.json()["error"], "invalid_dpop_proof", "{path}: without a key nothing binds the tokens");
    }
    let tokens = document.post(&flow, Some(&key), "/oauth/token", &redeeming(&code)).await.ok();
    assert_eq!(tokens["token_type"], "DPoP");
    let token = text(&tokens, "access_token");
    let agent = flow.app.admin("GET", "/v1/agents/helper", Value::Null).await.ok();
    assert_eq!(claims(token)["act"]["sub"], agent["id"], "the agent that adopted it acts");
    assert_eq!(claims(token)["cnf"]["jkt"], key.thumbprint());
    assert!(flow.is_in_force_by(&key, token).await);
    assert!(!flow.is_in_force(token).await, "with another key");

    let refresh = refreshing(text(&tokens, "refresh_token"));
    let other = document.post(&flow, Some(&AgentKey::generate().unwrap()), "/oauth/token", &refresh).await;
    assert_eq!(other.json()["error"], "invalid_grant", "another key");
    let as_agent = flow.post_by(&key, "/oauth/token", &refresh).await;
    assert_eq!(as_agent.json()["error"], "invalid_grant", "the agent's own client is another one");
    let fresh = document.post(&flow, Some(&key), "/oauth/token", &refresh).await.ok();
    assert_eq!(fresh["sid"], tokens["sid"]);
    assert!(flow.is_in_force_by(&key, text(&fresh, "access_token")).await);
}

#[tokio::test]
async fn a_public_client_gives_back_its_own_tokens_and_nobody_elses() {
    let (document, mut flow) = with_document().await;
    let stranger = Document::serve(&[CALLBACK]).await;
    let key = AgentKey::generate().unwrap();
    let revoke = async |flow: &Flow, by: &Document, token: &str| {
        by.post(flow, None, "/oauth/revoke", &[("token", token), ("token_type_hint", "access_token")]).await
    };
    let request = document.request(&flow);
    for which in ["access_token", "refresh_token"] {
        let code = flow.code(&request).await;
        let tokens = document.post(&flow, Some(&key), "/oauth/token", &redeeming(&code)).await.ok();
        let token = text(&tokens, "access_token");
        assert_eq!(revoke(&flow, &stranger, text(&tokens, which)).await.json()["error"], "invalid_client");
        let named = flow.send(None, "/oauth/revoke", &with(&[], &[("client_id", "helper"), ("token", token)])).await;
        assert_eq!(named.json()["error"], "invalid_client", "an agent has to authenticate");
        assert!(flow.is_in_force_by(&key, token).await);
        assert_eq!(revoke(&flow, &document, text(&tokens, which)).await.status, 200);
        assert!(!flow.is_in_force_by(&key, token).await, "{which}: the session lives");
        let refresh =
            document.post(&flow, Some(&key), "/oauth/token", &refreshing(text(&tokens, "refresh_token"))).await;
        assert_eq!(refresh.json()["error"], "invalid_grant");
    }

    // Of the same agent, but neither was got through this client.
    let own = flow.agent.token(&flow.resource()).await;
    let registered = flow.tokens().await;
    for token in [own.as_str(), text(&registered, "access_token"), text(&registered, "refresh_token"), "chy-refresh-x"]
    {
        assert_eq!(revoke(&flow, &document, token).await.status, 200, "it says nothing of tokens");
    }
    assert!(flow.is_in_force(&own).await && flow.is_in_force(text(&registered, "access_token")).await);
    flow.refresh(text(&registered, "refresh_token")).await.ok();
    let metadata = flow.app.http().get(&flow.app.at("/.well-known/oauth-authorization-server")).await.ok();
    assert!(metadata["revocation_endpoint_auth_methods_supported"].as_array().unwrap().contains(&json!("none")));
}

#[tokio::test]
async fn only_an_agent_that_may_use_bearer_tokens_has_a_public_client_without_a_key() {
    let (document, mut flow) = with_document().await;
    let reason = json!({"allow": true, "reason": "the client cannot sign"});
    flow.app.admin("POST", "/v1/agents/helper/bearer", reason).await.ok();
    let request = document.request(&flow);
    let code = flow.code(&request).await;
    let tokens = document.post(&flow, None, "/oauth/token", &redeeming(&code)).await.ok();
    assert_eq!((&tokens["token_type"], tokens.get("refresh_token")), (&json!("Bearer"), None), "{tokens}");
    let bound = with(&request, &[("dpop_jkt", &AgentKey::generate().unwrap().thumbprint())]);
    let code = flow.code(&bound).await;
    let without = document.post(&flow, None, "/oauth/token", &redeeming(&code)).await;
    assert_eq!(without.json()["error"], "invalid_grant", "a code that is bound to a key stays bound");
}

#[tokio::test]
async fn a_document_that_is_gone_or_disowned_ends_its_sessions() {
    let (document, mut flow) = with_document().await;
    let key = AgentKey::generate().unwrap();
    let request = document.request(&flow);
    let code = flow.code(&request).await;
    let tokens = document.post(&flow, Some(&key), "/oauth/token", &redeeming(&code)).await.ok();
    let path = format!("/v1/clients?client_id={}", chancery_testkit::encoded(&document.url));
    flow.app.admin("DELETE", &path, json!({"reason": "not ours"})).await.ok();
    assert!(!flow.is_in_force_by(&key, text(&tokens, "access_token")).await);
    let refresh = document.post(&flow, Some(&key), "/oauth/token", &refreshing(text(&tokens, "refresh_token"))).await;
    assert_eq!(refresh.json()["error"], "invalid_client");
    let page = flow.ask(&request).await;
    assert!(page.status.is_client_error() && onward(&page).is_empty(), "{}", page.text());
}

#[tokio::test]
async fn a_client_whose_document_names_a_key_authenticates_with_it() {
    for stated in [true, false] {
        let document = Document::serve(&[CALLBACK]).await;
        let (signer, other) = (AgentKey::generate().unwrap(), AgentKey::generate().unwrap());
        document.says("token_endpoint_auth_method", json!("private_key_jwt"));
        document.keys(&[&signer]);
        match stated {
            true => document.says("jwks", key_set(&[&signer])),
            false => document.says("jwks_uri", document.keys_url().into()),
        }
        let mut flow = Flow::with(document.within_reach(TestApp::builder())).await;
        document.adopt(&flow.app).await;
        let request = document.request(&flow);
        let form: Vec<(&str, &str)> = request.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let form = form.into_iter().filter(|(name, _)| *name != "client_id").collect::<Vec<_>>();
        let pushed = document.post_signed(&flow, &signer, "/oauth/par", &form).await.ok();
        let by_reference = with(&[], &[("client_id", &document.url), ("request_uri", text(&pushed, "request_uri"))]);
        let code = flow.code(&by_reference).await;
        let redeem = redeeming(&code);
        for (what, answer) in [
            ("nothing", document.post(&flow, Some(&signer), "/oauth/token", &redeem).await),
            ("a key it does not name", document.post_signed(&flow, &other, "/oauth/token", &redeem).await),
            ("its agent's key", document.post_signed(&flow, flow.agent.key(), "/oauth/token", &redeem).await),
        ] {
            assert_eq!(answer.json()["error"], "invalid_client", "{what}: {}", answer.text());
        }
        let tokens = document.post_signed(&flow, &signer, "/oauth/token", &redeem).await.ok();
        assert!(flow.is_in_force_by(&signer, text(&tokens, "access_token")).await);
        let refresh = refreshing(text(&tokens, "refresh_token"));
        let downgraded = document.post(&flow, Some(&signer), "/oauth/token", &refresh).await;
        assert_eq!(downgraded.json()["error"], "invalid_client", "its name is not enough");
        let fresh = document.post_signed(&flow, &signer, "/oauth/token", &refresh).await.ok();

        // It stands for people and not for the agent itself.
        let resource = flow.resource();
        let own = [("grant_type", "client_credentials"), ("resource", resource.as_str())];
        assert_eq!(document.post_signed(&flow, &signer, "/oauth/token", &own).await.json()["error"], "invalid_client");
        let token = [("token", text(&fresh, "access_token"))];
        assert_eq!(
            document.post_signed(&flow, &other, "/oauth/revoke", &token).await.json()["error"],
            "invalid_client"
        );
        assert_eq!(document.post(&flow, None, "/oauth/revoke", &token).await.json()["error"], "invalid_client");
        assert_eq!(document.post_signed(&flow, &signer, "/oauth/revoke", &token).await.status, 200);
        assert!(!flow.is_in_force_by(&signer, text(&fresh, "access_token")).await);
    }
}

#[tokio::test]
async fn keys_of_a_document_turn_over_and_assertions_are_used_once() {
    let document = Document::serve(&[CALLBACK]).await;
    let (first, second) = (AgentKey::generate().unwrap(), AgentKey::generate().unwrap());
    document.says("token_endpoint_auth_method", json!("private_key_jwt"));
    document.says("jwks_uri", document.keys_url().into());
    document.keys(&[&first]);
    let mut flow = Flow::with(document.within_reach(TestApp::builder())).await;
    document.adopt(&flow.app).await;
    let refused = [("token", "x")];
    assert_eq!(document.post_signed(&flow, &first, "/oauth/revoke", &refused).await.status, 200);
    document.keys(&[&second]);
    flow.app.clock().advance(Span::seconds(31));
    assert_eq!(
        document.post_signed(&flow, &second, "/oauth/revoke", &refused).await.status,
        200,
        "a new key is looked up"
    );
    assert_eq!(document.post_signed(&flow, &first, "/oauth/revoke", &refused).await.status, 401, "the old one is dead");

    let now = flow.app.time().now();
    let assertion = second.assertion(&document.url, flow.app.url(), now, &*flow.app.random()).unwrap();
    let rsa = Key::rsa();
    document.said_keys(json!({"keys": [rsa.jwk("rsa"), key_set(&[&second])["keys"][0]]}));
    flow.app.clock().advance(Span::seconds(31));
    let claims = json!({"iss": document.url, "sub": document.url, "aud": flow.app.url(), "jti": "r",
        "iat": now.seconds() + 31, "exp": now.seconds() + 61});
    let by_rsa = rsa.sign(&json!({"alg": "RS256", "kid": "rsa"}), &claims);
    let kind = ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    for (what, assertion, status) in [
        ("an algorithm that is not in the metadata", &by_rsa, 401),
        ("a good one", &assertion, 200),
        ("the same once more", &assertion, 401),
    ] {
        let form = [kind, ("client_assertion", assertion), ("token", "x")];
        assert_eq!(document.post(&flow, None, "/oauth/revoke", &form).await.status, status, "{what}");
    }
    let request = document.request(&flow);
    let code = flow.code(&request).await;
    let confused =
        with(&[], &[("client_id", "helper"), ("grant_type", CODE), ("code", &code), ("code_verifier", VERIFIER)]);
    assert_eq!(flow.send(Some(&second), "/oauth/token", &confused).await.json()["error"], "invalid_client");
    assert_eq!(flow.redeem(&code).await.json()["error"], "invalid_grant", "its agent is another client");
    document.post_signed(&flow, &second, "/oauth/token", &redeeming(&code)).await.ok();
}

#[tokio::test]
async fn keys_of_a_document_are_not_fetched_from_inside() {
    let document = Document::serve(&[CALLBACK]).await;
    let inside = Document::serve(&[]).await;
    let key = AgentKey::generate().unwrap();
    inside.keys(&[&key]);
    document.says("token_endpoint_auth_method", json!("private_key_jwt"));
    let flow = Flow::with(document.within_reach(TestApp::builder())).await;
    for address in
        [inside.keys_url().as_str(), "http://169.254.169.254/", "file:///etc/passwd", "javascript:alert(1)", ""]
    {
        document.says("jwks_uri", json!(address));
        document.adopt(&flow.app).await;
        flow.app.clock().advance(Span::hours(1));
        let answer = document.post_signed(&flow, &key, "/oauth/revoke", &[("token", "x")]).await;
        assert_eq!(answer.json()["error"], "invalid_client", "{address}: {}", answer.text());
    }
}

#[tokio::test]
async fn what_a_document_links_to_is_neither_shown_nor_followed() {
    let (document, mut flow) = with_document().await;
    for (name, value) in [
        ("logo_uri", "javascript:alert(1)"),
        ("client_uri", "data:text/html,<script>alert(1)</script>"),
        ("policy_uri", "http://169.254.169.254/latest"),
        ("tos_uri", "javascript:alert(2)"),
        ("client_name", "App of <b>Bank</b>"),
    ] {
        document.says(name, json!(value));
    }
    let request = document.request(&flow);
    let page = flow.ask(&request).await.text();
    for odd in ["javascript:", "data:text", "169.254", "<b>Bank", "&lt;b&gt;", "<img", "<script"] {
        assert!(!page.contains(odd), "{odd}: {page}");
    }
    let said = parameters(&onward(&flow.ask(&with(&request, &[("prompt", "none")])).await));
    assert_eq!(said["error"], "consent_required", "{said}");
    for (name, value) in [
        ("redirect_uris", json!(["javascript:alert(1)"])),
        ("redirect_uris", json!(["https://*.app.example/cb"])),
        ("client_id", json!("https://bank.example/client.json")),
    ] {
        let (document, mut flow) = with_document().await;
        document.says(name, value.clone());
        let request = document.request(&flow);
        let page = flow.ask(&request).await;
        assert!(page.status.is_client_error() && onward(&page).is_empty(), "{value}: {}", page.text());
    }
}

/// A program on this computer can listen where another one would: whoever is asked is told.
#[tokio::test]
async fn a_client_on_localhost_is_shown_as_one_that_can_be_posed_as() {
    let (document, mut flow) = with_document().await;
    let request = with(&document.request(&flow), &[("redirect_uri", "http://127.0.0.1:51004/cb")]);
    let page = flow.ask(&request).await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(page.text().contains("Any program here could pose"), "{}", page.text());
    for address in ["http://localhost:51004/cb", "http://127.0.0.2/cb", "http://[::1]/cb", "https://127.0.0.1/cb"] {
        let page = flow.ask(&with(&request, &[("redirect_uri", address)])).await;
        assert!(page.status == 400 && onward(&page).is_empty(), "{address}: {}", page.text());
    }
}
