//! What is done about tools: listings are reviewed and filtered, findings raised, quarantined tools approved.

use std::sync::Arc;

use chancery_authenticate::Caller;
use chancery_model::{Change, Draft, Finding, Hash, Kind, Server, Severity, Timestamp, Tool, ToolState, Who};
use chancery_store::{StoreError, Tx, findings, servers, tools};
use serde_json::{Value, json};

use crate::claim::looked_at;
use crate::decide::{acting, ancestors, facts};
use crate::gateway::Gateway;
use crate::lock;
use crate::pins::{self, MOST, Step};
use crate::upstream::Upstream;

/// Tools that one entry speaks of at the most.
const ENTRY_TOOLS: usize = 200;
/// What one entry says of them at the most, in bytes. An entry holds 65,535 with all that belongs to it.
const ENTRY_BYTES: usize = 32 << 10;

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
    /// The definition seen last is another than the one that was looked at.
    #[error("the definition of `{tool}` seen last has the digest {seen}")]
    Changed {
        /// The tool.
        tool: String,
        /// The digest in lower-case hex.
        seen: String,
    },
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

/// An approved tool.
#[derive(Debug)]
pub struct Approved {
    /// It, as it is now.
    pub tool: Tool,
    /// Why no policy set that knows the definition is in force; until one is, calls of the tool are refused.
    pub behind: Option<String>,
}

/// Why a listing was not reviewed. Nothing of its server is callable until one is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReviewError {
    #[error("the server lists {0} tools more than the {MOST} that one server may have")]
    TooMany(usize),
    #[error("what it lists could not be written: {0}")]
    Store(#[from] StoreError),
    #[error("comparing what it lists with what is pinned broke off: {0}")]
    Broken(String),
}

impl Gateway {
    /// Approves the definition of a quarantined tool that was seen last, if it has this digest, in the name of `actor`.
    /// Its findings close.
    ///
    /// # Errors
    /// Nothing was approved, for the reason that [`ApproveError`] gives.
    pub async fn approve(
        &self,
        server: &str,
        tool: &str,
        digest: &Hash,
        actor: &str,
    ) -> Result<Approved, ApproveError> {
        let now = self.clock.now();
        let after = json!({ "name": tool, "state": ToolState::Pinned, "digest": hex(digest) });
        let draft = change(actor, "tool", &format!("{server}/{tool}"), "approve", Some(after), now);
        let (server, tool, digest) = (server.to_owned(), tool.to_owned(), *digest);
        let written = self.store.write(draft, move |tx| Box::pin(release(tx, server, tool, digest, now))).await;
        let written = written.map_err(|e| e.refusal::<ApproveError>().unwrap_or_else(ApproveError::Store))?;
        let behind = (self.tools_changed)().await.err();
        Ok(Approved { tool: written.value, behind })
    }

    /// Compares a listing with what is pinned, and writes what changed. If that fails, the server is blocked; `whole`
    /// says that this is all that the server lists, so that a block can end. It runs to its end even if whoever waits
    /// for it goes away.
    pub(crate) async fn review(
        self: &Arc<Self>,
        upstream: &Upstream,
        listed: &Arc<Vec<Value>>,
        whole: bool,
    ) -> Result<(), ReviewError> {
        let (gateway, name, listed) = (self.clone(), upstream.name.clone(), listed.clone());
        let reviewed = tokio::spawn(async move {
            let upstream = gateway.upstream(&name).map_err(|refusal| ReviewError::Broken(refusal.why))?;
            let _one = upstream.reviewing.lock().await;
            let reviewed = gateway.reviewed(upstream, &listed).await;
            match &reviewed {
                Ok(()) if whole => gateway.block(&name, false),
                Ok(()) => {}
                Err(error) => {
                    gateway.block(&name, true);
                    tracing::error!(server = %name, %error, "a listing was not reviewed: the server is blocked");
                }
            }
            reviewed
        });
        reviewed.await.unwrap_or_else(|e| {
            self.block(&upstream.name, true);
            Err(ReviewError::Broken(e.to_string()))
        })
    }

    /// Here and for whoever asks the engine: a blocked server has no tools.
    fn block(&self, server: &str, blocked: bool) {
        self.engine.block_server(server, blocked);
        self.pins.block(server, blocked);
    }

    async fn reviewed(&self, upstream: &Upstream, listed: &[Value]) -> Result<(), ReviewError> {
        let now = self.clock.now();
        let first = !self.pins.was_contacted(&upstream.name);
        let review = self.pins.review(&upstream.name, listed, upstream.config.pin, now);
        let surplus = review.surplus;
        // Of too many tools none is taken in; what became of the known ones is written all the same.
        let steps = review.into_steps().into_iter().filter(|step| step.known || surplus == 0);
        let steps: Vec<Step> = steps.collect();
        let changed = !steps.is_empty();
        let written = self.write_steps(upstream, steps, first && surplus == 0, now).await;
        if changed {
            // What kept the policies from following is said in their status, and refuses what they do not know.
            let _ = (self.tools_changed)().await;
        }
        if written.is_ok() && surplus == 0 {
            self.pins.contacted(&upstream.name);
        }
        written?;
        if surplus > 0 { Err(ReviewError::TooMany(surplus)) } else { Ok(()) }
    }

    async fn write_steps(
        &self,
        upstream: &Upstream,
        steps: Vec<Step>,
        first: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut portions = portions(steps);
        if first && portions.is_empty() {
            portions.push(Portion::default());
        }
        for Portion { states, steps } in portions {
            let after = json!({ "tools": states });
            let verb = if first { "pin" } else { "review" };
            let draft = change("gateway", "server", &upstream.name, verb, Some(after), now);
            let seen = Server { name: upstream.name.to_string(), first_seen: now };
            self.store.write(draft, move |tx| Box::pin(put(tx, seen, steps))).await?;
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
        let (now, needs) = (self.clock.now(), self.engine.needs());
        let touched = looked_at(&needs, caller);
        let values = self.meters.read(&touched);
        let facts = self.flows.of(caller.flow()).look(|history| facts(&needs, caller, (&touched, &values), history));
        let ancestors = ancestors(caller);
        let mut shown = Vec::new();
        for known in self.pins.approved(&upstream.name, listed) {
            if self.authenticator.contained_place(&upstream.name, Some(&known.tool.name)).is_some() {
                continue;
            }
            if self.engine.lists(
                acting(self, caller, reason, (&facts, &ancestors)),
                &upstream.name,
                &known.tool.name,
                now,
            ) {
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

/// Looks at the tool and releases it in one transaction: what is approved is what was looked at.
async fn release(tx: &mut Tx, server: String, tool: String, digest: Hash, now: Timestamp) -> Result<Tool, StoreError> {
    let known = tools::get(&mut *tx, &server, &tool).await?;
    let known = known.ok_or_else(|| StoreError::refuse(ApproveError::NoTool { server, tool }))?;
    let qualified = known.qualified();
    if known.state == ToolState::Pinned {
        return Err(StoreError::refuse(ApproveError::Approved(qualified)));
    }
    let approved = pins::approve(&known, now)
        .map_err(|objection| StoreError::refuse(ApproveError::Name { tool: qualified.clone(), objection }))?;
    if approved.digest != digest {
        let seen = hex(&approved.digest);
        return Err(StoreError::refuse(ApproveError::Changed { tool: qualified, seen }));
    }
    tools::put(tx, &approved).await?;
    for rule in ["tool-new", "tool-changed"] {
        findings::close(tx, rule, &qualified, now).await?;
    }
    Ok(approved)
}

/// What one entry says, and what is written with it.
#[derive(Default)]
struct Portion {
    states: Vec<Value>,
    steps: Vec<Step>,
}

/// Steps in their order, in portions that fit an entry.
fn portions(steps: Vec<Step>) -> Vec<Portion> {
    let mut portions: Vec<Portion> = Vec::new();
    let mut size = 0;
    for step in steps {
        let state = state_of(&step.tool);
        size += state.to_string().len() + 1;
        let full = |portion: &Portion| portion.steps.len() == ENTRY_TOOLS || size > ENTRY_BYTES;
        if portions.last().is_none_or(full) {
            size = state.to_string().len() + 1;
            portions.push(Portion::default());
        }
        if let Some(portion) = portions.last_mut() {
            portion.states.push(state);
            portion.steps.push(step);
        }
    }
    portions
}

async fn put(tx: &mut Tx, server: Server, steps: Vec<Step>) -> Result<(), StoreError> {
    servers::insert(tx, &server).await?;
    for step in &steps {
        tools::put(tx, &step.tool).await?;
        if let Some(finding) = &step.finding {
            findings::open(tx, finding).await?;
        }
    }
    Ok(())
}

/// What an entry says of a tool: what is approved, and what was seen where that is something else.
fn state_of(tool: &Tool) -> Value {
    let mut state = json!({ "name": tool.name, "state": tool.state });
    if tool.was_approved() {
        state["digest"] = hex(&tool.digest).into();
    }
    if let Some((seen, _)) = &tool.seen {
        state["seen"] = hex(seen).into();
    }
    state
}

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn change(actor: &str, noun: &str, id: &str, verb: &str, after: Option<Value>, at: Timestamp) -> Draft {
    let who =
        Who { human: (actor != "gateway").then(|| actor.to_owned()), name: Some(actor.to_owned()), ..Who::default() };
    let after = after.map(|value| value.to_string());
    let change = Change { noun: noun.to_owned(), id: id.to_owned(), verb: verb.to_owned(), after };
    Draft { kind: Kind::Change, at, who, change: Some(change), ..Draft::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_fit_an_entry_and_keep_the_order() {
        let step = |n: usize, length: usize| {
            let tool = Tool::unapproved("crm", &format!("{n:0length$}"), ([7; 32], "{}".into()), Timestamp(0));
            Step { tool, finding: None, known: false }
        };
        for length in [4, 1_024] {
            let portions = portions((0..1_000).map(|n| step(n, length)).collect());
            for portion in &portions {
                let said = json!({ "tools": portion.states }).to_string();
                assert!(said.len() <= ENTRY_BYTES + 32 && portion.steps.len() <= ENTRY_TOOLS, "{}", said.len());
                assert_eq!(portion.states.len(), portion.steps.len());
            }
            let names: Vec<_> = portions.iter().flat_map(|p| &p.steps).map(|s| s.tool.name.clone()).collect();
            assert!(names.len() == 1_000 && names.is_sorted());
        }
    }
}
