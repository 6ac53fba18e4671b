//! Our own trust domain: SVIDs for agents, each of them a recorded entry before anybody has it.
//!
//! An agent is `spiffe://DOMAIN/agent/NAME`, a running copy of it `…/agent/NAME/INSTANCE`. An X.509-SVID lives an hour
//! and is made again after half of it; a JWT-SVID lives five minutes. Both are names that others check by themselves:
//! what was handed out before an agent was stopped lives on with them until it expires, and with us it is over at once.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use chancery_model::{Agent, AgentId, Change, Draft, Epoch, Kind, Secret, Span, Standing, Timestamp, Who, canonical};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::authority::{LONGEST_LEAF, Means, Purpose, Ring, Step};
use super::bundle::{Bundle, BundleError};
use super::id::{IdError, SpiffeId, TrustDomain};
use super::jwt::{Issue, JwtSvid, verify_among};
use super::{SvidRefused, certificate};
use crate::authenticator::Authenticator;
use crate::directory::AgentSlot;
use crate::jose::{KeyRefused, PrivateKey, encode};
use crate::keys::KeysError;

/// How long a JWT-SVID lives.
const JWT_LIFE: Span = Span::minutes(5);
/// The most audiences of one JWT-SVID.
const AUDIENCES: usize = 16;
/// The longest audience, in bytes.
const LONGEST_AUDIENCE: usize = 512;
/// The first segment of every agent's path.
const AGENT: &str = "agent";

/// Why an SVID is not made, or the bundle is not had.
#[derive(Debug, thiserror::Error)]
pub enum DomainError {
    /// Nobody of that name may have one now.
    #[error("{why}")]
    Stopped {
        /// Whose.
        agent: String,
        /// Since when or why.
        why: String,
    },
    /// The audiences are not acceptable.
    #[error("ask for 1 to {AUDIENCES} different audiences of 1 to {LONGEST_AUDIENCE} bytes")]
    Audiences,
    /// Agent and instance make no SPIFFE ID.
    #[error("it has no SPIFFE ID: {0}")]
    Id(#[from] IdError),
    /// The keys cannot be had.
    #[error("{0}")]
    Keys(#[from] KeysError),
    /// Our own bundle is not what it should be.
    #[error("{0}")]
    Bundle(#[from] BundleError),
}

/// Who gets an SVID.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Workload {
    /// The agent's name.
    pub agent: String,
    /// The running copy.
    pub instance: Option<String>,
    /// How it is known who it is, for the record: `uid:1000`.
    pub attested: String,
}

/// An X.509-SVID that was made, with its private key.
pub struct X509Issued {
    /// Whose.
    pub id: SpiffeId,
    /// The leaf in DER. Roots sign leaves themselves: there is nothing between.
    pub certificate: Vec<u8>,
    /// Its private key as PKCS#8 in DER.
    pub key: Zeroizing<Vec<u8>>,
    /// From then on it is nothing.
    pub expires: Timestamp,
    made: Timestamp,
    renew: Timestamp,
    epoch: Epoch,
}

/// A JWT-SVID that was made.
#[derive(Debug)]
pub struct JwtIssued {
    /// Whose.
    pub id: SpiffeId,
    /// The token. Only its receiver may see it.
    pub token: Secret,
}

/// Our own trust domain.
pub struct Domain {
    name: TrustDomain,
    authenticator: Arc<Authenticator>,
    rings: ArcSwap<Rings>,
    /// One at a time takes the steps that are due.
    turn: Mutex<()>,
    /// The newest X.509-SVID of each workload: all its connections get the same one.
    issued: Mutex<HashMap<Place, Arc<X509Issued>>>,
}

/// An agent, and its running copy.
type Place = (AgentId, Option<String>);

struct Rings {
    x509: Ring,
    jwt: Ring,
}

impl Domain {
    /// Loads the keys of this trust domain; they are made at the first call.
    pub async fn open(name: TrustDomain, authenticator: Arc<Authenticator>) -> Result<Arc<Self>, KeysError> {
        let rings = Rings::load(&means(&name, &authenticator)).await?;
        let domain = Self {
            name,
            authenticator,
            rings: ArcSwap::from_pointee(rings),
            turn: Mutex::default(),
            issued: Mutex::default(),
        };
        domain.rings().await?;
        Ok(Arc::new(domain))
    }

    /// Its name.
    pub fn name(&self) -> &TrustDomain {
        &self.name
    }

    /// The keys that others verify our SVIDs with.
    pub async fn bundle(&self) -> Result<Bundle, DomainError> {
        let rings = self.rings().await?;
        let now = self.now();
        let sequence = rings.x509.changes(now) + rings.jwt.changes(now);
        let keys = rings.x509.published(now).chain(rings.jwt.published(now));
        Ok(Bundle::ours(self.name.clone(), sequence, keys)?)
    }

    /// May this workload have an SVID now?
    pub fn admits(&self, workload: &Workload) -> Result<SpiffeId, DomainError> {
        self.agent(&workload.agent, workload.instance.as_deref())?;
        Ok(self.id(workload)?)
    }

    /// The workload's X.509-SVID: the one it has, or after half of that one's life the next.
    pub async fn x509_svid(&self, workload: &Workload) -> Result<Arc<X509Issued>, DomainError> {
        let slot = self.agent(&workload.agent, workload.instance.as_deref())?;
        let (agent, epoch) = (slot.agent(), slot.epoch());
        let place = (agent.id.clone(), workload.instance.clone());
        let mut issued = self.issued.lock().await;
        let good = |has: &&Arc<X509Issued>| {
            has.epoch == epoch && self.now() < has.renew && slot.refuse_older(has.made).is_ok()
        };
        if let Some(has) = issued.get(&place).filter(good) {
            return self.still(workload, (epoch, has.made)).map(|()| Arc::clone(has));
        }
        let made = Arc::new(self.make_x509(workload, &agent, epoch).await?);
        self.still(workload, (epoch, made.made))?;
        issued.insert(place, Arc::clone(&made));
        Ok(made)
    }

    /// A JWT-SVID for exactly these audiences.
    pub async fn jwt_svid(&self, workload: &Workload, audiences: &[String]) -> Result<JwtIssued, DomainError> {
        check_audiences(audiences)?;
        let slot = self.agent(&workload.agent, workload.instance.as_deref())?;
        let (agent, epoch) = (slot.agent(), slot.epoch());
        let (id, now) = (self.id(workload)?, self.now());
        let rings = self.rings().await?;
        let signer = signer(&rings.jwt, now)?;
        let (expires, token_id) = (now + JWT_LIFE, encode(&self.authenticator.random.bytes::<16>()));
        let claims =
            Issue { sub: id.as_str(), aud: audiences, exp: expires.seconds(), iat: now.seconds(), jti: &token_id };
        let header = signer.header("JWT", &format!(r#","kid":"{}""#, signer.public().thumbprint_text()));
        let token = signer.sign_jws(&header, &claims).map_err(KeysError::from)?;
        let said = json!({"audience": audiences, "expires_at": expires.rfc3339()});
        self.record(workload, &agent, &id, ("jwt", &token_id), said).await?;
        self.still(workload, (epoch, now))?;
        Ok(JwtIssued { id, token: Secret::new(token) })
    }

    /// Judges a JWT-SVID of ours for somebody it was presented to (SPIFFE Workload API, section 6.2.3). One of an agent
    /// that was stopped is refused although it has not expired.
    pub async fn validate(&self, token: &str, audience: &str) -> Result<JwtSvid, SvidRefused> {
        let bundle = self.bundle().await.map_err(|e| SvidRefused::new(e.to_string()))?;
        let svid = verify_among(token, &bundle, audience, self.now())?;
        let mut named = svid.id.path().strip_prefix("/agent/").into_iter().flat_map(|path| path.split('/'));
        let agent = named.next().ok_or_else(|| SvidRefused::new(format!("`{}` is no agent", svid.id)))?;
        self.agent(agent, named.next()).map_err(|e| SvidRefused::new(e.to_string()))?;
        Ok(svid)
    }

    async fn make_x509(&self, workload: &Workload, agent: &Agent, epoch: Epoch) -> Result<X509Issued, DomainError> {
        let (id, now) = (self.id(workload)?, self.now());
        let rings = self.rings().await?;
        let root = signer(&rings.x509, now)?;
        let serial = self.authenticator.random.bytes::<16>();
        let key = PrivateKey::generate_p256().map_err(KeysError::from)?;
        let expires = now + LONGEST_LEAF;
        let made = certificate::leaf(&id, &key, (&self.name, &root), serial, (now, expires));
        let certificate = made.map_err(KeysError::from)?;
        let said = json!({"expires_at": expires.rfc3339()});
        self.record(workload, agent, &id, ("x509", &encode(&serial)), said).await?;
        let renew = now + Span(LONGEST_LEAF.0 / 2);
        let key = key.material().map_err(KeysError::from)?;
        Ok(X509Issued { id, certificate, key, expires, made: now, renew, epoch })
    }

    /// After a wait: an agent that was stopped meanwhile gets nothing, also when it was resumed already.
    fn still(&self, workload: &Workload, (epoch, since): (Epoch, Timestamp)) -> Result<(), DomainError> {
        let name = &workload.agent;
        let slot = self.agent(name, workload.instance.as_deref())?;
        if slot.epoch() == epoch && slot.refuse_older(since).is_ok() {
            return Ok(());
        }
        let why = format!("agent `{name}` was stopped or changed while its SVID was made: ask again");
        Err(DomainError::Stopped { agent: name.clone(), why })
    }

    /// Who may have an SVID: an agent that nobody stopped, in its time. It needs no key of its own: the mapping of its
    /// workload, which only the configuration can state, stands for it.
    fn agent(&self, name: &str, copy: Option<&str>) -> Result<Arc<AgentSlot>, DomainError> {
        let stopped = |why: String| DomainError::Stopped { agent: name.to_owned(), why };
        let found = self.authenticator.directory.agent(name);
        let slot = found.ok_or_else(|| stopped(format!("there is no agent `{name}`")))?;
        slot.demand_open(copy).map_err(|reason| stopped(reason.why))?;
        match slot.standing(self.now()) {
            Standing::Active | Standing::Registered => Ok(slot),
            other => Err(stopped(other.why(&slot.agent()).unwrap_or_default())),
        }
    }

    fn id(&self, workload: &Workload) -> Result<SpiffeId, IdError> {
        match &workload.instance {
            Some(instance) => self.name.workload(&[AGENT, &workload.agent, instance]),
            None => self.name.workload(&[AGENT, &workload.agent]),
        }
    }

    fn now(&self) -> Timestamp {
        self.authenticator.clock.now()
    }

    /// The entry of one SVID. It is on the disk before the SVID leaves.
    async fn record(
        &self,
        workload: &Workload,
        agent: &Agent,
        id: &SpiffeId,
        (kind, name): (&str, &str),
        mut said: Value,
    ) -> Result<(), DomainError> {
        said["kind"] = kind.into();
        said["spiffe_id"] = id.as_str().into();
        said["attested"] = workload.attested.as_str().into();
        let after = canonical(&said).ok().map(|json| String::from_utf8_lossy(&json).into_owned());
        let who = Who {
            agent: Some(agent.id.to_string()),
            name: Some(agent.name.clone()),
            instance: workload.instance.clone(),
            ..Who::default()
        };
        let change = Change { noun: "svid".into(), id: name.to_owned(), verb: "issue".into(), after };
        let draft = Draft { kind: Kind::Change, at: self.now(), who, change: Some(change), ..Draft::default() };
        self.authenticator.store.append(draft).await.map_err(KeysError::from)?;
        Ok(())
    }

    /// The keys, after whatever step was due.
    async fn rings(&self) -> Result<Arc<Rings>, KeysError> {
        let rings = self.rings.load_full();
        if rings.due(self.now()).is_none() {
            return Ok(rings);
        }
        let _turn = self.turn.lock().await;
        let means = means(&self.name, &self.authenticator);
        loop {
            let (rings, now) = (self.rings.load_full(), self.now());
            let Some(step) = rings.due(now) else { return Ok(rings) };
            step.take(&means, now).await?;
            self.rings.store(Arc::new(Rings::load(&means).await?));
        }
    }
}

impl Rings {
    async fn load(means: &Means<'_>) -> Result<Self, KeysError> {
        Ok(Self { x509: Ring::load(means, Purpose::X509).await?, jwt: Ring::load(means, Purpose::Jwt).await? })
    }

    fn due(&self, now: Timestamp) -> Option<Step> {
        self.x509.due(now).or_else(|| self.jwt.due(now))
    }
}

impl std::fmt::Debug for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Domain({})", self.name)
    }
}

fn means<'a>(domain: &'a TrustDomain, authenticator: &'a Authenticator) -> Means<'a> {
    Means { domain, store: &authenticator.store, vault: &authenticator.vault, random: &*authenticator.random }
}

fn signer(ring: &Ring, now: Timestamp) -> Result<Arc<PrivateKey>, KeysError> {
    let private = ring.signer(now).and_then(|held| held.private.clone());
    private.ok_or(KeysError::Key(KeyRefused("used: there is none in force")))
}

fn check_audiences(audiences: &[String]) -> Result<(), DomainError> {
    let fine = |one: &String| (1..=LONGEST_AUDIENCE).contains(&one.len());
    let twice = |(at, one): (usize, &String)| audiences[..at].contains(one);
    let wrong = !(1..=AUDIENCES).contains(&audiences.len()) || !audiences.iter().all(fine);
    if wrong || audiences.iter().enumerate().any(twice) { Err(DomainError::Audiences) } else { Ok(()) }
}
