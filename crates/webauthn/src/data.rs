//! Authenticator data (WebAuthn Level 3, section 6.1) and attestation objects (section 6.5.4).

use minicbor::Decoder;

use super::NotAccepted;

const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const ELIGIBLE: u8 = 0x08;
const BACKED_UP: u8 = 0x10;
const CREDENTIAL: u8 = 0x40;
const EXTENSIONS: u8 = 0x80;
/// The longest credential id, in bytes (section 4, "Credential ID").
const LONGEST_ID: usize = 1023;

/// What an authenticator says at every use.
pub(super) struct AuthenticatorData<'a> {
    pub(super) rp_id_hash: [u8; 32],
    pub(super) present: bool,
    pub(super) verified: bool,
    pub(super) sign_count: u32,
    pub(super) credential: Option<Credential<'a>>,
}

/// The credential that was made.
pub(super) struct Credential<'a> {
    pub(super) id: &'a [u8],
    pub(super) public_key: &'a [u8],
}

/// What comes with a new credential.
pub(super) struct Attestation<'a> {
    pub(super) data: &'a [u8],
    pub(super) statement: Statement<'a>,
}

/// How it is attested.
pub(super) enum Statement<'a> {
    /// Not at all, as we asked.
    None,
    /// By the key itself: browsers leave that as it is, for it says nothing of the device (section 5.1.3, step 22).
    Own { algorithm: i64, signature: &'a [u8] },
}

impl<'a> AuthenticatorData<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, NotAccepted> {
        Self::parse(bytes).ok_or(NotAccepted::Data)
    }

    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (rp_id_hash, rest) = bytes.split_first_chunk::<32>()?;
        let (&flags, rest) = rest.split_first()?;
        let (count, mut rest) = rest.split_first_chunk::<4>()?;
        let is = |flag: u8| flags & flag != 0;
        if is(BACKED_UP) && !is(ELIGIBLE) {
            return None;
        }
        let mut credential = None;
        if is(CREDENTIAL) {
            let found;
            (found, rest) = Credential::parse(rest)?;
            credential = Some(found);
        }
        if is(EXTENSIONS) {
            rest = &rest[one_map(rest)?..];
        }
        rest.is_empty().then_some(Self {
            rp_id_hash: *rp_id_hash,
            present: is(PRESENT),
            verified: is(VERIFIED),
            sign_count: u32::from_be_bytes(*count),
            credential,
        })
    }
}

impl<'a> Credential<'a> {
    /// Attested credential data (section 6.5.2), and what comes behind.
    fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (_aaguid, rest) = bytes.split_first_chunk::<16>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        if length == 0 || length > LONGEST_ID {
            return None;
        }
        let (id, rest) = rest.split_at_checked(length)?;
        let (public_key, rest) = rest.split_at_checked(one_map(rest)?)?;
        Some((Self { id, public_key }, rest))
    }
}

/// How many bytes the CBOR map at the beginning takes.
fn one_map(bytes: &[u8]) -> Option<usize> {
    let mut decoder = Decoder::new(bytes);
    if decoder.datatype().ok()? != minicbor::data::Type::Map {
        return None;
    }
    decoder.skip().ok()?;
    Some(decoder.position())
}

impl<'a> Attestation<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, NotAccepted> {
        let (format, statement, data) = members(bytes).ok_or(NotAccepted::Data)?;
        let statement = match format {
            "none" if matches!(Decoder::new(statement).map(), Ok(Some(0))) => Statement::None,
            "packed" => own(statement).ok_or(NotAccepted::Attestation)?,
            _ => return Err(NotAccepted::Attestation),
        };
        Ok(Self { data, statement })
    }
}

/// `fmt`, `attStmt` and `authData`, each once and nothing else.
fn members(bytes: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let mut decoder = Decoder::new(bytes);
    let (mut format, mut statement, mut data) = (None, None, None);
    for _ in 0..decoder.map().ok()?? {
        let again = match decoder.str().ok()? {
            "fmt" => format.replace(decoder.str().ok()?).is_some(),
            "attStmt" => {
                let rest = bytes.get(decoder.position()..)?;
                let length = one_map(rest)?;
                decoder.set_position(decoder.position() + length);
                statement.replace(&rest[..length]).is_some()
            }
            "authData" => data.replace(decoder.bytes().ok()?).is_some(),
            _ => true,
        };
        if again {
            return None;
        }
    }
    (decoder.position() == bytes.len()).then_some((format?, statement?, data?))
}

/// A `packed` statement without certificates (section 8.2).
fn own(bytes: &[u8]) -> Option<Statement<'_>> {
    let mut decoder = Decoder::new(bytes);
    let (mut algorithm, mut signature) = (None, None);
    for _ in 0..decoder.map().ok()?? {
        let again = match decoder.str().ok()? {
            "alg" => algorithm.replace(decoder.i64().ok()?).is_some(),
            "sig" => signature.replace(decoder.bytes().ok()?).is_some(),
            _ => true,
        };
        if again {
            return None;
        }
    }
    Some(Statement::Own { algorithm: algorithm?, signature: signature? })
}
