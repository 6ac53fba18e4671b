//! The privileged non-human identity and its states.

use serde::{Deserialize, Serialize};

use crate::{AgentId, Digest, Timestamp};

/// A counter that grows with every change that must take effect at once (suspend, resume, key change, retire).
/// A session or token carries the epoch it was made under; an older one is refused although it has not expired.
pub type Epoch = u64;

/// What kind of non-human identity this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentKind {
    /// An AI agent.
    Agent,
    /// A service account, for instance an application that enforces our decisions itself (AuthZEN).
    ServiceAccount,
    /// A script, a scheduled job, a bot.
    Bot,
}

/// Where the identity is in its life. Discovery, trial retirement and retirement add their states when they arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// Known and owned, but it has not proved possession of a key yet.
    Registered,
    /// May authenticate.
    Active,
    /// Stopped by a human; may be resumed.
    Suspended,
}

/// Whether tokens of this identity may be used without a proof of possession.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BearerUse {
    /// Every request needs a DPoP proof (RFC 9449). The default.
    Refused,
    /// Plain bearer use is allowed: short-lived, bound to one session, and shown as a finding.
    Allowed,
}

/// A registered non-human identity. Sponsor, owner and purpose are never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Never reused.
    pub id: AgentId,
    /// The name people and policies use: `[a-z0-9][a-z0-9-]{0,62}`, unique for ever.
    pub name: String,
    /// What kind of identity it is.
    pub kind: AgentKind,
    /// The accountable business person, as an e-mail address or directory name.
    pub sponsor: String,
    /// The technical keeper.
    pub owner: String,
    /// Why it exists, in a sentence.
    pub purpose: String,
    /// The name of the blueprint it is an instance of; it never changes.
    pub blueprint: Option<String>,
    /// The digest of the manifest that was approved for it; where there is none, its blueprint's stands.
    pub manifest: Option<Digest>,
    /// Where it is in its life.
    pub state: AgentState,
    /// Grows with every change that must take effect at once.
    pub epoch: Epoch,
    /// Whether plain bearer tokens are accepted from it.
    pub bearer: BearerUse,
    /// RFC 7638 thumbprint of the key it proved possession of.
    pub key_thumbprint: Option<String>,
    /// That public key as a JWK (RFC 7517).
    pub public_jwk: Option<String>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// After this it can no longer authenticate, until its sponsor extends it.
    pub expires_at: Timestamp,
}

/// A step that the state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("agent `{name}` is {state:?}: it cannot be {verb}")]
pub struct TransitionRefused {
    /// Whose state refused.
    pub name: String,
    /// The state it is in.
    pub state: AgentState,
    /// The step that was asked for, as a participle.
    pub verb: &'static str,
}

impl Agent {
    /// A key was proved: registered becomes active; an active one changes its key. Older sessions end.
    pub fn enrol(self, thumbprint: String, public_jwk: String) -> Result<Self, TransitionRefused> {
        match self.state {
            AgentState::Registered | AgentState::Active => Ok(Self {
                state: AgentState::Active,
                epoch: self.epoch + 1,
                key_thumbprint: Some(thumbprint),
                public_jwk: Some(public_jwk),
                ..self
            }),
            AgentState::Suspended => Err(self.refuse("enrolled")),
        }
    }

    /// It was given another way to show that it is itself than an enrolled key: registered becomes active.
    pub fn activate(self) -> Result<Self, TransitionRefused> {
        match self.state {
            AgentState::Registered => Ok(Self { state: AgentState::Active, epoch: self.epoch + 1, ..self }),
            AgentState::Active => Ok(self),
            AgentState::Suspended => Err(self.refuse("given a way to authenticate")),
        }
    }

    /// One of its ways to authenticate was taken away: all its sessions end. `able`: it has another one than a key.
    #[must_use]
    pub fn disarm(self, able: bool) -> Self {
        let stays = able || self.key_thumbprint.is_some() || self.state != AgentState::Active;
        let state = if stays { self.state } else { AgentState::Registered };
        Self { state, epoch: self.epoch + 1, ..self }
    }

    /// A human stops it. Everything issued before is refused from now on.
    pub fn suspend(self) -> Result<Self, TransitionRefused> {
        match self.state {
            AgentState::Registered | AgentState::Active => {
                Ok(Self { state: AgentState::Suspended, epoch: self.epoch + 1, ..self })
            }
            AgentState::Suspended => Err(self.refuse("suspended")),
        }
    }

    /// A human lets it go on. Sessions from before the suspension stay ended. `able`: it has another way to authenticate
    /// than an enrolled key.
    pub fn resume(self, able: bool) -> Result<Self, TransitionRefused> {
        let proved = able || self.key_thumbprint.is_some();
        let state = if proved { AgentState::Active } else { AgentState::Registered };
        match self.state {
            AgentState::Suspended => Ok(Self { state, epoch: self.epoch + 1, ..self }),
            AgentState::Registered | AgentState::Active => Err(self.refuse("resumed")),
        }
    }

    /// Another manifest is the approved one. Sessions with the old one are over.
    #[must_use]
    pub fn approve(self, manifest: Digest) -> Self {
        Self { manifest: Some(manifest), epoch: self.epoch + 1, ..self }
    }

    fn refuse(&self, verb: &'static str) -> TransitionRefused {
        TransitionRefused { name: self.name.clone(), state: self.state, verb }
    }
}
