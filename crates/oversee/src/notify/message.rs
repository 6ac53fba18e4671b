//! A message as people read it, and what the other side makes of it.

use std::time::Duration;

use chancery_fetch::{Answer, FetchError};
use chancery_store::deliveries::Delivery;
use http::header::RETRY_AFTER;
use serde::Deserialize;

use super::text::plain;

/// The longest pause that the other side may ask for.
const LONGEST_PAUSE: u64 = 3600;

/// What a payload says.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Message {
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) event: String,
    pub(crate) subject: String,
    pub(crate) time: String,
    pub(crate) data: Data,
}

/// What it says to people. All of it was neutralised when the event was made.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Data {
    pub(crate) summary: String,
    pub(crate) severity: String,
    pub(crate) link: String,
    pub(crate) facts: serde_json::Map<String, serde_json::Value>,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) verdict: Verdict,
    /// What was answered, in a few words.
    pub(crate) answer: String,
    /// Where the other side keeps it, if it can be changed there.
    pub(crate) posted: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Delivered,
    /// To be tried again, not before this time where the other side said so.
    Again(Option<Duration>),
    /// Nothing is to be sent there any more.
    Gone,
}

impl Message {
    pub(crate) fn of(delivery: &Delivery) -> Result<Self, String> {
        serde_json::from_str(&delivery.payload).map_err(|e| format!("the stored message cannot be read: {e}"))
    }

    /// `name: value`, one a line.
    pub(crate) fn facts(&self) -> Vec<(String, String)> {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        self.data.facts.iter().map(|(name, value)| (name.replace('_', " "), text(value))).collect()
    }

    /// The first line.
    pub(crate) fn headline(&self) -> String {
        format!("[{}] {}", self.data.severity, self.data.summary)
    }
}

impl Sent {
    pub(crate) fn delivered(answer: impl Into<String>) -> Self {
        Self { verdict: Verdict::Delivered, answer: answer.into(), posted: None }
    }

    pub(crate) fn again(answer: impl AsRef<str>) -> Self {
        Self { verdict: Verdict::Again(None), answer: plain(answer.as_ref()), posted: None }
    }

    /// What an answer by HTTP means: 2xx is taken, 410 (RFC 9110, section 15.5.11) is gone, everything else may
    /// be different another time.
    pub(crate) fn by_http(answer: &Result<Answer, FetchError>) -> Self {
        let answer = match answer {
            Ok(answer) => answer,
            // These name the whole address, which may be a secret.
            Err(FetchError::Url(_) | FetchError::Plain(_)) => return Self::again("the address may not be used"),
            Err(error) => return Self::again(error.to_string()),
        };
        let verdict = match answer.status.as_u16() {
            200..=299 => Verdict::Delivered,
            410 => Verdict::Gone,
            _ => Verdict::Again(pause(answer)),
        };
        Self { verdict, answer: format!("HTTP {}", answer.status.as_u16()), posted: None }
    }
}

/// `Retry-After` in seconds (RFC 9110, section 10.2.3), within reason.
pub(crate) fn pause(answer: &Answer) -> Option<Duration> {
    let seconds: u64 = answer.headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds.min(LONGEST_PAUSE)))
}
