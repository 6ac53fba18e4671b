//! The bundle endpoint, and the socket itself.

use std::os::unix::fs::PermissionsExt;

use chancery_authenticate::spiffe::{Bundle, verify_x509_svid};
use chancery_testkit::TestApp;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use spiffe::{JwtBundle, JwtSvid, TrustDomain, X509Bundle};

use super::{DOMAIN, House};

#[tokio::test]
async fn the_bundle_endpoint_gives_what_verifies_our_svids() {
    let house = House::on_real_time().await;
    let document = house.app.http().get(&house.app.at("/spiffe/bundle.json")).await.ok();
    assert_eq!(document["spiffe_refresh_hint"], 300);
    assert_eq!(document["spiffe_sequence"], 2);
    let keys = document["keys"].as_array().unwrap();
    assert_eq!(keys.iter().map(|key| key["use"].as_str().unwrap()).collect::<Vec<_>>(), ["x509-svid", "jwt-svid"]);
    assert!(keys.iter().all(|key| key.get("d").is_none()), "a private key is shown");

    let bundle = Bundle::parse(DOMAIN.parse().unwrap(), &document.to_string()).unwrap();
    let client = house.client().await;
    let svid = client.fetch_x509_svid().await.unwrap();
    let read = verify_x509_svid(&[svid.leaf().as_bytes()], &bundle, house.app.time().now()).unwrap();
    assert_eq!(read.id.as_str(), "spiffe://acme.example/agent/billing");

    // The Rust client reads the same document.
    let domain = TrustDomain::new(DOMAIN).unwrap();
    let x509 = X509Bundle::parse_from_der(domain.clone(), &bundle.roots().concat()).unwrap();
    assert_eq!(x509.authorities().len(), 1);
    let jwks = serde_json::json!({"keys": [keys[1]]}).to_string();
    let jwt = JwtBundle::from_jwt_authorities(domain, jwks.as_bytes()).unwrap();
    let mut set = spiffe::JwtBundleSet::new();
    set.add_bundle(jwt);
    let token = client.fetch_jwt_svid(["here"], None).await.unwrap();
    assert!(JwtSvid::parse_and_validate(token.token(), &set, &["here"]).is_ok());
}

#[tokio::test]
async fn without_a_trust_domain_there_is_no_bundle() {
    let app = TestApp::start().await;
    assert_eq!(app.http().get(&app.at("/spiffe/bundle.json")).await.problem(404), "C4011");
}

#[tokio::test]
async fn the_socket_is_its_owners_and_goes_with_the_server() {
    let house = House::on_test_time().await;
    let mode = std::fs::metadata(&house.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let second = TestApp::builder().config(|config| {
        config.spiffe = Some(chancery_server::Spiffe {
            trust_domain: DOMAIN.to_owned(),
            workload_socket: Some(house.socket.clone()),
            workload_socket_mode: chancery_server::SocketMode::Owner,
            workloads: Vec::new(),
        });
    });
    let refused = second.try_start().await.err().expect("a socket that is in use");
    assert!(refused.detail.contains("somebody listens there"), "{refused}");
    let socket = house.socket.clone();
    house.stop().await;
    assert!(!socket.exists());
}

/// Section 4.2.1 of the SPIFFE Workload Endpoint: a request without the mark may come from a tricked browser.
#[tokio::test]
async fn a_call_without_the_mark_of_the_workload_api_is_refused() {
    let house = House::on_test_time().await;
    for (mark, status) in [(None, "3"), (Some("false"), "3"), (Some("true"), "12")] {
        let stream = tokio::net::UnixStream::connect(&house.socket).await.unwrap();
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.unwrap();
        let driver = tokio::spawn(connection);
        let mut request =
            Request::post("http://localhost/SpiffeWorkloadAPI/Nothing").header("content-type", "application/grpc");
        if let Some(mark) = mark {
            request = request.header("workload.spiffe.io", mark);
        }
        let answer = sender.send_request(request.body(Empty::<bytes::Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], status, "{mark:?}");
        answer.into_body().collect().await.unwrap();
        driver.abort();
    }
}
