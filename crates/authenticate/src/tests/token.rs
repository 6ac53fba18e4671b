//! The token endpoint: what is issued, and to whom it is refused.

use chancery_model::{Clock, Span};

use super::{AUDIENCE, ISSUER, START, TOKEN_URL, World, form};
use crate::client::AgentKey;
use crate::jose::decode;
use crate::{Authenticator, OauthError, TokenRequest};

fn with(pairs: &[(&str, &str)], assertion: &str) -> Vec<(String, String)> {
    let mut form = form(assertion);
    for (key, value) in pairs {
        match form.iter_mut().find(|(known, _)| known == key) {
            Some(pair) => pair.1 = (*value).to_owned(),
            None => form.push(((*key).to_owned(), (*value).to_owned())),
        }
    }
    form
}

async fn refusal(world: &World, form: &[(String, String)]) -> OauthError {
    world.ask(form, Some(&world.token_proof())).await.unwrap_err()
}

/// The claims of a valid assertion; tests break one at a time.
fn claims(world: &World, jti: &str) -> String {
    let now = world.clock.now().seconds();
    format!(r#"{{"iss":"crm","sub":"crm","aud":"{ISSUER}","iat":{now},"exp":{},"jti":"{jti}"}}"#, now + 60)
}

const HEADER: &str = r#"{"alg":"ES256","typ":"JWT"}"#;

#[tokio::test]
async fn a_token_says_what_rfc_9068_wants_and_nothing_more() {
    let world = World::new().await;
    let answer = world.ask(&form(&world.assertion()), Some(&world.token_proof())).await.unwrap();
    assert_eq!((answer.body.token_type, answer.body.expires_in), ("DPoP", 300));
    assert_eq!(answer.dpop_nonce, world.auth.dpop_nonce());
    let parts: Vec<&str> = answer.body.access_token.expose().split('.').collect();
    let header: serde_json::Value = serde_json::from_slice(&decode(parts[0]).unwrap()).unwrap();
    let kid = world.auth.jwks().keys[0]["kid"].clone();
    assert_eq!(header, serde_json::json!({ "alg": "ES256", "typ": "at+jwt", "kid": kid }));
    let claims: serde_json::Value = serde_json::from_slice(&decode(parts[1]).unwrap()).unwrap();
    let id = world.auth.agent("crm").unwrap().id.to_string();
    let expected = serde_json::json!({
        "iss": ISSUER, "sub": id, "client_id": id, "aud": AUDIENCE, "iat": START, "nbf": START, "exp": START + 300,
        "jti": claims["jti"], "sid": answer.body.sid, "cnf": { "jkt": world.key.thumbprint() },
    });
    assert_eq!(claims, expected);
    let body = serde_json::to_value(&answer.body).unwrap();
    assert_eq!(body["access_token"], answer.body.access_token.expose());
    assert!(!format!("{answer:?}").contains(parts[2]), "a token is not printed");
}

#[tokio::test]
async fn an_ed25519_agent_gets_tokens_too() {
    let mut world = World::new().await;
    world.key = AgentKey::generate_ed25519(&*world.random).unwrap();
    let code = world.code("crm", Span::minutes(15)).await;
    world.enrol(&code, &world.key).await.unwrap();
    let token = world.token().await;
    assert!(world.call_now(&token).is_ok());
    let text = world.key.to_text().unwrap();
    assert_eq!(AgentKey::from_text(&text).unwrap().thumbprint(), world.key.thumbprint());
}

#[tokio::test]
async fn an_assertion_with_anything_wrong_is_refused() {
    let world = World::new().await;
    let good = claims(&world, "a");
    assert!(world.ask(&form(&world.key.raw(HEADER, &good)), Some(&world.token_proof())).await.is_ok());
    let id = world.auth.agent("crm").unwrap().id.to_string();
    let aud = format!(r#""aud":"{ISSUER}""#);
    let (iat, exp) = (format!(r#""iat":{START}"#), format!(r#""exp":{}"#, START + 60));
    for (n, (what, with)) in [
        (aud.as_str(), format!(r#""aud":"{TOKEN_URL}""#)),
        (&aud, format!(r#""aud":["{ISSUER}"]"#)),
        (&aud, format!(r#""aud":["{ISSUER}","{TOKEN_URL}"]"#)),
        (&aud, format!(r#""aud":"{ISSUER}/""#)),
        (&aud, r#""aud":"http://127.0.0.1:842""#.to_owned()),
        (&aud, r#""aud":"http://127.0.0.1:84200""#.to_owned()),
        (&aud, format!(r#""aud":"evil","aud":"{ISSUER}""#)),
        (&aud, r#""nothing":1"#.to_owned()),
        (r#""iss":"crm""#, format!(r#""iss":"{id}""#)),
        (r#""iss":"crm""#, r#""iss":"other""#.to_owned()),
        (r#""sub":"crm""#, r#""sub":"billing""#.to_owned()),
        (r#""sub":"crm""#, r#""sub":"CRM""#.to_owned()),
        (&exp, format!(r#""exp":{}"#, START + 301)),
        (&exp, format!(r#""exp":{}"#, START + 86_400)),
        (&exp, format!(r#""exp":{}"#, START - 6)),
        (&exp, format!(r#""exp":"{}""#, START + 60)),
        (&exp, r#""exp":1e400"#.to_owned()),
        (&exp, r#""exp":-1"#.to_owned()),
        (&exp, r#""exp":null"#.to_owned()),
        (&exp, r#""pxe":1"#.to_owned()),
        (&iat, format!(r#""iat":{}"#, START + 6)),
        (&iat, r#""tai":1"#.to_owned()),
        (&iat, format!(r#""nbf":{},"iat":{START}"#, START + 6)),
        (r#""jti":"x""#, r#""jti":"""#.to_owned()),
        (r#""jti":"x""#, r#""itj":"x""#.to_owned()),
    ]
    .iter()
    .enumerate()
    {
        let wrong = claims(&world, "x").replace(what, with);
        assert_ne!(wrong, claims(&world, "x"), "case {n} changes nothing");
        let refused = refusal(&world, &form(&world.key.raw(HEADER, &wrong))).await;
        assert_eq!((refused.error, refused.status()), ("invalid_client", 401), "{wrong}");
    }
}

#[tokio::test]
async fn an_assertion_under_another_header_or_key_is_refused() {
    let world = World::new().await;
    let kid = world.key.thumbprint();
    let good = format!(r#"{{"alg":"ES256","typ":"client-authentication+jwt","kid":"{kid}"}}"#);
    assert!(world.ask(&form(&world.key.raw(&good, &claims(&world, "a"))), Some(&world.token_proof())).await.is_ok());
    let jwk = world.key.jwk();
    for header in [
        r#"{"alg":"none"}"#.to_owned(),
        r#"{"alg":"HS256"}"#.to_owned(),
        r#"{"alg":"RS256"}"#.to_owned(),
        r#"{"typ":"JWT"}"#.to_owned(),
        r#"{"alg":"ES256","typ":"at+jwt"}"#.to_owned(),
        r#"{"alg":"ES256","typ":"dpop+jwt"}"#.to_owned(),
        r#"{"alg":"ES256","typ":"logout+jwt"}"#.to_owned(),
        r#"{"alg":"ES256","typ":"secevent+jwt"}"#.to_owned(),
        r#"{"alg":"ES256","crit":["x"],"x":1}"#.to_owned(),
        r#"{"alg":"ES256","kid":"another"}"#.to_owned(),
        r#"{"alg":"ES256","kid":"a","kid":"b"}"#.to_owned(),
        format!(r#"{{"alg":"ES256","jwk":{jwk}}}"#),
    ] {
        let refused = refusal(&world, &form(&world.key.raw(&header, &claims(&world, "b")))).await;
        assert_eq!(refused.error, "invalid_client", "{header}");
    }
    let thief = AgentKey::generate().unwrap();
    let refused = refusal(&world, &form(&thief.raw(HEADER, &claims(&world, "c")))).await;
    let unknown = refusal(&world, &form(&world.key.raw(HEADER, &claims(&world, "c").replace("crm", "nobody")))).await;
    assert_eq!(refused.description, unknown.description, "who exists is not told");
    let unsigned = format!("{}.", world.key.raw(HEADER, &claims(&world, "d")).rsplit_once('.').unwrap().0);
    assert_eq!(refusal(&world, &form(&unsigned)).await.error, "invalid_client");
}

#[tokio::test]
async fn an_assertion_is_used_once_at_every_second_of_its_life_and_after_a_restart() {
    let world = World::new().await;
    let assertion = world.key.raw(HEADER, &claims(&world, "once"));
    assert!(world.ask(&form(&assertion), Some(&world.token_proof())).await.is_ok());
    for second in 0..=70 {
        assert_eq!(refusal(&world, &form(&assertion)).await.error, "invalid_client", "after {second} s");
        world.clock.advance(Span::seconds(1));
        world.auth.tidy().await;
    }
    let again = world.key.raw(HEADER, &claims(&world, "again"));
    assert!(world.ask(&form(&again), Some(&world.token_proof())).await.is_ok());
    let world = world.restart(Span::seconds(1)).await;
    assert_eq!(refusal(&world, &form(&again)).await.error, "invalid_client");
    world.clock.advance(Span::seconds(6));
    assert_eq!(refusal(&world, &form(&again)).await.error, "invalid_client");
    assert!(world.ask(&form(&world.assertion()), Some(&world.token_proof())).await.is_ok());
}

#[tokio::test]
async fn an_assertion_whose_session_ended_is_not_used_again_after_a_restart() {
    for continued in [false, true] {
        let world = World::new().await;
        let mut asked = form(&world.assertion());
        let first = world.ask(&asked, Some(&world.token_proof())).await.unwrap();
        let mut sid = first.body.sid;
        if continued {
            world.clock.advance(Span::seconds(30));
            asked = form(&world.assertion());
            let with_sid = with(&[("sid", &sid)], &asked.iter().find(|(k, _)| k == "client_assertion").unwrap().1);
            sid = world.ask(&with_sid, Some(&world.token_proof())).await.unwrap().body.sid;
        }
        world.auth.end_session(&sid.parse().unwrap(), "ann").await.unwrap();
        let world = world.restart(Span::seconds(1)).await;
        assert_eq!(refusal(&world, &asked).await.error, "invalid_client", "continued: {continued}");
    }
}

#[tokio::test]
async fn an_assertion_whose_use_left_nothing_durable_is_not_used_again_after_a_restart() {
    let world = World::new().await;
    let asked = form(&world.assertion());
    let about = [asked.clone(), vec![("token".to_owned(), "nonsense".to_owned())]].concat();
    let request = TokenRequest { form: &about, authorization: None, dpop: None, certificate: None, url: TOKEN_URL };
    assert!(!world.auth.introspect(&request).await.unwrap().is_active());
    let world = world.restart(Span::seconds(1)).await;
    for second in 0..=60 {
        assert_eq!(refusal(&world, &asked).await.error, "invalid_client", "after {second} s");
        world.clock.advance(Span::seconds(1));
    }
    assert!(world.ask(&form(&world.assertion()), Some(&world.token_proof())).await.is_ok());
}

#[tokio::test]
async fn who_exists_is_not_told_by_any_wrong_header() {
    let world = World::new().await;
    world.register("registered-only").await;
    let thief = AgentKey::generate().unwrap();
    let kid = world.key.thumbprint();
    let jwk = thief.jwk();
    for header in [
        r#"{"alg":"ES256"}"#.to_owned(),
        r#"{"alg":"ES256","typ":"at+jwt"}"#.to_owned(),
        r#"{"alg":"ES256","kid":"another"}"#.to_owned(),
        r#"{"alg":"EdDSA"}"#.to_owned(),
        format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"ES256","jwk":{jwk}}}"#),
    ] {
        let mut told = Vec::new();
        for name in ["crm", "registered-only", "nobody"] {
            let claims = claims(&world, "x").replace("crm", name);
            let refused = refusal(&world, &form(&thief.raw(&header, &claims))).await;
            told.push((refused.error, refused.description));
        }
        assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{header}: {told:?}");
    }
}

#[tokio::test]
async fn without_a_nonce_the_client_is_told_and_keeps_its_assertion() {
    let world = World::new().await;
    let assertion = world.assertion();
    let request = crate::client::ProofFor { method: "POST", url: TOKEN_URL, token: None, nonce: None };
    let proof = world.key.proof(request, world.clock.now(), &*world.random).unwrap();
    let refused = world.ask(&form(&assertion), Some(&proof)).await.unwrap_err();
    assert_eq!((refused.error, refused.status()), ("use_dpop_nonce", 400));
    assert_eq!(refused.dpop_nonce, world.auth.dpop_nonce());
    assert!(world.ask(&form(&assertion), Some(&world.token_proof())).await.is_ok());
}

#[tokio::test]
async fn the_request_is_for_exactly_one_known_resource() {
    let world = World::new().await;
    for resource in [
        "",
        "http://127.0.0.1:8420/mcp",
        "http://127.0.0.1:8420/mcp/crm/",
        "http://127.0.0.1:8420/mcp/crm?x",
        "HTTP://127.0.0.1:8420/mcp/crm",
        "crm",
    ] {
        let refused = refusal(&world, &with(&[("resource", resource)], &world.assertion())).await;
        assert_eq!(refused.error, "invalid_target", "{resource}");
    }
    let mut two = form(&world.assertion());
    two.push(("resource".into(), AUDIENCE.into()));
    assert_eq!(refusal(&world, &two).await.error, "invalid_target");
    two.retain(|(key, _)| key != "resource");
    assert_eq!(refusal(&world, &two).await.error, "invalid_target");
}

#[tokio::test]
async fn a_malformed_request_gets_the_error_of_the_rfc() {
    let world = World::new().await;
    for (pairs, error) in [
        (&[("grant_type", "implicit")][..], "unsupported_grant_type"),
        (&[("grant_type", "password")], "unsupported_grant_type"),
        (&[("client_assertion_type", "x")], "invalid_client"),
        (&[("client_secret", "x")], "invalid_client"),
        (&[("client_id", "other")], "invalid_client"),
        (&[("scope", "admin")], "invalid_scope"),
        (&[("sid", "ses_x")], "invalid_grant"),
    ] {
        assert_eq!(refusal(&world, &with(pairs, &world.assertion())).await.error, error, "{pairs:?}");
    }
    for twice in ["grant_type", "client_assertion", "client_assertion_type", "sid", "client_id", "scope"] {
        let mut form = with(&[(twice, "x")], &world.assertion());
        form.push((twice.into(), "x".into()));
        assert_eq!(refusal(&world, &form).await.error, "invalid_request", "{twice} twice");
    }
    let accepted = with(&[("client_id", "crm"), ("scope", " "), ("unknown", "1")], &world.assertion());
    assert!(world.ask(&accepted, Some(&world.token_proof())).await.is_ok());
}

#[tokio::test]
async fn a_suspended_agent_gets_no_token() {
    let world = World::new().await;
    world.change("crm", |agent| agent.suspend().unwrap()).await;
    let refused = refusal(&world, &form(&world.assertion())).await;
    assert_eq!((refused.error, refused.row.code), ("invalid_client", "C1006"));
}

#[tokio::test]
async fn one_proof_gets_one_token() {
    let world = World::new().await;
    let proof = world.token_proof();
    assert!(world.ask(&form(&world.assertion()), Some(&proof)).await.is_ok());
    let refused = world.ask(&form(&world.assertion()), Some(&proof)).await.unwrap_err();
    assert_eq!(refused.error, "invalid_dpop_proof");
}

#[tokio::test]
async fn metadata_is_that_of_the_rfcs() {
    let world = World::new().await;
    let auth: &Authenticator = &world.auth;
    let server = serde_json::to_value(auth.metadata()).unwrap();
    assert_eq!(server["issuer"], ISSUER);
    assert_eq!(server["token_endpoint"], TOKEN_URL);
    assert_eq!(server["token_endpoint_auth_methods_supported"][0], "private_key_jwt");
    let resource = serde_json::to_value(auth.resource_metadata(AUDIENCE)).unwrap();
    assert_eq!(resource["authorization_servers"], serde_json::json!([ISSUER]));
    assert!(auth.resource_metadata("http://127.0.0.1:8420/mcp/other").is_none());
    assert!(auth.jwks().keys.iter().all(|key| key.get("d").is_none()));
}
