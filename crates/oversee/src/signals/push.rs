//! Delivery by push (RFC 8935): one event a request, in order, and none before the one before it was taken.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

use chancery_fetch::{Answer, Ask};
use chancery_model::{AgentState, Delivery, Finding, Severity, Span, StreamStatus, Timestamp};
use chancery_store::signals::{self, Waiting};
use chancery_store::streams::StoredStream;
use chancery_store::{agents, findings, streams};
use futures_util::future::join_all;
use http::header::AUTHORIZATION;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::SignalError;
use super::transmitter::Transmitter;
use crate::entry::Act;

/// How many are sent before it is written down that they were taken.
const ROUND: u64 = 32;
/// Before what failed is sent again: doubled each time, up to the longest.
const FIRST_PAUSE: Span = Span::seconds(1);
const LONGEST_PAUSE: Span = Span::minutes(5);
/// After so many failures in a row there is a finding.
const MANY: u32 = 5;
/// A receiver cannot be reached.
const UNDELIVERED: &str = "signals-undelivered";
/// A receiver said that an event is not acceptable.
const REFUSED: &str = "signals-refused";
/// The longest text of others that is kept, in characters.
const LONGEST_WORD: usize = 200;

/// What is known of a stream whose pushes fail.
#[derive(Clone, Debug, Default)]
pub(super) struct Trouble {
    tries: u32,
    until: Timestamp,
    why: String,
}

/// What became of an event.
pub(super) enum Fate {
    Taken,
    /// The receiver will never take it (RFC 8935, section 2.3).
    Refused {
        err: String,
        description: String,
    },
    Failed(String),
}

/// The body of a refusal.
#[derive(Deserialize)]
struct Refusal {
    err: String,
    #[serde(default)]
    description: String,
}

/// Events of one stream that need not be kept any more.
#[derive(Default)]
pub(super) struct Done {
    pub(super) taken: Vec<String>,
    pub(super) refused: Vec<(String, String, String)>,
}

impl Transmitter {
    /// One round over all streams, side by side: one that is slow keeps nobody else waiting for longer than a request.
    pub(super) async fn push_all(&self) {
        let stored = match streams::all(&self.store).await {
            Ok(stored) => stored,
            Err(error) => return tracing::warn!(%error, "the streams cannot be read"),
        };
        let now = self.clock.monotonic();
        let due =
            stored.into_iter().filter(|stored| self.troubles().get(&stored.stream.id).is_none_or(|t| now >= t.until));
        join_all(due.map(|stored| async move {
            let stream = stored.stream.id.clone();
            if let Err(error) = self.push_stream(stored).await {
                tracing::warn!(%stream, %error, "events could not be pushed");
            }
        }))
        .await;
    }

    async fn push_stream(&self, stored: StoredStream) -> Result<(), SignalError> {
        let Delivery::Push { endpoint } = &stored.stream.delivery else { return Ok(()) };
        let enabled = stored.stream.status == StreamStatus::Enabled;
        let waiting = signals::first(&self.store, &stored.stream.id, enabled, ROUND).await?;
        if waiting.is_empty() || !self.is_active(&stored).await? {
            return Ok(());
        }
        let mut done = Done::default();
        let mut trouble = None;
        for signal in &waiting {
            match self.push(&stored, endpoint, signal).await {
                Fate::Taken => done.taken.push(signal.jti.clone()),
                Fate::Refused { err, description } => done.refused.push((signal.jti.clone(), err, description)),
                Fate::Failed(why) => {
                    trouble = Some(why);
                    break;
                }
            }
        }
        let more = waiting.len() as u64 == ROUND && trouble.is_none();
        self.note(&stored, trouble).await?;
        self.settle(&stored, done).await?;
        if more {
            self.wake();
        }
        Ok(())
    }

    /// Whoever was stopped here is told nothing more.
    async fn is_active(&self, stored: &StoredStream) -> Result<bool, SignalError> {
        let agent = agents::get(&self.store, &stored.stream.receiver).await?;
        let now = self.clock.now();
        Ok(agent.is_some_and(|agent| {
            agent.state == AgentState::Active
                && now < agent.expires_at
                && self.config.receivers.contains_key(&agent.name)
        }))
    }

    async fn push(&self, stored: &StoredStream, endpoint: &str, signal: &Waiting) -> Fate {
        let token = match self.token(stored, signal).await {
            Ok(token) => token,
            Err(why) => return Fate::Failed(why),
        };
        let mut ask = Ask::post(endpoint, "application/secevent+jwt", token).accept("application/json");
        if let Some(sealed) = &stored.authorization {
            let header = self.seals.open(stored.stream.id.as_str(), sealed);
            let header = header.and_then(|secret| HeaderValue::from_str(secret.expose()).map_err(|e| e.to_string()));
            match header {
                Ok(mut value) => {
                    value.set_sensitive(true);
                    ask = ask.header(AUTHORIZATION, value);
                }
                Err(why) => return Fate::Failed(why),
            }
        }
        match self.fetcher.fetch(ask).await {
            Ok(answer) => fate(&answer),
            Err(error) => Fate::Failed(error.to_string()),
        }
    }

    /// The signed token of an event that waits.
    pub(super) async fn token(&self, stored: &StoredStream, signal: &Waiting) -> Result<String, String> {
        let mut claims: Map<String, Value> = serde_json::from_str(&signal.claims).map_err(|e| e.to_string())?;
        claims.insert("iss".into(), self.config.issuer.as_str().into());
        claims.insert("aud".into(), stored.stream.audience.as_str().into());
        claims.insert("iat".into(), signal.made_at.seconds().into());
        claims.insert("jti".into(), signal.jti.as_str().into());
        self.signs.sign(&Value::Object(claims)).await
    }

    /// Writes down what was taken and what was refused: it waits no more.
    pub(super) async fn settle(&self, stored: &StoredStream, done: Done) -> Result<(), SignalError> {
        if done.taken.is_empty() && done.refused.is_empty() {
            return Ok(());
        }
        let stream = stored.stream.id.clone();
        let receiver = agents::get(&self.store, &stored.stream.receiver).await?.map(|agent| agent.name);
        let now = self.clock.now();
        let finding = receiver.zip(done.refused.last()).map(|(receiver, (_, err, description))| {
            let evidence = format!("receiver `{receiver}` of signals refused an event: {err}: {description}");
            found(REFUSED, &receiver, evidence, now)
        });
        let act = Act { actor: "system", noun: "stream", id: stream.as_str(), verb: "deliver", reason: None };
        let refused: Vec<Value> = done
            .refused
            .iter()
            .map(|(jti, err, description)| json!({"jti": jti, "err": err, "description": description}))
            .collect();
        let draft = act.draft(now, &json!({"acknowledged": done.taken, "refused": refused}));
        let id = stream.clone();
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                let refused = done.refused.iter().map(|(jti, ..)| jti);
                for jti in done.taken.iter().chain(refused) {
                    signals::remove(tx, &id, jti).await?;
                }
                match &finding {
                    Some(finding) => findings::open(tx, finding).await,
                    None => Ok(()),
                }
            })
        });
        write.await?;
        Ok(())
    }

    /// Remembers a failure, or that there is none any more.
    async fn note(&self, stored: &StoredStream, failed: Option<String>) -> Result<(), SignalError> {
        let id = &stored.stream.id;
        let Some(why) = failed else {
            let before = self.troubles().remove(id);
            return match before {
                Some(trouble) if trouble.tries >= MANY => self.find(stored, None).await,
                _ => Ok(()),
            };
        };
        let tries = {
            let mut troubles = self.troubles();
            let trouble = troubles.entry(id.clone()).or_default();
            trouble.tries += 1;
            let doubled = FIRST_PAUSE.0.saturating_mul(1 << trouble.tries.saturating_sub(1).min(20));
            trouble.until = self.clock.monotonic() + Span(doubled.min(LONGEST_PAUSE.0));
            trouble.why.clone_from(&why);
            trouble.tries
        };
        tracing::warn!(stream = %id, tries, why, "a receiver of signals does not take an event");
        if tries == MANY { self.find(stored, Some(why)).await } else { Ok(()) }
    }

    async fn find(&self, stored: &StoredStream, why: Option<String>) -> Result<(), SignalError> {
        let Some(agent) = agents::get(&self.store, &stored.stream.receiver).await? else { return Ok(()) };
        let now = self.clock.now();
        let evidence = why.map(|why| format!("receiver `{}` of signals cannot be told: {why}", agent.name));
        let finding = found(UNDELIVERED, &agent.name, evidence.clone().unwrap_or_default(), now);
        let id = format!("{UNDELIVERED}/{}", agent.name);
        let verb = if evidence.is_some() { "open" } else { "close" };
        let act = Act { actor: "system", noun: "finding", id: &id, verb, reason: None };
        let draft = act.draft(now, &json!(finding));
        let write = self.store.write(draft, move |tx| {
            Box::pin(async move {
                match evidence {
                    Some(_) => findings::open(tx, &finding).await,
                    None => findings::close(tx, UNDELIVERED, &finding.subject, now).await.map(drop),
                }
            })
        });
        write.await?;
        Ok(())
    }

    fn troubles(&self) -> MutexGuard<'_, HashMap<chancery_model::StreamId, Trouble>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// RFC 8935, sections 2.2 to 2.4. Only a 400 that says why in the form of section 2.3 is about the event itself;
/// everything else may be different next time.
fn fate(answer: &Answer) -> Fate {
    if answer.status.is_success() {
        return Fate::Taken;
    }
    if answer.status == StatusCode::BAD_REQUEST
        && let Ok(refusal) = serde_json::from_slice::<Refusal>(&answer.body)
    {
        return Fate::Refused { err: word(&refusal.err), description: word(&refusal.description) };
    }
    Fate::Failed(format!("it answered with status {}", answer.status.as_u16()))
}

/// Text of others, as much of it as is kept.
pub(super) fn word(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_WORD).collect()
}

fn found(rule: &str, receiver: &str, evidence: String, now: Timestamp) -> Finding {
    Finding {
        rule: rule.to_owned(),
        subject: receiver.to_owned(),
        severity: Severity::Medium,
        evidence,
        owasp: "NHI1".to_owned(),
        opened_at: now,
        closed_at: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &'static str) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers: http::HeaderMap::new(), body: body.into() }
    }

    #[test]
    fn only_a_refusal_in_the_form_of_the_rfc_is_about_the_event() {
        for status in [200, 202, 204] {
            assert!(matches!(fate(&answer(status, "")), Fate::Taken), "{status}");
        }
        let refused = answer(400, r#"{"err":"invalid_audience","description":"not us"}"#);
        assert!(matches!(fate(&refused), Fate::Refused { err, .. } if err == "invalid_audience"));
        for (status, body) in [
            (400, ""),
            (400, "{}"),
            (400, "<html>"),
            (401, r#"{"err":"authentication_failed"}"#),
            (403, r#"{"err":"access_denied"}"#),
            (404, ""),
            (429, ""),
            (500, ""),
            (503, r#"{"err":"invalid_request"}"#),
        ] {
            assert!(matches!(fate(&answer(status, body)), Fate::Failed(_)), "{status} {body}");
        }
    }
}
