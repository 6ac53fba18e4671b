//! Our own trust domain, and what a foreign one may send us.

use std::sync::Arc;

use chancery_model::{Clock, Span, Timestamp};

use super::*;
use crate::tests::World;

mod forged_certificates;
mod forged_tokens;

const AUDIENCE: &str = "https://relying.example";

fn domain_name() -> TrustDomain {
    "acme.example".parse().unwrap()
}

fn crm() -> Workload {
    Workload { agent: "crm".into(), instance: None, attested: "uid:1000".into() }
}

async fn domain(world: &World) -> Arc<Domain> {
    Domain::open(domain_name(), Arc::clone(&world.auth)).await.unwrap()
}

fn audience() -> Vec<String> {
    vec![AUDIENCE.to_owned()]
}

#[tokio::test]
async fn an_agents_svids_verify_against_the_bundle_as_it_is_published() {
    let world = World::new().await;
    let domain = domain(&world).await;
    let published = domain.bundle().await.unwrap().to_json().to_string();
    let bundle = Bundle::parse(domain_name(), &published).unwrap();
    assert_eq!(bundle.refresh(), Some(REFRESH_HINT));

    let x509 = domain.x509_svid(&crm()).await.unwrap();
    let read = verify_x509_svid(&[&x509.certificate], &bundle, world.clock.now()).unwrap();
    assert_eq!((read.id.as_str(), read.expires), ("spiffe://acme.example/agent/crm", x509.expires));
    assert_eq!(x509.expires, world.clock.now() + Span::hours(1));

    let jwt = domain.jwt_svid(&crm(), &audience()).await.unwrap();
    let read = verify_jwt_svid(jwt.token.expose(), &bundle, AUDIENCE, world.clock.now()).unwrap();
    assert_eq!(read.id.as_str(), "spiffe://acme.example/agent/crm");
    assert_eq!((read.expires, read.audience), (world.clock.now() + Span::minutes(5), audience()));

    let copy = Workload { instance: Some("eu-1".into()), ..crm() };
    assert_eq!(domain.x509_svid(&copy).await.unwrap().id.path(), "/agent/crm/eu-1");
}

#[tokio::test]
async fn an_x509_svid_is_made_again_after_half_of_its_life_and_not_before() {
    let world = World::new().await;
    let domain = domain(&world).await;
    let first = domain.x509_svid(&crm()).await.unwrap();
    world.clock.advance(Span::minutes(29));
    assert_eq!(domain.x509_svid(&crm()).await.unwrap().certificate, first.certificate);
    world.clock.advance(Span::minutes(1));
    assert_ne!(domain.x509_svid(&crm()).await.unwrap().certificate, first.certificate);
}

#[tokio::test]
async fn a_stopped_agent_gets_no_svid_and_its_tokens_are_not_valid_here() {
    let world = World::new().await;
    let domain = domain(&world).await;
    let x509 = domain.x509_svid(&crm()).await.unwrap();
    let token = domain.jwt_svid(&crm(), &audience()).await.unwrap().token;
    assert!(domain.validate(token.expose(), AUDIENCE).await.is_ok());
    assert!(domain.validate(token.expose(), "https://other.example").await.is_err());

    world.change("crm", |agent| agent.suspend().unwrap()).await;
    assert!(matches!(domain.x509_svid(&crm()).await, Err(DomainError::Stopped { .. })));
    assert!(matches!(domain.jwt_svid(&crm(), &audience()).await, Err(DomainError::Stopped { .. })));
    assert!(domain.validate(token.expose(), AUDIENCE).await.unwrap_err().0.contains("suspended"));

    world.change("crm", |agent| agent.resume(true).unwrap()).await;
    assert_ne!(domain.x509_svid(&crm()).await.unwrap().certificate, x509.certificate, "it is of another epoch");
    world.clock.advance(Span::days(91));
    assert!(matches!(domain.x509_svid(&crm()).await, Err(DomainError::Stopped { .. })), "its time is over");
    let ghost = Workload { agent: "ghost".into(), ..crm() };
    assert!(matches!(domain.x509_svid(&ghost).await, Err(DomainError::Stopped { .. })));
}

#[tokio::test]
async fn whoever_is_stopped_while_an_svid_is_made_does_not_get_it() {
    let world = World::new().await;
    let domain = domain(&world).await;
    let (audience, crm) = (audience(), crm());
    let stop = || world.change("crm", |agent| agent.suspend().unwrap());
    let (token, ()) = tokio::join!(domain.jwt_svid(&crm, &audience), stop());
    assert!(matches!(token, Err(DomainError::Stopped { .. })));
    world.change("crm", |agent| agent.resume(true).unwrap()).await;
    let (svid, ()) = tokio::join!(domain.x509_svid(&crm), stop());
    assert!(matches!(svid, Err(DomainError::Stopped { .. })));
}

#[tokio::test]
async fn audiences_are_few_and_different() {
    let world = World::new().await;
    let domain = domain(&world).await;
    let many: Vec<String> = (0..17).map(|n| n.to_string()).collect();
    for wrong in [vec![], vec![String::new()], many, vec!["a".into(), "a".into()], vec!["a".repeat(513)]] {
        assert!(matches!(domain.jwt_svid(&crm(), &wrong).await, Err(DomainError::Audiences)), "{wrong:?}");
    }
}

/// What was signed by the key before is good until it expires, what is signed by the next is known before it signs.
#[tokio::test]
async fn keys_turn_over_and_nobody_notices() {
    let world = World::new().await;
    let domain = domain(&world).await;
    let mut known = domain.bundle().await.unwrap();
    let end = world.clock.now() + Span::days(30);
    let mut alive: Vec<(String, Timestamp)> = Vec::new();
    let mut rounds = std::collections::BTreeSet::new();
    while world.clock.now() < end {
        let now = world.clock.now();
        let x509 = domain.x509_svid(&crm()).await.unwrap();
        verify_x509_svid(&[&x509.certificate], &known, now).unwrap();
        let token = domain.jwt_svid(&crm(), &audience()).await.unwrap().token.expose().to_owned();
        verify_jwt_svid(&token, &known, AUDIENCE, now).unwrap();
        alive.push((token, now + Span::minutes(5)));
        // Whoever follows the hint has a bundle that is some minutes old.
        let fresh = domain.bundle().await.unwrap();
        assert!(fresh.sequence() >= known.sequence());
        if fresh.sequence() == known.sequence() {
            assert_eq!(fresh.to_json(), known.to_json(), "what changed has another sequence number");
        }
        known = fresh;
        rounds.insert(known.sequence());
        world.clock.advance(Span::minutes(4));
        alive.retain(|(_, expires)| world.clock.now() < *expires);
        for (token, _) in &alive {
            verify_jwt_svid(token, &known, AUDIENCE, world.clock.now()).unwrap();
        }
        world.clock.advance(Span::hours(3));
    }
    assert!(rounds.len() >= 8, "a key of each kind every week, and each comes and goes: {rounds:?}");
}

#[tokio::test]
async fn after_a_long_sleep_there_are_roots_in_force_at_once() {
    let world = World::new().await;
    domain(&world).await;
    let world = world.restart(Span::days(60)).await;
    let domain = domain(&world).await;
    let svid = domain.x509_svid(&crm()).await;
    let svid = svid.unwrap();
    let bundle = domain.bundle().await.unwrap();
    assert_eq!(bundle.roots().len(), 1, "the old root is over");
    assert!(verify_x509_svid(&[&svid.certificate], &bundle, world.clock.now()).is_ok());
}

#[tokio::test]
async fn the_keys_outlive_a_restart_and_belong_to_one_trust_domain() {
    let world = World::new().await;
    let before = domain(&world).await.bundle().await.unwrap().to_json();
    let world = world.restart(Span::minutes(1)).await;
    assert_eq!(domain(&world).await.bundle().await.unwrap().to_json(), before);
    let other = Domain::open("other.example".parse().unwrap(), Arc::clone(&world.auth)).await.unwrap();
    assert_ne!(other.bundle().await.unwrap().to_json()["keys"], before["keys"]);
}

#[test]
fn a_bundle_is_read_strictly_and_what_is_not_for_us_is_left_out() {
    let read = |json: &str| Bundle::parse(domain_name(), json);
    let key = crate::jose::PrivateKey::generate_p256().unwrap();
    let jwk = bundle::jwt_jwk(key.public()).unwrap();
    let ed = crate::client::AgentKey::generate_ed25519(&*crate::testing::Counting::from(3)).unwrap();
    let ed = ed.jwk().replacen('{', r#"{"use":"jwt-svid","kid":"ed","#, 1);
    let sig = jwk.replace("jwt-svid", "sig");
    let good = read(&format!(r#"{{"keys":[{jwk},{ed},{sig},{{"kty":"oct","k":"AA","use":"other"}}]}}"#)).unwrap();
    assert_eq!(good.to_json()["keys"].as_array().unwrap().len(), 1);
    assert_eq!((good.sequence(), good.refresh()), (None, None));
    for (bad, why) in [
        ("[]".to_owned(), "an array"),
        ("{}".to_owned(), "no keys"),
        (r#"{"keys":[]}"#.to_owned(), "nothing"),
        (format!(r#"{{"keys":[{ed}]}}"#), "Ed25519 alone"),
        (format!(r#"{{"keys":[{sig}]}}"#), "another use"),
        (format!(r#"{{"keys":[{jwk}],"keys":[{jwk}]}}"#), "keys twice"),
        (format!(r#"{{"keys":[{}]}}"#, jwk.replace(r#""kid""#, r#""kit""#)), "no kid"),
        (format!(r#"{{"keys":[{}]}}"#, jwk.replace("jwt-svid", "x509-svid")), "no certificate"),
        (format!(r#"{{"keys":[{jwk}],"spiffe_sequence":-1}}"#), "a negative sequence"),
    ] {
        assert!(read(&bad).is_err(), "{why}");
    }
}
