//! What is done about tools: listings are reviewed and filtered, findings raised, quarantined tools approved.

use std::sync::Arc;

use chancery_authenticate::Caller;
use chancery_model::{Change, Draft, Finding, Kind, Server, Severity, Timestamp, Tool, ToolState, Who};
use chancery_store::{StoreError, findings, servers, tools};
use serde_json::{Value, json};

use crate::decide::acting;
use crate::gateway::Gateway;
use crate::lock;
use crate::pins::{self, Review};
use crate::upstream::Upstream;

/// Why a tool cannot be approved.
#[derive(Debug, thiserror::Error)]
pub enum ApproveError {
    /// There is no such tool.
    #[error("server `{server}` has no tool `{tool}`")]
    NoTool {
        /// The server.
        server: String,
        /// The tool.
        tool: String,
    },
    /// It is not quarantined.
    #[error("tool `{0}` is approved already")]
    Approved(String),
    /// Its name can be taken for another's.
    #[error("tool `{tool}` cannot be approved: {objection}")]
    Name {
        /// The tool.
        tool: String,
        /// What is wrong with its name.
        objection: &'static str,
    },
    /// It could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Gateway {
    /// Approves the definition of a quarantined tool that was seen last, in the name of `actor`. Its findings close.
    pub async fn approve(&self, server: &str, tool: &str, actor: &str) -> Result<Tool, ApproveError> {
        let now = self.clock.now();
        let missing = || ApproveError::NoTool { server: server.to_owned(), tool: tool.to_owned() };
        let known = self.pins.get(server, tool).ok_or_else(missing)?;
        if known.tool.state == ToolState::Pinned {
            return Err(ApproveError::Approved(known.tool.qualified()));
        }
        let approved = pins::approve(&known.tool, now)
            .map_err(|objection| ApproveError::Name { tool: known.tool.qualified(), objection })?;
        let draft = change(actor, "tool", &approved.qualified(), "approve", Some(state_of(&approved)), now);
        let written = approved.clone();
        self.store.write(draft, move |tx| Box::pin(release(tx, written, now))).await?;
        (self.tools_changed)().await;
        Ok(approved)
    }

    /// Compares a listing with what is pinned, and writes what changed.
    pub(crate) async fn review(&self, upstream: &Upstream, listed: &[Value]) -> Result<(), StoreError> {
        let now = self.clock.now();
        let server = upstream.name.to_string();
        let review = self.pins.review(&server, listed, upstream.config.pin, now);
        let first = !self.pins.was_contacted(&server);
        if review.tools.is_empty() && !first {
            return Ok(());
        }
        let after = json!({ "tools": review.tools.iter().map(state_of).collect::<Vec<_>>() });
        let draft = change("gateway", "server", &server, if first { "pin" } else { "review" }, Some(after), now);
        let seen = Server { name: server.clone(), first_seen: now };
        let changed = !review.tools.is_empty();
        self.store.write(draft, move |tx| Box::pin(put(tx, seen, review))).await?;
        self.pins.contacted(&server);
        if changed {
            (self.tools_changed)().await;
        }
        Ok(())
    }

    /// The approved definitions among a listing that this caller may call.
    pub(crate) fn shown(
        &self,
        upstream: &Upstream,
        caller: &Caller,
        reason: Option<&str>,
        listed: &[Value],
    ) -> Vec<Value> {
        let now = self.clock.now();
        let mut shown = Vec::new();
        for known in self.pins.approved(&upstream.name, listed) {
            if self.engine.lists(acting(self, caller, reason), &upstream.name, &known.tool.name, now) {
                shown.push(known.definition.clone());
            }
        }
        shown
    }

    /// An upstream sent back the credential it was given. It was taken out; people are told once.
    pub(crate) async fn reflects(&self, server: &Arc<str>) {
        if !lock(&self.reflected).insert(server.clone()) {
            return;
        }
        let now = self.clock.now();
        let finding = Finding {
            rule: "credential-reflected".to_owned(),
            subject: server.to_string(),
            severity: Severity::High,
            evidence: "the server sent the credential it was given back in an answer; it was taken out".to_owned(),
            owasp: "NHI2".to_owned(),
            opened_at: now,
            closed_at: None,
        };
        let draft = change("gateway", "finding", &format!("credential-reflected {server}"), "open", None, now);
        let written = self.store.write(draft, move |tx| Box::pin(async move { findings::open(tx, &finding).await }));
        if let Err(error) = written.await {
            tracing::error!(%server, %error, "a finding could not be written");
        }
    }
}

async fn release(tx: &mut chancery_store::Tx, tool: Tool, now: Timestamp) -> Result<(), StoreError> {
    tools::put(tx, &tool).await?;
    for rule in ["tool-new", "tool-changed"] {
        findings::close(tx, rule, &tool.qualified(), now).await?;
    }
    Ok(())
}

async fn put(tx: &mut chancery_store::Tx, server: Server, review: Review) -> Result<(), StoreError> {
    servers::insert(tx, &server).await?;
    for tool in &review.tools {
        tools::put(tx, tool).await?;
    }
    for finding in &review.findings {
        findings::open(tx, finding).await?;
    }
    Ok(())
}

fn state_of(tool: &Tool) -> Value {
    let digest = |hash: &[u8; 32]| hash.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut state = json!({ "name": tool.name, "state": tool.state, "digest": digest(&tool.digest) });
    if let Some((seen, _)) = &tool.seen {
        state["seen"] = digest(seen).into();
    }
    state
}

fn change(actor: &str, noun: &str, id: &str, verb: &str, after: Option<Value>, at: Timestamp) -> Draft {
    let who =
        Who { human: (actor != "gateway").then(|| actor.to_owned()), name: Some(actor.to_owned()), ..Who::default() };
    let after = after.map(|value| value.to_string());
    let change = Change { noun: noun.to_owned(), id: id.to_owned(), verb: verb.to_owned(), after };
    Draft { kind: Kind::Change, at, who, change: Some(change), ..Draft::default() }
}
