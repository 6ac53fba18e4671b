//! The upstream servers and what is common to both ways of reaching them.

use std::sync::Arc;

use chancery_model::ActResult;
use chancery_model::problem::{self, Row};
use chancery_store::Lease;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::config::{Config, ServerConfig, Transport};
use crate::known::detail;
use crate::refusal::{Refusal, rpc};
use crate::tools::ReviewError;

pub(crate) mod http;
mod line;
pub(crate) mod stdio;

/// One upstream server, ready to be reached.
pub(crate) struct Upstream {
    pub(crate) name: Arc<str>,
    pub(crate) config: ServerConfig,
    pub(crate) reach: Reach,
    /// One listing is compared with what is pinned at a time.
    pub(crate) reviewing: tokio::sync::Mutex<()>,
}

/// How it is reached.
pub(crate) enum Reach {
    Http(Box<http::Http>),
    Stdio(stdio::Program),
}

impl Upstream {
    pub(crate) fn new(name: &str, config: &ServerConfig, all: &Config, lease: &Arc<Lease>) -> Result<Self, String> {
        let name: Arc<str> = name.into();
        let reach = match &config.transport {
            Transport::Http(url) => Reach::Http(Box::new(http::Http::new(url, all, lease)?)),
            Transport::Stdio(command) => {
                Reach::Stdio(stdio::Program::new(name.clone(), command.clone(), all, Arc::clone(lease)))
            }
        };
        Ok(Self { name, config: config.clone(), reach, reviewing: tokio::sync::Mutex::default() })
    }
}

/// Why an upstream did not answer, and what may have happened there.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) row: Row,
    pub(crate) result: ActResult,
    pub(crate) why: String,
}

impl Failure {
    /// What it says may quote the upstream, who may say anything: no more of it is kept than an entry takes.
    fn new(row: Row, result: ActResult, why: &str) -> Self {
        Self { row, result, why: detail(why) }
    }

    /// It was not reached: nothing happened.
    pub(crate) fn not_sent(why: impl Into<String>) -> Self {
        Self::new(problem::UPSTREAM_DOWN, ActResult::NotSent, &why.into())
    }

    /// It was reached, and whether it acted is not known.
    pub(crate) fn unknown(why: impl Into<String>) -> Self {
        Self::new(problem::UPSTREAM_DOWN, ActResult::Indeterminate, &why.into())
    }

    /// It answered, but not as MCP has it.
    pub(crate) fn not_understood(why: impl Into<String>) -> Self {
        Self::new(problem::UPSTREAM_BAD, ActResult::Indeterminate, &why.into())
    }

    /// It answered that it did not do it.
    pub(crate) fn failed(why: impl Into<String>) -> Self {
        Self::new(problem::UPSTREAM_BAD, ActResult::Failed, &why.into())
    }

    /// It answered, but what it lists is not known to be what was approved.
    pub(crate) fn unreviewed(error: &ReviewError) -> Self {
        let row = match error {
            ReviewError::Store(_) => problem::STORE_FAILED,
            ReviewError::TooMany(_) | ReviewError::Broken(_) => problem::UNREVIEWED,
        };
        Self { row, result: ActResult::Failed, why: error.to_string() }
    }

    /// Its credential could not be had or renewed.
    pub(crate) fn unconnected(error: &crate::connection::ConnectError) -> Self {
        Self::new(error.row, ActResult::Failed, &error.why)
    }

    /// Its caller was stopped before it could be sent again.
    pub(crate) fn stopped(refusal: &Refusal) -> Self {
        Self::new(refusal.row, ActResult::Failed, &refusal.why)
    }

    /// Its caller was stopped while its answer was waited for: whether it acted is not known.
    pub(crate) fn cut(why: &str) -> Self {
        let why = format!("it was cut while its answer was waited for, and may have happened: {why}");
        Self::new(problem::CALL_CUT, ActResult::Indeterminate, &why)
    }

    /// It does not know the session any more.
    pub(crate) fn session_over() -> Self {
        let why = "the upstream server has ended this session".to_owned();
        Self { row: problem::NO_MCP_SESSION, result: ActResult::Failed, why }
    }

    /// Its process of this session still has a credential that was replaced.
    pub(crate) fn outdated() -> Self {
        let why = "the upstream's credential was changed since this session was opened".to_owned();
        Self { row: problem::NO_MCP_SESSION, result: ActResult::NotSent, why }
    }

    pub(crate) fn refusal(&self) -> Refusal {
        Refusal::new(self.row, rpc::INTERNAL, self.why.clone())
    }
}

/// What can be told of a message from an upstream without reading its content.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope<'m> {
    #[serde(borrow, default)]
    pub(crate) id: Option<&'m RawValue>,
    #[serde(default)]
    pub(crate) method: Option<String>,
    #[serde(borrow, default)]
    pub(crate) params: Option<&'m RawValue>,
    #[serde(borrow, default)]
    pub(crate) result: Option<&'m RawValue>,
    #[serde(borrow, default)]
    pub(crate) error: Option<&'m RawValue>,
}

/// The part of a result that says whether a tool succeeded.
#[derive(Debug, Default, Deserialize)]
struct Verdict {
    #[serde(rename = "isError", default)]
    is_error: bool,
}

impl<'m> Envelope<'m> {
    pub(crate) fn read(bytes: &'m [u8]) -> Result<Self, Failure> {
        serde_json::from_slice(bytes).map_err(|e| Failure::not_understood(format!("its message is not JSON-RPC: {e}")))
    }

    pub(crate) fn is_answer(&self) -> bool {
        self.method.is_none() && (self.result.is_some() || self.error.is_some())
    }

    /// How the act ended, for an answer.
    pub(crate) fn outcome(&self) -> (ActResult, Option<String>) {
        if let Some(error) = self.error {
            return (ActResult::Failed, Some(short(error.get())));
        }
        let verdict: Verdict = self.result.and_then(|r| serde_json::from_str(r.get()).ok()).unwrap_or_default();
        if verdict.is_error { (ActResult::Failed, Some("isError".into())) } else { (ActResult::Succeeded, None) }
    }
}

fn short(text: &str) -> String {
    text.chars().take(200).collect()
}
