//! May it: the one place where the engine is asked.
//!
//! What a call does to meters and to the history of its session happens together with the decision: reading, deciding
//! and reserving is one step. A call that would be allowed if another one had succeeded waits for that one.

use std::pin::pin;
use std::sync::Arc;

use chancery_authenticate::flows::{Flow, History};
use chancery_authenticate::meters::Touch;
use chancery_authenticate::{Caller, resource_metadata_path};
use chancery_authorize::{Acting, Facts, Needs, Permit, ServerAct, ToolCall, Verdict};
use chancery_model::Decision;
use chancery_model::problem::{self, Row};
use http::{StatusCode, header};

use crate::claim::{Claim, touched};
use crate::gateway::Gateway;
use crate::intend::Intent;
use crate::methods;
use crate::refusal::{Refusal, rpc};

/// Acts that are tried one by one for whether they would help.
const TRIED: usize = 64;

/// What may be done, and what it takes up until it is over.
pub(crate) struct Allowed {
    pub(crate) permit: Permit,
    pub(crate) decision: Decision,
    pub(crate) claim: Claim,
}

/// A decision to be made.
struct Case<'a> {
    gateway: &'a Gateway,
    caller: &'a Caller,
    reason: Option<&'a str>,
    intent: &'a Intent,
    needs: &'a Needs,
}

/// An answer that is not an allow, with what was known.
struct Denied {
    verdict: Verdict,
    facts: Facts,
    /// What was under way then.
    running: Vec<Arc<str>>,
}

/// What a denied call may wait for.
enum Hope {
    Nothing,
    /// Something that is under way.
    Running,
    /// Something that may have been sent with it and arrives a moment later.
    Coming,
}

/// Asks whether this may be done. Whatever is not an allow is a refusal.
pub(crate) async fn decide(
    gateway: &Arc<Gateway>,
    caller: &Caller,
    reason: Option<&str>,
    intent: &Intent,
) -> Result<Allowed, Refusal> {
    let needs = gateway.engine.needs();
    gateway.remember(&needs).await?;
    let case = Case { gateway, caller, reason, intent, needs: &needs };
    let flow = gateway.flows.of(caller.flow());
    // The usual call is decided at once.
    match case.once(&flow)? {
        Ok(allowed) => Ok(allowed),
        Err(denied) => match case.hope(&denied) {
            Hope::Nothing => Err(case.refusal(denied)),
            _ => case.patiently(&flow).await,
        },
    }
}

impl Case<'_> {
    /// Reads, decides, and reserves if it is an allow.
    fn once(&self, flow: &Arc<Flow>) -> Result<Result<Allowed, Denied>, Refusal> {
        let touched = touched(self.needs, self.caller, self.intent)?;
        let answer = |values: &[i64], history: &History| {
            let facts = facts(self.needs, &touched, values, history);
            let verdict = self.ask(&facts);
            let yes = verdict.permit.is_some();
            // Only a denial wants to know.
            let running = if yes || !self.needs.done { Vec::new() } else { history.running.keys().cloned().collect() };
            (Denied { verdict, facts, running }, yes)
        };
        let meters = &self.gateway.meters;
        let Some(tool) = &self.intent.tool else {
            let values = meters.read(&touched);
            let (answer, _) = flow.look(|history| answer(&values, history));
            return Ok(answer.split(Claim::none));
        };
        let ((answer, reserved), step) = flow.decide(&tool.qualified, |history| {
            let (answer, reserved) = meters.decide(&touched, |values| answer(values, history));
            let yes = answer.verdict.permit.is_some();
            ((answer, reserved), yes)
        });
        Ok(answer.split(|facts| Claim::new(reserved, step, facts)))
    }

    /// Decides anew whenever something changes, as long as there is hope.
    async fn patiently(&self, flow: &Arc<Flow>) -> Result<Allowed, Refusal> {
        let timeouts = self.gateway.config.timeouts;
        let mut coming = pin!(tokio::time::sleep(timeouts.coming));
        let mut running = pin!(tokio::time::sleep(timeouts.running));
        loop {
            // Before the decision, so that no change after it is missed.
            let mut changed = pin!(flow.changed());
            changed.as_mut().enable();
            let denied = match self.once(flow)? {
                Ok(allowed) => return Ok(allowed),
                Err(denied) => denied,
            };
            tokio::select! {
                biased;
                () = running.as_mut() => return Err(self.refusal(denied)),
                () = coming.as_mut(), if !matches!(self.hope(&denied), Hope::Running) => {
                    return Err(self.refusal(denied));
                }
                () = changed => {}
            }
        }
    }

    /// Would it be allowed if what is under way had succeeded, or something else that is not done yet?
    fn hope(&self, denied: &Denied) -> Hope {
        if self.intent.tool.is_none() || !self.needs.done || denied.verdict.code != Some(problem::DENIED) {
            Hope::Nothing
        } else if self.helps(&denied.facts, &denied.running) {
            Hope::Running
        } else if self.helps(&denied.facts, &self.needs.named) {
            Hope::Coming
        } else {
            Hope::Nothing
        }
    }

    /// Would it be allowed if all of these, or one of them, had been done before?
    fn helps(&self, facts: &Facts, acts: &[Arc<str>]) -> bool {
        let fresh: Vec<&Arc<str>> = acts.iter().filter(|act| !facts.done.contains(*act)).collect();
        let with = |acts: &[&Arc<str>]| {
            let mut facts = facts.clone();
            facts.done.extend(acts.iter().map(|act| Arc::clone(act)));
            self.ask(&facts).permit.is_some()
        };
        let one = || fresh.len() > 1 && fresh.iter().take(TRIED).any(|act| with(&[act]));
        !fresh.is_empty() && (with(&fresh) || one())
    }

    fn ask(&self, facts: &Facts) -> Verdict {
        let (gateway, intent) = (self.gateway, self.intent);
        let by = acting(gateway, self.caller, self.reason, facts);
        let now = gateway.clock.now();
        match &intent.tool {
            Some(tool) => {
                let (server, definition, tool) = (&*intent.server, Some(tool.tool.digest), tool.tool.name.as_str());
                let (args, args_digest) = (&intent.arguments, intent.given.digest);
                gateway.engine.tool_call(&ToolCall { by, server, tool, definition, args, args_digest }, now)
            }
            None => {
                let (server, action) = (&*intent.server, methods::action(intent.act, &intent.method));
                let (resource, args_digest) = (intent.resource.as_deref(), intent.given.digest);
                gateway.engine.server_act(&ServerAct { by, server, action, resource, args_digest }, now)
            }
        }
    }

    fn refusal(&self, denied: Denied) -> Refusal {
        let Denied { verdict: Verdict { decision, code, why, .. }, facts, .. } = denied;
        let refusal = refused(self.gateway, self.intent, code.unwrap_or(problem::DENIED), why.into_owned());
        refusal.decision(decision).facts(facts)
    }
}

impl Denied {
    /// An allow after all, with what it claims.
    fn split(mut self, claim: impl FnOnce(Facts) -> Claim) -> Result<Allowed, Self> {
        match self.verdict.permit.take() {
            Some(permit) => Ok(Allowed { permit, decision: self.verdict.decision, claim: claim(self.facts) }),
            None => Err(self),
        }
    }
}

/// Whoever may not even connect is told so as MCP's authorization has it; any other denial is an error, or a tool
/// result, within a connection that stands.
fn refused(gateway: &Gateway, intent: &Intent, row: Row, why: String) -> Refusal {
    let refusal = Refusal::new(row, rpc::DENIED, why);
    if !matches!(intent.method.as_str(), "initialize" | "server/discover") || refusal.status != 403 {
        return refusal.status(StatusCode::OK);
    }
    let public = &gateway.config.public_url;
    let metadata = resource_metadata_path(&format!("{public}/mcp/{}", intent.server));
    let challenge = format!(r#"DPoP error="insufficient_scope", resource_metadata="{public}{metadata}""#);
    refusal.header(header::WWW_AUTHENTICATE, &challenge)
}

/// What policies look at beside the request.
pub(crate) fn facts(needs: &Needs, touched: &[Touch<'_>], values: &[i64], history: &History) -> Facts {
    let meters = touched.iter().zip(values).map(|(touch, value)| (touch.meter.name.clone(), *value));
    Facts {
        meters: meters.collect(),
        done: if needs.done { history.done.clone() } else { Default::default() },
        calls: if needs.calls { history.calls } else { 0 },
        ..Facts::default()
    }
}

/// Who asks, as policies see it.
pub(crate) fn acting<'a>(
    gateway: &Gateway,
    caller: &'a Caller,
    reason: Option<&'a str>,
    facts: &'a Facts,
) -> Acting<'a> {
    let session_age = gateway.clock.now() - caller.session.opened_at;
    Acting { human: caller.human.as_deref(), session_age, reason, facts, ..Acting::of(&caller.agent.name) }
}
