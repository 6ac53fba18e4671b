//! The gateway's own listing of a server's tools, so that they are pinned as a whole and before anybody calls them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use chancery_model::problem::{self, Row};
use chancery_model::{ActResult, AgentId, Draft, Kind, Outcome, SessionId, Span, Timestamp, What, Who};
use chancery_record::Receipt;
use http::StatusCode;
use serde_json::{Value, json};

use crate::forward::{Answer, Answered, Parcel, forward_own};
use crate::gateway::Gateway;
use crate::inject::Credential;
use crate::known::not_recorded;
use crate::lock;
use crate::message::Message;
use crate::pins::MOST;
use crate::pump::{Piece, Source};
use crate::refusal::{Refusal, rpc};
use crate::sessions::{McpSession, Place};
use crate::sse::Events;
use crate::upstream::stdio::Child;
use crate::upstream::{Envelope, Failure, Reach, Upstream};
use crate::wire::{self, Wire};

/// Pages of a listing that are read at the most.
const PAGES: usize = 100;
/// After a failed contact the next one is tried no earlier.
const PAUSE: Span = Span::seconds(5);
/// After a contact that a server asked for by saying that its tools changed, the next such one comes no earlier.
const LULL: Duration = Duration::from_secs(5);

/// What a contact found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The server.
    pub server: String,
    /// How many tools it lists, or why it could not be asked.
    pub tools: Result<usize, String>,
}

/// One contact at a time to each server, what failed last, and who said that its tools changed.
#[derive(Default)]
pub(crate) struct Contacts {
    turns: Mutex<HashMap<Arc<str>, Arc<tokio::sync::Mutex<()>>>>,
    failed: Mutex<HashMap<Arc<str>, Failed>>,
    /// Servers that are being looked at because they said so; true if one said so again meanwhile.
    told: Mutex<HashMap<Arc<str>, bool>>,
}

/// A contact that failed.
#[derive(Clone)]
struct Failed {
    at: Timestamp,
    row: Row,
    why: String,
}

impl Gateway {
    /// Lists the tools of every configured server and pins or reviews them. To be done at start, before policies are
    /// put in force, so that those can name the tools; and again whenever somebody wants to know what changed.
    pub async fn contact_all(self: &Arc<Self>) -> Vec<Contact> {
        let contacts = self.upstreams().map(|upstream| async {
            let tools = self.contact(upstream, false).await.map_err(|refusal| refusal.why);
            Contact { server: upstream.name.to_string(), tools }
        });
        futures_util::future::join_all(contacts).await
    }

    /// Makes sure that a server's tools were listed once, and that the last time they were reviewed.
    pub(crate) async fn ensure_contact(self: &Arc<Self>, upstream: &Upstream) -> Result<(), Refusal> {
        if self.needs_contact(upstream) { self.contact(upstream, true).await.map(drop) } else { Ok(()) }
    }

    pub(crate) fn needs_contact(&self, upstream: &Upstream) -> bool {
        !self.pins.was_contacted(&upstream.name) || self.pins.is_blocked(&upstream.name)
    }

    /// A server says that its tools changed: it is listed again, at once, and no more often than every [`LULL`].
    pub(crate) fn listing_changed(self: &Arc<Self>, server: &Arc<str>) {
        let mut told = lock(&self.contacts.told);
        if let Some(again) = told.get_mut(server) {
            *again = true;
            return;
        }
        told.insert(server.clone(), false);
        drop(told);
        let (gateway, server) = (self.clone(), server.clone());
        tokio::spawn(async move {
            while let Ok(upstream) = gateway.upstream(&server) {
                if let Err(refusal) = gateway.contact(upstream, false).await {
                    tracing::warn!(%server, why = refusal.why, "its tools changed, and it could not be listed");
                }
                tokio::time::sleep(LULL).await;
                let mut told = lock(&gateway.contacts.told);
                match told.get_mut(&server) {
                    Some(again) if *again => *again = false,
                    _ => {
                        told.remove(&server);
                        return;
                    }
                }
            }
        });
    }

    /// Lists a server, in a task of its own: what was begun is done even if whoever waits for it goes away. With
    /// `needed` only if that is needed once its turn comes, and not soon after a contact that failed.
    pub(crate) async fn contact(self: &Arc<Self>, upstream: &Upstream, needed: bool) -> Result<usize, Refusal> {
        let (gateway, name) = (self.clone(), upstream.name.clone());
        let contacted = tokio::spawn(async move {
            let upstream = gateway.upstream(&name)?;
            let turn = lock(&gateway.contacts.turns).entry(name.clone()).or_default().clone();
            let _turn = turn.lock().await;
            if needed && !gateway.needs_contact(upstream) {
                return Ok(0);
            }
            let last = lock(&gateway.contacts.failed).get(&name).cloned();
            match last.filter(|last| needed && gateway.clock.monotonic() - last.at < PAUSE) {
                Some(last) => Err(Refusal::new(last.row, rpc::INTERNAL, last.why)),
                None => gateway.list(upstream).await,
            }
        });
        contacted.await.unwrap_or_else(|e| Err(Refusal::new(problem::INTERNAL, rpc::INTERNAL, e.to_string())))
    }

    async fn list(self: &Arc<Self>, upstream: &Upstream) -> Result<usize, Refusal> {
        let credential = self.credential(upstream).await?;
        let receipt = self.recorder.before(own(&upstream.name, Kind::Intent, self.clock.now())).await;
        let receipt = receipt.map_err(|e| not_recorded(&e))?;
        let position = receipt.position();
        let own_listing = Own { gateway: self, upstream, credential: &credential, receipt };
        let listed = own_listing.list().await;
        let (ended, detail) = match &listed {
            Ok(tools) => (ActResult::Succeeded, format!("{} tools", tools.len())),
            Err(failure) => (failure.result, credential.scrubber.text(&failure.why)),
        };
        let outcome = own(&upstream.name, Kind::Outcome, self.clock.now());
        let outcome = Draft { decision: None, result: Some(ended), detail: Some(detail.clone()), ..outcome };
        self.recorder.after(position, outcome).await;
        let listed = listed.map_err(|failure| self.failed(upstream, Failure { why: detail, ..failure }))?;
        let listed = Arc::new(listed);
        let reviewed = self.review(upstream, &listed, true).await;
        reviewed.map_err(|error| self.failed(upstream, Failure::unreviewed(&error)))?;
        Ok(listed.len())
    }

    /// A server that could not be listed is asked again at once: something about it was mended.
    pub(crate) fn forget_failure(&self, server: &str) {
        lock(&self.contacts.failed).remove(server);
    }

    fn failed(&self, upstream: &Upstream, failure: Failure) -> Refusal {
        let failed = Failed { at: self.clock.monotonic(), row: failure.row, why: failure.why.clone() };
        lock(&self.contacts.failed).insert(upstream.name.clone(), failed);
        failure.refusal()
    }
}

pub(crate) fn own(server: &str, kind: Kind, at: Timestamp) -> Draft {
    let who = Who { name: Some("gateway".to_owned()), ..Who::default() };
    let what = What { server: Some(server.to_owned()), action: Some("tools/list".to_owned()), ..What::default() };
    Draft { kind, at, who, what, decision: Some(Outcome::Allow), ..Draft::default() }
}

/// One listing of the gateway's own: all its messages are one recorded intent.
struct Own<'c> {
    gateway: &'c Arc<Gateway>,
    upstream: &'c Upstream,
    credential: &'c Arc<Credential>,
    receipt: Receipt,
}

impl Own<'_> {
    /// With a session first, which most servers know; without one if that is refused.
    async fn list(&self) -> Result<Vec<Value>, Failure> {
        match self.with_session().await {
            Err(failure) if failure.result != ActResult::NotSent => self
                .without_session()
                .await
                .map_err(|second| if second.result == ActResult::NotSent { failure } else { second }),
            listed => listed,
        }
    }

    async fn with_session(&self) -> Result<Vec<Value>, Failure> {
        let wire = Wire::Sessions(None);
        let (answer, opened) = self.ask(initialize(), wire, &Place::New, None).await?;
        let result = result_of(&answer)?;
        let place = match opened {
            None => Place::Bare,
            Some(link) => {
                let (now, random) = (self.gateway.clock.now(), &*self.gateway.random);
                let (agent, within) = (AgentId::new(now, random), SessionId::new(now, random));
                let session = McpSession::own(self.upstream, link, agent, within);
                if let Some(version) = result["protocolVersion"].as_str() {
                    let _ = session.version.set(version.to_owned());
                }
                Place::In(session)
            }
        };
        let version =
            result["protocolVersion"].as_str().and_then(|v| wire::SESSIONS.into_iter().find(|known| *known == v));
        let wire = Wire::Sessions(version);
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        self.send(initialized, wire, &place, None).await?;
        let listed = self.pages(wire, &place, None).await;
        if matches!((&place, &self.upstream.reach), (Place::In(_), Reach::Http(_))) {
            // Whether it ends its session or not is the server's business.
            let _ = self.forward(Message::bodiless(crate::message::Form::End), wire, &place, None).await;
        }
        listed
    }

    async fn without_session(&self) -> Result<Vec<Value>, Failure> {
        let child = match &self.upstream.reach {
            Reach::Http(_) => None,
            Reach::Stdio(program) => Some(program.start(self.credential)?),
        };
        self.pages(Wire::Stateless, &Place::Bare, child).await
    }

    async fn pages(&self, wire: Wire, place: &Place, child: Option<Arc<Child>>) -> Result<Vec<Value>, Failure> {
        let (mut tools, mut cursor) = (Vec::new(), None::<Value>);
        for page in 0..PAGES {
            let (answer, _) = self.ask(list(page, cursor.as_ref(), wire), wire, place, child.clone()).await?;
            if answer["error"]["code"] == json!(rpc::METHOD_NOT_FOUND) && page == 0 {
                return Ok(tools);
            }
            let mut result = result_of(&answer)?;
            let Some(Value::Array(listed)) = result.get_mut("tools").map(Value::take) else {
                return Err(Failure::not_understood("its listing has no tools"));
            };
            tools.extend(listed);
            if tools.len() > MOST {
                // More are not taken in, however many follow.
                return Ok(tools);
            }
            match result.get("nextCursor") {
                Some(next @ Value::String(_)) => cursor = Some(next.clone()),
                _ => return Ok(tools),
            }
        }
        Err(Failure::not_understood(format!("its listing has more than {PAGES} pages")))
    }

    async fn forward(
        &self,
        message: Message,
        wire: Wire,
        place: &Place,
        shared: Option<Arc<Child>>,
    ) -> Result<Answered, Failure> {
        let limit = self.gateway.config.limits.answer;
        let (upstream, credential) = (self.upstream, self.credential);
        let renewal = self.gateway.renewal(upstream, &|| Ok(()));
        let parcel = Parcel {
            params: &[],
            last_event: None,
            limit,
            shared,
            renewal,
            upstream,
            message,
            wire,
            place,
            credential,
        };
        forward_own(&self.receipt, parcel).await
    }

    async fn send(
        &self,
        message: Value,
        wire: Wire,
        place: &Place,
        child: Option<Arc<Child>>,
    ) -> Result<Answered, Failure> {
        let message = Message::read(message.to_string().as_bytes()).map_err(|e| Failure::not_sent(e.why))?;
        self.forward(message, wire, place, child).await
    }

    /// Sends a request and waits for its answer, whatever else is said meanwhile.
    async fn ask(
        &self,
        message: Value,
        wire: Wire,
        place: &Place,
        child: Option<Arc<Child>>,
    ) -> Result<(Value, Option<crate::sessions::Link>), Failure> {
        let Answered { answer, opened, renewed } = self.send(message, wire, place, child).await?;
        let credential = renewed.as_ref().unwrap_or(self.credential);
        let mut source = match answer {
            Answer::Whole(_, bytes) => return Ok((parsed(&self.clean(credential, bytes).await)?, opened)),
            Answer::Events(body) => Source::Events(body, Events::new(self.gateway.config.limits.answer)),
            Answer::Reply(reply) => Source::Reply(reply),
            Answer::Accepted(status) => return Err(unanswered(status)),
            Answer::Notes(_) => return Err(Failure::not_understood("it did not answer")),
        };
        loop {
            match source.piece(Some(self.gateway.config.timeouts.idle)).await? {
                Piece::Message(line, _) => {
                    let line = self.clean(credential, line).await;
                    if Envelope::read(&line)?.is_answer() {
                        return Ok((parsed(&line)?, opened));
                    }
                }
                Piece::Other(_) => {}
                Piece::End => return Err(Failure::unknown("it ended before it answered")),
            }
        }
    }

    /// Takes the credential out, as for agents: what is pinned is what they are shown.
    async fn clean(&self, credential: &Credential, bytes: Bytes) -> Bytes {
        let (bytes, found) = credential.scrubber.bytes(bytes);
        if found {
            self.gateway.reflects(&self.upstream.name).await;
        }
        bytes
    }
}

fn unanswered(status: StatusCode) -> Failure {
    Failure::not_understood(format!("it answered {status} without a message"))
}

fn parsed(bytes: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(bytes).map_err(|e| Failure::not_understood(e.to_string()))
}

fn result_of(answer: &Value) -> Result<Value, Failure> {
    match (answer.get("result"), answer.get("error")) {
        (Some(result), None) => Ok(result.clone()),
        (_, Some(error)) => Err(Failure::failed(format!("it answered with an error: {error}"))),
        _ => Err(Failure::not_understood("its answer has neither result nor error")),
    }
}

/// Everything a client can do is declared, so that tools which need it are listed too.
fn capabilities() -> Value {
    json!({ "roots": { "listChanged": true }, "sampling": {}, "elicitation": {} })
}

fn client() -> Value {
    json!({ "name": "chancery", "version": env!("CARGO_PKG_VERSION") })
}

fn initialize() -> Value {
    let params =
        json!({ "protocolVersion": wire::SESSIONS[0], "capabilities": capabilities(), "clientInfo": client() });
    json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params })
}

pub(crate) fn list(page: usize, cursor: Option<&Value>, wire: Wire) -> Value {
    let mut params = json!({});
    if let Some(cursor) = cursor {
        params["cursor"] = cursor.clone();
    }
    if wire.is_stateless() {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": wire::STATELESS,
            "io.modelcontextprotocol/clientInfo": client(),
            "io.modelcontextprotocol/clientCapabilities": capabilities(),
        });
    }
    json!({ "jsonrpc": "2.0", "id": page + 1, "method": "tools/list", "params": params })
}
