//! What agents and blueprints are made of: looked at, and approved by the digest of what was looked at.

use std::sync::Arc;

use chancery_model::{Agent, Blueprint, Digest, Manifest, Seen, Stated};
use chancery_store::{findings, manifests};

use crate::RegisterError;
use crate::registrar::{Beside, By, Kept, Registrar};

/// What is to be approved.
#[derive(Debug, Clone)]
pub enum Approval {
    /// What was stated last, if it has this digest. The digest of the approved one keeps that, and settles the rest.
    Seen(Digest),
    /// This, whether or not anybody stated it before.
    Whole(Manifest),
}

/// What is known of somebody's manifest.
#[derive(Debug, Clone)]
pub struct Manifests {
    /// The digest of the approved one. Where there is none, any is accepted.
    pub digest: Option<Digest>,
    /// The approved one, where somebody stated all of it.
    pub approved: Option<Manifest>,
    /// The last that was stated and is not the approved one.
    pub seen: Option<Seen>,
}

/// A noun with a manifest.
trait Made: Kept {
    /// Its id, and the digest of its approved manifest.
    fn made(&self) -> (&str, Option<Digest>);
    fn approve(self, digest: Digest) -> Self;
    /// What its findings are about.
    fn subject(name: &str) -> String;
}

impl Made for Agent {
    fn made(&self) -> (&str, Option<Digest>) {
        (self.id.as_str(), self.manifest)
    }

    fn approve(self, digest: Digest) -> Self {
        Self::approve(self, digest)
    }

    fn subject(name: &str) -> String {
        name.to_owned()
    }
}

impl Made for Blueprint {
    fn made(&self) -> (&str, Option<Digest>) {
        (self.id.as_str(), self.manifest)
    }

    fn approve(self, digest: Digest) -> Self {
        Self::approve(self, digest)
    }

    fn subject(name: &str) -> String {
        chancery_model::Finding::about_blueprint(name)
    }
}

impl Registrar {
    /// What is known of an agent's own manifest.
    pub async fn agent_manifest(&self, name: &str) -> Result<Manifests, RegisterError> {
        let agent = self.agent(name).await?;
        self.manifests(&agent).await
    }

    /// What is known of a blueprint's manifest.
    pub async fn blueprint_manifest(&self, name: &str) -> Result<Manifests, RegisterError> {
        let blueprint = self.blueprint(name).await?;
        self.manifests(&blueprint).await
    }

    /// Approves what an agent is made of. If it is another one, sessions from before are over.
    pub async fn approve_agent(&self, name: &str, approval: &Approval, actor: &str) -> Result<Agent, RegisterError> {
        let agent = self.agent(name).await?;
        self.approve(agent, approval, actor).await
    }

    /// Approves what all instances of a blueprint are made of. If it is another one, their sessions are over.
    pub async fn approve_blueprint(
        &self,
        name: &str,
        approval: &Approval,
        actor: &str,
    ) -> Result<Blueprint, RegisterError> {
        let blueprint = self.blueprint(name).await?;
        self.approve(blueprint, approval, actor).await
    }

    async fn manifests<T: Made>(&self, of: &T) -> Result<Manifests, RegisterError> {
        let (id, digest) = of.made();
        let known = manifests::get(&self.store, id).await?;
        Ok(Manifests { digest, approved: known.approved, seen: known.seen })
    }

    async fn approve<T: Made>(&self, of: T, approval: &Approval, actor: &str) -> Result<T, RegisterError> {
        let known = self.manifests(&of).await?;
        let stated = chosen(&known, approval)
            .ok_or_else(|| RegisterError::Unseen { digest: approval.digest(), of: format!("`{}`", of.name()) })?;
        let (digest, whole) = (approval.digest(), stated.whole().cloned());
        let now = self.clock.now();
        let holder = of.made().0.to_owned();
        let beside: Beside<T> = Arc::new(move |tx, of: Arc<T>| {
            let (holder, whole) = (holder.clone(), whole.clone());
            Box::pin(async move {
                manifests::approve(tx, &holder, whole.as_ref()).await?;
                findings::close(tx, crate::findings::MANIFEST, &T::subject(of.name()), now).await.map(drop)
            })
        });
        let verb = if known.digest == Some(digest) { "keep_manifest" } else { "approve_manifest" };
        let by = By { actor, verb, reason: None };
        let step = |of: T, _| Ok(if of.made().1 == Some(digest) { of } else { of.approve(digest) });
        self.change(of.name(), &by, step, beside).await
    }
}

impl Approval {
    fn digest(&self) -> Digest {
        match self {
            Self::Seen(digest) => *digest,
            Self::Whole(manifest) => manifests::digest(manifest),
        }
    }
}

/// What an approval is of, if it is of anything that was looked at.
fn chosen(known: &Manifests, approval: &Approval) -> Option<Stated> {
    let stated = |digest, whole: Option<&Manifest>| whole.map_or(Stated::Digest(digest), |m| Stated::Whole(m.clone()));
    match approval {
        Approval::Whole(manifest) => Some(Stated::Whole(manifest.clone())),
        Approval::Seen(digest) if known.digest == Some(*digest) => Some(stated(*digest, known.approved.as_ref())),
        Approval::Seen(digest) => {
            let seen = known.seen.as_ref().filter(|seen| seen.digest == *digest)?;
            Some(stated(*digest, seen.manifest.as_ref()))
        }
    }
}
