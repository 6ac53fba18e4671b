//! Logging in with X.509-SVIDs at the TLS door.

use chancery_model::Span;
use http::Request;
use http_body_util::Full;
use rcgen::{CertificateParams, KeyPair, SanType};
use serde_json::{Value, json};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::DOMAIN;
use super::login::{client, mapped};
use crate::front::tls::{House, Identity, Shown, claims, thumbprint};

const ROBOT: &str = "spiffe://acme.example/agent/robot";

/// A house whose socket takes us for `robot`, and the socket's directory.
async fn house() -> (House, tempfile::TempDir) {
    let (place, spiffe) = mapped(DOMAIN, None);
    let house = House::open_with(&[], |config| config.spiffe = Some(spiffe)).await;
    house.app.register("robot", "agent").await;
    house.app.grant("robot", "crm").await;
    (house, place)
}

/// The X.509-SVID of `robot`, from its socket.
async fn svid(place: &tempfile::TempDir) -> (Vec<Vec<u8>>, Vec<u8>) {
    let svid = client(&place.path().join("workload.sock")).await.fetch_x509_svid().await.unwrap();
    let chain = svid.cert_chain().iter().map(|one| one.as_bytes().to_vec()).collect();
    (chain, svid.private_key().as_bytes().to_vec())
}

fn shown((chain, key): &(Vec<Vec<u8>>, Vec<u8>)) -> Option<Shown> {
    let chain = chain.iter().map(|one| CertificateDer::from(one.clone())).collect();
    Some((chain, PrivateKeyDer::try_from(key.clone()).unwrap()))
}

/// Calls `echo` with this token.
async fn call(house: &House, shown: Option<Shown>, token: &str) -> (u16, Value) {
    let message = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": "echo", "arguments": {"text": "hello"},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    });
    let request = Request::post("/mcp/crm")
        .header("host", house.authority())
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "echo")
        .header("authorization", format!("Bearer {token}"));
    house.send_shown(shown, request.body(Full::new(message.to_string().into())).unwrap()).await
}

#[tokio::test]
async fn an_x509_svid_logs_in_at_the_tls_door_and_its_token_is_bound_to_it() {
    let (house, place) = house().await;
    let own = svid(&place).await;
    assert_eq!(house.ask_shown(shown(&own), ROBOT).await.0, 401, "no trust source is about it yet");
    let source = json!({"name": "local", "kind": "spiffe_x509", "agent": "robot", "subject": ROBOT});
    house.app.admin("POST", "/v1/trust-sources", source).await.ok();

    let (status, said) = house.ask_shown(shown(&own), ROBOT).await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(said["token_type"], "Bearer");
    let token = said["access_token"].as_str().unwrap();
    assert_eq!(claims(token)["cnf"], json!({"x5t#S256": thumbprint(&own.0[0])}));
    let (status, called) = call(&house, shown(&own), token).await;
    assert!(status == 200 && called.to_string().contains("hello"), "{called}");
    assert_eq!(call(&house, None, token).await.0, 401, "without a certificate");
    assert_eq!(call(&house, Some(Identity::new("robot").shown()), token).await.0, 401, "with another one");

    for id in [
        "robot",
        "spiffe://acme.example/agent/other",
        "spiffe://acme.example",
        "spiffe://acme.example/agent/robot/a",
        "",
    ] {
        let (status, said) = house.ask_shown(shown(&own), id).await;
        assert_eq!((status, &said["error"]), (401, &json!("invalid_client")), "`{id}`: {said}");
    }
    assert_eq!(house.ask_shown(None, ROBOT).await.0, 401, "a name alone is nobody");
    assert_eq!(house.ask_shown(Some(self_made()), ROBOT).await.0, 401, "no root of the trust domain signed it");

    // A token does not outlive the SVID, and the next SVID logs in again.
    house.app.clock().advance(Span::minutes(58));
    let (status, said) = house.ask_shown(shown(&own), ROBOT).await;
    assert_eq!((status, said["expires_in"].as_i64().is_some_and(|left| left <= 120)), (200, true), "{said}");
    house.app.clock().advance(Span::minutes(3));
    assert_eq!(house.ask_shown(shown(&own), ROBOT).await.0, 401, "it expired");
    let next = svid(&place).await;
    assert_ne!(next.0, own.0);
    let (_, said) = house.ask_shown(shown(&next), ROBOT).await;
    let token = said["access_token"].as_str().unwrap();
    assert_eq!(call(&house, shown(&next), token).await.0, 200);
    house.app.admin("DELETE", "/v1/trust-sources/local?reason=moved", Value::Null).await.ok();
    assert_eq!(call(&house, shown(&next), token).await.0, 401, "its session ended with the source");
    assert_eq!(house.ask_shown(shown(&next), ROBOT).await.0, 401);
}

/// A certificate that names the workload and is signed by nobody but itself.
fn self_made() -> Shown {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(ROBOT.try_into().unwrap())];
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.self_signed(&key).unwrap();
    (vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

#[tokio::test]
async fn the_kinds_of_svids_are_two_kinds_of_sources() {
    let (house, place) = house().await;
    let own = svid(&place).await;
    let source = json!({"name": "local", "kind": "spiffe_jwt", "agent": "robot", "subject": ROBOT});
    house.app.admin("POST", "/v1/trust-sources", source).await.ok();
    assert_eq!(house.ask_shown(shown(&own), ROBOT).await.0, 401, "the source is about JWT-SVIDs");
    let request = Request::get("/.well-known/oauth-authorization-server").header("host", house.authority());
    let (_, metadata) = house.send_shown(None, request.body(Full::default()).unwrap()).await;
    let methods = metadata["token_endpoint_auth_methods_supported"].as_array().unwrap();
    assert!(methods.contains(&json!("spiffe_x509")), "{methods:?}");
}
