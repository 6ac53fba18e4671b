//! Enrolment: an agent shows its one-time code and proves possession of the key it made itself.

use chancery_model::problem::{self, Row};
use chancery_model::{Agent, AgentId, Change, Draft, Hash, Kind, Secret, Span, Timestamp, Who};
use chancery_store::{StoreError, Tx};
use serde::{Deserialize, Serialize};

use crate::authenticator::Authenticator;
use crate::jose::{Compact, JoseError, Jwk, NumericDate, Policy, PublicKey, Text, claims, encode, sha256};

/// The `typ` of an enrolment proof: a JWS by the new key over `{code_hash, aud, iat}`, where `code_hash` is the
/// base64url SHA-256 of the code and `aud` our issuer.
pub const ENROLMENT_TYP: &str = "chancery-enrol+jwt";
/// How old a proof may be, and how far in the future.
const LIFETIME: Span = Span::minutes(5);

/// An enrolment request.
#[derive(Debug)]
pub struct Enrolment<'a> {
    /// The one-time code.
    pub code: &'a Secret,
    /// The public key, as a JWK.
    pub jwk: &'a str,
    /// The proof: see [`ENROLMENT_TYP`].
    pub proof: &'a str,
}

/// What a freshly enrolled agent has to know.
#[derive(Debug, Clone, Serialize)]
pub struct Enrolled {
    /// Its id: `iss` and `sub` of its client assertions. Its name does as well.
    pub client_id: AgentId,
    /// Its name.
    pub name: String,
    /// The thumbprint of its key: `kid` of its client assertions.
    pub kid: String,
    /// Our issuer: the `aud` of its client assertions.
    pub issuer: String,
    /// Where tokens are asked for.
    pub token_endpoint: String,
}

/// An enrolment that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// No such code, or used, or expired.
    #[error("the enrolment code is wrong, was used, or expired: ask for a new one")]
    Code,
    /// The key or the proof is not acceptable.
    #[error("possession of the key is not proved: {0}")]
    Proof(String),
    /// Another agent has this key.
    #[error("the key is already the key of agent `{0}`: every agent makes its own")]
    KeyTaken(String),
    /// The agent is contained.
    #[error("{0}")]
    Contained(String),
    /// The agent's state does not allow it.
    #[error("{0}")]
    State(#[from] chancery_model::TransitionRefused),
    /// The store failed.
    #[error("{0}")]
    Store(StoreError),
}

#[derive(Deserialize)]
struct Claims<'a> {
    #[serde(borrow)]
    code_hash: Text<'a>,
    #[serde(borrow)]
    aud: Text<'a>,
    iat: NumericDate,
}

impl EnrolError {
    /// Its row of the error table.
    pub fn row(&self) -> Row {
        match self {
            Self::Code => problem::BAD_CODE,
            Self::Proof(_) | Self::KeyTaken(_) => problem::BAD_ENROLMENT_PROOF,
            Self::Contained(_) => problem::CONTAINED,
            Self::State(_) => problem::BAD_TRANSITION,
            Self::Store(_) => problem::STORE_FAILED,
        }
    }
}

impl From<StoreError> for EnrolError {
    fn from(e: StoreError) -> Self {
        e.refusal::<Self>().unwrap_or_else(Self::Store)
    }
}

impl From<JoseError> for EnrolError {
    fn from(e: JoseError) -> Self {
        Self::Proof(e.to_string())
    }
}

impl Authenticator {
    /// Enrols a key: checks the proof, then uses up the code and changes the agent in one commit. Sessions from before
    /// end with it.
    pub async fn enrol(&self, request: &Enrolment<'_>) -> Result<Enrolled, EnrolError> {
        let now = self.clock.now();
        let hash = sha256(request.code.expose().as_bytes());
        let key = self.proved_key(request, &hash, now)?;
        let found = chancery_store::enrolments::get(&self.store, &hash).await.map_err(EnrolError::Store)?;
        let slot = found.and_then(|e| self.directory.agent(e.agent.as_str())).ok_or(EnrolError::Code)?;
        slot.demand_open(None).map_err(|reason| EnrolError::Contained(reason.why))?;
        let agent = slot.agent();
        self.refuse_shared_key(&agent, &key)?;
        let kid = key.thumbprint_text();
        let draft = draft(&agent, &kid, now);
        let write = self.store.write(draft, move |tx| Box::pin(change(tx, hash, key, now)));
        write.await?;
        tracing::info!(agent = %agent.name, kid, "enrolled a key");
        Ok(Enrolled {
            client_id: agent.id.clone(),
            name: agent.name.clone(),
            kid,
            issuer: self.config.issuer.clone(),
            token_endpoint: self.config.token_endpoint(),
        })
    }

    fn proved_key(&self, request: &Enrolment<'_>, hash: &Hash, now: Timestamp) -> Result<PublicKey, EnrolError> {
        let key = PublicKey::from_jwk(&Jwk::parse(request.jwk)?, Policy::Agents)?;
        let jws = Compact::parse(request.proof)?;
        let header = jws.header()?;
        header.demand_type(ENROLMENT_TYP)?;
        let payload = jws.verify(&header, &key)?;
        let claims: Claims<'_> = claims(&payload)?;
        let made = claims.iat.timestamp();
        if *claims.aud != *self.config.issuer {
            return Err(EnrolError::Proof(format!("`aud` must be `{}`", self.config.issuer)));
        }
        if *claims.code_hash != *encode(hash) {
            return Err(EnrolError::Proof("`code_hash` is not the hash of this code".into()));
        }
        if made > now + LIFETIME || now > made + LIFETIME {
            return Err(EnrolError::Proof("`iat` is more than 5 minutes off".into()));
        }
        Ok(key)
    }

    fn refuse_shared_key(&self, agent: &Agent, key: &PublicKey) -> Result<(), EnrolError> {
        let thumbprint = Some(key.thumbprint_text());
        let other = self.directory.agents().into_iter().find(|a| a.id != agent.id && a.key_thumbprint == thumbprint);
        other.map_or(Ok(()), |other| Err(EnrolError::KeyTaken(other.name.clone())))
    }
}

async fn change(tx: &mut Tx, hash: Hash, key: PublicKey, now: Timestamp) -> Result<(), StoreError> {
    let redeemed = chancery_store::enrolments::redeem(tx, &hash, now).await?;
    let id = redeemed.ok_or_else(|| StoreError::refuse(EnrolError::Code))?;
    let agent = chancery_store::agents::get(&mut *tx, &id).await?;
    let agent = agent.ok_or_else(|| StoreError::refuse(EnrolError::Code))?;
    let enrolled = agent.enrol(key.thumbprint_text(), key.canonical_jwk().to_owned());
    let enrolled = enrolled.map_err(|e| StoreError::refuse(EnrolError::State(e)))?;
    chancery_store::findings::close(tx, "never-enrolled", &enrolled.name, now).await?;
    chancery_store::agents::update(tx, &enrolled).await
}

fn draft(agent: &Agent, kid: &str, now: Timestamp) -> Draft {
    let who = Who { agent: Some(agent.id.to_string()), name: Some(agent.name.clone()), ..Who::default() };
    let change = Change {
        noun: "agent".into(),
        id: agent.name.clone(),
        verb: "enrol".into(),
        after: Some(format!(r#"{{"key_thumbprint":"{kid}"}}"#)),
    };
    Draft { kind: Kind::Change, at: now, who, change: Some(change), ..Draft::default() }
}
