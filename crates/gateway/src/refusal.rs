//! Why a request is not let through, and how that is said: to HTTP, to JSON-RPC, and to a model.

use chancery_model::problem::{self, Row};
use chancery_model::{ApprovalId, DecisionId, Outcome};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::Body;
use crate::approve::QUESTION;
use crate::body;
use crate::message::Id;

/// JSON-RPC's own codes, and MCP's (2026-07-28).
pub(crate) mod rpc {
    pub(crate) const PARSE: i64 = -32_700;
    pub(crate) const INVALID_REQUEST: i64 = -32_600;
    pub(crate) const METHOD_NOT_FOUND: i64 = -32_601;
    pub(crate) const INVALID_PARAMS: i64 = -32_602;
    pub(crate) const INTERNAL: i64 = -32_603;
    /// Denied by policy, as the AuthZEN binding for MCP has it.
    pub(crate) const DENIED: i64 = -32_001;
    pub(crate) const HEADER_MISMATCH: i64 = -32_020;
    pub(crate) const UNSUPPORTED_VERSION: i64 = -32_022;
    /// A person has to open an address (2025-11-25).
    pub(crate) const URL_ELICITATION_REQUIRED: i64 = -32_042;
}

/// Refusals of the gateway that a model can act on.
const IN_BAND: [Row; 9] = [
    problem::NO_TOOL,
    problem::UPSTREAM_DOWN,
    problem::UPSTREAM_BAD,
    problem::NO_SECRET,
    problem::NOT_CONNECTED,
    problem::SCOPE_MISSING,
    problem::NOT_GRANTED,
    problem::BAD_METADATA,
    problem::ISSUER_DOWN,
];

/// One refusal.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The row of the error table.
    pub(crate) row: Row,
    /// The HTTP status, where it is not the row's.
    pub(crate) status: u16,
    /// The JSON-RPC code.
    pub(crate) rpc: i64,
    /// The deciding fact.
    pub(crate) why: String,
    /// What to do, where the instance knows better than the table.
    pub(crate) next: Option<String>,
    /// `error.data` that a specification asks for.
    pub(crate) data: Option<Box<Value>>,
    /// Response headers that a specification asks for.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// What the policies said, where they were asked.
    pub(crate) decision: Option<Box<chancery_model::Decision>>,
    /// What it was decided on.
    pub(crate) facts: Option<Box<chancery_authorize::Facts>>,
    /// The one of several resources that it is about.
    pub(crate) resource: Option<Box<str>>,
    /// The request for approval that it is about.
    pub(crate) approval: Option<Box<Asked>>,
}

/// A request for approval, and where people are asked if they still are.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) id: ApprovalId,
    pub(crate) ask: Option<Ask>,
}

/// A question that a client is to bring before its person.
#[derive(Debug)]
pub(crate) struct Ask {
    /// Where it is answered.
    pub(crate) url: String,
    /// What it is about, for the person.
    pub(crate) message: String,
    /// What the client sends back with the same request (MCP 2026-07-28).
    pub(crate) state: String,
}

/// How a client can be told that a person has to open an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Elicits {
    /// In words only.
    #[default]
    No,
    /// By an error (MCP 2025-11-25, "URL Elicitation Required").
    ByError,
    /// By a result that asks for input (MCP 2026-07-28).
    ByResult,
}

/// What a refusal is about: what is said to the model, and how it is answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subject {
    /// The id of the request it answers.
    pub(crate) id: Option<Id>,
    /// Whether it answers a `tools/call`, so that a model reads it.
    pub(crate) tool_call: bool,
    /// Whether the request came over the wire of 2026-07-28, whose results say their type.
    pub(crate) stateless: bool,
    /// `AGENT may not DO` in words.
    pub(crate) title: String,
    /// How its client can be asked to open an address.
    pub(crate) elicits: Elicits,
}

impl Refusal {
    pub(crate) fn new(row: Row, rpc: i64, why: impl Into<String>) -> Self {
        let why = why.into();
        Self {
            row,
            status: row.status,
            rpc,
            why,
            next: None,
            data: None,
            headers: Vec::new(),
            decision: None,
            facts: None,
            resource: None,
            approval: None,
        }
    }

    pub(crate) fn unreadable(why: impl Into<String>) -> Self {
        Self::new(problem::BAD_MESSAGE, rpc::PARSE, why)
    }

    pub(crate) fn malformed(why: impl Into<String>) -> Self {
        Self::new(problem::BAD_MESSAGE, rpc::INVALID_REQUEST, why)
    }

    pub(crate) fn invalid_params(why: impl Into<String>) -> Self {
        Self::new(problem::BAD_MESSAGE, rpc::INVALID_PARAMS, why)
    }

    pub(crate) fn mismatch(why: impl Into<String>) -> Self {
        Self::new(problem::BAD_MESSAGE, rpc::HEADER_MISMATCH, why)
    }

    pub(crate) fn status(self, status: StatusCode) -> Self {
        Self { status: status.as_u16(), ..self }
    }

    pub(crate) fn next(self, next: impl Into<String>) -> Self {
        Self { next: Some(next.into()), ..self }
    }

    pub(crate) fn data(self, data: Value) -> Self {
        Self { data: Some(Box::new(data)), ..self }
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    pub(crate) fn decision(self, decision: chancery_model::Decision) -> Self {
        Self { decision: Some(Box::new(decision)), ..self }
    }

    pub(crate) fn facts(self, facts: chancery_authorize::Facts) -> Self {
        Self { facts: (!facts.is_none()).then(|| Box::new(facts)), ..self }
    }

    pub(crate) fn resource(self, resource: Option<Box<str>>) -> Self {
        Self { resource, ..self }
    }

    pub(crate) fn about_approval(self, id: ApprovalId, ask: Option<Ask>) -> Self {
        Self { approval: Some(Box::new(Asked { id, ask })), ..self }
    }

    /// The outcome that is written in the record.
    pub(crate) fn outcome(&self) -> Outcome {
        match self.decision.as_ref().map(|decision| decision.outcome) {
            None | Some(Outcome::Allow) => Outcome::Deny,
            Some(other) => other,
        }
    }

    /// The answer. A refused tool call that was understood is a tool result, which a model can act on; everything
    /// else is a JSON-RPC error with the HTTP status that belongs to it.
    pub(crate) fn answer(self, subject: &Subject, decision: Option<DecisionId>) -> Response<Body> {
        if let Some(message) = self.elicitation(subject, decision) {
            return body::json(StatusCode::OK, &message);
        }
        let in_band = subject.tool_call && self.headers.is_empty() && self.in_band();
        let message = if in_band { self.result(subject, decision) } else { self.error(subject, decision) };
        let status = if in_band { 200 } else { self.status };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
        let mut response = body::json(status, &message);
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// What policies, tools and upstreams refuse is for the model; the rest is for its client.
    fn in_band(&self) -> bool {
        self.row.code.starts_with("C2") || self.row.code.starts_with("C5") || IN_BAND.contains(&self.row)
    }

    fn text(&self, subject: &Subject, decision: Option<DecisionId>) -> String {
        let next = self.next.as_deref().unwrap_or(self.row.help);
        let denied = self.row.code.starts_with("C2") && !subject.title.is_empty();
        let (verb, title) = match self.row {
            // It was allowed.
            problem::CALL_CUT => ("cut", self.row.title),
            _ if denied => ("denied", subject.title.as_str()),
            _ => ("refused", self.row.title),
        };
        let mut text = format!("{verb}: {title}\n  why: {}  [{}]\n  do:  ", self.why, self.row.code);
        match decision {
            Some(id) => {
                text.push_str(&next.replace("DECISION", &id.to_string()));
                text.push_str(&format!("\n  id:  {id}  ·  chancery why {id}"));
            }
            None => text.push_str(next),
        }
        text
    }

    fn about(&self, decision: Option<DecisionId>) -> Value {
        let mut about = json!({ "code": self.row.code, "reason": self.why });
        if let Some(id) = decision {
            about["id"] = id.to_string().into();
            about["why"] = format!("chancery why {id}").into();
        }
        about
    }

    /// The question to the client's person, where there is one and the client can ask it.
    fn elicitation(&self, subject: &Subject, decision: Option<DecisionId>) -> Option<Value> {
        let approval = self.approval.as_ref()?;
        let ask = approval.ask.as_ref()?;
        let id = subject.id.as_ref()?.to_value();
        let mut params = json!({ "mode": "url", "message": ask.message, "url": ask.url });
        match subject.elicits {
            Elicits::No => None,
            Elicits::ByError => {
                params["elicitationId"] = approval.id.as_str().into();
                let mut data = self.data.as_deref().cloned().unwrap_or_else(|| json!({}));
                data["elicitations"] = json!([params]);
                data["chancery/decision"] = self.about(decision);
                let message = format!("{}: {}", self.row.title, self.why);
                let error = json!({ "code": rpc::URL_ELICITATION_REQUIRED, "message": message, "data": data });
                Some(json!({ "jsonrpc": "2.0", "id": id, "error": error }))
            }
            Elicits::ByResult => {
                let result = json!({
                    "resultType": "input_required",
                    "inputRequests": { QUESTION: { "method": "elicitation/create", "params": params } },
                    "requestState": ask.state,
                    "_meta": { "chancery/decision": self.about(decision) },
                });
                Some(json!({ "jsonrpc": "2.0", "id": id, "result": result }))
            }
        }
    }

    fn result(&self, subject: &Subject, decision: Option<DecisionId>) -> Value {
        let mut result = json!({
            "content": [{ "type": "text", "text": self.text(subject, decision) }],
            "isError": true,
            "_meta": { "chancery/decision": self.about(decision) },
        });
        if subject.stateless {
            result["resultType"] = "complete".into();
        }
        let id = subject.id.as_ref().map_or(Value::Null, Id::to_value);
        json!({ "jsonrpc": "2.0", "id": id, "result": result })
    }

    fn error(&self, subject: &Subject, decision: Option<DecisionId>) -> Value {
        let mut data = self.data.as_deref().cloned().unwrap_or_else(|| json!({}));
        if let Some(data) = data.as_object_mut() {
            data.insert("chancery/decision".into(), self.about(decision));
        }
        json!({
            "jsonrpc": "2.0",
            "id": subject.id.as_ref().map_or(Value::Null, Id::to_value),
            "error": { "code": self.rpc, "message": format!("{}: {}", self.row.title, self.why), "data": data },
        })
    }
}
