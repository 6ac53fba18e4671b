//! What clients read before they come: RFC 8414, RFC 9728, AuthZEN 1.0, health.

use chancery_testkit::{HttpUpstream, TestApp};

#[tokio::test]
async fn the_metadata_documents_lead_to_each_other() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).start().await;
    let (http, url) = (app.http(), app.url().to_owned());

    let server = http.get(&app.at("/.well-known/oauth-authorization-server")).await.ok();
    assert_eq!(server["issuer"], url.as_str());
    assert_eq!(server["token_endpoint"], format!("{url}/oauth/token"));
    let methods = server["token_endpoint_auth_methods_supported"].as_array().unwrap();
    assert!(methods[0] == "private_key_jwt" && methods.contains(&"none".into()), "{methods:?}");
    for (member, path) in [
        ("authorization_endpoint", "/oauth/authorize"),
        ("pushed_authorization_request_endpoint", "/oauth/par"),
        ("device_authorization_endpoint", "/oauth/device_authorization"),
    ] {
        assert_eq!(server[member], format!("{url}{path}"), "{member}");
    }
    assert_eq!(server["code_challenge_methods_supported"], serde_json::json!(["S256"]));
    assert_eq!(server["authorization_response_iss_parameter_supported"], true);
    assert_eq!(http.get(&app.at("/.well-known/openid-configuration")).await.ok(), server, "the name OpenID gives it");
    let keys = http.get(server["jwks_uri"].as_str().unwrap()).await.ok();
    assert_eq!(keys["keys"][0]["alg"], "ES256");
    assert!(keys["keys"][0].get("d").is_none(), "a private key is shown");

    for resource in ["mcp/crm", "access/v1"] {
        let metadata = http.get(&app.at(&format!("/.well-known/oauth-protected-resource/{resource}"))).await.ok();
        assert_eq!(metadata["resource"], format!("{url}/{resource}"));
        assert_eq!(metadata["authorization_servers"], serde_json::json!([url]));
    }
    let access = http.get(&app.at("/.well-known/oauth-protected-resource")).await.ok();
    assert_eq!(access["resource"], format!("{url}/access/v1"));
    let missing = http.get(&app.at("/.well-known/oauth-protected-resource/mcp/ghost")).await;
    assert_eq!(missing.problem(404), "C4001");

    let authzen = http.get(&app.at("/.well-known/authzen-configuration")).await.ok();
    assert_eq!(authzen["access_evaluation_endpoint"], format!("{url}/access/v1/evaluation"));
    assert_eq!(authzen["access_evaluations_endpoint"], format!("{url}/access/v1/evaluations"));
}

#[tokio::test]
async fn an_mcp_client_without_a_token_is_told_where_to_begin() {
    let upstream = HttpUpstream::start().await;
    let app = TestApp::builder().http("crm", &upstream).start().await;
    let hello = serde_json::json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {}});
    let answer = app.http().post(&app.at("/mcp/crm"), &[], &hello).await;
    assert_eq!(answer.status, 401);
    let expected = format!("resource_metadata=\"{}\"", app.at("/.well-known/oauth-protected-resource/mcp/crm"));
    assert!(answer.header("www-authenticate").contains(&expected), "{}", answer.header("www-authenticate"));
}

#[tokio::test]
async fn health_reveals_nothing_and_readiness_follows_the_policies() {
    let app = TestApp::start().await;
    for path in ["/healthz", "/readyz"] {
        let answer = app.http().get(&app.at(path)).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0), "{path}");
    }
    let broken = TestApp::builder().policy("broken.cedar", "permit (principal").start().await;
    assert_eq!(broken.http().get(&broken.at("/healthz")).await.status, 204);
    assert_eq!(broken.http().get(&broken.at("/readyz")).await.status, 503);
    assert!(!broken.app().is_ready());
}
