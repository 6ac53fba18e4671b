//! The gateway's own listing of a server's tools, so that they are pinned as a whole and before anybody calls them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

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
use crate::pump::{Piece, Source};
use crate::refusal::Refusal;
use crate::sessions::{McpSession, Place};
use crate::sse::Events;
use crate::upstream::stdio::Child;
use crate::upstream::{Envelope, Failure, Reach, Upstream};
use crate::wire::{self, Wire};

/// Pages of a listing that are read at the most.
const PAGES: usize = 100;
/// After a failed contact the next one is tried no earlier.
const PAUSE: Span = Span::seconds(5);

/// What a contact found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The server.
    pub server: String,
    /// How many tools it lists, or why it could not be asked.
    pub tools: Result<usize, String>,
}

/// One contact at a time to each server, and what failed last.
#[derive(Default)]
pub(crate) struct Contacts {
    turns: Mutex<HashMap<Arc<str>, Arc<tokio::sync::Mutex<()>>>>,
    failed: Mutex<HashMap<Arc<str>, (Timestamp, String)>>,
}

impl Gateway {
    /// Lists the tools of every configured server and pins or reviews them. To be done at start, before policies are
    /// put in force, so that those can name the tools; and again whenever somebody wants to know what changed.
    pub async fn contact_all(self: &Arc<Self>) -> Vec<Contact> {
        let contacts = self.upstreams().map(|upstream| async {
            let tools = self.contact(upstream).await.map_err(|refusal| refusal.why);
            Contact { server: upstream.name.to_string(), tools }
        });
        futures_util::future::join_all(contacts).await
    }

    /// Makes sure that a server's tools were listed once.
    pub(crate) async fn ensure_contact(self: &Arc<Self>, upstream: &Upstream) -> Result<(), Refusal> {
        if self.pins.was_contacted(&upstream.name) {
            return Ok(());
        }
        let turn = lock(&self.contacts.turns).entry(upstream.name.clone()).or_default().clone();
        let _turn = turn.lock().await;
        if self.pins.was_contacted(&upstream.name) {
            return Ok(());
        }
        let last = lock(&self.contacts.failed).get(&upstream.name).cloned();
        if let Some((at, why)) = last
            && self.clock.monotonic() - at < PAUSE
        {
            return Err(Failure::not_sent(why).refusal());
        }
        self.contact(upstream).await.map(drop)
    }

    async fn contact(self: &Arc<Self>, upstream: &Upstream) -> Result<usize, Refusal> {
        let credential = self.credentials.of(upstream).await?;
        let receipt = self.recorder.before(own(upstream, Kind::Intent, self.clock.now())).await;
        let receipt = receipt.map_err(|e| not_recorded(&e))?;
        let position = receipt.position();
        let own_listing = Own { gateway: self, upstream, credential: &credential, receipt };
        let listed = own_listing.list().await;
        let (ended, detail) = match &listed {
            Ok(tools) => (ActResult::Succeeded, format!("{} tools", tools.len())),
            Err(failure) => (failure.result, credential.scrubber.text(&failure.why)),
        };
        let outcome = own(upstream, Kind::Outcome, self.clock.now());
        let outcome = Draft { decision: None, result: Some(ended), detail: Some(detail.clone()), ..outcome };
        self.recorder.after(position, outcome).await;
        let listed = listed.map_err(|failure| {
            lock(&self.contacts.failed).insert(upstream.name.clone(), (self.clock.monotonic(), detail.clone()));
            Failure { why: detail, ..failure }.refusal()
        })?;
        let failed = |e: chancery_store::StoreError| not_recorded(&e.into());
        self.review(upstream, &listed).await.map_err(failed)?;
        Ok(listed.len())
    }
}

fn own(upstream: &Upstream, kind: Kind, at: Timestamp) -> Draft {
    let who = Who { name: Some("gateway".to_owned()), ..Who::default() };
    let what =
        What { server: Some(upstream.name.to_string()), action: Some("tools/list".to_owned()), ..What::default() };
    Draft { kind, at, who, what, decision: Some(Outcome::Allow), ..Draft::default() }
}

/// One listing of the gateway's own: all its messages are one recorded intent.
struct Own<'c> {
    gateway: &'c Arc<Gateway>,
    upstream: &'c Upstream,
    credential: &'c Credential,
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
            Reach::Stdio(program) => {
                let secret = self.credential.variable.as_ref().map(|(name, secret)| (name.as_str(), secret));
                Some(program.start(secret, &self.credential.scrubber)?)
            }
        };
        self.pages(Wire::Stateless, &Place::Bare, child).await
    }

    async fn pages(&self, wire: Wire, place: &Place, child: Option<Arc<Child>>) -> Result<Vec<Value>, Failure> {
        let (mut tools, mut cursor) = (Vec::new(), None::<Value>);
        for page in 0..PAGES {
            let (answer, _) = self.ask(list(page, cursor.as_ref(), wire), wire, place, child.clone()).await?;
            if answer["error"]["code"] == json!(crate::refusal::rpc::METHOD_NOT_FOUND) && page == 0 {
                return Ok(tools);
            }
            let mut result = result_of(&answer)?;
            let Some(Value::Array(listed)) = result.get_mut("tools").map(Value::take) else {
                return Err(Failure::not_understood("its listing has no tools"));
            };
            tools.extend(listed);
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
        let parcel =
            Parcel { upstream, message, wire, place, credential, params: &[], last_event: None, limit, shared };
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
        let Answered { answer, opened } = self.send(message, wire, place, child).await?;
        let mut source = match answer {
            Answer::Whole(_, bytes) => return Ok((parsed(&bytes)?, opened)),
            Answer::Events(body) => Source::Events(body, Events::new(self.gateway.config.limits.answer)),
            Answer::Reply(reply) => Source::Reply(reply),
            Answer::Accepted(status) => return Err(unanswered(status)),
            Answer::Notes(_) => return Err(Failure::not_understood("it did not answer")),
        };
        loop {
            match source.piece(Some(self.gateway.config.timeouts.idle)).await? {
                Piece::Message(line, _) if Envelope::read(&line)?.is_answer() => return Ok((parsed(&line)?, opened)),
                Piece::Message(..) | Piece::Other(_) => {}
                Piece::End => return Err(Failure::unknown("it ended before it answered")),
            }
        }
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

fn list(page: usize, cursor: Option<&Value>, wire: Wire) -> Value {
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
