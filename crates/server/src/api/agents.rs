//! Registered identities.

use std::sync::Arc;

use chancery_authenticate::Listed;
use chancery_model::problem::{NO_AGENT, Problem};
use chancery_model::{Agent, AgentKind, AgentState, BearerUse, Digest, Standing};
use chancery_register::{EnrolmentCode, RegisterError};
use serde::{Deserialize, Serialize};

use crate::failure::{Answer, Failure};
use crate::rooms::Rooms;

pub(crate) mod bearer;
pub(crate) mod certificate;
pub(crate) mod clients;
pub(crate) mod extend;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod register;
pub(crate) mod resume;
pub(crate) mod secrets;
pub(crate) mod suspend;

/// An identity as the API shows it; times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    name: String,
    id: String,
    kind: AgentKind,
    state: AgentState,
    /// Its own state and its blueprint's taken together.
    standing: Standing,
    /// Why it may not act, where it may not.
    stopped: Option<String>,
    sponsor: String,
    owner: String,
    purpose: String,
    blueprint: Option<String>,
    manifest: Option<Digest>,
    bearer: BearerUse,
    epoch: u64,
    key_thumbprint: Option<String>,
    created_at: String,
    expires_at: String,
}

impl From<&Listed> for View {
    fn from(Listed { agent, standing, contained }: &Listed) -> Self {
        let contained = contained.as_ref().map(|id| format!("agent `{}` is contained: {id} stops it", agent.name));
        Self {
            name: agent.name.clone(),
            id: agent.id.to_string(),
            kind: agent.kind,
            state: agent.state,
            standing: *standing,
            stopped: contained.or_else(|| standing.why(agent)),
            sponsor: agent.sponsor.clone(),
            owner: agent.owner.clone(),
            purpose: agent.purpose.clone(),
            blueprint: agent.blueprint.clone(),
            manifest: agent.manifest,
            bearer: agent.bearer,
            epoch: agent.epoch,
            key_thumbprint: agent.key_thumbprint.clone(),
            created_at: agent.created_at.rfc3339(),
            expires_at: agent.expires_at.rfc3339(),
        }
    }
}

impl View {
    /// An agent as a change left it.
    pub(crate) fn of(agent: Agent, rooms: &Rooms) -> Self {
        let blueprint = agent.blueprint.as_deref().and_then(|name| rooms.authenticator.blueprint(name));
        let standing = Standing::of(&agent, blueprint.as_deref(), rooms.clock.now());
        let contained = rooms.authenticator.contained(&agent.name);
        Self::from(&Listed { agent: Arc::new(agent), standing, contained })
    }
}

/// A one-time code, shown this once.
#[derive(Serialize)]
pub(crate) struct CodeView {
    agent: String,
    code: String,
    expires_at: String,
}

impl CodeView {
    pub(crate) fn of(agent: &str, code: &EnrolmentCode) -> Self {
        let shown = code.code.expose().to_owned();
        Self { agent: agent.to_owned(), code: shown, expires_at: code.expires_at.rfc3339() }
    }
}

/// Why a step is taken; it stands in the log.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Because {
    pub(crate) reason: Option<String>,
}

impl Because {
    /// In an emergency nobody is asked for a reason first.
    pub(crate) fn text(&self) -> &str {
        self.reason.as_deref().filter(|reason| !reason.trim().is_empty()).unwrap_or("not stated")
    }
}

/// The agent of this name or id.
pub(crate) fn named(rooms: &Rooms, name: &str) -> Answer<Listed> {
    let missing = || Failure::from(Problem::new(NO_AGENT, format!("`{}`", name.chars().take(80).collect::<String>())));
    rooms.authenticator.listed(name).ok_or_else(missing)
}

impl From<RegisterError> for Failure {
    fn from(error: RegisterError) -> Self {
        Problem::new(error.row(), error.to_string()).into()
    }
}
