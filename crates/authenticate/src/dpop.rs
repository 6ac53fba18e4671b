//! DPoP proofs (RFC 9449): possession of a key, shown for one request.

use std::sync::Arc;

use chancery_model::{Clock, Random, Span, Timestamp};
use serde::Deserialize;

use crate::htu;
use crate::jose::{Compact, JoseError, NumericDate, Policy, PublicKey, Text, claims, encode, sha256};
use crate::nonce::Nonces;
use crate::recent::Recent;
use crate::replay::{Replay, Replayed};

/// The `typ` of a proof.
pub const TYP: &str = "dpop+jwt";
/// The longest `jti` that is taken, in bytes.
const LONGEST_JTI: usize = 256;
/// With a server nonce a proof's own time only has to be sane.
const SANE: Span = Span::minutes(5);
/// How many agents' keys are kept ready.
const KEYS: usize = 16_384;

/// How proofs are judged.
#[derive(Debug, Clone)]
pub struct Config {
    /// Whether a proof must carry one of our nonces. On by default.
    pub nonces: bool,
    /// How often nonces change; one is good for its own turn and the next.
    pub rotate: Span,
    /// Without nonces: how old a proof may be.
    pub lifetime: Span,
    /// How far an agent's clock may be off.
    pub skew: Span,
    /// How many living proofs are remembered. When it is full, proofs are refused.
    pub capacity: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            nonces: true,
            rotate: Span::seconds(30),
            lifetime: Span::seconds(60),
            skew: Span::seconds(5),
            capacity: 4_000_000,
        }
    }
}

/// Why a proof was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofRefused {
    /// Not an acceptable JWS, key or set of claims.
    #[error("{0}")]
    Jose(#[from] JoseError),
    /// A claim is not what this request needs.
    #[error("{0}")]
    Claim(&'static str),
    /// No nonce, or not one that is good now.
    #[error("use the nonce from the `DPoP-Nonce` header of this answer")]
    Nonce,
    /// Used before, or no telling.
    #[error("{0}")]
    Replayed(#[from] Replayed),
}

/// The request a proof must be for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its URL: scheme, host and path.
    pub url: &'a str,
    /// SHA-256 of the access token it carries; none at the token endpoint.
    pub token: Option<&'a [u8; 32]>,
}

/// A proof that is right in everything but that it may have been used before: see [`Dpop::take`].
#[derive(Debug)]
pub struct Proof {
    /// The key it proves possession of.
    pub key: Arc<PublicKey>,
    jti: String,
    dies: Timestamp,
}

#[derive(Deserialize)]
struct Claims<'a> {
    #[serde(borrow)]
    jti: Text<'a>,
    #[serde(borrow)]
    htm: Text<'a>,
    #[serde(borrow)]
    htu: Text<'a>,
    iat: NumericDate,
    #[serde(borrow, default)]
    ath: Option<Text<'a>>,
    #[serde(borrow, default)]
    nonce: Option<Text<'a>>,
}

/// Judges proofs.
pub struct Dpop {
    config: Config,
    clock: Arc<dyn Clock>,
    nonces: Nonces,
    replay: Replay,
    /// Keys by the header that brought them: an agent's proofs all have the same.
    keys: Recent<PublicKey>,
    /// Without nonces, a proof made before this may have been used before the restart.
    started: Timestamp,
}

impl Dpop {
    /// A judge that starts now. Proofs from before its start are refused.
    pub fn new(config: Config, clock: Arc<dyn Clock>, random: &dyn Random) -> Self {
        let nonces = Nonces::new(config.rotate, random);
        let slot = if config.nonces { config.rotate } else { Span::seconds(8) };
        let replay = Replay::new(slot, config.capacity);
        let started = clock.now() + config.skew;
        Self { config, clock, nonces, replay, keys: Recent::new(KEYS), started }
    }

    /// The nonce for the next proof, where nonces are asked for.
    pub fn nonce(&self) -> Option<Arc<str>> {
        self.config.nonces.then(|| self.nonces.current(self.clock.monotonic()))
    }

    /// Judges a proof, but for its being used once: that is [`Dpop::take`], after its presenter is known.
    pub fn check(&self, proof: &str, asked: Asked<'_>) -> Result<Proof, ProofRefused> {
        let (key, payload) = self.verified(&Compact::parse(proof)?)?;
        let claims: Claims<'_> = claims(&payload)?;
        matches_request(&claims, asked)?;
        let dies = self.death(&claims)?;
        Ok(Proof { key, jti: claims.jti.to_string(), dies })
    }

    /// The key a proof brings, and its payload, if it was signed with that key.
    fn verified(&self, jws: &Compact<'_>) -> Result<(Arc<PublicKey>, Vec<u8>), ProofRefused> {
        let name = sha256(jws.head().as_bytes());
        if let Some(key) = self.keys.get(&name) {
            let payload = jws.verify_known(&key)?;
            return Ok((key, payload));
        }
        let header = jws.header()?;
        header.demand_type(TYP)?;
        let jwk = header.jwk.as_ref().ok_or(ProofRefused::Claim("the header has no `jwk`"))?;
        let key = Arc::new(PublicKey::from_jwk(jwk, Policy::Agents)?);
        let payload = jws.verify(&header, &key)?;
        // Only now: nobody fills the memory with keys that he does not hold.
        self.keys.put(name, key.clone());
        Ok((key, payload))
    }

    /// Uses the proof up.
    pub fn take(&self, proof: &Proof) -> Result<(), ProofRefused> {
        Ok(self.replay.take(proof.key.thumbprint(), &proof.jti, proof.dies, self.replay_now())?)
    }

    /// Forgets dead proofs.
    pub fn sweep(&self) {
        self.replay.sweep(self.replay_now());
    }

    /// Proofs die on the clock that made them die: the monotonic one with nonces, the wall clock without.
    fn replay_now(&self) -> Timestamp {
        if self.config.nonces { self.clock.monotonic() } else { self.clock.now() }
    }

    fn death(&self, claims: &Claims<'_>) -> Result<Timestamp, ProofRefused> {
        let (made, now) = (claims.iat.timestamp(), self.clock.now());
        if self.config.nonces {
            let nonce = claims.nonce.as_deref().ok_or(ProofRefused::Nonce)?;
            let dies = self.nonces.dies(nonce, self.clock.monotonic()).ok_or(ProofRefused::Nonce)?;
            let sane = made <= now + SANE && now <= made + SANE;
            return if sane { Ok(dies) } else { Err(ProofRefused::Claim("`iat` is more than 5 minutes off")) };
        }
        // `iat` is cut to whole seconds: the proof may be that much younger than it says.
        let dies = made + self.config.lifetime + self.config.skew + Span::seconds(1);
        if made > now + self.config.skew {
            Err(ProofRefused::Claim("`iat` is in the future"))
        } else if now >= dies {
            Err(ProofRefused::Claim("`iat` is too long ago"))
        } else if made <= self.started {
            Err(ProofRefused::Claim("`iat` is from before the server's start: make a new proof"))
        } else {
            Ok(dies)
        }
    }
}

fn matches_request(claims: &Claims<'_>, asked: Asked<'_>) -> Result<(), ProofRefused> {
    if claims.jti.is_empty() || claims.jti.len() > LONGEST_JTI {
        return Err(ProofRefused::Claim("`jti` is empty or longer than 256 bytes"));
    }
    if &*claims.htm != asked.method {
        return Err(ProofRefused::Claim("`htm` is not the request's method"));
    }
    if !htu::same(&claims.htu, asked.url) {
        return Err(ProofRefused::Claim("`htu` is not the request's URL"));
    }
    match (asked.token, claims.ath.as_deref()) {
        (None, _) => Ok(()),
        (Some(token), Some(ath)) if ath == encode(token) => Ok(()),
        (Some(_), _) => Err(ProofRefused::Claim("`ath` is not the hash of the access token")),
    }
}
