//! What an agent asks for at the gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chancery_model::{Covered, Hash, Limit, Span};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Evaluation;

/// Who asks, and under which circumstances.
#[derive(Clone, Copy, Debug)]
pub struct Acting<'a> {
    /// The agent's name.
    pub agent: &'a str,
    /// The human on whose behalf it acts.
    pub human: Option<&'a str>,
    /// The names of the agents for whom it acts, the root's first.
    pub ancestors: &'a [&'a str],
    /// What the sessions of its chain are narrowed to: each set must cover what is done.
    pub limits: &'a [Arc<[Limit]>],
    /// How long ago a human proved presence in its session.
    pub presence: Option<Span>,
    /// Has a human approved exactly this act?
    pub approved: bool,
    /// How long its session is open.
    pub session_age: Span,
    /// The reason it stated.
    pub reason: Option<&'a str>,
    /// What its session did, and where its meters stand.
    pub facts: &'a Facts,
}

impl<'a> Acting<'a> {
    /// An agent for itself, at the beginning of its session.
    pub fn of(agent: &'a str) -> Self {
        Self {
            agent,
            human: None,
            ancestors: &[],
            limits: &[],
            presence: None,
            approved: false,
            session_age: Span(0),
            reason: None,
            facts: &NOTHING,
        }
    }
}

/// What is known of an act beside its request. It is kept with the decision wherever a policy looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Where each meter stands, before this act. One that is not here stands at 0.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub meters: BTreeMap<Arc<str>, i64>,
    /// The tools, as "server/tool", that succeeded in the session.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub done: BTreeSet<Arc<str>>,
    /// Calls of tools that were begun in the session.
    #[serde(skip_serializing_if = "is_zero")]
    pub calls: i64,
    /// What the session is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Arc<str>>,
    /// What the task within it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Arc<str>>,
}

static NOTHING: Facts = Facts { meters: BTreeMap::new(), done: BTreeSet::new(), calls: 0, purpose: None, task: None };

impl Facts {
    /// Of a session that did nothing yet.
    pub fn none() -> &'static Self {
        &NOTHING
    }

    /// Is there nothing to be kept?
    pub fn is_none(&self) -> bool {
        *self == NOTHING
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(answer: &bool) -> bool {
    !answer
}

/// A call of a tool.
#[derive(Clone, Copy, Debug)]
pub struct ToolCall<'a> {
    /// Who asks.
    pub by: Acting<'a>,
    /// The server's name.
    pub server: &'a str,
    /// The tool's name there.
    pub tool: &'a str,
    /// The digest of the definition it is called by: policies that were checked against another one are not asked.
    /// Nothing where only the policies' own definition matters, as for an explanation in hindsight.
    pub definition: Option<Hash>,
    /// The arguments: an object, strictly parsed ([`chancery_model::parse_strict`]); `null` where there are none.
    pub args: &'a Value,
    /// SHA-256 of their canonical form; it is carried into the [`crate::Permit`].
    pub args_digest: Hash,
}

/// Any other act at a server: `resources/read`, `prompts/get`, `mcp/connect` …
#[derive(Clone, Copy, Debug)]
pub struct ServerAct<'a> {
    /// Who asks.
    pub by: Acting<'a>,
    /// The server's name.
    pub server: &'a str,
    /// The action's name in the schema.
    pub action: &'a str,
    /// The resource's URI or the prompt's name, for actions about one; nothing for actions about the server.
    pub resource: Option<&'a str>,
    /// SHA-256 of the canonical parameters; it is carried into the [`crate::Permit`].
    pub args_digest: Hash,
}

impl<'a> ToolCall<'a> {
    /// The act as limits see it.
    pub(crate) fn covered(&self) -> [Covered<'a>; 1] {
        [Covered::Call(self.server, self.tool, self.args)]
    }
}

impl<'a> ServerAct<'a> {
    /// The act as limits see it: to complete an argument is about a prompt or about a resource.
    pub(crate) fn covered(&self) -> Vec<Covered<'a>> {
        match (self.action, self.resource) {
            ("resources/read" | "resources/subscribe", Some(uri)) => vec![Covered::Resource(self.server, uri)],
            ("prompts/get", Some(name)) => vec![Covered::Prompt(self.server, name)],
            ("completion/complete", Some(name)) => {
                vec![Covered::Prompt(self.server, name), Covered::Resource(self.server, name)]
            }
            _ => vec![Covered::Server(self.server)],
        }
    }
}

/// Who asked, and under which circumstances: [`Acting`] as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asker {
    /// The agent's name.
    pub agent: String,
    /// The human on whose behalf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub human: Option<String>,
    /// The agents for whom, the root's first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<String>,
    /// What its sessions were narrowed to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Arc<[Limit]>>,
    /// Had a human approved exactly this act?
    #[serde(default, skip_serializing_if = "is_false")]
    pub approved: bool,
    /// Seconds since its session was opened.
    pub session_age: i64,
    /// The stated reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What else was known.
    #[serde(default, skip_serializing_if = "Facts::is_none")]
    pub facts: Facts,
}

impl Asker {
    /// As it is asked with; `ancestors` are its own, borrowed.
    pub(crate) fn acting<'a>(&'a self, ancestors: &'a [&'a str]) -> Acting<'a> {
        Acting {
            human: self.human.as_deref(),
            ancestors,
            limits: &self.limits,
            approved: self.approved,
            session_age: Span::seconds(self.session_age),
            reason: self.reason.as_deref(),
            facts: &self.facts,
            ..Acting::of(&self.agent)
        }
    }

    /// The agents for whom it acted, as [`Asker::acting`] borrows them.
    pub(crate) fn ancestors(&self) -> Vec<&str> {
        self.ancestors.iter().map(String::as_str).collect()
    }
}

impl From<&Acting<'_>> for Asker {
    fn from(by: &Acting<'_>) -> Self {
        Self {
            agent: by.agent.to_owned(),
            human: by.human.map(str::to_owned),
            ancestors: by.ancestors.iter().map(|name| (*name).to_owned()).collect(),
            limits: by.limits.to_vec(),
            approved: by.approved,
            session_age: by.session_age.as_seconds(),
            reason: by.reason.map(str::to_owned),
            facts: by.facts.clone(),
        }
    }
}

/// A question as it is kept with its decision, so that the answer can be explained later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "asked", rename_all = "snake_case")]
pub enum Asked {
    /// A call of a tool.
    ToolCall {
        /// Who asked.
        #[serde(flatten)]
        by: Asker,
        /// The server.
        server: String,
        /// The tool.
        tool: String,
        /// The arguments; may be kept apart and put back before the explanation.
        #[serde(default)]
        args: Value,
    },
    /// Any other act at a server.
    ServerAct {
        /// Who asked.
        #[serde(flatten)]
        by: Asker,
        /// The server.
        server: String,
        /// The action.
        action: String,
        /// The resource or prompt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resource: Option<String>,
    },
    /// An AuthZEN evaluation.
    Evaluation(Evaluation),
}

impl From<&ToolCall<'_>> for Asked {
    fn from(call: &ToolCall<'_>) -> Self {
        Self::ToolCall {
            by: Asker::from(&call.by),
            server: call.server.to_owned(),
            tool: call.tool.to_owned(),
            args: call.args.clone(),
        }
    }
}

impl From<&ServerAct<'_>> for Asked {
    fn from(act: &ServerAct<'_>) -> Self {
        Self::ServerAct {
            by: Asker::from(&act.by),
            server: act.server.to_owned(),
            action: act.action.to_owned(),
            resource: act.resource.map(str::to_owned),
        }
    }
}
