//! The keys of a platform: exchanged, taken back, out of reach.

use chancery_model::Span;
use chancery_testkit::{HttpUpstream, TestApp};
use serde_json::json;

use super::issuer::{Issuer, Key, Workload, cluster, kubernetes, server};

fn signed(app: &TestApp, issuer: &Issuer, key: &Key, kid: &str) -> String {
    key.sign(&json!({"alg": key.alg(), "kid": kid}), &kubernetes(app, issuer.url()))
}

#[tokio::test]
async fn a_new_key_is_found_and_an_old_one_dies() {
    let (upstream, old, new) = (HttpUpstream::start().await, Key::rsa(), Key::ec());
    let issuer = Issuer::start(&[old.jwk("old")]).await;
    let app = server(&upstream, &[&issuer]).await;
    app.admin("POST", "/v1/trust-sources", cluster(issuer.url())).await.ok();
    let pod = Workload::new(&app);
    assert!(pod.log_in(&signed(&app, &issuer, &old, "old")).await.status.is_success());
    issuer.publish(&[old.jwk("old"), new.jwk("new")]);
    app.clock().advance(Span::seconds(31));
    assert!(pod.log_in(&signed(&app, &issuer, &new, "new")).await.status.is_success(), "an unknown key is asked for");
    issuer.publish(&[new.jwk("new")]);
    app.clock().advance(Span::minutes(6));
    assert_eq!(pod.log_in(&signed(&app, &issuer, &old, "old")).await.status, 400, "a key that was taken back is dead");
    assert!(pod.log_in(&signed(&app, &issuer, &new, "new")).await.status.is_success());
}

#[tokio::test]
async fn unknown_keys_do_not_flood_the_platform() {
    let (upstream, key) = (HttpUpstream::start().await, Key::ec());
    let issuer = Issuer::start(&[key.jwk("k1")]).await;
    let app = server(&upstream, &[&issuer]).await;
    app.admin("POST", "/v1/trust-sources", cluster(issuer.url())).await.ok();
    let pod = Workload::new(&app);
    assert_eq!(issuer.asked(), 0, "nothing is asked before it is needed");
    for n in 0..20 {
        assert_eq!(pod.log_in(&signed(&app, &issuer, &key, &format!("guess-{n}"))).await.status, 400);
    }
    assert_eq!(issuer.asked(), 1);
    app.clock().advance(Span::seconds(31));
    for n in 0..5 {
        pod.log_in(&signed(&app, &issuer, &key, &format!("again-{n}"))).await;
    }
    assert_eq!(issuer.asked(), 2);
    assert!(pod.log_in(&signed(&app, &issuer, &key, "k1")).await.status.is_success());
}

#[tokio::test]
async fn an_issuer_out_of_reach_is_bridged_for_known_keys_and_not_for_long() {
    let (upstream, key) = (HttpUpstream::start().await, Key::ec());
    let issuer = Issuer::start(&[key.jwk("k1")]).await;
    let app = server(&upstream, &[&issuer]).await;
    app.admin("POST", "/v1/trust-sources", cluster(issuer.url())).await.ok();
    let pod = Workload::new(&app);
    assert!(pod.log_in(&signed(&app, &issuer, &key, "k1")).await.status.is_success());
    issuer.break_down(true);
    app.clock().advance(Span::minutes(6));
    assert!(pod.log_in(&signed(&app, &issuer, &key, "k1")).await.status.is_success());
    assert_eq!(pod.log_in(&signed(&app, &issuer, &key, "k2")).await.status, 400, "never for an unknown key");
    app.clock().advance(Span::minutes(10));
    let refused = pod.log_in(&signed(&app, &issuer, &key, "k1")).await;
    assert_eq!((refused.status.as_u16(), refused.json()["error"].as_str()), (503, Some("temporarily_unavailable")));
    issuer.break_down(false);
    app.clock().advance(Span::seconds(31));
    assert!(pod.log_in(&signed(&app, &issuer, &key, "k1")).await.status.is_success());
}

/// An issuer that is not listed is not asked, whatever a token says.
#[tokio::test]
async fn only_listed_places_are_reached() {
    let (upstream, key) = (HttpUpstream::start().await, Key::ec());
    let (listed, other) = (Issuer::start(&[key.jwk("k1")]).await, Issuer::start(&[key.jwk("k1")]).await);
    let app = server(&upstream, &[&listed]).await;
    assert_eq!(app.admin("POST", "/v1/trust-sources", cluster(other.url())).await.problem(422), "C1043");
    let mut elsewhere = cluster(listed.url());
    elsewhere["jwks_uri"] = json!(format!("{}/openid/v1/jwks", other.url()));
    assert_eq!(app.admin("POST", "/v1/trust-sources", elsewhere).await.problem(422), "C1043");
    assert_eq!(Workload::new(&app).log_in(&signed(&app, &other, &key, "k1")).await.status, 400);
    assert_eq!(other.asked(), 0);
}
