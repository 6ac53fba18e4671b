//! Proofs: what is wrong with one, and that none is used twice.

use chancery_model::{Span, Timestamp};

use super::{AUDIENCE, START, World, config};
use crate::client::AgentKey;
use crate::dpop;
use crate::jose::{encode, sha256};
use crate::replay::{Replay, Replayed};
use crate::testing::Counting;

async fn without_nonces() -> World {
    let dpop = dpop::Config { nonces: false, ..dpop::Config::default() };
    let config = crate::Config { dpop, ..config() };
    let world = World::with(config).await;
    // Proofs must be younger than the start.
    world.clock.advance(Span::seconds(10));
    world
}

fn claims(world: &World, token: &str) -> String {
    let nonce = world.auth.dpop_nonce().unwrap();
    let ath = encode(&sha256(token.as_bytes()));
    let jti = encode(&(&*world.random as &dyn chancery_model::Random).bytes::<16>());
    format!(r#"{{"jti":"{jti}","htm":"POST","htu":"{AUDIENCE}","iat":{START},"ath":"{ath}","nonce":"{nonce}"}}"#)
}

fn header(key: &AgentKey) -> String {
    format!(r#"{{"alg":"ES256","typ":"dpop+jwt","jwk":{}}}"#, key.jwk())
}

#[tokio::test]
async fn a_proof_with_anything_wrong_is_refused() {
    let world = World::new().await;
    let token = world.token().await;
    let good = header(&world.key);
    assert!(world.call(&token, &world.key.raw(&good, &claims(&world, &token))).is_ok(), "the example itself is right");
    let private = good.replace(r#""kty":"EC""#, r#""kty":"EC","d":"AAAA""#);
    for wrong in [
        good.replace("dpop+jwt", "JWT"),
        good.replace("dpop+jwt", "DPOP+JWT"),
        good.replace(r#""typ":"dpop+jwt","#, ""),
        good.replace("ES256", "none"),
        good.replace("ES256", "HS256"),
        good.replace("ES256", "EdDSA"),
        good.replace("ES256", "es256"),
        good.replace("P-256", "P-384"),
        good.replace(r#""kty":"EC""#, r#""kty":"oct","k":"AAAA""#),
        private,
        r#"{"alg":"ES256","typ":"dpop+jwt"}"#.to_owned(),
        good.replace(r#""alg""#, r#""crit":["exp"],"alg""#),
        good.replace(r#""alg""#, r#""b64":false,"alg""#),
        good.replace(r#""alg""#, r#""crit":null,"alg""#),
        good.replace(r#""alg""#, r#""jku":"http://127.0.0.1/jwks","alg""#),
        good.replace(r#""alg""#, r#""x5u":"http://127.0.0.1/x5","alg""#),
        good.replace(r#""alg""#, r#""x5c":["AAAA"],"alg""#),
        good.replace(r#""alg""#, r#""zip":"DEF","alg""#),
        good.replace(r#""alg""#, r#""alg":"none","alg""#),
        good.replace(r#""alg""#, r#""\u0061lg":"ES256","alg""#),
        good.replace(r#""alg""#, r#""use":"enc","alg""#).replace(r#""kty":"EC""#, r#""kty":"EC","use":"enc""#),
    ] {
        let proof = world.key.raw(&wrong, &claims(&world, &token));
        assert_eq!(world.call(&token, &proof).unwrap_err().error, Some("invalid_dpop_proof"), "{wrong}");
    }
    let ath = encode(&sha256(token.as_bytes()));
    for (what, with) in [
        ("POST", "GET"),
        ("POST", "post"),
        (AUDIENCE, "http://127.0.0.1:8420/mcp/billing"),
        (AUDIENCE, "https://127.0.0.1:8420/mcp/crm"),
        (ath.as_str(), "AAAA"),
        (ath.as_str(), ""),
        (r#""ath""#, r#""hta""#),
        (r#""jti""#, r#""ijt""#),
        (r#""jti":""#, r#""jti":"x","jti":""#),
        (r#""htm":"POST""#, r#""htm":"GET","htm":"POST""#),
        ("1795000000", "1794999000"),
        ("1795000000", "1795001000"),
        ("1795000000", r#""1795000000""#),
        ("1795000000", "1e400"),
        ("1795000000", "-1795000000"),
        ("1795000000", "null"),
    ] {
        let wrong = claims(&world, &token).replace(what, with);
        let refused = world.call(&token, &world.key.raw(&good, &wrong)).unwrap_err();
        assert_eq!(refused.error, Some("invalid_dpop_proof"), "{wrong}");
    }
}

#[tokio::test]
async fn a_jti_of_unusual_length_is_refused() {
    let world = World::new().await;
    let token = world.token().await;
    for jti in [String::new(), "x".repeat(257)] {
        let claims = claims(&world, &token);
        let (start, end) = (claims.find(r#""jti":""#).unwrap(), claims.find(r#"","htm""#).unwrap());
        let wrong = format!(r#"{}"jti":"{jti}{}"#, &claims[..start], &claims[end..]);
        assert!(world.call(&token, &world.key.raw(&header(&world.key), &wrong)).is_err(), "{}", jti.len());
    }
}

#[tokio::test]
async fn a_proof_without_our_nonce_is_told_which_to_use() {
    let world = World::new().await;
    let token = world.token().await;
    let nonce = world.auth.dpop_nonce().unwrap();
    let without = claims(&world, &token).replace(&format!(r#","nonce":"{nonce}""#), "");
    for wrong in [without, claims(&world, &token).replace(&*nonce, "made-up")] {
        let refused = world.call(&token, &world.key.raw(&header(&world.key), &wrong)).unwrap_err();
        assert_eq!((refused.error, refused.row.code), (Some("use_dpop_nonce"), "C1004"));
        assert_eq!(refused.dpop_nonce.as_deref(), Some(&*nonce));
        assert!(refused.challenges()[0].starts_with(r#"DPoP error="use_dpop_nonce""#));
    }
}

#[tokio::test]
async fn with_nonces_a_proof_is_refused_at_every_second_of_its_life_and_after() {
    let world = World::new().await;
    let token = world.token().await;
    let proof = world.proof(&token);
    assert!(world.call(&token, &proof).is_ok());
    for second in 0..=150 {
        assert!(world.call(&token, &proof).is_err(), "after {second} s");
        world.clock.advance(Span::seconds(1));
        world.auth.tidy().await;
    }
    assert!(world.call_now(&token).is_ok(), "the token itself is alive");
}

#[tokio::test]
async fn without_nonces_a_proof_is_refused_at_every_second_of_its_life_and_after() {
    for ahead in [-60, -5, 0, 5] {
        let world = without_nonces().await;
        world.clock.advance(Span::seconds(120));
        let token = world.token().await;
        let made = chancery_model::Clock::now(&*world.clock) + Span::seconds(ahead);
        let request = crate::client::ProofFor { method: "POST", url: AUDIENCE, token: Some(&token), nonce: None };
        let proof = world.key.proof(request, made, &*world.random).unwrap();
        assert!(world.call(&token, &proof).is_ok(), "made {ahead} s from now");
        for second in 0..=145 {
            assert!(world.call(&token, &proof).is_err(), "made {ahead} s from now, after {second} s");
            world.clock.advance(Span::seconds(1));
            world.auth.tidy().await;
        }
    }
}

#[tokio::test]
async fn without_nonces_the_window_is_sixty_seconds_and_the_skew() {
    let world = without_nonces().await;
    world.clock.advance(Span::seconds(200));
    let token = world.token().await;
    let now = chancery_model::Clock::now(&*world.clock);
    let request = crate::client::ProofFor { method: "POST", url: AUDIENCE, token: Some(&token), nonce: None };
    for (off, admitted) in [(-120, false), (-66, false), (-65, true), (0, true), (5, true), (6, false), (300, false)] {
        let proof = world.key.proof(request, now + Span::seconds(off), &*world.random).unwrap();
        assert_eq!(world.call(&token, &proof).is_ok(), admitted, "made {off} s from now");
    }
}

#[tokio::test]
async fn a_proof_from_before_a_restart_is_refused() {
    for nonces in [true, false] {
        let world = if nonces { World::new().await } else { without_nonces().await };
        let token = world.token().await;
        let proof = world.proof(&token);
        assert!(world.call(&token, &proof).is_ok());
        let world = world.restart(Span::seconds(1)).await;
        for second in 0..=80 {
            assert!(world.call(&token, &proof).is_err(), "nonces {nonces}, after {second} s");
            world.clock.advance(Span::seconds(1));
        }
        assert!(world.call_now(&token).is_ok(), "a fresh proof for the same token and session");
    }
}

#[tokio::test]
async fn the_same_jti_under_another_key_is_another_proof() {
    let world = World::new().await;
    let other = AgentKey::generate_ed25519(&*Counting::from(9)).unwrap();
    let proof = world.auth.dpop.nonce().unwrap();
    let asked = dpop::Asked { method: "POST", url: AUDIENCE, token: None };
    let claims = format!(r#"{{"jti":"same","htm":"POST","htu":"{AUDIENCE}","iat":{START},"nonce":"{proof}"}}"#);
    let eddsa = header(&other).replace("ES256", "EdDSA");
    for (key, header) in [(&world.key, header(&world.key)), (&other, eddsa)] {
        let proof = world.auth.dpop.check(&key.raw(&header, &claims), asked).unwrap();
        assert!(world.auth.dpop.take(&proof).is_ok());
        assert_eq!(world.auth.dpop.take(&proof), Err(Replayed::Before.into()));
    }
}

#[tokio::test]
async fn a_flood_is_refused_and_forgets_nothing() {
    let dpop = dpop::Config { capacity: 60, ..dpop::Config::default() };
    let world = World::with(crate::Config { dpop, ..config() }).await;
    let token = world.token().await;
    let first = world.proof(&token);
    assert!(world.call(&token, &first).is_ok());
    let admitted = (0..100).filter(|_| world.call_now(&token).is_ok()).count();
    assert_eq!(admitted, 28, "half the room less the token request and the first call");
    let full = world.call_now(&token).unwrap_err();
    assert_eq!((full.row.code, full.status()), ("C1011", 503));
    assert!(world.call(&token, &first).is_err(), "the first is not forgotten");
    world.clock.advance(Span::seconds(61));
    assert!(world.call_now(&token).is_ok(), "room comes back");
}

#[test]
fn a_million_others_do_not_push_one_out() {
    let replay = Replay::new(Span::seconds(30), 4_000_000);
    let (dies, now) = (Timestamp::from_seconds(60), Timestamp::from_seconds(0));
    replay.take(&[0; 32], "mine", dies, now).unwrap();
    for n in 0..1_000_000_u32 {
        replay.take(&[u8::try_from(n % 64).unwrap(); 32], &n.to_string(), dies, now).unwrap();
    }
    assert_eq!(replay.take(&[0; 32], "mine", dies, now), Err(Replayed::Before));
    assert_eq!(replay.len(), 1_000_001);
}
