//! May it: the one place where the engine is asked.
//!
//! What a call does to meters and to the history of its session happens together with the decision: reading, deciding
//! and reserving is one step. A call that would be allowed if another one had succeeded waits for that one.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use chancery_authenticate::flows::{Flow, History};
use chancery_authenticate::meters::Touch;
use chancery_authenticate::{At, Caller, Refused, resource_metadata_path};
use chancery_authorize::{Acting, Facts, Needs, Permit, ServerAct, ToolCall, Verdict};
use chancery_model::problem::{self, Row};
use chancery_model::{Decision, Outcome, Span, Timestamp};
use http::{StatusCode, header};

use crate::approve::{self, Answered, Approved};
use crate::claim::{Claim, is_limit, touched, used_up};
use crate::gateway::Gateway;
use crate::intend::Intent;
use crate::methods;
use crate::pins::Pinned;
use crate::read;
use crate::refusal::{Refusal, rpc};
use crate::rehearse::Way;

/// Acts that are tried one by one for whether they would help.
const TRIED: usize = 64;
/// Times of silence that are waited for a call that was not seen yet, at the most.
const SILENCES: u32 = 5;
/// Times that an act is decided anew because the policies changed under its decision, at the most.
const RELOADS: usize = 8;
/// An answer is not asked for again until it is so old, if nothing changed: grants and agents end with time, too.
const OLD: Span = Span::seconds(1);

/// What may be done, and what it takes up until it is over.
pub(crate) struct Allowed {
    pub(crate) permit: Permit,
    pub(crate) decision: Decision,
    pub(crate) claim: Claim,
    pub(crate) basis: Basis,
    /// The approval that it is allowed with, to be used up.
    pub(crate) approved: Option<Approved>,
}

/// What an act was allowed on.
pub(crate) struct Basis {
    needs: Arc<Needs>,
    facts: Facts,
    as_of: AsOf,
    /// The policy set under which people approved it, if they had to.
    approved: Option<Arc<str>>,
}

/// The moment of an answer.
#[derive(Clone, Copy)]
struct AsOf {
    /// Changes that the engine had seen.
    changes: u64,
    at: Timestamp,
}

/// A decision to be made.
struct Case<'a> {
    gateway: &'a Gateway,
    caller: &'a Caller,
    reason: Option<&'a str>,
    intent: &'a Intent,
    needs: &'a Arc<Needs>,
    /// Have people approved it?
    approved: bool,
    /// The agents for whom it acts.
    ancestors: Vec<&'a str>,
}

/// An answer that is not an allow, with what was known.
struct Denied {
    verdict: Verdict,
    facts: Facts,
    as_of: AsOf,
}

/// Acts that would help a denied call, each with how it stands: done, under way, or neither.
type Hope = Vec<(Arc<str>, (bool, bool))>;

/// Asks whether this may be done. Whatever is not an allow is a refusal. An answer of other policies than those whose
/// needs were looked up is none: what they look at is looked up first.
///
/// Where it would be allowed if people approved it, they are asked, and what they approved is decided anew.
pub(crate) async fn decide(
    gateway: &Arc<Gateway>,
    by: (&Caller, Option<&str>),
    intent: &Intent,
    (answered, way): (Answered, Way<'_>),
) -> Result<Allowed, Refusal> {
    let refusal = match decided(gateway, by, intent, false).await {
        Err(refusal) if refusal.row == problem::NEEDS_APPROVAL => refusal,
        other => return other,
    };
    let approved = approve::seek(gateway, by, intent, (answered, way), refusal).await?;
    let mut allowed = decided(gateway, by, intent, true).await?;
    if !approved.under(&allowed.decision.policy_version) {
        return Err(changed());
    }
    allowed.basis.approved = Some(allowed.decision.policy_version.clone());
    Ok(Allowed { approved: Some(approved), ..allowed })
}

/// The same, of what people were not asked about, or have approved.
pub(crate) async fn decided(
    gateway: &Arc<Gateway>,
    (caller, reason): (&Caller, Option<&str>),
    intent: &Intent,
    approved: bool,
) -> Result<Allowed, Refusal> {
    let flow = gateway.flows.of(caller.flow());
    let mut reloads = 0;
    loop {
        let needs = gateway.engine.needs();
        gateway.remember(&needs).await?;
        let case = Case { gateway, caller, reason, intent, needs: &needs, approved, ancestors: ancestors(caller) };
        match case.settled(&flow).await {
            Err(refusal) if refusal.row == problem::POLICIES_CHANGED && reloads < RELOADS => reloads += 1,
            answered => return answered,
        }
    }
}

/// Is what was allowed allowed still? To be asked after whatever was waited for since. On the facts of the decision: what
/// the act itself takes up does not stand in its way.
pub(crate) fn still(
    gateway: &Gateway,
    caller: &Caller,
    reason: Option<&str>,
    intent: &Intent,
    basis: &Basis,
) -> Result<(), Refusal> {
    let as_of = AsOf::now(gateway);
    if as_of.changes == basis.as_of.changes && as_of.at - basis.as_of.at < OLD {
        return Ok(());
    }
    // What people approved was approved under the policies of then.
    if basis.approved.as_ref().is_some_and(|version| *version != gateway.engine.version()) {
        return Err(changed());
    }
    let approved = basis.approved.is_some();
    let case = Case { gateway, caller, reason, intent, needs: &basis.needs, approved, ancestors: ancestors(caller) };
    let needs = gateway.engine.needs();
    let (facts, mut verdict) = (basis.facts.clone(), case.ask(&basis.facts));
    if needs != basis.needs || !Arc::ptr_eq(&needs, &gateway.engine.needs()) {
        outdated(&mut verdict);
    }
    match verdict.permit {
        Some(_) => Ok(()),
        None => Err(case.refusal(Box::new(Denied { verdict, facts, as_of }))),
    }
}

impl Case<'_> {
    /// The answer, after a wait where waiting may help.
    async fn settled(&self, flow: &Arc<Flow>) -> Result<Allowed, Refusal> {
        // The usual call is decided at once.
        match self.once(flow)? {
            Ok(allowed) => Ok(allowed),
            Err(denied) => match self.hope(&denied, flow) {
                hope if hope.is_empty() => Err(self.refusal(denied)),
                hope => self.patiently(flow, denied, hope).await,
            },
        }
    }

    /// Reads, decides, and reserves if it is an allow.
    fn once(&self, flow: &Arc<Flow>) -> Result<Result<Allowed, Box<Denied>>, Refusal> {
        let touched = touched(self.gateway, self.needs, self.caller, self.intent)?;
        let answer = |values: &[i64], history: &History| {
            let as_of = AsOf::now(self.gateway);
            let facts = facts(self.needs, self.caller, (&touched, values), history);
            let mut verdict = used_up(self.ask(&facts), self.caller, self.intent, (&touched, values));
            // What is in force before and after the answer was so throughout: no policy set comes back as the same one.
            if !Arc::ptr_eq(self.needs, &self.gateway.engine.needs()) {
                outdated(&mut verdict);
            }
            let yes = verdict.permit.is_some();
            (Denied { verdict, facts, as_of }, yes)
        };
        let meters = &self.gateway.meters;
        let Some(tool) = &self.intent.tool else {
            let values = meters.read(&touched);
            let (answer, _) = flow.look(|history| answer(&values, history));
            return Ok(answer.split(self.needs, Claim::default()));
        };
        let ((answer, reserved), step) = flow.decide(&tool.qualified, |history| {
            let (answer, reserved) = meters.decide(&touched, |values| answer(values, history));
            let yes = answer.verdict.permit.is_some();
            ((answer, reserved), yes)
        });
        Ok(answer.split(self.needs, Claim::new(reserved, step)))
    }

    /// Decides anew whenever an act that would help begins or ends, as long as there is hope: while one is under way,
    /// and while one may have been sent at the same time. As long as others of the session arrive, it may be among them.
    async fn patiently(&self, flow: &Arc<Flow>, mut denied: Box<Denied>, mut hope: Hope) -> Result<Allowed, Refusal> {
        let timeouts = self.gateway.config.timeouts;
        let mut running = pin!(tokio::time::sleep(timeouts.running));
        let mut latest = pin!(tokio::time::sleep(timeouts.coming * SILENCES));
        let mut coming = pin!(tokio::time::sleep(timeouts.coming));
        loop {
            // Before looking, so that no change after it is missed.
            let mut changed = pin!(flow.changed());
            changed.as_mut().enable();
            if stands(flow, &hope) != hope {
                match self.once(flow)? {
                    Ok(allowed) => return Ok(allowed),
                    Err(again) => denied = again,
                }
                hope = self.hope(&denied, flow);
            }
            let under_way = hope.iter().any(|(_, (_, running))| *running);
            if hope.is_empty() {
                return Err(self.refusal(denied));
            }
            tokio::select! {
                biased;
                refused = self.stopped() => return Err(read::stopped(refused)),
                () = running.as_mut() => return Err(self.refusal(denied)),
                () = latest.as_mut(), if !under_way => return Err(self.refusal(denied)),
                () = coming.as_mut(), if !under_way => return Err(self.refusal(denied)),
                () = changed => coming.set(tokio::time::sleep(timeouts.coming)),
            }
        }
    }

    async fn stopped(&self) -> Refused {
        let (server, tool) = (&*self.intent.server, self.intent.tool_name());
        let audience = self.gateway.resource(server);
        self.gateway.authenticator.stopped(self.caller, At { audience: &audience, server, tool }).await
    }

    /// The acts that are not done yet and would help: all of them together, or some alone.
    fn hope(&self, denied: &Denied, flow: &Flow) -> Hope {
        let Some(tool) = self.intent.tool.as_ref().filter(|_| self.needs.done) else { return Hope::new() };
        if denied.verdict.code != Some(problem::DENIED) {
            return Hope::new();
        }
        let by = self.acting(&denied.facts);
        let call = self.call(by, tool);
        let mut awaited = self.gateway.engine.awaits(&call, self.gateway.clock.now());
        awaited.retain(|act| !denied.facts.done.contains(act));
        let helps = |acts: &[Arc<str>]| {
            let mut facts = denied.facts.clone();
            facts.done.extend(acts.iter().cloned());
            self.ask(&facts).permit.is_some()
        };
        if awaited.is_empty() || !helps(&awaited) {
            awaited.truncate(TRIED);
            awaited.retain(|act| helps(std::slice::from_ref(act)));
        }
        let hope: Hope = awaited.into_iter().map(|act| (act, (false, false))).collect();
        stands(flow, &hope)
    }

    fn acting<'c>(&'c self, facts: &'c Facts) -> Acting<'c> {
        let by = acting(self.gateway, self.caller, self.reason, (facts, &self.ancestors));
        Acting { approved: self.approved, ..by }
    }

    fn call<'c>(&'c self, by: Acting<'c>, tool: &'c Pinned) -> ToolCall<'c> {
        let (server, definition, tool) = (&*self.intent.server, Some(tool.tool.digest), tool.tool.name.as_str());
        ToolCall { by, server, tool, definition, args: &self.intent.arguments, args_digest: self.intent.given.digest }
    }

    fn ask(&self, facts: &Facts) -> Verdict {
        let (gateway, intent) = (self.gateway, self.intent);
        let by = self.acting(facts);
        match &intent.tool {
            Some(tool) => gateway.engine.tool_call(&self.call(by, tool), gateway.clock.now()),
            None => {
                let action = methods::action(intent.act, &intent.method);
                let verdict = self.server_act(by, action, intent.resource.as_deref());
                intent.watched.iter().fold(verdict, |verdict, uri| match verdict.permit {
                    Some(_) => with(verdict, self.server_act(by, methods::WATCH, Some(uri)), uri),
                    None => verdict,
                })
            }
        }
    }

    fn server_act(&self, by: Acting<'_>, action: &str, resource: Option<&str>) -> Verdict {
        let (server, args_digest) = (&*self.intent.server, self.intent.given.digest);
        let act = ServerAct { by, server, action, resource, args_digest };
        self.gateway.engine.server_act(&act, self.gateway.clock.now())
    }

    /// The resource that it may not watch, if it is that.
    fn unwatchable(&self, facts: &Facts) -> Option<&String> {
        let by = self.acting(facts);
        self.intent.watched.iter().find(|uri| self.server_act(by, methods::WATCH, Some(uri)).permit.is_none())
    }

    fn refusal(&self, denied: Box<Denied>) -> Refusal {
        let Denied { verdict: Verdict { decision, code, why, .. }, facts, .. } = *denied;
        let refusal = match decision.max_age {
            Some(max_age) => step_up(self.gateway, self.caller, &why, max_age),
            None => refused(self.gateway, self.intent, code.unwrap_or(problem::DENIED), why.into_owned()),
        };
        let resource = self.unwatchable(&facts).map(|uri| uri.as_str().into());
        refusal.decision(decision).facts(facts).resource(resource)
    }
}

impl Denied {
    /// An allow after all, with what it claims.
    fn split(mut self, needs: &Arc<Needs>, claim: Claim) -> Result<Allowed, Box<Self>> {
        let Some(permit) = self.verdict.permit.take() else { return Err(Box::new(self)) };
        let basis = Basis { needs: Arc::clone(needs), facts: self.facts, as_of: self.as_of, approved: None };
        Ok(Allowed { permit, decision: self.verdict.decision, claim, basis, approved: None })
    }
}

impl Basis {
    /// What was known beside the request, as far as policies looked at it.
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }
}

impl AsOf {
    fn now(gateway: &Gateway) -> Self {
        Self { changes: gateway.engine.changes(), at: gateway.clock.now() }
    }
}

/// The policies are not those under which people approved it.
fn changed() -> Refusal {
    let why = "the policies changed after it was approved: it has to be approved under those in force";
    Refusal::new(problem::POLICIES_CHANGED, rpc::DENIED, why)
}

/// Turns any answer into a deny: it was given on facts that other policies wanted.
fn outdated(verdict: &mut Verdict) {
    verdict.permit = None;
    verdict.code = Some(problem::POLICIES_CHANGED);
    verdict.why = "other policies were put in force while this was decided".into();
    verdict.decision.outcome = Outcome::Deny;
    verdict.decision.determining.clear();
    verdict.decision.max_age = None;
}

/// A permit also for watching this resource: the permit stays that for the request as a whole.
fn with(mut verdict: Verdict, also: Verdict, uri: &str) -> Verdict {
    if also.permit.is_none() {
        return Verdict { why: format!("resource `{uri}`: {}", also.why).into(), ..also };
    }
    verdict.decision.determining.extend(also.decision.determining);
    verdict
}

/// How these acts stand now.
fn stands(flow: &Flow, acts: &Hope) -> Hope {
    flow.look(|history| {
        let stands = |act: &Arc<str>| (history.done.contains(act), history.running.contains_key(act));
        acts.iter().map(|(act, _)| (Arc::clone(act), stands(act))).collect()
    })
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

/// A person has to confirm presence (RFC 9470, section 3). The next call in the same session goes on from there.
fn step_up(gateway: &Gateway, caller: &Caller, why: &str, max_age: i64) -> Refusal {
    let (public, session) = (&gateway.config.public_url, &caller.session.id);
    let address = format!("{public}/presence/{session}");
    let scheme = if caller.bearer { "Bearer" } else { "DPoP" };
    let challenge = format!(
        r#"{scheme} error="insufficient_user_authentication", error_description="a person has to confirm presence", max_age="{max_age}""#
    );
    Refusal::new(problem::NEEDS_STEP_UP, rpc::DENIED, format!("{why}: {address}"))
        .next(format!("ask a person to confirm presence at {address}, then call again"))
        .data(serde_json::json!({ "presence": address, "max_age": max_age }))
        .header(header::WWW_AUTHENTICATE, &challenge)
}

/// What policies look at beside the request. Where several agents of a chain have a counter, the highest stands.
pub(crate) fn facts(
    needs: &Needs,
    caller: &Caller,
    (touched, values): (&[Touch<'_>], &[i64]),
    history: &History,
) -> Facts {
    let mut meters = BTreeMap::new();
    for (touch, value) in touched.iter().zip(values).filter(|(touch, _)| !is_limit(touch)) {
        let stands = meters.entry(touch.meter.name.clone()).or_insert(*value);
        *stands = (*stands).max(*value);
    }
    let task = caller.session.parent.is_some().then(|| caller.session.purpose.as_deref()).flatten();
    Facts {
        purpose: caller.root.purpose.as_deref().filter(|_| needs.purpose).map(Arc::from),
        task: task.filter(|_| needs.purpose).map(Arc::from),
        meters,
        done: if needs.done { history.done.clone() } else { Default::default() },
        calls: if needs.calls { history.calls } else { 0 },
    }
}

/// Who asks, as policies see it.
pub(crate) fn acting<'a>(
    gateway: &Gateway,
    caller: &'a Caller,
    reason: Option<&'a str>,
    (facts, ancestors): (&'a Facts, &'a [&'a str]),
) -> Acting<'a> {
    let now = gateway.clock.now();
    Acting {
        agent: &caller.agent.name,
        human: caller.human.as_deref(),
        ancestors,
        limits: &caller.limits,
        approved: false,
        // A clock that was set back makes no presence fresh.
        presence: caller.presence_at.map(|at| now - at).filter(|age| age.0 >= 0),
        session_age: now - caller.session.opened_at,
        reason,
        facts,
    }
}

/// The agents for whom it acts, the root's first.
pub(crate) fn ancestors(caller: &Caller) -> Vec<&str> {
    caller.ancestors.iter().map(|agent| agent.name.as_str()).collect()
}
