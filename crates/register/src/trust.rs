//! Trust sources: which workload of which platform logs which agent in. Narrow by construction: what is not exactly one
//! workload is refused, with what to write instead.

use std::collections::BTreeMap;

use chancery_model::{Agent, AgentState, TrustKind, TrustSource};
use chancery_store::{StoreError, agents, findings, trust_sources};

use crate::registrar::{By, Registrar, disarm};
use crate::{RegisterError, fields};

/// GitHub's own issuer; a GitHub Enterprise server has another.
const GITHUB: &str = "https://token.actions.githubusercontent.com";
/// The longest subject or value of a claim, in bytes.
const LONGEST: usize = 512;
/// The longest stated key set, in bytes.
const LONGEST_SET: usize = 64 * 1024;
/// How many claims a source may state.
const CLAIMS: usize = 16;

/// What is to be trusted, and for whom.
#[derive(Debug, Clone)]
pub struct TrustRequest {
    /// `[a-z0-9][a-z0-9-]{0,62}`.
    pub name: String,
    /// Which platform.
    pub kind: TrustKind,
    /// The `iss` of its tokens, or the SPIFFE trust domain; known where the kind has only one.
    pub issuer: Option<String>,
    /// Where its keys are, if not where its metadata says.
    pub jwks_uri: Option<String>,
    /// Its keys, if they are not to be fetched. Whether they can be used is for the room that knows keys to say.
    pub jwks: Option<String>,
    /// The `aud` of its tokens; our issuer if nothing is said.
    pub audience: Option<String>,
    /// The `sub` of the workload; follows from the claims of a GitHub workflow.
    pub subject: Option<String>,
    /// Further claims, each with its only value.
    pub claims: BTreeMap<String, String>,
    /// The agent's name or id.
    pub agent: String,
}

impl Registrar {
    /// Trusts a workload to be an agent. A registered agent becomes active by it; an active one goes on.
    pub async fn add_trust_source(&self, request: &TrustRequest, actor: &str) -> Result<TrustSource, RegisterError> {
        let now = self.clock.now();
        let agent = self.agent(&request.agent).await?;
        let mut source = self.exact(request, &agent)?;
        source.created_at = now;
        self.refuse_taken(&source).await?;
        let activated = agent.clone().activate()?;
        let by = By { actor, verb: "add", reason: None };
        let draft = by.draft(now, "trust_source", &source.name, &source);
        let stored = source.clone();
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                if agents::get(&mut *tx, &agent.id).await?.as_ref() != Some(&agent) {
                    return Err(StoreError::refuse(RegisterError::Busy(agent.name)));
                }
                if trust_sources::get(&mut *tx, &stored.name).await?.is_some() {
                    return Err(StoreError::refuse(taken(&stored.name)));
                }
                trust_sources::insert(tx, &stored).await?;
                findings::close(tx, crate::findings::NEVER_ENROLLED, &agent.name, now).await?;
                if activated == agent { Ok(()) } else { agents::update(tx, &activated).await }
            })
        });
        write.await?;
        Ok(source)
    }

    /// Trusts it no longer: every session of its agent ends, and the agent logs in again by what it has left.
    pub async fn remove_trust_source(
        &self,
        name: &str,
        reason: &str,
        actor: &str,
    ) -> Result<TrustSource, RegisterError> {
        let now = self.clock.now();
        let reason = fields::said("reason", reason)?;
        let unknown = || RegisterError::NoTrustSource(name.chars().take(80).collect());
        let source = trust_sources::get(&self.store, name).await?.ok_or_else(unknown)?;
        let by = By { actor, verb: "remove", reason: Some(&reason) };
        let draft = by.draft(now, "trust_source", &source.name, &source);
        let removed = source.clone();
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                trust_sources::remove(&mut *tx, &removed, now).await?;
                disarm(tx, &removed.agent, now).await
            })
        });
        write.await?;
        Ok(source)
    }

    /// Every trust source, by name.
    pub async fn trust_sources(&self) -> Result<Vec<TrustSource>, RegisterError> {
        Ok(trust_sources::all(&self.store).await?)
    }

    async fn refuse_taken(&self, source: &TrustSource) -> Result<(), RegisterError> {
        let all = self.trust_sources().await?;
        if all.iter().any(|other| other.name == source.name) {
            return Err(taken(&source.name));
        }
        let same = |other: &&TrustSource| {
            (&other.issuer, &other.subject, &other.audience, &other.claims, &other.agent)
                == (&source.issuer, &source.subject, &source.audience, &source.claims, &source.agent)
        };
        match all.iter().find(same) {
            Some(other) => {
                let why = format!("trust source `{}` says the same already", other.name);
                Err(RegisterError::TrustSourceExists(why))
            }
            None => Ok(()),
        }
    }

    fn exact(&self, request: &TrustRequest, agent: &Agent) -> Result<TrustSource, RegisterError> {
        if agent.state == AgentState::Suspended {
            let verb = "trusted through a platform";
            return Err(chancery_model::TransitionRefused { name: agent.name.clone(), state: agent.state, verb }.into());
        }
        let issuer = self.issuer(request)?;
        let mut claims = self.claims(request)?;
        let subject = match (&request.subject, request.kind) {
            (Some(subject), _) => subject.clone(),
            (None, TrustKind::Github) => github_subject(&claims)?,
            (None, kind) => return Err(not_exact("subject", format!("it is mandatory: {}", instead(kind)))),
        };
        check_value("subject", &subject, instead(request.kind))?;
        match request.kind {
            TrustKind::Github => check_github(&subject, &claims)?,
            TrustKind::Kubernetes => complete_kubernetes(&subject, &mut claims)?,
            TrustKind::SpiffeJwt | TrustKind::SpiffeX509 => self.check_svid(request, &issuer, &subject, agent)?,
            TrustKind::Oidc => {}
        }
        let audience = request.audience.clone().unwrap_or_else(|| self.config.issuer.clone());
        check_value("audience", &audience, "state the one value that the platform writes, by default our issuer")?;
        Ok(TrustSource {
            name: fields::name("name", &request.name)?,
            kind: request.kind,
            jwks_uri: self.jwks_uri(request)?,
            jwks: request.jwks.clone(),
            issuer,
            audience,
            subject,
            claims,
            agent: agent.id.clone(),
            created_at: agent.created_at,
            removed_at: None,
        })
    }

    /// An SVID names a workload of one trust domain, whose keys are our own, stated, or at its bundle endpoint, and is
    /// for us alone (draft-ietf-oauth-spiffe-client-auth, section 3).
    fn check_svid(
        &self,
        request: &TrustRequest,
        domain: &str,
        subject: &str,
        agent: &Agent,
    ) -> Result<(), RegisterError> {
        let path = workload_of(domain, subject)?;
        let has_keys = request.jwks.is_some() || request.jwks_uri.is_some();
        match (self.config.trust_domain.as_deref() == Some(domain), has_keys) {
            (true, true) => {
                return Err(not_exact("jwks_uri", "it is our own trust domain, whose keys are known: leave them out"));
            }
            (false, false) => {
                let why = format!(
                    "the keys of `{domain}` are mandatory: its bundle endpoint (an https address), or its bundle as `jwks`"
                );
                return Err(not_exact("jwks_uri", why));
            }
            (true, false) if path.split('/').take(2).ne(["agent", agent.name.as_str()]) => {
                let why = format!("in our own trust domain agent `{0}` is `{domain}/agent/{0}`", agent.name);
                return Err(not_exact("subject", why));
            }
            _ => {}
        }
        if request.audience.as_ref().is_some_and(|audience| *audience != self.config.issuer) {
            let why = format!("it is `{}` for every SVID, and nothing else", self.config.issuer);
            return Err(not_exact("audience", why));
        }
        if request.kind == TrustKind::SpiffeX509 && !request.claims.is_empty() {
            return Err(not_exact("claims", "a certificate has none: leave them out"));
        }
        Ok(())
    }

    fn issuer(&self, request: &TrustRequest) -> Result<String, RegisterError> {
        let follows = match request.kind {
            TrustKind::Github => Some(GITHUB),
            TrustKind::SpiffeJwt | TrustKind::SpiffeX509 => request.subject.as_deref().and_then(domain_of),
            TrustKind::Oidc | TrustKind::Kubernetes => None,
        };
        let Some(issuer) = request.issuer.as_deref().or(follows) else {
            return Err(match request.kind.is_spiffe() {
                true => not_exact("subject", format!("it is mandatory: {}", instead(request.kind))),
                false => not_exact("issuer", "it is mandatory: the `iss` of the platform's tokens"),
            });
        };
        if issuer == self.config.issuer {
            return Err(not_exact("issuer", "it is this server itself, whose tokens are not evidence for it"));
        }
        if request.kind.is_spiffe() {
            return trust_domain(issuer).map(|_| issuer.to_owned());
        }
        if request.jwks.is_some() {
            // Nothing is fetched from it: it is a name.
            return check_value("issuer", issuer, "state the `iss` as the platform writes it")
                .map(|()| issuer.to_owned());
        }
        let permitted = self.config.fetch.permits(issuer).map_err(|e| not_exact("issuer", e.to_string()))?;
        if permitted.query().is_some() {
            return Err(not_exact("issuer", "it has a query, which an issuer has not (RFC 8414, section 2)"));
        }
        Ok(issuer.to_owned())
    }

    fn jwks_uri(&self, request: &TrustRequest) -> Result<Option<String>, RegisterError> {
        let (uri, set) = (&request.jwks_uri, &request.jwks);
        if uri.is_some() && set.is_some() {
            return Err(not_exact("jwks_uri", "the keys are stated already: leave out one of `jwks_uri` and `jwks`"));
        }
        if set.as_ref().is_some_and(|set| set.len() > LONGEST_SET) {
            return Err(not_exact("jwks", "it is longer than 64 KiB"));
        }
        if let Some(uri) = uri {
            self.config.fetch.permits(uri).map_err(|e| not_exact("jwks_uri", e.to_string()))?;
        }
        Ok(uri.clone())
    }

    fn claims(&self, request: &TrustRequest) -> Result<BTreeMap<String, String>, RegisterError> {
        if request.claims.len() > CLAIMS {
            return Err(not_exact("claims", format!("there are more than {CLAIMS}")));
        }
        for (name, value) in &request.claims {
            check_value("claims", name, "name a claim of the token")?;
            let advice = format!("state the one value that `{name}` has in the token");
            check_value("claims", value, &advice)?;
        }
        Ok(request.claims.clone())
    }
}

/// What is to be written for a subject of this kind.
fn instead(kind: TrustKind) -> &'static str {
    match kind {
        TrustKind::Kubernetes => "write `system:serviceaccount:NAMESPACE:NAME`, one source for each service account",
        TrustKind::Github => {
            "write `repo:OWNER/REPOSITORY:ref:refs/heads/BRANCH` or `repo:OWNER/REPOSITORY:environment:NAME`, one source for each"
        }
        TrustKind::SpiffeJwt | TrustKind::SpiffeX509 => {
            "write `spiffe://TRUST-DOMAIN/PATH`, one source for each workload"
        }
        TrustKind::Oidc => "write the `sub` of the workload's token letter by letter, one source for each workload",
    }
}

/// One value and no pattern: what looks like a pattern was meant as one, and would never match.
fn check_value(field: &'static str, text: &str, instead: &str) -> Result<(), RegisterError> {
    let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
    let why = if text.trim().is_empty() {
        "it is empty".to_owned()
    } else if text.len() > LONGEST {
        format!("it is longer than {LONGEST} bytes")
    } else if text.chars().any(|c| c.is_control() || c.is_whitespace() || fields::unseen(c)) {
        format!("`{shown}` holds white space or characters that do not show")
    } else if let Some(sign) = text.chars().find(|c| "*?^$\\[]{}()".contains(*c)) {
        format!("`{shown}` looks like a pattern (`{sign}`): a pattern trusts workloads that nobody has looked at")
    } else if text.ends_with([':', '/']) && matches!(field, "subject" | "claims") {
        format!("`{shown}` looks like the beginning of a name: a prefix trusts workloads that nobody has looked at")
    } else {
        return Ok(());
    };
    Err(not_exact(field, format!("{why}; {instead}")))
}

/// The subject GitHub writes unless the repository customised it.
fn github_subject(claims: &BTreeMap<String, String>) -> Result<String, RegisterError> {
    let repository = claims.get("repository").ok_or_else(no_repository)?;
    match (claims.get("environment"), claims.get("ref")) {
        (Some(environment), _) => Ok(format!("repo:{repository}:environment:{environment}")),
        (None, Some(reference)) => Ok(format!("repo:{repository}:ref:{reference}")),
        (None, None) => Err(no_reference()),
    }
}

/// A subject may be customised to say less than it seems: the claims say it in any case.
fn check_github(subject: &str, claims: &BTreeMap<String, String>) -> Result<(), RegisterError> {
    let repository = claims.get("repository").ok_or_else(no_repository)?;
    let parts: Vec<&str> = repository.split('/').collect();
    if parts.len() != 2 || parts.iter().any(|part| part.is_empty()) {
        return Err(not_exact("claims", format!("`{repository}` is not a repository: write `OWNER/REPOSITORY`")));
    }
    if subject.ends_with(":pull_request") && !claims.contains_key("event_name") {
        let why = "a pull request runs what its author wrote: name a branch or an environment instead";
        return Err(not_exact("subject", why));
    }
    if !claims.contains_key("ref") && !claims.contains_key("environment") {
        return Err(no_reference());
    }
    let full = |reference: &String| reference.starts_with("refs/heads/") || reference.starts_with("refs/tags/");
    match claims.get("ref") {
        Some(reference) if !full(reference) => {
            let why = format!("`{reference}` is not a whole reference: write `refs/heads/BRANCH` or `refs/tags/TAG`");
            Err(not_exact("claims", why))
        }
        _ => Ok(()),
    }
}

fn no_repository() -> RegisterError {
    not_exact("claims", "a GitHub source states its `repository`: write `repository=OWNER/REPOSITORY`")
}

fn no_reference() -> RegisterError {
    let why = "a repository is not enough, for every branch of it could log in: state `ref=refs/heads/BRANCH` or \
               `environment=NAME` too";
    not_exact("claims", why)
}

/// What the subject says is said by the claims of a projected token too: both are compared.
fn complete_kubernetes(subject: &str, claims: &mut BTreeMap<String, String>) -> Result<(), RegisterError> {
    let parts: Vec<&str> = subject.split(':').collect();
    let (namespace, name) = match parts.as_slice() {
        ["system", "serviceaccount", namespace, name] if !namespace.is_empty() && !name.is_empty() => (namespace, name),
        _ => {
            let why = format!("`{subject}` is not a service account: {}", instead(TrustKind::Kubernetes));
            return Err(not_exact("subject", why));
        }
    };
    for (claim, value) in [("kubernetes.io/namespace", namespace), ("kubernetes.io/serviceaccount/name", name)] {
        let stated = claims.entry(claim.to_owned()).or_insert_with(|| (*value).to_owned());
        if stated != value {
            return Err(not_exact("claims", format!("`{claim}` is `{stated}`, and the subject says `{value}`")));
        }
    }
    Ok(())
}

/// The path of a workload of the trust domain (SPIFFE-ID, section 2), without the slash it begins with.
fn workload_of<'s>(domain: &str, subject: &'s str) -> Result<&'s str, RegisterError> {
    let segment = |part: &str| {
        !matches!(part, "" | "." | "..") && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    };
    let path = subject.strip_prefix(domain).and_then(|rest| rest.strip_prefix('/'));
    let why = || format!("`{subject}` is no workload of `{domain}`: {}", instead(TrustKind::SpiffeJwt));
    path.filter(|path| path.split('/').all(segment)).ok_or_else(|| not_exact("subject", why()))
}

/// The trust domain of a SPIFFE ID: `spiffe://acme.example` of `spiffe://acme.example/agent/crm`.
fn domain_of(subject: &str) -> Option<&str> {
    let rest = subject.strip_prefix("spiffe://")?;
    let end = rest.find('/').unwrap_or(rest.len());
    subject.get(..subject.len() - rest.len() + end)
}

/// SPIFFE-ID, section 2.1: lower-case letters, digits, `.`, `-` and `_`.
fn trust_domain(issuer: &str) -> Result<&str, RegisterError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
    let name = issuer.strip_prefix("spiffe://").filter(|name| !name.is_empty() && name.len() < 256);
    name.filter(|name| name.bytes().all(plain))
        .ok_or_else(|| not_exact("issuer", format!("`{issuer}` is no trust domain: write `spiffe://TRUST-DOMAIN`")))
}

fn taken(name: &str) -> RegisterError {
    RegisterError::TrustSourceExists(format!("there is a trust source `{name}` already"))
}

fn not_exact(field: &'static str, why: impl Into<String>) -> RegisterError {
    RegisterError::NotExact { field, why: why.into() }
}

#[cfg(test)]
mod tests;
