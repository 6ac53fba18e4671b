//! Things that our own key signed, or could have, and that are no access tokens (attack classes A4, A6 and B).

use serde_json::Value;

use super::exchange::Lenient;
use super::{AUDIENCE, ISSUER, START, World, config};
use crate::jose::{decode, encode};

/// Signs this header and these claims with the key that signs access tokens.
fn signed(world: &World, header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
    let signature = world.auth.keys.load().signing.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", encode(&signature))
}

fn part(token: &str, number: usize) -> String {
    String::from_utf8(decode(token.split('.').nth(number).unwrap()).unwrap()).unwrap()
}

/// Refused at the door and as what is exchanged.
#[tokio::test]
async fn what_our_own_key_signed_is_an_access_token_only_if_it_says_so_exactly() {
    let world = World::with(config()).await;
    world.auth.set_delegations(Box::new(Lenient));
    let (a, b) = (world.party("a").await, world.party("b").await);
    let (token, other) = (world.own_token(&a).await, world.own_token(&b).await);
    let (header, claims) = (part(&token, 0), part(&token, 1));
    let again = signed(&world, &header, &claims);
    assert!(world.used(&a, &again).is_ok(), "the example itself is right");
    assert!(world.exchanged(&a, &again, &[]).await.is_ok());
    let refused = async |header: &str, claims: &str| {
        let forged = signed(&world, header, claims);
        assert!(world.used(&a, &forged).is_err(), "at the door: {header} {claims}");
        let exchanged = world.exchanged(&a, &forged, &[]).await;
        assert!(exchanged.is_err(), "exchanged: {header} {claims}");
        for kind in ["id_token", "jwt", "saml2", "refresh_token"] {
            let kind = format!("urn:ietf:params:oauth:token-type:{kind}");
            let exchanged = world.exchanged(&a, &forged, &[("subject_token_type", &kind)]).await;
            assert_eq!(exchanged.unwrap_err().error, "invalid_request", "{kind}");
        }
    };
    // An ID token, a proof, a security event, a logout token, what partners and systems are told.
    let types =
        ["JWT", "jwt", "", "dpop+jwt", "secevent+jwt", "logout+jwt", "oauth-id-jag+jwt", "txntoken+jwt", "kb+jwt"];
    for typ in types {
        refused(&header.replace("at+jwt", typ), &claims).await;
    }
    refused(&header.replace(r#""typ":"at+jwt""#, r#""cty":"at+jwt""#), &claims).await;
    refused(&header.replace(r#""typ""#, r#""typ":"JWT","typ""#), &claims).await;
    let id = |token: &str, name: &str| {
        serde_json::from_str::<Value>(&part(token, 1)).unwrap()[name].as_str().unwrap().to_owned()
    };
    let aud = format!(r#""aud":"{AUDIENCE}""#);
    let exp = format!(r#""exp":{}"#, START + 300);
    let nbf = format!(r#""nbf":{START}"#);
    for (what, with) in [
        (aud.as_str(), format!(r#""aud":["{AUDIENCE}"]"#)),
        (&aud, format!(r#""aud":["{AUDIENCE}","{ISSUER}"]"#)),
        (&aud, r#""aud":null"#.to_owned()),
        (&aud, format!(r#""aud":"{ISSUER}","aud":"{AUDIENCE}""#)),
        (&aud, format!(r#"{aud},"\u0061ud":"{AUDIENCE}""#)),
        (&aud, r#""x":1"#.to_owned()),
        (&format!(r#""iss":"{ISSUER}""#), format!(r#""iss":"{ISSUER}/""#)),
        (&format!(r#""iss":"{ISSUER}""#), r#""iss":"https://other.example""#.to_owned()),
        (&exp, format!(r#""exp":"{}""#, START + 300)),
        (&exp, r#""exp":1e400"#.to_owned()),
        (&exp, r#""exp":-1"#.to_owned()),
        (&exp, r#""exp":null"#.to_owned()),
        (&exp, format!(r#""exp":{START}"#)),
        (&exp, r#""x":1"#.to_owned()),
        (&nbf, format!(r#""nbf":{}"#, START + 6)),
        (&nbf, format!(r#""nbf":"{START}""#)),
        (&id(&token, "client_id"), id(&other, "client_id")),
        (&id(&token, "sid"), id(&other, "sid")),
        (&id(&token, "sid"), "ses_00000000000000000000000000".to_owned()),
        // Bound to nothing, to a certificate too, and to something that is no thumbprint.
        (r#""cnf""#, r#""fnc""#.to_owned()),
        (r#""cnf":{"#, format!(r#""cnf":{{"x5t#S256":"{}","#, encode(&[7; 32]))),
        (r#""cnf":{"jkt":""#, r#""cnf":{"jkt":"A"#.to_owned()),
    ] {
        let changed = claims.replace(what, &with);
        assert_ne!(changed, claims, "{what} is not in {claims}");
        refused(&header, &changed).await;
    }
    refused(&header, &"[".repeat(3_000)).await;
    assert!(world.used(&a, &again).is_ok(), "and nothing of that has hurt it");
}
