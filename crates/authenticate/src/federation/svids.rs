//! Logins with SVIDs (draft-ietf-oauth-spiffe-client-auth): the trust domain vouches for a workload, and a trust source
//! says which agent that is.

use std::sync::Arc;

use chancery_model::{Span, Timestamp, TrustKind, TrustSource, problem};
use serde::Deserialize;

use super::bundles::{Judged, Origin};
use super::copies::Missing;
use super::facts::Facts;
use super::{Attested, refuse, untrusted};
use crate::authenticator::Authenticator;
use crate::clients::BEFORE_START;
use crate::directory::AgentSlot;
use crate::jose::{Compact, JoseError, Text, claims, sha256};
use crate::shown::ShownCertificates;
use crate::spiffe::{Bundle, JwtSvid, SpiffeId, SvidRefused, TrustDomain, verify_jwt_svid, verify_x509_svid};
use crate::token::OauthError;

/// How far ahead the end of a JWT-SVID may be.
const LONGEST: Span = Span::hours(1);

/// Only who it says it is, to find the bundle it has to be verified with.
#[derive(Deserialize)]
struct Hearsay<'a> {
    #[serde(borrow)]
    sub: Text<'a>,
}

/// Whom a JWT says it names, if that is a SPIFFE ID.
pub(super) fn claimed(token: &str) -> Option<SpiffeId> {
    let payload = Compact::parse(token).and_then(|jws| jws.hearsay()).ok()?;
    claims::<Hearsay<'_>>(&payload).ok()?.sub.parse().ok()
}

impl Authenticator {
    /// The agent that a JWT-SVID logs in. One with a `jti` is used up.
    pub(crate) async fn attested_by_jwt_svid(
        &self,
        token: &str,
        client_id: Option<&str>,
    ) -> Result<Attested, OauthError> {
        let id = claimed(token).ok_or_else(|| refuse("its `sub` is no SPIFFE ID"))?;
        let now = self.clock.now();
        let judge = |bundle: &Bundle| match verify_jwt_svid(token, bundle, &self.config.issuer, now) {
            Ok(svid) => Judged::Good(svid),
            Err(refused) if bundle.knows_signer(token) => Judged::Bad(refused),
            Err(refused) => Judged::Unknown(refused),
        };
        let (svid, about) = self.verified_svid(TrustKind::SpiffeJwt, &id, judge).await?;
        if svid.expires > now + LONGEST {
            return Err(refuse("its `exp` is more than an hour ahead"));
        }
        let facts = facts(token)?;
        let about = about.into_iter().filter(|source| facts.meet(source)).collect();
        let (source, slot) = self.agent_of_svid(&svid.id, about, client_id)?;
        self.use_up_svid(&svid, &facts, now).await?;
        Ok(Attested { instance: self.federation.copy_of(&svid.id), slot, source })
    }

    /// The agent that an X.509-SVID logs in, and until when it does. The connection was made with its key.
    pub(crate) async fn attested_by_x509_svid(
        &self,
        shown: &ShownCertificates,
        client_id: &str,
    ) -> Result<(Attested, Timestamp), OauthError> {
        let id: SpiffeId = client_id.parse().map_err(|e| refuse(format!("`client_id` is no SPIFFE ID: {e}")))?;
        let now = self.clock.now();
        let judge = |bundle: &Bundle| match verify_x509_svid(&shown.chain(), bundle, now) {
            Ok(svid) if svid.id == id => Judged::Good(svid),
            Ok(svid) => Judged::Bad(SvidRefused(format!("`client_id` is not `{}`, which it names", svid.id))),
            Err(refused) => Judged::Unknown(refused),
        };
        let (svid, about) = self.verified_svid(TrustKind::SpiffeX509, &id, judge).await?;
        let (source, slot) = self.agent_of_svid(&svid.id, about, Some(client_id))?;
        Ok((Attested { instance: self.federation.copy_of(&svid.id), slot, source }, svid.expires))
    }

    /// What a bundle verified, and the sources for which that bundle speaks.
    async fn verified_svid<T>(
        &self,
        kind: TrustKind,
        id: &SpiffeId,
        judge: impl Fn(&Bundle) -> Judged<T>,
    ) -> Result<(T, Vec<Arc<TrustSource>>), OauthError> {
        let domain: TrustDomain = id.domain().parse().map_err(|e| refuse(format!("`{id}`: {e}")))?;
        let about = self.federation.sources.of_domain(kind, domain.id().as_str());
        if about.is_empty() {
            return Err(untrusted(format!("no trust source of kind `{}` is about `{}`", kind.name(), domain.id())));
        }
        let mut origins: Vec<Origin> = Vec::new();
        let mut refused = refuse("no bundle verifies it");
        for origin in about.iter().map(|source| Origin::of(&domain, source)) {
            if origins.contains(&origin) {
                continue;
            }
            match self.federation.bundles.judge(&domain, &origin, &judge).await {
                Ok(Judged::Good(svid)) => {
                    let same = |source: &Arc<TrustSource>| Origin::of(&domain, source) == origin;
                    return Ok((svid, about.into_iter().filter(same).collect()));
                }
                Ok(Judged::Bad(e) | Judged::Unknown(e)) => refused = refuse(e.to_string()),
                Err(Missing::Unknown) => {}
                Err(Missing::Unavailable(why)) => {
                    refused = OauthError::new(problem::NO_ISSUER_KEYS, "temporarily_unavailable", why);
                }
            }
            origins.push(origin);
        }
        Err(refused)
    }

    /// The one agent whose trust source is about exactly this workload.
    fn agent_of_svid(
        &self,
        id: &SpiffeId,
        about: Vec<Arc<TrustSource>>,
        client_id: Option<&str>,
    ) -> Result<(Arc<TrustSource>, Arc<AgentSlot>), OauthError> {
        let named = |source: &Arc<TrustSource>| source.subject == id.as_str();
        let client = |source: &Arc<TrustSource>| {
            client_id.is_none_or(|named| named == source.subject) || self.is_client(source, client_id)
        };
        let mut met = about.into_iter().filter(named).filter(client);
        let why = "a claim has not the value that the source states, or `client_id` is not its agent";
        let nobody = || untrusted(format!("no trust source of its trust domain is about `{id}`, or {why}"));
        let source = met.next().ok_or_else(nobody)?;
        if met.next().is_some() {
            return Err(untrusted("it is several agents: say with `client_id` which is meant".to_owned()));
        }
        let slot = self.directory.agent_of(&source.agent).ok_or_else(|| untrusted("its agent is gone".to_owned()))?;
        let active = slot.demand_active(self.clock.now());
        active.map_err(|reason| OauthError::new(reason.row, "invalid_grant", reason.why))?;
        Ok((source, slot))
    }

    /// `jti` is optional (JWT-SVID, section 3): one that has it is good for one login. One without it logs in until it
    /// expires, like what a platform puts into a file: what it is exchanged for is bound to the presenter's key.
    async fn use_up_svid(&self, svid: &JwtSvid, facts: &Facts, now: Timestamp) -> Result<(), OauthError> {
        let Some(id) = &svid.token_id else { return Ok(()) };
        if facts.time("iat").is_none_or(|made| self.is_from_before(made, self.config.skew)) {
            return Err(refuse(BEFORE_START));
        }
        self.take_assertion(&sha256(svid.id.as_str().as_bytes()), id, svid.expires, now).await
    }
}

impl super::Federation {
    /// Does this say that it is an SVID?
    pub(crate) fn is_svid(&self, assertion: &str) -> bool {
        claimed(assertion).is_some()
    }

    /// The running copy, where our own trust domain names one: `/agent/NAME/COPY`.
    fn copy_of(&self, id: &SpiffeId) -> Option<String> {
        let own = self.bundles.is_own(id.domain());
        let mut path = id.path().strip_prefix("/agent/").filter(|_| own)?.split('/');
        path.nth(1).map(str::to_owned)
    }
}

/// The claims of a token that was verified, each once.
fn facts(token: &str) -> Result<Facts, OauthError> {
    let payload = Compact::parse(token).and_then(|jws| jws.hearsay());
    Facts::read(&payload.map_err(|e: JoseError| refuse(e.to_string()))?).map_err(refuse)
}
