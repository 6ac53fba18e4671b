//! Asking people: a call for which a policy wants approval gets it, or is told where it is given.
//!
//! An approval is for one call: for the digest of everything that would run and under whose authority. The same call,
//! sent again in the same session, finds it; any other finds nothing and asks anew.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chancery_authenticate::jose::sha256;
use chancery_authenticate::{At, Caller, Refused};
use chancery_authorize::Facts;
use chancery_model::problem;
use chancery_model::{Approval, ApprovalId, Digest, Outcome, canonical};
use chancery_oversee::approvals::{ApprovalError, Standing, Wanted};
use serde_json::{Map, Value, json};

use crate::config::Transport;
use crate::decoy;
use crate::gateway::Gateway;
use crate::intend::Intent;
use crate::message::Message;
use crate::read;
use crate::refusal::{Ask, Refusal, rpc};
use crate::rehearse::{self, Way, rehearse};

/// Between two looks whether people said something at another node.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);
/// What a `requestState` of ours begins with.
const STATE: &str = "chancery-approval.";
/// The name of our question among `inputRequests`.
pub(crate) const QUESTION: &str = "chancery/approval";
/// The members of `params` in which a client answers questions (MCP 2026-07-28, "Multi Round-Trip Requests").
const ANSWERS: [&str; 2] = ["inputResponses", "requestState"];

/// An approval that may be used for one call.
#[derive(Clone, Debug)]
pub(crate) struct Approved {
    pub(crate) id: ApprovalId,
    /// The call it is for.
    pub(crate) call: Digest,
    /// The policy set under which it was given.
    policy_version: Arc<str>,
}

/// What a client answered to a question of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It was not asked.
    Nothing,
    /// Somebody went to the address, or it waits on.
    Goes,
    /// Nobody wants it any more.
    Declined,
}

impl Approved {
    /// Is it for what these policies allow?
    pub(crate) fn under(&self, policy_version: &Arc<str>) -> bool {
        self.policy_version == *policy_version
    }
}

/// Takes the answer to a question of ours out of a message, which then is as it was before the question.
pub(crate) fn answered(message: &mut Message) -> Result<Answered, Refusal> {
    let Some(ours) = message.text("requestState").and_then(|state| state.strip_prefix(STATE)) else {
        return Ok(Answered::Nothing);
    };
    let wrong = || Refusal::invalid_params("`params.requestState` is not what was given");
    let bytes = URL_SAFE_NO_PAD.decode(ours).map_err(|_| wrong())?;
    let before = chancery_model::parse_strict(&bytes, chancery_model::Limits::default()).map_err(|_| wrong())?;
    let Value::Object(mut before) = before else { return Err(wrong()) };
    let action = message.param("inputResponses").and_then(|responses| responses.get(QUESTION)?.get("action")?.as_str());
    let answered = match action {
        Some("accept") | None => Answered::Goes,
        Some(_) => Answered::Declined,
    };
    for name in ANSWERS {
        message.replace_param(name, before.remove(name));
    }
    if before.is_empty() { Ok(answered) } else { Err(wrong()) }
}

/// What brings a message back to where it was, as it stood when it was asked.
fn state(intent: &Intent) -> String {
    let input =
        intent.given.input.as_deref().and_then(|bytes| serde_json::from_slice::<Map<String, Value>>(bytes).ok());
    let mut before = input.unwrap_or_default();
    before.retain(|name, _| ANSWERS.contains(&name.as_str()));
    let bytes = canonical(&Value::Object(before)).unwrap_or_else(|_| b"{}".to_vec());
    format!("{STATE}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// Gets the approval that `refusal` says is missing, or adds to it where people are asked.
pub(crate) async fn seek(
    gateway: &Arc<Gateway>,
    (caller, reason): (&Caller, Option<&str>),
    intent: &Intent,
    (answered, way): (Answered, Way<'_>),
    mut refusal: Refusal,
) -> Result<Approved, Refusal> {
    let Some(decision) = refusal.decision.clone() else { return Err(refusal) };
    let call = digest(gateway, caller, intent, &decision.policy_version)?;
    let mut wanted = Wanted {
        call,
        agent: &caller.agent,
        session: &caller.session.id,
        chain: &caller.chain,
        human: caller.human.as_deref(),
        owners: owners(caller),
        server: &intent.server,
        method: &intent.method,
        target: target(intent),
        definition: intent.tool.as_ref().map(|tool| tool.tool.digest),
        arguments: intent.given.arguments.as_deref(),
        input: intent.given.input.as_deref(),
        reason,
        dry_run: None,
        enforcer: None,
        policy_version: &decision.policy_version,
        demands: &decision.demands,
    };
    // Whoever is asked is shown what the upstream says it would do. It is not asked twice about the same call.
    if rehearse::is_offered(way.upstream, intent) {
        let _turn = gateway.rehearsals.turn(call).await;
        if gateway.approvals.is_new(&wanted).await.map_err(|e| failed(&e))? {
            wanted.dry_run = rehearse(gateway, (caller, reason), intent, way).await;
            read::still(gateway, caller, &intent.server, intent.tool_name())?;
            gateway.approvals.ask(&wanted).await.map_err(|e| failed(&e))?;
        }
    }
    match held(gateway, caller, &wanted, answered).await? {
        Standing::Granted(id) => Ok(Approved { id, call, policy_version: decision.policy_version }),
        Standing::Waits(approval) if answered == Answered::Declined => {
            let taken_back = gateway.approvals.cancel(&approval.id, "declined at the client", &caller.agent.name).await;
            taken_back.map_err(|e| failed(&e))?;
            deny(&mut refusal);
            let why = format!("the request {} was declined at the client", approval.id);
            Err(Refusal { row: problem::APPROVAL_DENIED, why, ..refusal }.about_approval(approval.id, None))
        }
        Standing::Waits(approval) => {
            let facts = refusal.facts.as_deref().unwrap_or(Facts::none());
            decoy::place(gateway, caller, intent, facts, &wanted).await;
            Err(asked(gateway, refusal, &approval, intent))
        }
        Standing::Denied(approval) => {
            deny(&mut refusal);
            let why = said_no(&approval);
            Err(Refusal { row: problem::APPROVAL_DENIED, why, ..refusal }.about_approval(approval.id, None))
        }
    }
}

/// How it stands; where the client went to let it be approved, after a while of waiting.
async fn held(
    gateway: &Arc<Gateway>,
    caller: &Caller,
    wanted: &Wanted<'_>,
    answered: Answered,
) -> Result<Standing, Refusal> {
    let mut said = gateway.approvals.said();
    let audience = gateway.resource(wanted.server);
    let at = At { audience: &audience, server: wanted.server, tool: wanted.definition.map(|_| wanted.target) };
    let patience =
        if answered == Answered::Goes { gateway.config.timeouts.approval } else { std::time::Duration::ZERO };
    let mut over = std::pin::pin!(tokio::time::sleep(patience));
    loop {
        said.mark_unchanged();
        let standing = gateway.approvals.ask(wanted).await.map_err(|e| failed(&e))?;
        if !matches!(standing, Standing::Waits(_)) || patience.is_zero() {
            return Ok(standing);
        }
        tokio::select! {
            biased;
            refused = stopped(gateway, caller, at) => return Err(read::stopped(refused)),
            () = over.as_mut() => return Ok(standing),
            _ = said.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn stopped(gateway: &Gateway, caller: &Caller, at: At<'_>) -> Refused {
    gateway.authenticator.stopped(caller, at).await
}

/// SHA-256 over everything that would run, and under whose authority.
fn digest(gateway: &Gateway, caller: &Caller, intent: &Intent, policy_version: &str) -> Result<Digest, Refusal> {
    let upstream = gateway.upstream(&intent.server)?;
    let reach = match &upstream.config.transport {
        Transport::Http(url) => json!({ "url": url }),
        Transport::Stdio(command) => json!({
            "args": command.args,
            "cwd": command.cwd,
            "env": command.env.iter().map(|(name, value)| (name.clone(), json!(Digest(sha256(value.as_bytes())))))
                .collect::<Map<String, Value>>(),
            "program": command.program,
        }),
    };
    let given = if unbound() { Digest([0; 32]) } else { Digest(intent.given.digest) };
    let whole = json!({
        "agent": caller.agent.id,
        "chain": caller.chain,
        "definition": intent.tool.as_ref().map(|tool| Digest(tool.tool.digest)),
        "flow": caller.flow(),
        "given": given,
        "human": caller.human,
        "instance": caller.session.instance,
        "issuer": gateway.config.public_url,
        "limits": caller.limits,
        "method": intent.method,
        "policies": policy_version,
        "reach": reach,
        "server": intent.server,
        "session": caller.session.id,
        "target": target(intent),
    });
    let bytes = canonical(&whole).map_err(|e| Refusal::unreadable(e.to_string()))?;
    Ok(Digest(sha256(&bytes)))
}

#[cfg(feature = "faults")]
fn unbound() -> bool {
    faults::UNBOUND.load(std::sync::atomic::Ordering::SeqCst)
}

#[cfg(not(feature = "faults"))]
const fn unbound() -> bool {
    false
}

/// Ways to be wrong, so that tests can show that they would notice.
#[cfg(feature = "faults")]
pub mod faults {
    use std::sync::atomic::AtomicBool;

    /// An approval is for the tool, whatever the arguments.
    pub static UNBOUND: AtomicBool = AtomicBool::new(false);
}

/// What it is about.
fn target(intent: &Intent) -> &str {
    let tool = intent.tool.as_ref().map(|tool| tool.tool.name.as_str());
    tool.or(intent.resource.as_deref()).unwrap_or(&intent.server)
}

/// The owners of all agents that do it.
fn owners(caller: &Caller) -> Vec<String> {
    let agents = caller.ancestors.iter().chain([&caller.agent]);
    let mut owners: Vec<String> = agents.map(|agent| agent.owner.clone()).collect();
    owners.sort();
    owners.dedup();
    owners
}

/// The refusal with the address where it is approved.
fn asked(gateway: &Gateway, refusal: Refusal, approval: &Approval, intent: &Intent) -> Refusal {
    let url = format!("{}/approvals/{}", gateway.config.public_url, approval.id);
    let until = approval.expires_at.rfc3339();
    let who: Vec<String> = approval.demands.iter().map(|demand| demand.who()).collect();
    let message = format!(
        "{} wants to use {} on {}. {} has to approve it until {until}.",
        approval.agent_name,
        approval.target,
        approval.server,
        capital(&who.join(" and ")),
    );
    let ask = Ask { url: url.clone(), message, state: state(intent) };
    refusal
        .next(format!("let it be approved at {url} (until {until}), then send exactly the same call again"))
        .data(json!({ "approval": approval.id, "url": url, "expires_at": until }))
        .about_approval(approval.id.clone(), Some(ask))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn said_no(approval: &Approval) -> String {
    let no = approval.votes.iter().find(|vote| !vote.approve);
    match no.map(|vote| (&vote.name, &vote.comment)) {
        Some((name, Some(comment))) => format!("`{name}` said no to it: {comment}"),
        Some((name, None)) => format!("`{name}` said no to it"),
        None => "a human said no to it".to_owned(),
    }
}

/// It is no open question any more.
fn deny(refusal: &mut Refusal) {
    if let Some(decision) = &mut refusal.decision {
        decision.outcome = Outcome::Deny;
    }
}

fn failed(error: &ApprovalError) -> Refusal {
    Refusal::new(error.row(), rpc::DENIED, error.to_string())
}
