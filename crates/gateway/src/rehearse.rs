//! Dry runs: before people are asked about a call, the upstream is asked what it would do.
//!
//! MCP has no dry run, so the configuration says how one is made of a tool: by another tool, or by an argument. It is a call
//! of the agent like any other: it is decided by the policies, recorded before it is sent, and cut with its agent. Where
//! policies refuse it, or want people to approve it too, there is none. What comes of it is for those who are asked, and
//! neither decides anything nor changes what runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chancery_authenticate::Caller;
use chancery_model::{Digest, DryRun, Foretold};
use http::{HeaderMap, Response};
use serde_json::{Map, Value, json};

use crate::act::{Act, carry_out};
use crate::body::{self, Body};
use crate::claim::Claim;
use crate::config::Rehearsal;
use crate::decide::{Allowed, decided};
use crate::flight::Flight;
use crate::gateway::Gateway;
use crate::intend::{Intent, intend};
use crate::known::{Known, not_recorded};
use crate::message::Message;
use crate::refusal::Refusal;
use crate::sessions::Place;
use crate::sse::Events;
use crate::upstream::Upstream;
use crate::wire::{self, Wire};
use crate::{lock, read};

/// How much of what the upstream says is kept, in characters.
const KEPT: usize = 4_000;

/// How a call came, and where it goes.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    pub(crate) upstream: &'a Upstream,
    pub(crate) place: &'a Place,
    pub(crate) wire: Wire,
    pub(crate) message: &'a Message,
}

/// Calls for which the upstream is being asked: others that are the same wait for that.
#[derive(Default)]
pub(crate) struct Rehearsals(Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>);

/// While this lives, nobody else asks about the same call.
pub(crate) struct Turn<'a> {
    all: &'a Rehearsals,
    call: Digest,
    held: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl Rehearsals {
    /// Waits until nobody asks about this call.
    pub(crate) async fn turn(&self, call: Digest) -> Turn<'_> {
        let turn = lock(&self.0).entry(call).or_default().clone();
        Turn { all: self, call, held: Some(turn.lock_owned().await) }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.held = None;
        let mut all = lock(&self.all.0);
        // Nobody waits for it.
        if all.get(&self.call).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            all.remove(&self.call);
        }
    }
}

/// Can the upstream be asked what this would do?
pub(crate) fn is_offered(upstream: &Upstream, intent: &Intent) -> bool {
    of(upstream, intent).is_some()
}

fn of<'u>(upstream: &'u Upstream, intent: &Intent) -> Option<&'u Rehearsal> {
    upstream.config.dry_run.get(intent.tool_name()?)
}

/// Asks it; nothing where it has no way to say. Whatever goes wrong is said to those who are asked to approve.
pub(crate) async fn rehearse(
    gateway: &Arc<Gateway>,
    by: (&Caller, Option<&str>),
    intent: &Intent,
    way: Way<'_>,
) -> Option<DryRun> {
    let rehearsal = of(way.upstream, intent)?;
    let (tool, argument) = match rehearsal {
        Rehearsal::Tool(tool) => (tool.clone(), None),
        Rehearsal::Argument(name) => (intent.tool_name()?.to_owned(), Some(name.clone())),
    };
    let (at, mut entry) = (gateway.clock.now(), None);
    let time = gateway.config.timeouts.rehearsal;
    let asked = asked(gateway, by, (&tool, argument.as_deref()), (intent, way), &mut entry);
    let foretold = match tokio::time::timeout(time, asked).await {
        Ok(Ok(said)) => said,
        Ok(Err(refusal)) => Foretold::Nothing(cut(&refusal.why)),
        Err(_) => Foretold::Nothing(format!("no answer came within {} seconds", time.as_secs())),
    };
    Some(DryRun { tool, argument, entry, foretold, at })
}

/// The path of a dry run: as that of the call, from what it means on.
async fn asked(
    gateway: &Arc<Gateway>,
    by: (&Caller, Option<&str>),
    (tool, argument): (&str, Option<&str>),
    (about, way): (&Intent, Way<'_>),
    entry: &mut Option<String>,
) -> Result<Foretold, Refusal> {
    let Way { upstream, place, wire, message } = way;
    let message = instead(message, tool, argument)?;
    let headers = headers(gateway, way, tool, &message);
    let mut known = Known::new(gateway, &upstream.name, message.method());
    known.caller(by.0);
    known.message(&message, &headers);
    known.wire(wire);
    let slot = gateway.slots.take(by.0, &upstream.name)?;
    let intent = intend(gateway, upstream, wire, &headers, &message, &mut known).await?;
    takes(&intent, argument)?;
    read::opens(gateway, &upstream.name, intent.tool_name())?;
    let Allowed { permit, decision, claim, basis, .. } = decided(gateway, by, &intent, false).await?;
    known.decision(&decision);
    // It has to have room in the meters, and takes nothing of it: neither they nor the history of the session take what
    // would be done for done.
    drop(claim);
    known.claim(&Claim::default(), &basis);
    known.rehearses(about);
    let receipt = gateway.recorder.before(known.take_intent()).await.map_err(|e| not_recorded(&e))?;
    *entry = Some(receipt.id().to_string());
    let message = message.named(&format!("dry-run-{}", receipt.id()));
    let flight = Flight::new(gateway, &receipt, &known, (slot, None, Claim::default()));
    let act = Act { by, intent: &intent, basis: &basis, upstream, place, wire, message, last_event: None };
    let response = carry_out(gateway, flight, act, (permit, receipt)).await;
    said(gateway, response).await
}

/// The message that is sent in its stead.
fn instead(message: &Message, tool: &str, argument: Option<&str>) -> Result<Message, Refusal> {
    let mut params = message.params().cloned().unwrap_or_default();
    if let Some(meta) = params.get_mut("_meta").and_then(Value::as_object_mut) {
        // Nobody waits for the progress of it.
        meta.remove("progressToken");
    }
    params.insert("name".to_owned(), tool.into());
    if let Some(argument) = argument {
        let mut arguments = params.get("arguments").and_then(Value::as_object).cloned().unwrap_or_default();
        arguments.insert(argument.to_owned(), true.into());
        params.insert("arguments".to_owned(), arguments.into());
    }
    let whole = json!({"jsonrpc": "2.0", "id": "dry-run", "method": "tools/call", "params": params});
    Message::read(whole.to_string().as_bytes())
}

/// As an agent would have sent them.
fn headers(gateway: &Gateway, way: Way<'_>, tool: &str, message: &Message) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if way.wire.is_stateless() {
        let pinned = gateway.pins.get(&way.upstream.name, tool);
        wire::headers_of(message, pinned.as_ref().map_or(&[], |tool| &tool.params), &mut headers);
    }
    headers
}

/// An argument that the tool does not know may be passed over by it: then the dry run would be the call itself.
fn takes(intent: &Intent, argument: Option<&str>) -> Result<(), Refusal> {
    let Some(argument) = argument else { return Ok(()) };
    let schema = intent.tool.as_ref().map(|tool| tool.schema());
    let kind = schema.and_then(|schema| schema.get("properties")?.get(argument)?.get("type"));
    match kind.and_then(Value::as_str) {
        Some("boolean") => Ok(()),
        _ => Err(Refusal::invalid_params(format!("the tool has no argument `{argument}` that is true or false"))),
    }
}

/// What the upstream says, from the answer that the agent would have had.
async fn said(gateway: &Gateway, response: Response<Body>) -> Result<Foretold, Refusal> {
    let kind = response.headers().get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let streamed = kind.is_some_and(|kind| kind.starts_with("text/event-stream"));
    let (limit, idle) = (gateway.config.limits.answer, gateway.config.timeouts.rehearsal);
    let bytes = body::collect(response.into_body(), limit, idle).await;
    let bytes = bytes.map_err(|e| Refusal::unreadable(e.to_string()))?;
    let answer = if streamed { last(&bytes, limit) } else { serde_json::from_slice(&bytes).ok() };
    Ok(answer.as_ref().map_or_else(|| Foretold::Nothing("its answer is not understood".to_owned()), foretold))
}

/// The answer at the end of a stream.
fn last(bytes: &Bytes, limit: usize) -> Option<Value> {
    let mut events = Events::new(limit);
    events.push(bytes);
    let mut found = None;
    while let Ok(Some(event)) = events.next() {
        let message = event.data.and_then(|data| serde_json::from_str::<Value>(&data).ok());
        found = message.filter(|message| message.get("result").or(message.get("error")).is_some()).or(found);
    }
    found
}

fn foretold(answer: &Value) -> Foretold {
    let none = Map::new();
    let result = answer["result"].as_object().unwrap_or(&none);
    if let Some(error) = answer.get("error") {
        return Foretold::Failure(cut(error["message"].as_str().unwrap_or("without a reason")));
    }
    if result.get("resultType").is_some_and(|kind| kind != "complete") {
        return Foretold::Nothing("it asks for something before it answers".to_owned());
    }
    let parts = result.get("content").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
    let text = match (texts.is_empty(), result.get("structuredContent")) {
        (false, _) => texts.join("\n"),
        (true, Some(structured)) => serde_json::to_string_pretty(structured).unwrap_or_default(),
        (true, None) => return Foretold::Nothing("it says nothing in words".to_owned()),
    };
    match result.get("isError") {
        Some(Value::Bool(true)) => Foretold::Failure(cut(&text)),
        _ => Foretold::Effect(cut(&text)),
    }
}

fn cut(text: &str) -> String {
    let count = text.chars().count();
    match count > KEPT {
        true => {
            let kept: String = text.chars().take(KEPT).collect();
            format!("{kept}… (the first {KEPT} of {count} characters)")
        }
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_an_effect_a_failure_or_nothing() {
        let text = |text: &str| json!([{"type": "text", "text": text}]);
        let of = |result: Value| foretold(&json!({"jsonrpc": "2.0", "id": 1, "result": result}));
        assert_eq!(of(json!({"content": text("340 EUR leave")})), Foretold::Effect("340 EUR leave".into()));
        assert_eq!(of(json!({"content": text("no"), "isError": true})), Foretold::Failure("no".into()));
        let structured = json!({"content": [], "structuredContent": {"rows": 3}});
        assert_eq!(of(structured), Foretold::Effect("{\n  \"rows\": 3\n}".into()));
        assert!(matches!(of(json!({"content": []})), Foretold::Nothing(_)));
        assert!(matches!(of(json!({"resultType": "input_required"})), Foretold::Nothing(_)));
        let error = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -1, "message": "not today"}});
        assert_eq!(foretold(&error), Foretold::Failure("not today".into()));
        let Foretold::Effect(long) = of(json!({"content": text(&"é".repeat(KEPT + 1))})) else { panic!() };
        assert!(long.ends_with("(the first 4000 of 4001 characters)") && long.chars().count() < KEPT + 60);
    }

    #[test]
    fn what_is_sent_instead_differs_in_nothing_else() {
        let call = json!({
            "jsonrpc": "2.0", "id": 7, "method": "tools/call",
            "params": {"name": "refund", "arguments": {"amount": 5}, "_meta": {"progressToken": 1, "traceparent": "x"}},
        });
        let call = Message::read(call.to_string().as_bytes()).unwrap();
        let preview = instead(&call, "preview", None).unwrap();
        assert_eq!((preview.text("name"), preview.param("arguments")), (Some("preview"), Some(&json!({"amount": 5}))));
        assert_eq!(preview.param("_meta"), Some(&json!({"traceparent": "x"})));
        let dry = instead(&call, "refund", Some("dry_run")).unwrap();
        assert_eq!(dry.param("arguments"), Some(&json!({"amount": 5, "dry_run": true})));
        assert_eq!(call.param("arguments"), Some(&json!({"amount": 5})), "the call itself stays what it was");
    }
}
