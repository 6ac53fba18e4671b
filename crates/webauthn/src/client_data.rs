//! `clientDataJSON` (WebAuthn Level 3, section 5.8.1): what the browser says of where and for what it was asked.

use serde_json::{Map, Value};

use super::{LONGEST, NotAccepted};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What it says, as far as it decides.
pub(super) struct ClientData {
    members: Map<String, Value>,
}

/// The challenge that client data claim to answer. Nothing is verified by that: whoever knows the challenge says whether it
/// is one of theirs.
pub fn challenge(client_data: &[u8]) -> Result<Vec<u8>, NotAccepted> {
    ClientData::read(client_data)?.challenge()
}

impl ClientData {
    /// Strict JSON: browsers write each member once.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, NotAccepted> {
        if bytes.len() > LONGEST {
            return Err(NotAccepted::TooLong);
        }
        match chancery_model::parse_strict(bytes, chancery_model::Limits::default()) {
            Ok(Value::Object(members)) => Ok(Self { members }),
            _ => Err(NotAccepted::ClientData),
        }
    }

    fn challenge(&self) -> Result<Vec<u8>, NotAccepted> {
        URL_SAFE_NO_PAD.decode(self.text("challenge")?).map_err(|_| NotAccepted::ClientData)
    }

    /// Is it of this kind, for this challenge, and from a page of this origin that stood by itself?
    pub(super) fn check(&self, kind: &str, challenge: &[u8], origin: &str) -> Result<(), NotAccepted> {
        if self.text("type")? != kind {
            return Err(NotAccepted::Kind);
        }
        if self.challenge()? != challenge {
            return Err(NotAccepted::Challenge);
        }
        let alone = matches!(self.members.get("crossOrigin"), None | Some(Value::Bool(false)));
        if self.text("origin")? != origin || !alone || self.members.contains_key("topOrigin") {
            return Err(NotAccepted::Origin);
        }
        Ok(())
    }

    fn text(&self, name: &str) -> Result<&str, NotAccepted> {
        self.members.get(name).and_then(Value::as_str).ok_or(NotAccepted::ClientData)
    }
}
