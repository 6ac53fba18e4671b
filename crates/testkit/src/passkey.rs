//! An authenticator in software: makes a passkey and shows it, as a device would (WebAuthn Level 3, section 6).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

/// User present, user verified.
const THERE: u8 = 0x05;
/// The same, and a new credential.
const MADE: u8 = 0x45;

/// One passkey with its private key.
#[derive(Debug)]
pub struct Passkey {
    key: EcdsaKeyPair,
    credential: Vec<u8>,
    user: String,
    rp_id: String,
    /// How often it signed; 0 for ever if it does not count.
    pub count: u32,
    /// The flags it says when it is shown.
    pub flags: u8,
}

/// The fields of a form, by name.
pub type Fields = Vec<(&'static str, String)>;

impl Passkey {
    /// Makes one for a page at this origin, and what the page sends.
    ///
    /// # Panics
    /// If the options are not what a page gives.
    pub fn make(options: &Value, origin: &str) -> (Self, Fields) {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        let credential = sha256(key.public_key().as_ref());
        let text = |pointer: &str| options.pointer(pointer).and_then(Value::as_str).expect(pointer).to_owned();
        let made = Self { key, credential, user: text("/user/id"), rp_id: text("/rp/id"), count: 1, flags: THERE };
        let client_data = client_data("webauthn.create", &text("/challenge"), origin);
        let fields = vec![
            ("client_data", encode(client_data.as_bytes())),
            ("attestation", encode(&made.attestation())),
            ("name", "a test's".to_owned()),
        ];
        (made, fields)
    }

    /// Shows it to a page at this origin: what the page sends.
    ///
    /// # Panics
    /// If the options are not what a page gives.
    pub fn show(&mut self, options: &Value, origin: &str) -> Fields {
        if self.count > 0 {
            self.count += 1;
        }
        let challenge = options["challenge"].as_str().expect("a challenge");
        let client_data = client_data("webauthn.get", challenge, origin);
        let data = self.data(self.flags);
        let signed = [data.as_slice(), sha256(client_data.as_bytes()).as_slice()].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).expect("a signature");
        vec![
            ("credential", encode(&self.credential)),
            ("client_data", encode(client_data.as_bytes())),
            ("authenticator_data", encode(&data)),
            ("signature", encode(signature.as_ref())),
            ("user", self.user.clone()),
        ]
    }

    fn data(&self, flags: u8) -> Vec<u8> {
        [sha256(self.rp_id.as_bytes()).as_slice(), &[flags], &self.count.to_be_bytes()].concat()
    }

    /// `{"fmt": "none", "attStmt": {}, "authData": …}` in CBOR.
    fn attestation(&self) -> Vec<u8> {
        let point = self.key.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        let cose = [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32][..], x, &[0x22, 0x58, 32], y].concat();
        let data = [self.data(MADE).as_slice(), &[0; 16], &[0, 32], &self.credential, &cose].concat();
        let length = u8::try_from(data.len()).expect("a short text");
        [b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".as_slice(), &[length], &data].concat()
    }
}

fn client_data(kind: &str, challenge: &str, origin: &str) -> String {
    json!({"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": false}).to_string()
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
}

fn encode(bytes: &[u8]) -> String {
    chancery_authenticate::jose::encode(bytes)
}
