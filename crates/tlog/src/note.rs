//! C2SP signed notes with Ed25519 keys.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::sha256;

/// C2SP signed-note's number for Ed25519.
const ED25519_TYPE: u8 = 0x01;
/// Notes longer than this are refused unread, in bytes.
const LONGEST: usize = 1 << 20;
const DASH: &str = "\u{2014} ";

/// A signing key with its name.
pub struct Signer {
    pair: Ed25519KeyPair,
    key: VerifierKey,
}

/// The public half of a [`Signer`]: what a verifier must know. Its text form is C2SP's vkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    public: [u8; 32],
}

/// A note: text and signatures, not verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note<'a> {
    text: &'a str,
    signatures: Vec<Signature<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature<'a> {
    name: &'a str,
    id: [u8; 4],
    bytes: Vec<u8>,
}

/// A key that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// The name is empty or holds what a name may not.
    #[error("a key's name must not be empty and must not contain spaces, control characters or `+`")]
    Name,
    /// Not `name+id+key`.
    #[error("not a verifier key: expected `name+8 hex digits+base64`, with an Ed25519 key (type 1) of 32 bytes")]
    Format,
    /// The id does not belong to the key.
    #[error("the verifier key's id does not belong to its name and key: a character was changed")]
    Id,
    /// The seed makes no key.
    #[error("the seed makes no Ed25519 key")]
    Seed,
}

/// A note that must not be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNote {
    /// Not a note at all.
    #[error("not a signed note: {0}")]
    Format(&'static str),
    /// Nobody we know signed it.
    #[error("the note carries no signature of the key `{0}`")]
    NotSigned(String),
    /// It is signed in a name and id we know, wrongly.
    #[error("the signature of the key `{0}` is not valid for this note's text")]
    Forged(String),
}

impl Signer {
    /// The key that RFC 8032 makes from `seed`, under `name`.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, BadKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| BadKey::Seed)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| BadKey::Seed)?;
        Ok(Self { pair, key: VerifierKey::new(name, public)? })
    }

    /// The public half.
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The signed note of `text`, which must end in a newline and hold no other control characters.
    pub fn sign(&self, text: &str) -> Result<String, BadNote> {
        check_text(text)?;
        let mut signature = self.key.id.to_vec();
        signature.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        Ok(format!("{text}\n{DASH}{} {}\n", self.key.name, STANDARD.encode(signature)))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.key)
    }
}

impl VerifierKey {
    /// The key `public` under `name`.
    pub fn new(name: &str, public: [u8; 32]) -> Result<Self, BadKey> {
        let allowed = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
        if name.is_empty() || !name.chars().all(allowed) {
            return Err(BadKey::Name);
        }
        let hash = sha256(&[name.as_bytes(), b"\n", &[ED25519_TYPE], &public].concat());
        Ok(Self { name: name.to_owned(), id: [hash[0], hash[1], hash[2], hash[3]], public })
    }

    /// Reads a vkey, `name+id+key`. Only its one canonical form is accepted.
    pub fn parse(vkey: &str) -> Result<Self, BadKey> {
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(BadKey::Format);
        };
        let bytes = STANDARD.decode(key).map_err(|_| BadKey::Format)?;
        let Some((&ED25519_TYPE, public)) = bytes.split_first() else { return Err(BadKey::Format) };
        let key = Self::new(name, public.try_into().map_err(|_| BadKey::Format)?)?;
        if key.hex_id() == id { Ok(key) } else { Err(BadKey::Id) }
    }

    /// The key's name; for a log, its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn hex_id(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.id))
    }

    fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public).verify(text.as_bytes(), signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519_TYPE][..], &self.public].concat();
        write!(f, "{}+{}+{}", self.name, self.hex_id(), STANDARD.encode(key))
    }
}

impl<'a> Note<'a> {
    /// Takes a note apart. The text must not be believed before [`Note::verify`].
    pub fn parse(note: &'a str) -> Result<Self, BadNote> {
        if note.len() > LONGEST {
            return Err(BadNote::Format("longer than 1 MiB"));
        }
        let end = note.rfind("\n\n").ok_or(BadNote::Format("no empty line before the signatures"))?;
        let (text, signatures) = (&note[..=end], &note[end + 2..]);
        check_text(text)?;
        let lines = signatures.strip_suffix('\n').ok_or(BadNote::Format("the last line does not end"))?;
        let signatures = lines.split('\n').map(Signature::parse).collect::<Result<_, _>>()?;
        Ok(Self { text, signatures })
    }

    /// The text, believed by nobody yet.
    pub fn unverified(&self) -> &'a str {
        self.text
    }

    /// The text, if `key` signed it. Signatures of other keys are ignored.
    pub fn verify(&self, key: &VerifierKey) -> Result<&'a str, BadNote> {
        let mut signed = false;
        for signature in self.signatures.iter().filter(|s| s.name == key.name && s.id == key.id) {
            if !key.verifies(self.text, &signature.bytes) {
                return Err(BadNote::Forged(key.name.clone()));
            }
            signed = true;
        }
        if signed { Ok(self.text) } else { Err(BadNote::NotSigned(key.to_string())) }
    }
}

impl<'a> Signature<'a> {
    fn parse(line: &'a str) -> Result<Self, BadNote> {
        const SHAPE: BadNote = BadNote::Format("a signature line is not `\u{2014} name base64`");
        let (name, encoded) = line.strip_prefix(DASH).and_then(|rest| rest.split_once(' ')).ok_or(SHAPE)?;
        let decoded = STANDARD.decode(encoded).map_err(|_| SHAPE)?;
        let (id, bytes) = decoded.split_first_chunk::<4>().ok_or(SHAPE)?;
        Ok(Self { name, id: *id, bytes: bytes.to_vec() })
    }
}

fn check_text(text: &str) -> Result<(), BadNote> {
    if !text.ends_with('\n') {
        return Err(BadNote::Format("the text does not end in a newline"));
    }
    if text.chars().any(|c| c < ' ' && c != '\n') {
        return Err(BadNote::Format("the text holds control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        Signer::from_seed("log.example/chancery", &[7; 32]).unwrap()
    }

    #[test]
    fn a_signed_note_is_believed() {
        let signer = signer();
        let note = signer.sign("a\n\nb\n").unwrap();
        assert_eq!(Note::parse(&note).unwrap().verify(signer.key()), Ok("a\n\nb\n"));
    }

    #[test]
    fn every_changed_byte_of_a_note_is_noticed() {
        let signer = signer();
        let note = signer.sign("origin\n7\nroot\n").unwrap().into_bytes();
        let believed = |bytes: &[u8]| {
            std::str::from_utf8(bytes).is_ok_and(|n| Note::parse(n).is_ok_and(|n| n.verify(signer.key()).is_ok()))
        };
        assert!(believed(&note));
        for place in 0..note.len() {
            for bit in 0..8 {
                let mut changed = note.clone();
                changed[place] ^= 1 << bit;
                assert!(!believed(&changed), "byte {place}, bit {bit}");
            }
        }
    }

    #[test]
    fn every_changed_byte_of_a_vkey_is_noticed() {
        let vkey = signer().key().to_string().into_bytes();
        for place in 0..vkey.len() {
            for bit in 0..8 {
                let mut changed = vkey.clone();
                changed[place] ^= 1 << bit;
                let read = std::str::from_utf8(&changed).ok().and_then(|v| VerifierKey::parse(v).ok());
                assert_eq!(read, None, "byte {place}, bit {bit}");
            }
        }
    }

    #[test]
    fn signatures_of_strangers_are_ignored() {
        let stranger = Signer::from_seed("log.example/chancery", &[8; 32]).unwrap();
        let (note, other) = (signer().sign("x\n").unwrap(), stranger.sign("x\n").unwrap());
        let both = format!("{note}{}", other.rsplit_once("\n\n").unwrap().1);
        assert!(Note::parse(&both).unwrap().verify(signer().key()).is_ok());
        assert!(Note::parse(&both).unwrap().verify(stranger.key()).is_ok());
        assert!(matches!(Note::parse(&note).unwrap().verify(stranger.key()), Err(BadNote::NotSigned(_))));
    }

    #[test]
    fn bad_names_make_no_key() {
        for name in ["", "a b", "a+b", "a\nb", "a\u{a0}b"] {
            assert_eq!(VerifierKey::new(name, [1; 32]), Err(BadKey::Name), "`{name}`");
        }
    }

    #[test]
    fn a_signer_does_not_print_its_seed() {
        let printed = format!("{:?}", signer());
        assert_eq!(printed, format!("Signer({})", signer().key()));
    }
}
