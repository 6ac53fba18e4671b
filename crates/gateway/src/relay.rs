//! What an upstream says, on its way to the agent: credentials are taken out, listings filtered, and requests of the
//! server remembered, so that only they can be answered.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use chancery_authenticate::{At, Caller, Refused};
use chancery_model::{ActResult, folded, problem};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::message::{Id, Message};
use crate::scrub::Scrubber;
use crate::sessions::McpSession;
use crate::upstream::{Envelope, Failure, Upstream};
use crate::wire;

/// What a server may ask its client (MCP 2025-11-25).
const ASKS: [&str; 4] = ["ping", "sampling/createMessage", "elicitation/create", "roots/list"];

/// One direction of one exchange.
pub(crate) struct Relay {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) server: Arc<str>,
    /// The tool that is called.
    pub(crate) tool: Option<Arc<str>>,
    pub(crate) caller: Caller,
    pub(crate) reason: Option<String>,
    pub(crate) session: Option<Arc<McpSession>>,
    pub(crate) scrubber: Arc<Scrubber>,
    /// The request that is waited for, and its method.
    pub(crate) own: Option<(Id, String)>,
    /// Whether a client that opens a session can let a person open an address.
    pub(crate) opens_addresses: bool,
}

/// A message that was looked at.
pub(crate) enum Passed {
    /// An answer, how the act it answers ended, and its result alone.
    Answer { id: Id, bytes: Bytes, ended: ActResult, detail: Option<String>, result: Bytes },
    /// A notification or a request of the server.
    Note(Bytes),
    /// It is not for the agent.
    Dropped,
}

impl Relay {
    pub(crate) fn new(
        gateway: &Arc<Gateway>,
        upstream: &Upstream,
        caller: &Caller,
        reason: Option<&str>,
        message: &Message,
    ) -> Self {
        Self {
            gateway: gateway.clone(),
            server: upstream.name.clone(),
            tool: message.text("name").filter(|_| message.method() == "tools/call").map(Into::into),
            caller: caller.clone(),
            reason: reason.map(str::to_owned),
            session: None,
            scrubber: Arc::default(),
            own: message.id().map(|id| (id.clone(), message.method().to_owned())),
            opens_addresses: wire::opens_addresses(message.param("capabilities")),
        }
    }

    /// What comes of `doing`, unless its caller is stopped first: then it is dropped, and nothing of it is passed on. What it
    /// did at the upstream until then is not known.
    pub(crate) async fn unless_stopped<T>(
        &self,
        doing: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let audience = self.gateway.resource(&self.server);
        let at = At { audience: &audience, server: &self.server, tool: self.tool.as_deref() };
        tokio::select! {
            biased;
            refused = self.gateway.authenticator.stopped(&self.caller, at) => Err(self.cut(&refused)),
            done = doing => done,
        }
    }

    /// It is counted before it is gone.
    fn cut(&self, refused: &Refused) -> Failure {
        if refused.row == problem::CONTAINED {
            self.gateway.cuts.fetch_add(1, Ordering::SeqCst);
        }
        Failure::cut(&refused.why)
    }

    /// A request that is answered when its stream ends, whenever that is.
    pub(crate) fn waits(&self) -> bool {
        matches!(&self.own, Some((_, method)) if method == "subscriptions/listen")
    }

    /// Takes credentials out of some bytes.
    pub(crate) async fn clean(&self, bytes: Bytes) -> Bytes {
        let (bytes, found) = self.scrubber.bytes(bytes);
        if found {
            self.gateway.reflects(&self.server).await;
        }
        bytes
    }

    /// Looks at one message.
    pub(crate) async fn pass(&self, bytes: Bytes) -> Result<Passed, Failure> {
        let bytes = self.clean(bytes).await;
        let envelope = Envelope::read(&bytes)?;
        if envelope.is_answer() {
            return self.answer(&envelope, &bytes).await;
        }
        if envelope.method.is_some() && (envelope.result.is_some() || envelope.error.is_some()) {
            return Err(Failure::not_understood("it sent a message that is a request and an answer"));
        }
        let Some(method) = &envelope.method else {
            return Err(Failure::not_understood("it sent neither a request nor a notification nor an answer"));
        };
        if envelope.id.is_none() && method == "notifications/tools/list_changed" {
            self.gateway.listing_changed(&self.server);
        }
        let passes = match envelope.id {
            None => method.starts_with("notifications/"),
            Some(id) => self.asked(method, id),
        };
        if !passes {
            tracing::warn!(server = %self.server, %method, "a message of an upstream was not passed on");
        }
        Ok(if passes { Passed::Note(bytes.clone()) } else { Passed::Dropped })
    }

    /// The server asks something: only within a session, only what MCP knows.
    fn asked(&self, method: &str, id: &RawValue) -> bool {
        let id = serde_json::from_str(id.get()).ok().as_ref().and_then(Id::read);
        match (&self.session, id) {
            (Some(session), Some(id)) if ASKS.contains(&method) => {
                session.asks(id);
                true
            }
            _ => false,
        }
    }

    async fn answer(&self, envelope: &Envelope<'_>, bytes: &Bytes) -> Result<Passed, Failure> {
        let raw = envelope.id.map_or("null", RawValue::get);
        let id: Option<Id> = serde_json::from_str(raw).ok().as_ref().and_then(Id::read);
        let own = self.own.as_ref().filter(|(own, _)| id.as_ref().is_none_or(|id| id == own));
        let (id, method) = match (own, id) {
            // An error about a message the upstream could not read has no id.
            (Some((own, method)), id) if id.is_some() || envelope.error.is_some() => {
                (own.clone(), Some(method.as_str()))
            }
            (None, Some(id)) if self.session.is_some() => (id, None),
            _ => return Err(Failure::not_understood("it answered a request that it was not sent")),
        };
        let (ended, detail) = envelope.outcome();
        let result = envelope.result.or(envelope.error).map_or_else(Bytes::new, |raw| part(bytes, raw));
        if let (Some("initialize"), Some(session), Some(result)) = (method, &self.session, envelope.result) {
            agree(session, result);
        }
        // An answer on a session's own stream may be to any request: whatever lists tools is filtered.
        let lists = method.is_none_or(|method| method == "tools/list");
        let filtered = match envelope.result.filter(|_| lists) {
            Some(result) => self.filtered(&id, result).await?,
            None => None,
        };
        Ok(Passed::Answer { id, bytes: filtered.unwrap_or_else(|| bytes.clone()), ended, detail, result })
    }

    /// A listing with nothing in it but approved definitions of tools the caller may call. It is the caller's own:
    /// no cache may give it to another.
    async fn filtered(&self, id: &Id, result: &RawValue) -> Result<Option<Bytes>, Failure> {
        let unreadable = |e: serde_json::Error| Failure::not_understood(format!("its listing is not readable: {e}"));
        let mut result: Value = serde_json::from_str(result.get()).map_err(unreadable)?;
        let Value::Object(members) = &mut result else { return Ok(None) };
        let is_list = |name: &str| folded(name) == "tools";
        if !members.keys().any(|name| is_list(name)) {
            return Ok(None);
        }
        // A client that ignores case would take `Tools` for the list.
        members.retain(|name, member| !is_list(name) || (name == "tools" && member.is_array()));
        let listed = match members.remove("tools") {
            Some(Value::Array(listed)) => listed,
            _ => Vec::new(),
        };
        let upstream = self.gateway.upstream(&self.server).map_err(|refusal| Failure::not_understood(refusal.why))?;
        let listed = Arc::new(listed);
        let reviewed = self.gateway.review(upstream, &listed, false).await;
        reviewed.map_err(|e| Failure::unreviewed(&e))?;
        result["tools"] = self.gateway.shown(upstream, &self.caller, self.reason.as_deref(), &listed).into();
        if result.get("cacheScope").is_some() {
            result["cacheScope"] = "private".into();
        }
        let message = json!({ "jsonrpc": "2.0", "id": id.to_value(), "result": result });
        Ok(Some(message.to_string().into()))
    }
}

/// The bytes of a part of a message, without a copy.
fn part(bytes: &Bytes, raw: &RawValue) -> Bytes {
    bytes.slice_ref(raw.get().as_bytes())
}

fn agree(session: &McpSession, result: &RawValue) {
    let version = serde_json::from_str::<Value>(result.get()).ok();
    if let Some(version) = version.as_ref().and_then(|result| result["protocolVersion"].as_str()) {
        // A session is initialized once: what was agreed first stays.
        let _ = session.version.set(version.to_owned());
    }
}
