//! Wycheproof's JOSE vectors: each has an expectation of its own, and nothing invalid may come through.

use std::path::{Path, PathBuf};

use chancery_authenticate::jose::{Compact, JoseError, Jwk, Policy, PublicKey};
use serde_json::Value;

const FILES: [&str; 4] = [
    "json_web_signature_test.json",
    "json_web_encryption_test.json",
    "json_web_key_test.json",
    "json_web_crypto_test.json",
];

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    valid_accepted: usize,
    valid_outside_policy_refused: usize,
    invalid_refused: usize,
}

#[test]
fn every_vector_is_judged_as_expected() {
    let Some(folder) = shared_data("wycheproof-jose") else {
        println!(
            "skipped: 649 Wycheproof vectors, for there is no `shared/data/wycheproof-jose` in any parent directory"
        );
        return;
    };
    let mut counts = Counts::default();
    for file in FILES {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let suite: Value = serde_json::from_str(&text).unwrap();
        for group in suite["testGroups"].as_array().unwrap() {
            for vector in group["tests"].as_array().unwrap() {
                judge(file, group, vector, &mut counts);
            }
        }
    }
    println!("wycheproof JOSE: {counts:?}, 0 invalid accepted");
    let expected = Counts { valid_accepted: 12, valid_outside_policy_refused: 110, invalid_refused: 527 };
    assert_eq!(counts, expected, "649 vectors in all");
}

fn judge(file: &str, group: &Value, vector: &Value, counts: &mut Counts) {
    let name = format!("{file} {} ({})", vector["tcId"], vector["comment"]);
    let valid = match vector["result"].as_str() {
        Some("valid") => true,
        Some("invalid") => false,
        other => panic!("{name}: result {other:?}"),
    };
    let accepted = verify(group, vector);
    match (valid, within_policy(group, vector), &accepted) {
        (true, true, Ok(_)) => counts.valid_accepted += 1,
        (true, false, Err(_)) => counts.valid_outside_policy_refused += 1,
        (false, _, Err(_)) => counts.invalid_refused += 1,
        (_, expected, _) => panic!("{name}: valid {valid}, within our policy {expected}, got {accepted:?}"),
    }
}

/// Our policy said once more, from the vector's own description: a JWS with a payload, by one key that says
/// ES256 or RS256.
fn within_policy(group: &Value, vector: &Value) -> bool {
    let algorithm = group["public"]["alg"].as_str().or(group["public"]["keys"][0]["alg"].as_str());
    let payload = vector["jws"].as_str().and_then(|jws| jws.split('.').nth(1));
    matches!(algorithm, Some("ES256" | "RS256")) && payload.is_some_and(|payload| !payload.is_empty())
}

/// Through the code that the doors use: the key is pinned first, then the text is read.
fn verify(group: &Value, vector: &Value) -> Result<Vec<u8>, JoseError> {
    let text = [&vector["jws"], &vector["jwe"]].into_iter().find(|text| !text.is_null()).unwrap();
    let text = text.as_str().map_or_else(|| text.to_string(), str::to_owned);
    let keys = if group["public"].is_null() { &group["private"] } else { &group["public"] };
    let jws = Compact::parse(&text)?;
    let header = jws.header()?;
    let jwk = the_one(keys, header.kid.as_deref())?.to_string();
    let key = PublicKey::from_jwk(&Jwk::parse(&jwk)?, Policy::Issuers)?;
    jws.verify(&header, &key)
}

/// The one key of this name in a set; a single key is taken as it is.
fn the_one<'a>(keys: &'a Value, kid: Option<&str>) -> Result<&'a Value, JoseError> {
    let Some(set) = keys["keys"].as_array() else { return Ok(keys) };
    let mut named = set.iter().filter(|key| key["kid"].as_str() == kid);
    match (named.next(), named.next()) {
        (Some(key), None) => Ok(key),
        _ => Err(JoseError::Key("not exactly one key of this name")),
    }
}

/// The folder of test data beside the project, looked for upwards from here.
fn shared_data(name: &str) -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().map(|folder| folder.join("shared/data").join(name)).find(|folder| folder.is_dir())
}
