//! Who is admitted at the gateway, and who is not.

use chancery_model::{Agent, BearerUse, Span};
use proptest::prelude::*;

use super::{AUDIENCE, DOOR, World, form};
use crate::jose::{decode, encode};
use crate::{RequestFacts, Retiring};

#[tokio::test]
async fn a_bound_token_with_a_fresh_proof_is_admitted() {
    let world = World::new().await;
    let token = world.token().await;
    for _ in 0..3 {
        let caller = world.call_now(&token).unwrap();
        assert_eq!((caller.agent.name.as_str(), caller.bearer), ("crm", false));
        assert_eq!(caller.session.agent, caller.agent.id);
    }
    assert_eq!(world.auth.verified.len(), 1);
}

#[tokio::test]
async fn a_request_without_credentials_is_told_where_to_begin() {
    let world = World::new().await;
    for authorization in [None, Some("Basic YTpi"), Some("DPoP"), Some(""), Some("Digest x y")] {
        let facts = RequestFacts {
            method: "POST",
            url: AUDIENCE,
            authorization,
            dpop: None,
            certificate: None,
            audience: AUDIENCE,
        };
        let refused = world.auth.caller(&facts).unwrap_err();
        assert_eq!((refused.status(), refused.error), (401, None), "{authorization:?}");
        let metadata = "http://127.0.0.1:8420/.well-known/oauth-protected-resource/mcp/crm";
        assert!(refused.challenges()[0].starts_with(&format!(r#"Bearer resource_metadata="{metadata}""#)));
    }
}

#[tokio::test]
async fn a_bound_token_is_no_bearer_token() {
    let world = World::new().await;
    world.change("crm", |agent| Agent { bearer: BearerUse::Allowed, ..agent }).await;
    let token = world.token().await;
    for dpop in [None, Some(world.proof(&token))] {
        let refused = world.present(&format!("Bearer {token}"), dpop.as_deref()).unwrap_err();
        assert_eq!(refused.error, Some("invalid_token"));
    }
    let refused = world.present(&format!("DPoP {token}"), None).unwrap_err();
    assert_eq!(refused.error, Some("invalid_dpop_proof"));
    assert!(world.call_now(&token).is_ok());
}

#[tokio::test]
async fn a_bearer_token_needs_leave_and_loses_it_at_once() {
    let world = World::new().await;
    let refused = world.ask(&form(&world.assertion()), None).await.unwrap_err();
    assert_eq!(refused.error, "invalid_dpop_proof");
    world.change("crm", |agent| Agent { bearer: BearerUse::Allowed, ..agent }).await;
    let answer = world.ask(&form(&world.assertion()), None).await.unwrap();
    assert_eq!((answer.body.token_type, answer.body.expires_in), ("Bearer", 300));
    let token = answer.body.access_token.expose();
    let caller = world.present(&format!("bearer {token}"), None).unwrap();
    assert_eq!((caller.bearer, caller.session.id.to_string()), (true, answer.body.sid.clone()));
    let bound = world.call_now(token).unwrap_err();
    assert_eq!(bound.error, Some("invalid_token"), "a token without a key proves nothing");
    world.change("crm", |agent| Agent { bearer: BearerUse::Refused, ..agent }).await;
    let refused = world.present(&format!("Bearer {token}"), None).unwrap_err();
    assert_eq!(refused.row.code, "C1007");
}

#[tokio::test]
async fn a_suspended_agents_next_call_is_refused_although_its_token_lives() {
    let world = World::new().await;
    let token = world.token().await;
    assert!(world.call_now(&token).is_ok());
    world.change("crm", |agent| agent.suspend().unwrap()).await;
    let refused = world.call_now(&token).unwrap_err();
    assert_eq!((refused.row.code, refused.error), ("C1006", Some("invalid_token")));
    world.change("crm", |agent| agent.resume(false).unwrap()).await;
    assert_eq!(world.call_now(&token).unwrap_err().row.code, "C1005", "sessions from before stay ended");
    assert!(world.call_now(&world.token().await).is_ok());
}

#[tokio::test]
async fn an_admitted_caller_is_in_force_until_it_is_stopped() {
    let world = World::new().await;
    let caller = world.call_now(&world.token().await).unwrap();
    assert!(world.auth.still(&caller, DOOR).is_ok());
    world.change("crm", |agent| agent.suspend().unwrap()).await;
    let refused = world.auth.still(&caller, DOOR).unwrap_err();
    assert_eq!((refused.row.code, refused.error), ("C1006", Some("invalid_token")));
    world.change("crm", |agent| agent.resume(false).unwrap()).await;
    assert_eq!(world.auth.still(&caller, DOOR).unwrap_err().row.code, "C1005", "it is another epoch");

    let caller = world.call_now(&world.token().await).unwrap();
    world.auth.end_session(&caller.session.id, "local:1000").await.unwrap();
    assert_eq!(world.auth.still(&caller, DOOR).unwrap_err().row.code, "C1005");

    let caller = world.call_now(&world.token().await).unwrap();
    world.clock.advance(Span::days(400));
    assert!(world.auth.still(&caller, DOOR).is_err());
}

/// Not at the next look, but with the change itself: nothing else happens between the two polls.
#[tokio::test]
async fn whoever_waits_for_a_caller_to_be_stopped_is_told_with_the_change() {
    use std::pin::pin;
    use std::time::Duration;
    const NOW: Duration = Duration::ZERO;
    let world = World::new().await;
    let caller = world.call_now(&world.token().await).unwrap();
    let mut stopped = pin!(world.auth.stopped(&caller, DOOR));
    assert!(tokio::time::timeout(NOW, stopped.as_mut()).await.is_err());
    world.token().await;
    assert!(tokio::time::timeout(NOW, stopped.as_mut()).await.is_err(), "others open sessions");
    world.auth.end_session(&caller.session.id, "local:1000").await.unwrap();
    assert_eq!(tokio::time::timeout(NOW, stopped.as_mut()).await.unwrap().row.code, "C1005");

    let caller = world.call_now(&world.token().await).unwrap();
    let mut stopped = pin!(world.auth.stopped(&caller, DOOR));
    assert!(tokio::time::timeout(NOW, stopped.as_mut()).await.is_err());
    world.change("crm", |agent| agent.suspend().unwrap()).await;
    assert_eq!(tokio::time::timeout(NOW, stopped.as_mut()).await.unwrap().row.code, "C1006");
}

#[tokio::test]
async fn an_expired_agent_is_refused() {
    let world = World::new().await;
    let token = world.token().await;
    let now = chancery_model::Clock::now(&*world.clock);
    world.change("crm", |agent| Agent { expires_at: now + Span::seconds(10), ..agent }).await;
    assert!(world.call_now(&token).is_ok());
    world.clock.advance(Span::seconds(10));
    assert_eq!(world.call_now(&token).unwrap_err().row.code, "C1006");
}

#[tokio::test]
async fn a_token_lives_five_minutes_to_the_second() {
    let world = World::new().await;
    let token = world.token().await;
    world.clock.advance(Span::seconds(299));
    assert!(world.call_now(&token).is_ok());
    world.clock.advance(Span::seconds(1));
    assert_eq!(world.call_now(&token).unwrap_err().error, Some("invalid_token"));
    world.clock.step(Span::days(-400));
    assert!(world.call_now(&token).is_err(), "setting the clock back revives nothing");
}

#[tokio::test]
async fn a_token_is_for_one_audience_letter_by_letter() {
    let world = World::new().await;
    let token = world.token().await;
    for audience in [
        "http://127.0.0.1:8420/mcp/billing",
        "http://127.0.0.1:8420/mcp/crm/",
        "http://127.0.0.1:8420/mcp/cr",
        "HTTP://127.0.0.1:8420/mcp/crm",
        "",
    ] {
        let proof = world.proof(&token);
        let authorization = format!("DPoP {token}");
        let facts = RequestFacts {
            method: "POST",
            url: AUDIENCE,
            authorization: Some(&authorization),
            dpop: Some(&proof),
            certificate: None,
            audience,
        };
        assert_eq!(world.auth.caller(&facts).unwrap_err().error, Some("invalid_token"), "{audience}");
    }
}

#[tokio::test]
async fn another_agents_key_does_not_fit_the_token() {
    let world = World::new().await;
    let token = world.token().await;
    let thief = crate::client::AgentKey::generate().unwrap();
    let refused = world.call(&token, &world.proof_by(&thief, "POST", AUDIENCE, Some(&token))).unwrap_err();
    assert_eq!(refused.error, Some("invalid_dpop_proof"));
}

/// The token's own claims under headers that our key did not sign, or that change how it is read.
#[tokio::test]
async fn forged_tokens_are_refused() {
    let world = World::new().await;
    let token = world.token().await;
    let parts: Vec<&str> = token.split('.').collect();
    let claims = String::from_utf8(decode(parts[1]).unwrap()).unwrap();
    let header = String::from_utf8(decode(parts[0]).unwrap()).unwrap();
    let kid = world.auth.jwks().keys[0]["kid"].as_str().unwrap().to_owned();
    let jwk = world.key.jwk();
    let forged_headers = [
        r#"{"alg":"none","typ":"at+jwt"}"#.to_owned(),
        r#"{"alg":"None","typ":"at+jwt"}"#.to_owned(),
        r#"{"alg":"NONE","typ":"at+jwt"}"#.to_owned(),
        r#"{"alg":"nOnE","typ":"at+jwt"}"#.to_owned(),
        header.clone(),
        header.replace("ES256", "HS256"),
        header.replace("ES256", "EdDSA"),
        header.replace("at+jwt", "JWT"),
        header.replace("at+jwt", "dpop+jwt"),
        format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{kid}","jwk":{jwk}}}"#),
        format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"../../{kid}"}}"#),
        format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{kid}' OR '1'='1"}}"#),
        format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{}"}}"#, world.key.thumbprint()),
        r#"{"alg":"ES256","typ":"at+jwt"}"#.to_owned(),
    ];
    for forged in &forged_headers {
        let signed = world.key.raw(forged, &claims);
        assert!(world.call_now(&signed).is_err(), "{forged}");
        let unsigned = format!("{}.{}.", encode(forged.as_bytes()), parts[1]);
        assert!(world.call_now(&unsigned).is_err(), "{forged} without a signature");
        let borrowed = format!("{}.{}.{}", encode(forged.as_bytes()), parts[1], parts[2]);
        assert!(borrowed == token || world.call_now(&borrowed).is_err(), "{forged} with the real signature");
    }
    assert!(world.call_now(&token).is_ok());
}

#[tokio::test]
async fn a_rotated_signing_key_verifies_for_its_overlap() {
    let world = World::new().await;
    let old = world.token().await;
    world.auth.rotate_token_key(Retiring::WithOverlap, "bob").await.unwrap();
    assert_eq!(world.auth.jwks().keys.len(), 2);
    assert!(world.call_now(&old).is_ok());
    let new = world.token().await;
    assert_ne!(old.split('.').next(), new.split('.').next());
    assert!(world.call_now(&new).is_ok());
    let world = world.restart(Span::hours(2)).await;
    assert_eq!(world.auth.jwks().keys.len(), 1);
}

#[tokio::test]
async fn the_signing_key_changes_by_itself_and_the_one_before_is_let_go() {
    let world = World::new().await;
    let kid = |world: &World| world.auth.jwks().keys[0]["kid"].clone();
    let first = kid(&world);
    world.clock.advance(Span::seconds(30 * 86_400 - 1));
    world.auth.tidy().await;
    assert_eq!(kid(&world), first, "a second before");
    world.clock.advance(Span::seconds(1));
    world.auth.tidy().await;
    assert_ne!(kid(&world), first);
    assert_eq!(world.auth.jwks().keys.len(), 2);
    world.clock.advance(Span::hours(1));
    world.auth.tidy().await;
    assert_eq!(world.auth.jwks().keys.len(), 1, "an hour later the old one verifies no more");
}

#[tokio::test]
async fn a_key_that_may_be_in_other_hands_verifies_nothing_from_that_moment() {
    let world = World::new().await;
    let old = world.token().await;
    assert!(world.call_now(&old).is_ok(), "and it is remembered as verified");
    world.auth.rotate_token_key(Retiring::WithOverlap, "bob").await.unwrap();
    world.auth.rotate_token_key(Retiring::AtOnce, "bob").await.unwrap();
    assert!(world.call_now(&old).is_err(), "the one before the last one too");
    assert_eq!(world.auth.jwks().keys.len(), 1);
    assert!(world.call_now(&world.token().await).is_ok());
    let world = world.restart(Span::seconds(10)).await;
    assert!(world.call_now(&old).is_err());
}

#[test]
fn no_single_changed_letter_is_admitted() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(World::new());
    let token = runtime.block_on(world.token());
    let letters = b"ABCdef019-_.=";
    proptest!(ProptestConfig::with_cases(300), |(place in 0..token.len(), letter in 0..letters.len())| {
        let mut bytes = token.clone().into_bytes();
        bytes[place] = letters[letter];
        let changed = String::from_utf8(bytes).unwrap();
        prop_assume!(changed != token);
        prop_assert!(world.call_now(&changed).is_err());
        let proof = world.proof(&token);
        let mut bytes = proof.clone().into_bytes();
        let place = place % bytes.len();
        bytes[place] = letters[letter];
        let changed = String::from_utf8(bytes).unwrap();
        prop_assume!(changed != proof);
        prop_assert!(world.call(&token, &changed).is_err());
    });
}
