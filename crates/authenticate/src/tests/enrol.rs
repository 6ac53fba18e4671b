//! Enrolment: a code, a key, and the proof that they belong together.

use chancery_model::{AgentState, Clock, Secret, Span};

use super::{ISSUER, World};
use crate::client::AgentKey;
use crate::jose::{encode, sha256};
use crate::{ENROLMENT_TYP, EnrolError, Enrolment};

async fn billing() -> (World, Secret, AgentKey) {
    let world = World::new().await;
    world.register("billing").await;
    let code = world.code("billing", Span::minutes(15)).await;
    (world, code, AgentKey::generate().unwrap())
}

#[tokio::test]
async fn a_code_enrols_one_key_once() {
    let (world, code, key) = billing().await;
    let enrolled = world.enrol(&code, &key).await.unwrap();
    assert_eq!((enrolled.name.as_str(), &enrolled.kid), ("billing", &key.thumbprint()));
    let agent = world.auth.agent("billing").unwrap();
    assert_eq!((agent.state, agent.epoch), (AgentState::Active, 2));
    assert_eq!(agent.key_thumbprint, Some(key.thumbprint()));
    let other = AgentKey::generate().unwrap();
    for key in [&key, &other] {
        assert!(matches!(world.enrol(&code, key).await, Err(EnrolError::Code)));
    }
    assert_eq!(world.auth.agent("billing").unwrap().epoch, 2);
}

#[tokio::test]
async fn a_code_is_good_for_a_quarter_of_an_hour() {
    let (world, code, key) = billing().await;
    world.clock.advance(Span::minutes(15));
    assert!(matches!(world.enrol(&code, &key).await, Err(EnrolError::Code)));
    let fresh = world.code("billing", Span::minutes(15)).await;
    world.clock.advance(Span::seconds(15 * 60 - 1));
    assert!(world.enrol(&fresh, &key).await.is_ok());
}

#[tokio::test]
async fn a_made_up_code_enrols_nothing() {
    let (world, _, key) = billing().await;
    let code = Secret::new("guess".into());
    let refused = world.enrol(&code, &key).await.unwrap_err();
    assert_eq!(refused.row().code, "C6005");
}

#[tokio::test]
async fn possession_must_be_proved() {
    let (world, code, key) = billing().await;
    let hash = encode(&sha256(code.expose().as_bytes()));
    let now = world.clock.now().seconds();
    let good = format!(r#"{{"code_hash":"{hash}","aud":"{ISSUER}","iat":{now}}}"#);
    let header = format!(r#"{{"alg":"ES256","typ":"{ENROLMENT_TYP}"}}"#);
    let thief = AgentKey::generate().unwrap();
    for proof in [
        thief.raw(&header, &good),
        key.raw(&header, &good.replace(ISSUER, "http://127.0.0.1:9999")),
        key.raw(&header, &good.replace(&hash, &encode(&[0; 32]))),
        key.raw(&header, &good.replace(&now.to_string(), &(now - 301).to_string())),
        key.raw(&header, &good.replace(&now.to_string(), &(now + 301).to_string())),
        key.raw(r#"{"alg":"ES256","typ":"dpop+jwt"}"#, &good),
        key.raw(r#"{"alg":"none","typ":"chancery-enrol+jwt"}"#, &good),
        String::new(),
    ] {
        let refused = world.auth.enrol(&Enrolment { code: &code, jwk: key.jwk(), proof: &proof }).await.unwrap_err();
        assert_eq!(refused.row().code, "C6006");
    }
    let private = key.jwk().replace(r#""kty""#, r#""d":"AAAA","kty""#);
    for jwk in ["{}", "", r#"{"kty":"oct","k":"AAAA"}"#, private.as_str(), r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#] {
        let proof = key.raw(&header, &good);
        assert!(world.auth.enrol(&Enrolment { code: &code, jwk, proof: &proof }).await.is_err(), "{jwk}");
    }
    let proof = key.raw(&header, &good);
    assert!(
        world.auth.enrol(&Enrolment { code: &code, jwk: key.jwk(), proof: &proof }).await.is_ok(),
        "failures do not use the code up"
    );
}

#[tokio::test]
async fn a_new_key_ends_what_the_old_one_began() {
    let world = World::new().await;
    let token = world.token().await;
    assert!(world.call_now(&token).is_ok());
    let code = world.code("crm", Span::minutes(15)).await;
    let key = AgentKey::generate().unwrap();
    world.enrol(&code, &key).await.unwrap();
    assert_eq!(world.call_now(&token).unwrap_err().row.code, "C1005");
    let refused = world.ask(&super::form(&world.assertion()), Some(&world.token_proof())).await.unwrap_err();
    assert_eq!(refused.error, "invalid_client", "the old key is nobody's any more");
}

#[tokio::test]
async fn two_agents_do_not_share_a_key() {
    let (world, code, _) = billing().await;
    assert!(matches!(world.enrol(&code, &world.key).await, Err(EnrolError::KeyTaken(name)) if name == "crm"));
}

#[tokio::test]
async fn a_suspended_agent_enrols_nothing_and_keeps_its_code() {
    let (world, code, key) = billing().await;
    world.change("billing", |agent| agent.suspend().unwrap()).await;
    assert_eq!(world.enrol(&code, &key).await.unwrap_err().row().code, "C6004");
    world.change("billing", |agent| agent.resume(false).unwrap()).await;
    assert!(world.enrol(&code, &key).await.is_ok());
}
