//! Logins without a secret: a platform vouches for a workload, and a trust source says which agent that is (RFC 7523
//! with other issuers' assertions; what the field calls workload identity federation).
//!
//! What is believed of a platform's token is what its signature covers, and of that only what a trust source says
//! letter by letter. The kinds of sources differ in what must be said, not in how it is verified.

use std::sync::Arc;

use chancery_fetch::Fetcher;
use chancery_model::{Changed, Clock, Span, Timestamp, TrustKind, TrustSource, problem};
use serde::Deserialize;

use crate::authenticator::Authenticator;
use crate::clients::BEFORE_START;
use crate::directory::AgentSlot;
use crate::jose::{Compact, Header, PublicKey, Text, claims, sha256, short};
use crate::replay::Replayed;
use crate::spiffe::{Bundle, Domain};
use crate::token::OauthError;

mod bundles;
mod copies;
mod facts;
mod key_set;
mod key_sets;
mod sources;
mod svids;

use bundles::Bundles;
pub(crate) use copies::Missing;
pub(crate) use facts::Facts;
use key_set::KeySet;
pub(crate) use key_sets::{KeySets, Origin};
use sources::Sources;

/// How far a platform's clock may be off.
pub(crate) const SKEW: Span = Span::seconds(30);
/// The longest life of a token that may be used again and again until it expires.
const LONGEST: Span = Span::hours(24);
/// The longest life of a token that is used once.
const LONGEST_ONCE: Span = Span::minutes(20);

/// What is trusted, and the keys of those who vouch.
pub(crate) struct Federation {
    pub(crate) sources: Sources,
    keys: KeySets,
    bundles: Bundles,
}

/// A workload that a platform vouched for, and the agent that it is.
#[derive(Debug, Clone)]
pub struct Attested {
    pub(crate) slot: Arc<AgentSlot>,
    /// What made it that agent.
    pub source: Arc<TrustSource>,
    /// The running copy, where the platform names it: a pod, a run of a workflow.
    pub instance: Option<String>,
}

/// Only who it says it is from, to find the keys it has to be verified with.
#[derive(Deserialize)]
struct Hearsay<'a> {
    #[serde(borrow)]
    iss: Text<'a>,
}

impl Federation {
    pub(crate) fn new(fetcher: Arc<Fetcher>, clock: Arc<dyn Clock>) -> Self {
        Self {
            sources: Sources::default(),
            keys: KeySets::new(fetcher.clone(), clock.clone()),
            bundles: Bundles::new(fetcher, clock),
        }
    }

    /// The key that this issuer signed with.
    pub(crate) async fn issuer_key(&self, origin: &Origin, header: &Header<'_>) -> Result<Arc<PublicKey>, OauthError> {
        self.key_of(origin, header).await.map_err(|missing| match missing {
            Missing::Unknown => refuse("it is signed by none of the issuer's present keys"),
            Missing::Unavailable(why) => OauthError::new(problem::NO_ISSUER_KEYS, "temporarily_unavailable", why),
        })
    }

    /// The same, for whoever says in another way that there is none.
    pub(crate) async fn key_of(&self, origin: &Origin, header: &Header<'_>) -> Result<Arc<PublicKey>, Missing> {
        self.keys.key(origin, header.kid.as_deref(), &header.alg).await
    }

    /// Takes a committed change over.
    pub(crate) fn observe(&self, changed: &Changed) {
        let Changed::TrustSource(source) = changed else { return };
        self.sources.put(source.clone());
        if source.removed_at.is_some() {
            self.keys.forget_unless(|origin| self.sources.any(|source| Origin::of(source) == *origin));
            self.bundles.forget_unless(|origin| match origin {
                bundles::Origin::At(domain, _) => {
                    self.sources.any(|source| bundles::Origin::of(domain, source) == *origin)
                }
                bundles::Origin::Own | bundles::Origin::Stated(_) => false,
            });
        }
    }
}

impl Attested {
    /// For the record of what is done with it.
    pub(crate) fn detail(&self) -> String {
        let source = &self.source;
        format!("attested by {} as `{}` (trust source `{}`)", source.issuer, source.subject, source.name)
    }
}

/// Whether a JWK set can be used as the stated keys of a trust source.
///
/// # Errors
/// What is wrong with it.
pub fn check_key_set(json: &str) -> Result<(), String> {
    KeySet::read(json.as_bytes()).map(drop)
}

/// Whether a document can be used as the stated bundle of a trust source about a SPIFFE trust domain. A bundle does not
/// say whose it is: that is for whoever names it.
///
/// # Errors
/// What is wrong with it.
pub fn check_bundle(json: &str) -> Result<(), String> {
    let whose = "any.example".parse().map_err(|e| format!("{e}"))?;
    Bundle::parse(whose, json).map(drop).map_err(|e| e.to_string())
}

impl Authenticator {
    /// Names our own trust domain, whose SVIDs log in by its own bundle.
    pub fn set_own_domain(&self, domain: &Arc<Domain>) {
        self.federation.bundles.set_own(domain);
    }

    /// The agent that a platform's token speaks for. `client_id` chooses where one workload is several agents.
    pub(crate) async fn attested(&self, assertion: &str, client_id: Option<&str>) -> Result<Attested, OauthError> {
        let jws = Compact::parse(assertion).map_err(|e| refuse(e.to_string()))?;
        let header = jws.header().map_err(|e| refuse(e.to_string()))?;
        check_header(&header)?;
        let hearsay = jws.hearsay().map_err(|e| refuse(e.to_string()))?;
        let named: Hearsay<'_> = claims(&hearsay).map_err(|e| refuse(e.to_string()))?;
        let about = self.federation.sources.of_issuer(&named.iss);
        if about.is_empty() {
            return Err(untrusted(format!("no trust source has the issuer `{}`", short(&named.iss))));
        }
        let (payload, origin) = self.verified_by_platform(&jws, &header, &about).await?;
        let facts = Facts::read(&payload).map_err(refuse)?;
        let about: Vec<_> = about.into_iter().filter(|source| Origin::of(source) == origin).collect();
        self.workload(&facts, &about, client_id).await
    }

    /// The payload, and whose keys vouch for it.
    async fn verified_by_platform(
        &self,
        jws: &Compact<'_>,
        header: &Header<'_>,
        about: &[Arc<TrustSource>],
    ) -> Result<(Vec<u8>, Origin), OauthError> {
        let mut origins: Vec<Origin> = Vec::new();
        let mut refused = refuse("its signature does not verify");
        for origin in about.iter().map(|source| Origin::of(source)) {
            if origins.contains(&origin) {
                continue;
            }
            match self.federation.keys.key(&origin, header.kid.as_deref(), &header.alg).await {
                Ok(key) => match jws.verify(header, &key) {
                    Ok(payload) => return Ok((payload, origin)),
                    Err(e) => refused = refuse(e.to_string()),
                },
                Err(Missing::Unknown) => refused = refuse("it is signed by none of the issuer's present keys"),
                Err(Missing::Unavailable(why)) => {
                    refused = OauthError::new(problem::NO_ISSUER_KEYS, "temporarily_unavailable", why);
                }
            }
            origins.push(origin);
        }
        Err(refused)
    }

    /// The one agent whose trust source the facts meet. The token is used up where it can be used only once.
    async fn workload(
        &self,
        facts: &Facts,
        about: &[Arc<TrustSource>],
        client_id: Option<&str>,
    ) -> Result<Attested, OauthError> {
        let now = self.clock.now();
        check_times(facts, now)?;
        let subject = facts.text("sub").ok_or_else(|| refuse("it has no `sub`"))?;
        let audience = facts.audience().ok_or_else(|| refuse("its `aud` must be one value, alone"))?;
        let named: Vec<_> = about.iter().filter(|source| source.subject == subject).collect();
        if named.is_empty() {
            return Err(untrusted(format!("no trust source of its issuer is about the subject `{subject}`")));
        }
        let meant: Vec<_> = named.into_iter().filter(|source| source.audience == audience).collect();
        if meant.is_empty() {
            return Err(refuse("its `aud` is not the one that the trust source states"));
        }
        let mut met = meant.into_iter().filter(|source| facts.meet(source) && self.is_client(source, client_id));
        let why = "a claim has not the value that the trust source states, or `client_id` is not its agent";
        let source = met.next().ok_or_else(|| untrusted(why.to_owned()))?;
        if met.next().is_some() {
            return Err(untrusted("it is several agents: say with `client_id` which is meant".to_owned()));
        }
        check_kind(facts, source)?;
        let slot = self.directory.agent_of(&source.agent).ok_or_else(|| untrusted("its agent is gone".to_owned()))?;
        slot.demand_active(now).map_err(|reason| OauthError::new(reason.row, "invalid_grant", reason.why))?;
        self.use_up_attestation(facts, source, now).await?;
        Ok(Attested { slot, source: Arc::clone(source), instance: facts.instance(source.kind) })
    }

    fn is_client(&self, source: &TrustSource, client_id: Option<&str>) -> bool {
        let Some(named) = client_id else { return true };
        self.directory.agent(named).is_some_and(|slot| slot.agent().id == source.agent)
    }

    /// Tokens of a workflow's run are made for one use. Those that a platform puts into a file are used until they
    /// expire: what they are exchanged for is bound to the presenter's key.
    async fn use_up_attestation(&self, facts: &Facts, source: &TrustSource, now: Timestamp) -> Result<(), OauthError> {
        if source.kind != TrustKind::Github {
            return Ok(());
        }
        let (id, made) = (facts.text("jti"), facts.time("iat"));
        let id = id.filter(|id| !id.is_empty()).ok_or_else(|| refuse("it has no `jti`"))?;
        if made.is_none_or(|made| self.is_from_before(made, SKEW)) {
            return Err(refuse(BEFORE_START));
        }
        let dies = facts.time("exp").unwrap_or(now) + SKEW;
        self.take_assertion(&sha256(source.issuer.as_bytes()), id, dies, now).await
    }

    /// Uses up the assertion of this name by this issuer, for as long as it lives.
    pub(crate) async fn take_assertion(
        &self,
        issuer: &[u8; 32],
        id: &str,
        dies: Timestamp,
        now: Timestamp,
    ) -> Result<(), OauthError> {
        self.take_once(issuer, id, dies, now).await.map_err(|untaken| match untaken {
            Untaken::Replayed(Replayed::Full) => busy(Replayed::Full.to_string()),
            Untaken::Replayed(replayed) => refuse(format!("it cannot be taken: {replayed}")),
            Untaken::Store(why) => busy(why),
        })
    }

    /// Uses up what may be shown once: here, and where other nodes would see it. A proof (RFC 9449) needs no such: its
    /// nonce is good at the node that gave it, and nowhere else.
    pub(crate) async fn take_once(
        &self,
        key: &[u8; 32],
        id: &str,
        dies: Timestamp,
        now: Timestamp,
    ) -> Result<(), Untaken> {
        self.assertions.take(key, id, dies, now).map_err(Untaken::Replayed)?;
        let name = sha256(&[key, id.as_bytes()].concat());
        match self.store.show_once(&name, dies).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Untaken::Replayed(Replayed::Before)),
            Err(e) => Err(Untaken::Store(e.to_string())),
        }
    }
}

/// Why something was not used up.
pub(crate) enum Untaken {
    /// It cannot be, or was.
    Replayed(Replayed),
    /// Nobody can say.
    Store(String),
}

pub(crate) fn busy(why: String) -> OauthError {
    OauthError::new(problem::TOO_BUSY, "temporarily_unavailable", why)
}

/// The end of a token that is made for one use, after which it need not be remembered.
pub(crate) fn check_short_times(facts: &Facts, now: Timestamp) -> Result<Timestamp, OauthError> {
    check_times(facts, now)?;
    let ends = facts.time("exp").filter(|ends| facts.time("iat").is_some_and(|made| *ends <= made + LONGEST_ONCE));
    ends.map(|ends| ends + SKEW).ok_or_else(|| refuse("it lives longer than 20 minutes"))
}

/// Platforms write `JWT` or nothing. Every other type is for something else: an access token, a proof, an event.
fn check_header(header: &Header<'_>) -> Result<(), OauthError> {
    header.refuse_jwk().map_err(|e| refuse(e.to_string()))?;
    if header.typ.as_deref().is_none_or(|typ| typ.eq_ignore_ascii_case("JWT")) {
        return Ok(());
    }
    Err(refuse("its `typ` is not that of an identity token"))
}

fn check_times(facts: &Facts, now: Timestamp) -> Result<(), OauthError> {
    let expires = facts.time("exp").ok_or_else(|| refuse("it has no `exp`"))?;
    let made = facts.time("iat").ok_or_else(|| refuse("it has no `iat`"))?;
    let from = facts.time("nbf").filter(|_| facts.has("nbf")).unwrap_or(made);
    let wrong = if now >= expires + SKEW {
        "it expired"
    } else if made > now + SKEW || from > now + SKEW {
        "its `iat` or `nbf` is in the future"
    } else if facts.has("nbf") && facts.time("nbf").is_none() {
        "its `nbf` is no time"
    } else if expires > made + LONGEST {
        "it lives longer than 24 hours"
    } else {
        return Ok(());
    };
    Err(refuse(wrong))
}

/// What a kind demands besides what a source states.
fn check_kind(facts: &Facts, source: &TrustSource) -> Result<(), OauthError> {
    if source.kind != TrustKind::Github {
        return Ok(());
    }
    let life = facts.time("exp").zip(facts.time("iat")).map(|(expires, made)| expires - made);
    if life.is_none_or(|life| life.0 > LONGEST_ONCE.0) {
        return Err(refuse("it lives longer than 20 minutes"));
    }
    // A pull request runs what its author wrote, under the name of the branch or environment it is about.
    let event = facts.text("event_name").ok_or_else(|| refuse("it has no `event_name`"))?;
    if event.starts_with("pull_request") && !source.claims.contains_key("event_name") {
        return Err(untrusted(format!("the run was started by `{event}`, and the trust source does not state that")));
    }
    Ok(())
}

fn refuse(why: impl Into<String>) -> OauthError {
    OauthError::new(problem::BAD_ATTESTATION, "invalid_grant", why)
}

fn untrusted(why: String) -> OauthError {
    OauthError::new(problem::NOT_TRUSTED, "invalid_grant", why)
}
