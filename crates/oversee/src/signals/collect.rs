//! Events of others that are fetched (RFC 8936): polled, judged, acknowledged with the next poll.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chancery_fetch::Ask;
use chancery_model::{Secret, Span, Timestamp};
use futures_util::future::join_all;
use http::header::AUTHORIZATION;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::push::word;
use super::receiver::{Collect, Receiver};

/// How many events are fetched at a time.
const MOST: usize = 20;
/// The longest answer, in bytes.
const LONGEST: usize = 512 * 1024;
/// A token is not used any more so long before its end.
const MARGIN: Span = Span::seconds(10);
/// The longest pause after failures.
const LONGEST_PAUSE: Span = Span::minutes(5);

/// What is known of one transmitter between two polls.
#[derive(Default)]
struct Standing {
    acknowledged: Vec<String>,
    refused: Map<String, Value>,
    token: Option<(Secret, Timestamp)>,
    failures: u32,
}

/// RFC 8936, section 2.3.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Polled {
    #[serde(default)]
    sets: HashMap<String, String>,
    #[serde(default)]
    more_available: bool,
}

/// RFC 6749, section 5.1.
#[derive(Deserialize)]
struct Token {
    access_token: String,
    #[serde(default)]
    expires_in: i64,
}

impl Receiver {
    /// Polls those that are polled, until `stop` is ready.
    pub async fn run(self: Arc<Self>, stop: impl Future<Output = ()> + Send) {
        let polled = self.transmitters.iter().filter_map(|(name, config)| Some((name, config.collect.as_ref()?)));
        let all = join_all(polled.map(|(name, collect)| self.poll_one(name, collect)));
        // Without anybody to poll there is nothing to wait for but the end; with somebody it never ends by itself.
        tokio::select! {
            () = stop => {}
            () = async { all.await; std::future::pending().await } => {}
        }
    }

    async fn poll_one(&self, name: &str, collect: &Collect) {
        let mut standing = Standing::default();
        loop {
            let again = match self.poll_once(name, collect, &mut standing).await {
                Ok(again) => {
                    standing.failures = 0;
                    again
                }
                Err(why) => {
                    standing.failures = standing.failures.saturating_add(1);
                    standing.token = None;
                    tracing::warn!(transmitter = name, why, "signals could not be fetched");
                    false
                }
            };
            if !again {
                tokio::time::sleep(pause(collect.every, standing.failures)).await;
            }
        }
    }

    /// One poll. Says whether there is something to be fetched or acknowledged at once.
    async fn poll_once(&self, name: &str, collect: &Collect, standing: &mut Standing) -> Result<bool, String> {
        let token = self.token(collect, standing).await?;
        let asked = json!({
            "ack": standing.acknowledged, "setErrs": standing.refused, "maxEvents": MOST, "returnImmediately": true,
        });
        let ask = Ask::post(&collect.endpoint, "application/json", asked.to_string()).accept("application/json");
        let answer = self.fetcher.fetch(ask.header(AUTHORIZATION, token).limit(LONGEST)).await;
        let answer = answer.map_err(|e| e.to_string())?;
        if answer.status != StatusCode::OK {
            return Err(format!("it answered with status {}", answer.status.as_u16()));
        }
        let polled: Polled = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
        standing.acknowledged.clear();
        standing.refused = Map::new();
        for (jti, set) in polled.sets {
            match self.take(name, &set).await {
                Ok(()) => standing.acknowledged.push(jti),
                Err(refused) => match refused.code {
                    Some(code) => {
                        let said = json!({"err": code, "description": word(&refused.why)});
                        standing.refused.insert(jti, said);
                    }
                    // Ours to mend: it comes again with a later poll.
                    None => tracing::warn!(transmitter = name, why = refused.why, "a signal waits"),
                },
            }
        }
        let settled = !standing.acknowledged.is_empty() || !standing.refused.is_empty();
        Ok(settled || polled.more_available)
    }

    /// The `Authorization` header: the stored token, or one that is had for the stored secret (RFC 6749, section 4.4).
    async fn token(&self, collect: &Collect, standing: &mut Standing) -> Result<HeaderValue, String> {
        let now = self.clock.now();
        if let Some((token, _)) = standing.token.as_ref().filter(|(_, until)| now < *until) {
            return bearer(token);
        }
        let secret = self.judges.secret(&collect.secret).await?;
        let secret = secret.ok_or_else(|| format!("there is no stored secret `{}`", collect.secret))?;
        let Some((endpoint, client)) = &collect.client else { return bearer(&secret) };
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", "ssf.read ssf.manage"),
            ("client_id", client),
            ("client_secret", secret.expose()),
        ];
        let form: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let ask = Ask::post(endpoint, "application/x-www-form-urlencoded", form.join("&")).accept("application/json");
        let answer = self.fetcher.fetch(ask).await.map_err(|e| e.to_string())?;
        if answer.status != StatusCode::OK {
            return Err(format!("no token was given: status {}", answer.status.as_u16()));
        }
        let token: Token = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
        let kept = Secret::new(token.access_token);
        let header = bearer(&kept)?;
        standing.token = Some((kept, now + Span::seconds(token.expires_in) - MARGIN));
        Ok(header)
    }
}

fn pause(every: Span, failures: u32) -> Duration {
    let doubled = every.0.saturating_mul(1 << failures.min(16));
    let micros = doubled.clamp(100_000, LONGEST_PAUSE.0.max(every.0));
    Duration::from_micros(u64::try_from(micros).unwrap_or(1_000_000))
}

fn bearer(token: &Secret) -> Result<HeaderValue, String> {
    let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
    let mut value = value.map_err(|_| "the stored token cannot be a header".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// For a form (URL standard, application/x-www-form-urlencoded).
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
