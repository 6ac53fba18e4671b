//! Slack: by a bot's token messages that are changed as things go on, or by the address of an incoming webhook
//! messages that stay as they are. Everything is plain text: nothing in it mentions anybody or is a link.

use chancery_fetch::{Ask, Fetcher};
use chancery_model::Secret;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::message::{Message, Sent, Verdict, pause};
use super::text::{plain, slack};

/// Where Slack's Web API is.
const API: &str = "https://slack.com/api";
/// Why a message cannot be changed any more: it is written anew.
const LOST: [&str; 4] = ["message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found"];

/// What a bot may do.
pub(crate) struct Bot<'a> {
    pub(crate) api: Option<&'a str>,
    pub(crate) room: &'a str,
    pub(crate) token: &'a Secret,
    pub(crate) fetcher: &'a Fetcher,
}

/// Where a message is.
#[derive(Debug, Serialize, Deserialize)]
struct Posted {
    channel: String,
    ts: String,
}

/// What Slack's Web API answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reply {
    ok: bool,
    error: String,
    channel: String,
    ts: String,
}

impl Bot<'_> {
    /// Writes a message, or changes the one of this thread.
    pub(crate) async fn send(&self, message: &Message, before: Option<&str>) -> Sent {
        let before: Option<Posted> = before.and_then(|posted| serde_json::from_str(posted).ok());
        if let Some(Posted { channel, ts }) = before {
            let body = merged(message, &json!({"channel": channel, "ts": ts}));
            let changed = self.call("chat.update", &body).await;
            if !LOST.iter().any(|lost| changed.answer == format!("Slack: {lost}")) {
                return Sent { posted: None, ..changed };
            }
        }
        self.call("chat.postMessage", &merged(message, &json!({"channel": self.room}))).await
    }

    async fn call(&self, method: &str, body: &Value) -> Sent {
        let Ok(mut bearer) = HeaderValue::from_str(&format!("Bearer {}", self.token.expose().trim())) else {
            return Sent::again("the token holds what no header may hold");
        };
        bearer.set_sensitive(true);
        let url = format!("{}/{method}", self.api.unwrap_or(API));
        let ask = Ask::post(url, "application/json; charset=utf-8", body.to_string()).header(AUTHORIZATION, bearer);
        let answer = self.fetcher.fetch(ask).await;
        let sent = Sent::by_http(&answer);
        match answer {
            Ok(answer) if sent.verdict == Verdict::Delivered => {
                let reply: Reply = serde_json::from_slice(&answer.body).unwrap_or_default();
                read(reply, pause(&answer))
            }
            _ => sent,
        }
    }
}

/// An error comes with the status 200.
fn read(reply: Reply, pause: Option<std::time::Duration>) -> Sent {
    if reply.ok {
        let posted = serde_json::to_string(&Posted { channel: reply.channel, ts: reply.ts }).ok();
        return Sent { posted, ..Sent::delivered("Slack: ok") };
    }
    let error = if reply.error.is_empty() { "no answer of its API" } else { &reply.error };
    Sent { verdict: Verdict::Again(pause), ..Sent::again(format!("Slack: {}", plain(error))) }
}

/// By the address of an incoming webhook, which is its secret.
pub(crate) async fn post(address: &Secret, message: &Message, fetcher: &Fetcher) -> Sent {
    let ask = Ask::post(address.expose().trim(), "application/json", body(message).to_string());
    Sent::by_http(&fetcher.fetch(ask).await)
}

fn merged(message: &Message, place: &Value) -> Value {
    let mut body = body(message);
    if let (Some(body), Some(place)) = (body.as_object_mut(), place.as_object()) {
        body.extend(place.clone());
    }
    body
}

/// `text` is what notifications and screen readers show; the blocks are what is seen.
fn body(message: &Message) -> Value {
    let plain_text = |text: String| json!({"type": "plain_text", "text": text, "emoji": false});
    let facts: Vec<String> = message.facts().iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let mut blocks = vec![json!({"type": "section", "text": plain_text(message.headline())})];
    if !facts.is_empty() {
        blocks.push(json!({"type": "section", "text": plain_text(facts.join("\n"))}));
    }
    blocks.push(json!({"type": "actions", "elements": [
        {"type": "button", "text": plain_text("Look at it".to_owned()), "url": message.data.link}]}));
    json!({
        "text": slack(&message.headline()), "mrkdwn": false, "parse": "none", "link_names": false,
        "unfurl_links": false, "unfurl_media": false, "blocks": blocks,
        "metadata": {"event_type": "chancery_event", "event_payload": {"id": message.id, "type": message.event}},
    })
}
