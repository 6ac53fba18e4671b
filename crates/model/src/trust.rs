//! Whom a platform vouches for: logins without a secret.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{AgentId, Timestamp};

/// Which platform vouches, and in what form. Kinds are presets over one verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustKind {
    /// Any issuer of JWTs with OpenID Connect discovery, or with keys that are stated.
    Oidc,
    /// Projected service account tokens of a Kubernetes cluster.
    Kubernetes,
    /// OpenID Connect tokens of GitHub Actions.
    Github,
    /// JWT-SVIDs of a SPIFFE trust domain.
    SpiffeJwt,
    /// X.509-SVIDs of a SPIFFE trust domain, presented in TLS.
    SpiffeX509,
}

/// One workload of one platform that logs one agent in. Everything in it is compared letter by letter: there are no
/// patterns, because a pattern trusts workloads that nobody has looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustSource {
    /// `[a-z0-9][a-z0-9-]{0,62}`, unique among those there are.
    pub name: String,
    /// Which platform.
    pub kind: TrustKind,
    /// The `iss` of its tokens; for SPIFFE the trust domain, `spiffe://example.org`.
    pub issuer: String,
    /// Where its keys are, where they are not found through the issuer; for SPIFFE the bundle endpoint.
    pub jwks_uri: Option<String>,
    /// Its keys as a JWK set (RFC 7517, section 5), where they are stated and not fetched; for SPIFFE the bundle.
    pub jwks: Option<String>,
    /// The `aud` its tokens must have, alone.
    pub audience: String,
    /// The `sub` of the workload.
    pub subject: String,
    /// Further claims and their only value. A name is a member of the claims, or a path of members joined with `/`.
    pub claims: BTreeMap<String, String>,
    /// Who is logged in.
    pub agent: AgentId,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was removed. Sources that are stored have none: this tells observers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<Timestamp>,
}

impl TrustKind {
    /// How it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Oidc => "oidc",
            Self::Kubernetes => "kubernetes",
            Self::Github => "github",
            Self::SpiffeJwt => "spiffe_jwt",
            Self::SpiffeX509 => "spiffe_x509",
        }
    }

    /// Is it one of SPIFFE's?
    pub fn is_spiffe(self) -> bool {
        matches!(self, Self::SpiffeJwt | Self::SpiffeX509)
    }
}
