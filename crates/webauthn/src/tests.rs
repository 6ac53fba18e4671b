use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const CHALLENGE: &[u8] = b"0123456789abcdef0123456789abcdef";
const ORIGIN: &str = "https://id.example";
const THERE: u8 = 0x05;
const MADE: u8 = 0x45;

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn party() -> Party {
    Party { id: "id.example".into(), origin: ORIGIN.into() }
}

enum Device {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Device {
    fn both() -> [Self; 2] {
        let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        [Self::P256(p256), Self::Ed25519(Ed25519KeyPair::generate().unwrap())]
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::P256(key) => key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    fn cose(&self) -> Vec<u8> {
        match self {
            Self::P256(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32][..], x, &[0x22, 0x58, 32], y].concat()
            }
            Self::Ed25519(key) => {
                [&[0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32][..], key.public_key().as_ref()].concat()
            }
        }
    }

    fn assert(&self, client_data: &[u8], data: &[u8]) -> Vec<u8> {
        self.sign(&[data, &sha256(client_data)].concat())
    }
}

fn client(kind: &str) -> Value {
    json!({"type": kind, "challenge": encode(CHALLENGE), "origin": ORIGIN, "crossOrigin": false})
}

fn data(flags: u8, count: u32, rest: &[u8]) -> Vec<u8> {
    [&sha256(b"id.example")[..], &[flags], &count.to_be_bytes(), rest].concat()
}

fn credential(id: &[u8], cose: &[u8]) -> Vec<u8> {
    [&[0; 16][..], &u16::try_from(id.len()).unwrap().to_be_bytes(), id, cose].concat()
}

fn object(format: &str, statement: &[u8], data: &[u8]) -> Vec<u8> {
    let mut out = vec![0xa3, 0x63];
    out.extend(b"fmt");
    out.push(0x60 + u8::try_from(format.len()).unwrap());
    out.extend(format.as_bytes());
    out.push(0x67);
    out.extend(b"attStmt");
    out.extend(statement);
    out.push(0x68);
    out.extend(b"authData");
    out.push(0x59);
    out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    out.extend(data);
    out
}

fn register(client: &Value, attestation: &[u8]) -> Result<Registered, NotAccepted> {
    let client = client.to_string();
    party().register(&Registration { client_data: client.as_bytes(), attestation }, CHALLENGE)
}

fn new_one(device: &Device) -> Vec<u8> {
    object("none", &[0xa0], &data(MADE, 0, &credential(b"credential", &device.cose())))
}

#[test]
fn a_passkey_is_registered_and_shown() {
    for device in Device::both() {
        let made = register(&client("webauthn.create"), &new_one(&device)).unwrap();
        assert_eq!((made.credential.as_slice(), made.sign_count), (&b"credential"[..], 0));
        let (client, data) = (client("webauthn.get").to_string(), data(THERE, 7, &[]));
        let signature = device.assert(client.as_bytes(), &data);
        let shown = Assertion { client_data: client.as_bytes(), authenticator_data: &data, signature: &signature };
        assert_eq!(party().verify(&shown, CHALLENGE, &made.public_key, 6), Ok(7));
        for copied in [7, 8, u32::MAX] {
            let found = party().verify(&shown, CHALLENGE, &made.public_key, copied);
            assert_eq!(found, Err(NotAccepted::Counter), "{copied}");
        }
    }
}

#[test]
fn an_authenticator_that_does_not_count_is_taken() {
    let [device, _] = Device::both();
    let (client, data) = (client("webauthn.get").to_string(), data(THERE, 0, &[]));
    let signature = device.assert(client.as_bytes(), &data);
    let shown = Assertion { client_data: client.as_bytes(), authenticator_data: &data, signature: &signature };
    assert_eq!(party().verify(&shown, CHALLENGE, &device.cose(), 0), Ok(0));
    assert_eq!(party().verify(&shown, CHALLENGE, &device.cose(), 1), Err(NotAccepted::Counter), "it counted before");
}

#[test]
fn each_thing_that_is_wrong_is_refused() {
    let [device, other] = Device::both();
    let verify = |client: Value, data: &[u8], key: &[u8]| {
        let client = client.to_string();
        let signature = device.assert(client.as_bytes(), data);
        let shown = Assertion { client_data: client.as_bytes(), authenticator_data: data, signature: &signature };
        party().verify(&shown, CHALLENGE, key, 0)
    };
    let (key, good) = (device.cose(), data(THERE, 1, &[]));
    assert_eq!(verify(client("webauthn.get"), &good, &key), Ok(1));
    let with = |name: &str, value: Value| {
        let mut changed = client("webauthn.get");
        changed[name] = value;
        verify(changed, &good, &key)
    };
    assert_eq!(with("type", json!("webauthn.create")), Err(NotAccepted::Kind));
    assert_eq!(with("challenge", json!(encode(b"another"))), Err(NotAccepted::Challenge));
    assert_eq!(with("challenge", json!("not base64!")), Err(NotAccepted::ClientData));
    for origin in ["http://id.example", "https://id.example:444", "https://evil.example", "https://x.id.example", ""] {
        assert_eq!(with("origin", json!(origin)), Err(NotAccepted::Origin), "{origin}");
    }
    assert_eq!(with("crossOrigin", json!(true)), Err(NotAccepted::Origin));
    assert_eq!(with("crossOrigin", json!("false")), Err(NotAccepted::Origin));
    assert_eq!(with("topOrigin", json!(ORIGIN)), Err(NotAccepted::Origin));
    assert_eq!(with("origin", Value::Null), Err(NotAccepted::ClientData));

    let flags = |flags: u8| verify(client("webauthn.get"), &data(flags, 1, &[]), &key);
    assert_eq!(flags(0x00), Err(NotAccepted::Presence));
    assert_eq!(flags(0x04), Err(NotAccepted::Presence));
    assert_eq!(flags(0x01), Err(NotAccepted::Verification));
    assert_eq!(flags(0x15), Err(NotAccepted::Data), "backed up, and not eligible for it");
    assert_eq!(flags(0x1d), Ok(1));
    assert_eq!(flags(0x45), Err(NotAccepted::Data), "a new credential that is not there");
    assert_eq!(flags(0x85), Err(NotAccepted::Data), "extensions that are not there");
    let mut foreign = good.clone();
    foreign[0] ^= 1;
    assert_eq!(verify(client("webauthn.get"), &foreign, &key), Err(NotAccepted::Party));
    let longer = [good.as_slice(), &[0]].concat();
    assert_eq!(verify(client("webauthn.get"), &longer, &key), Err(NotAccepted::Data));
    assert_eq!(verify(client("webauthn.get"), &good, &other.cose()), Err(NotAccepted::Signature));
    let made = data(MADE, 1, &credential(b"c", &key));
    assert_eq!(verify(client("webauthn.get"), &made, &key), Err(NotAccepted::Data), "nothing is made here");
}

#[test]
fn a_signature_is_over_everything() {
    let [device, _] = Device::both();
    let (client, data) = (client("webauthn.get").to_string(), data(THERE, 1, &[]));
    let signature = device.assert(client.as_bytes(), &data);
    for at in 0..signature.len() {
        let mut changed = signature.clone();
        changed[at] ^= 1;
        let shown = Assertion { client_data: client.as_bytes(), authenticator_data: &data, signature: &changed };
        assert_eq!(party().verify(&shown, CHALLENGE, &device.cose(), 0), Err(NotAccepted::Signature), "{at}");
    }
    let spaced = client.replace(',', ", ");
    let shown = Assertion { client_data: spaced.as_bytes(), authenticator_data: &data, signature: &signature };
    assert_eq!(party().verify(&shown, CHALLENGE, &device.cose(), 0), Err(NotAccepted::Signature));
}

#[test]
fn keys_of_other_kinds_are_refused() {
    let [device, _] = Device::both();
    let good = device.cose();
    assert!(CoseKey::read(&good).is_ok());
    let change = |at: usize, byte: u8| {
        let mut changed = good.clone();
        changed[at] = byte;
        CoseKey::read(&changed).map(|_| ()).unwrap_err()
    };
    for (at, byte, what) in [(2, 1, "key type"), (4, 0x27, "algorithm"), (6, 2, "curve"), (0, 0xa4, "members")] {
        assert_eq!(change(at, byte), NotAccepted::Key, "{what}");
    }
    let twice = [&[0xa6, 1, 2][..], &good[1..]].concat();
    let longer = [good.as_slice(), &[0]].concat();
    for bad in [twice.as_slice(), &longer, &[][..], &[0xa0][..], &good[..good.len() - 1], &[0xbf, 0xff][..]] {
        assert_eq!(CoseKey::read(bad).map(|_| ()), Err(NotAccepted::Key));
    }
    let mut nowhere = good.clone();
    nowhere[10..42].fill(0xff);
    let (client, data) = (client("webauthn.get").to_string(), data(THERE, 1, &[]));
    let signature = device.assert(client.as_bytes(), &data);
    let shown = Assertion { client_data: client.as_bytes(), authenticator_data: &data, signature: &signature };
    assert_eq!(party().verify(&shown, CHALLENGE, &nowhere, 0), Err(NotAccepted::Signature), "not on the curve");
}

#[test]
fn only_no_attestation_and_the_keys_own_are_taken() {
    let [device, other] = Device::both();
    let create = client("webauthn.create");
    let data = data(MADE, 0, &credential(b"c", &device.cose()));
    let own = |algorithm: u8, signature: &[u8]| {
        let mut statement = vec![0xa2, 0x63];
        statement.extend(b"alg");
        statement.extend([algorithm, 0x63]);
        statement.extend(b"sig");
        statement.extend([0x58, u8::try_from(signature.len()).unwrap()]);
        statement.extend(signature);
        object("packed", &statement, &data)
    };
    let signature = device.assert(create.to_string().as_bytes(), &data);
    assert!(register(&create, &own(0x26, &signature)).is_ok());
    assert_eq!(register(&create, &own(0x27, &signature)), Err(NotAccepted::Attestation), "another algorithm");
    let foreign = other.assert(create.to_string().as_bytes(), &data);
    assert_eq!(register(&create, &own(0x26, &foreign)), Err(NotAccepted::Signature));
    for (format, statement) in [("none", &[0xa1, 0x61, b'a', 0][..]), ("fido-u2f", &[0xa0]), ("packed", &[0xa0])] {
        assert_eq!(register(&create, &object(format, statement, &data)), Err(NotAccepted::Attestation), "{format}");
    }
}

#[test]
fn a_registration_that_is_not_one_is_refused() {
    let [device, _] = Device::both();
    let (create, cose) = (client("webauthn.create"), device.cose());
    assert_eq!(register(&client("webauthn.get"), &new_one(&device)), Err(NotAccepted::Kind));
    let with = |flags: u8, rest: &[u8]| register(&create, &object("none", &[0xa0], &data(flags, 0, rest)));
    assert!(with(MADE, &credential(b"c", &cose)).is_ok());
    assert_eq!(with(THERE, &[]), Err(NotAccepted::Data), "no credential");
    assert_eq!(with(0x41, &credential(b"c", &cose)), Err(NotAccepted::Verification));
    assert_eq!(with(MADE, &credential(&[], &cose)), Err(NotAccepted::Data));
    assert_eq!(with(MADE, &credential(&[7; 1024], &cose)), Err(NotAccepted::Data));
    assert!(with(MADE, &credential(&[7; 1023], &cose)).is_ok());
    let extended = [credential(b"c", &cose).as_slice(), b"\xa1\x6bcredProtect\x02"].concat();
    assert!(with(MADE | 0x80, &extended).is_ok(), "extensions that nobody asked for mean nothing");
    assert_eq!(with(MADE, &extended), Err(NotAccepted::Data));
    let long = vec![0; LONGEST + 1];
    assert_eq!(register(&create, &long), Err(NotAccepted::TooLong));
}

#[test]
fn client_data_say_everything_once() {
    let [device, _] = Device::both();
    let text = client("webauthn.create").to_string();
    let twice = text.replacen('{', r#"{"origin":"https://evil.example","#, 1);
    for bad in [twice.as_str(), "", "[]", "{}x", "{\"type\":\"webauthn.create\"}"] {
        let attestation = new_one(&device);
        let sent = Registration { client_data: bad.as_bytes(), attestation: &attestation };
        assert_eq!(party().register(&sent, CHALLENGE), Err(NotAccepted::ClientData), "{bad}");
    }
}

proptest! {
    #[test]
    fn nothing_that_is_sent_breaks_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Attestation::read(&bytes);
        let _ = AuthenticatorData::read(&bytes);
        let _ = CoseKey::read(&bytes);
        let _ = ClientData::read(&bytes);
    }

    #[test]
    fn a_changed_registration_is_no_other_registration(at in 0usize..400, bit in 0u8..8) {
        let [device, _] = Device::both();
        let good = new_one(&device);
        let mut changed = good.clone();
        let at = at % changed.len();
        changed[at] ^= 1 << bit;
        // What is taken is still for this place and by somebody who was there.
        if register(&client("webauthn.create"), &changed).is_ok() {
            let data = AuthenticatorData::read(Attestation::read(&changed).unwrap().data).unwrap();
            prop_assert!(data.present && data.verified && data.rp_id_hash == sha256(b"id.example"));
        }
    }
}
