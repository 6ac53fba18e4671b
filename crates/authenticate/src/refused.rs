//! Why a request was not admitted, in the words the RFCs want.

use std::sync::Arc;

use chancery_model::problem::{self, Row};

use crate::dpop::ProofRefused;
use crate::replay::Replayed;

/// A request that is not admitted: what to answer (RFC 6750 section 3, RFC 9449 section 7.1, RFC 9728 section 5.1).
#[derive(Debug, Clone)]
pub struct Refused {
    /// The row of the error table: code, status, help.
    pub row: Row,
    /// The OAuth error; none if the request carried no credentials at all.
    pub error: Option<&'static str>,
    /// The deciding fact, for the agent's author. Never holds a secret.
    pub why: String,
    /// Where the metadata of the protected resource is.
    pub resource_metadata: String,
    /// The nonce for the next proof, for the `DPoP-Nonce` header.
    pub dpop_nonce: Option<Arc<str>>,
    bearer: bool,
}

/// A refusal before it is known what door it is for.
#[derive(Debug)]
pub(crate) struct Reason {
    pub(crate) row: Row,
    pub(crate) error: Option<&'static str>,
    pub(crate) why: String,
}

impl Reason {
    pub(crate) fn new(row: Row, error: &'static str, why: impl Into<String>) -> Self {
        Self { row, error: Some(error), why: why.into() }
    }

    pub(crate) fn token(why: impl Into<String>) -> Self {
        Self::new(problem::BAD_TOKEN, "invalid_token", why)
    }

    pub(crate) fn session(why: impl Into<String>) -> Self {
        Self::new(problem::SESSION_OVER, "invalid_token", why)
    }

    pub(crate) fn no_credentials(why: &str) -> Self {
        Self { row: problem::NO_TOKEN, error: None, why: why.into() }
    }

    pub(crate) fn at(self, resource_metadata: String, dpop_nonce: Option<Arc<str>>, bearer: bool) -> Refused {
        Refused { row: self.row, error: self.error, why: self.why, resource_metadata, dpop_nonce, bearer }
    }
}

impl From<ProofRefused> for Reason {
    fn from(refused: ProofRefused) -> Self {
        let (row, error) = match refused {
            ProofRefused::Nonce => (problem::NEEDS_NONCE, "use_dpop_nonce"),
            ProofRefused::Replayed(Replayed::Full) => (problem::TOO_BUSY, "invalid_dpop_proof"),
            _ => (problem::BAD_PROOF, "invalid_dpop_proof"),
        };
        Self::new(row, error, refused.to_string())
    }
}

impl Refused {
    /// Values for `WWW-Authenticate` headers, one header each. The scheme that was used comes first; where none was,
    /// `Bearer` does, which is where MCP clients look for the metadata.
    /// None for whoever is contained: another token would not help them.
    pub fn challenges(&self) -> Vec<String> {
        if self.row == problem::CONTAINED {
            return Vec::new();
        }
        let metadata = format!(r#"resource_metadata="{}""#, quotable(&self.resource_metadata));
        let error = self.error.map_or_else(String::new, |error| {
            format!(r#"error="{error}", error_description="{}", "#, quotable(&self.why))
        });
        let algs = r#"algs="ES256 EdDSA""#;
        match (self.error, self.bearer) {
            (None, _) => vec![format!("Bearer {metadata}"), format!("DPoP {metadata}, {algs}")],
            (Some(_), true) => vec![format!("Bearer {error}{metadata}"), format!("DPoP {metadata}, {algs}")],
            (Some(_), false) => vec![format!("DPoP {error}{metadata}, {algs}")],
        }
    }

    /// The HTTP status to answer with.
    pub fn status(&self) -> u16 {
        self.row.status
    }
}

/// What may stand between quotes in `error_description` (RFC 6750, section 3).
fn quotable(text: &str) -> String {
    let allowed = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
    text.chars().map(|c| if allowed(c) { c } else { '\'' }).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_request_is_told_where_the_metadata_is() {
        let refused = Reason::no_credentials("no token").at("http://x/.well-known/y".into(), None, true);
        assert_eq!(
            refused.challenges(),
            [
                r#"Bearer resource_metadata="http://x/.well-known/y""#,
                r#"DPoP resource_metadata="http://x/.well-known/y", algs="ES256 EdDSA""#
            ]
        );
    }

    #[test]
    fn what_the_agent_sent_cannot_break_the_header() {
        let refused = Reason::token("bad \"x\"\r\nSet-Cookie: é\\").at("m".into(), None, false);
        let challenge = refused.challenges().remove(0);
        assert_eq!(
            challenge,
            r#"DPoP error="invalid_token", error_description="bad 'x'''Set-Cookie: ''", resource_metadata="m", algs="ES256 EdDSA""#
        );
    }
}
