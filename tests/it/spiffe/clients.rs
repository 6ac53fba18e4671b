//! The Rust client (crate `spiffe`) at our socket: what it fetches, it verifies itself.

use std::time::Duration;

use chancery_model::Span;
use futures_util::StreamExt;
use serde_json::{Value, json};
use spiffe::workload_api::error::WorkloadApiError;
use spiffe::{BundleSource, JwtSource, JwtSvid, SpiffeId, TrustDomain, X509Source};

use super::{DOMAIN, House};

const AUDIENCE: &str = "https://relying.example";
const PATIENCE: Duration = Duration::from_secs(20);

fn domain() -> TrustDomain {
    TrustDomain::new(DOMAIN).unwrap()
}

fn billing() -> SpiffeId {
    SpiffeId::new("spiffe://acme.example/agent/billing").unwrap()
}

async fn suspend(house: &House) {
    house.app.admin("POST", "/v1/agents/billing/suspend", json!({"reason": "a test"})).await.ok();
}

#[tokio::test]
async fn the_rust_client_fetches_svids_and_bundles_and_verifies_them() {
    let house = House::on_real_time().await;
    let client = house.client().await;

    let context = client.fetch_x509_context().await.unwrap();
    let svid = context.default_svid().unwrap();
    assert_eq!(*svid.spiffe_id(), billing());
    let bundle = context.bundle_set().get(&domain()).unwrap();
    assert_eq!(bundle.authorities().len(), 1);

    let token = client.fetch_jwt_svid([AUDIENCE, "second"], Some(&billing())).await.unwrap();
    assert_eq!(token.audience(), [AUDIENCE, "second"]);
    let bundles = client.fetch_jwt_bundles().await.unwrap();
    let verified = JwtSvid::parse_and_validate(token.token(), &bundles, &[AUDIENCE]).unwrap();
    assert_eq!(*verified.spiffe_id(), billing());
    assert!(JwtSvid::parse_and_validate(token.token(), &bundles, &["https://other.example"]).is_err());

    let validated = client.validate_jwt_token(AUDIENCE, token.token()).await.unwrap();
    assert_eq!(*validated.spiffe_id(), billing());
    assert!(client.validate_jwt_token("https://other.example", token.token()).await.is_err());
    let other = SpiffeId::new("spiffe://acme.example/agent/crm").unwrap();
    let refused = client.fetch_jwt_svid([AUDIENCE], Some(&other)).await.unwrap_err();
    assert!(matches!(refused, WorkloadApiError::PermissionDenied(_)), "{refused}");
}

#[tokio::test]
async fn the_rust_clients_sources_stay_healthy() {
    let house = House::on_real_time().await;
    let x509 = X509Source::builder().endpoint(house.endpoint()).build().await.unwrap();
    assert_eq!(*x509.svid().unwrap().spiffe_id(), billing());
    assert!(x509.bundle_for_trust_domain(&domain()).unwrap().is_some());
    let jwt = JwtSource::builder().endpoint(house.endpoint()).build().await.unwrap();
    let token = jwt.fetch_jwt_svid(&[AUDIENCE]).await.unwrap();
    assert_eq!(*token.spiffe_id(), billing());
    x509.shutdown().await;
    jwt.shutdown().await;
}

/// Each SVID is one entry, however many connections have it.
#[tokio::test]
async fn every_svid_is_recorded_once() {
    let house = House::on_test_time().await;
    let (one, two) = (house.client().await, house.client().await);
    let mut stream = Box::pin(one.stream_x509_svids().await.unwrap());
    let first = stream.next().await.unwrap().unwrap();
    let same = two.fetch_x509_svid().await.unwrap();
    assert_eq!(first.leaf(), same.leaf());
    one.fetch_jwt_svid([AUDIENCE], None).await.unwrap();
    let kinds = |issued: &[Value]| {
        let kind = |entry: &Value| {
            let after: Value = serde_json::from_str(entry["after"].as_str().unwrap()).unwrap();
            assert_eq!(after["spiffe_id"], "spiffe://acme.example/agent/billing");
            assert!(after["attested"].as_str().unwrap().starts_with("uid:"));
            after["kind"].as_str().unwrap().to_owned()
        };
        issued.iter().map(kind).collect::<Vec<_>>()
    };
    let issued = house.issued().await;
    assert_eq!(kinds(&issued), ["x509", "jwt"], "{issued:#?}");
    assert_eq!(issued[0]["agent"], "billing");

    house.app.clock().advance(Span::minutes(31));
    let next = tokio::time::timeout(PATIENCE, stream.next()).await.expect("a renewal").unwrap().unwrap();
    assert_ne!(next.leaf(), first.leaf());
    assert_eq!(kinds(&house.issued().await), ["x509", "jwt", "x509"]);
}

#[tokio::test]
async fn a_suspended_agent_gets_nothing_and_loses_its_stream_within_a_second() {
    let house = House::on_real_time().await;
    let client = house.client().await;
    let mut svids = Box::pin(client.stream_x509_svids().await.unwrap());
    let mut bundles = Box::pin(client.stream_jwt_bundles().await.unwrap());
    svids.next().await.unwrap().unwrap();
    bundles.next().await.unwrap().unwrap();
    let token = client.fetch_jwt_svid([AUDIENCE], None).await.unwrap();

    suspend(&house).await;
    let second = Duration::from_secs(1);
    let end = tokio::time::timeout(second, svids.next()).await.expect("within a second").unwrap();
    assert!(matches!(end, Err(WorkloadApiError::NoIdentityIssued)), "{end:?}");
    let end = tokio::time::timeout(second, bundles.next()).await.expect("within a second").unwrap();
    assert!(matches!(end, Err(WorkloadApiError::NoIdentityIssued)), "{end:?}");
    for refused in [
        client.fetch_x509_svid().await.map(drop),
        client.fetch_jwt_svid([AUDIENCE], None).await.map(drop),
        client.fetch_jwt_bundles().await.map(drop),
        client.fetch_x509_bundles().await.map(drop),
        client.validate_jwt_token(AUDIENCE, token.token()).await.map(drop),
    ] {
        assert!(matches!(refused, Err(WorkloadApiError::NoIdentityIssued)), "{refused:?}");
    }
}

#[tokio::test]
async fn a_user_id_that_is_not_mapped_is_denied_everything() {
    let house = House::open(chancery_testkit::TestApp::builder(), "billing", 1).await;
    let client = house.client().await;
    for refused in [
        client.fetch_x509_svid().await.map(drop),
        client.fetch_x509_bundles().await.map(drop),
        client.fetch_jwt_svid([AUDIENCE], None).await.map(drop),
        client.fetch_jwt_bundles().await.map(drop),
        client.validate_jwt_token(AUDIENCE, "x").await.map(drop),
    ] {
        assert!(matches!(refused, Err(WorkloadApiError::NoIdentityIssued)), "{refused:?}");
    }
    assert!(house.issued().await.is_empty());
}

#[tokio::test]
async fn an_agent_that_nobody_registered_gets_nothing() {
    let house = House::open(chancery_testkit::TestApp::builder(), "ghost", 0).await;
    let refused = house.client().await.fetch_x509_svid().await.unwrap_err();
    assert!(matches!(refused, WorkloadApiError::NoIdentityIssued), "{refused}");
}

#[tokio::test]
async fn the_server_stops_although_streams_are_open() {
    let house = House::on_test_time().await;
    let client = house.client().await;
    let mut svids = Box::pin(client.stream_x509_svids().await.unwrap());
    svids.next().await.unwrap().unwrap();
    let (stopped, end) = tokio::join!(tokio::time::timeout(PATIENCE, house.stop()), svids.next());
    stopped.expect("it stops");
    assert!(end.is_none_or(|end| end.is_err()));
}
