//! Teams: an Adaptive Card to the address of a workflow ("when a webhook request is received"), which is its secret.

use chancery_fetch::{Ask, Fetcher};
use chancery_model::Secret;
use serde_json::{Value, json};

use super::message::{Message, Sent};

/// Sends one card.
pub(crate) async fn send(address: &Secret, message: &Message, fetcher: &Fetcher) -> Sent {
    let ask = Ask::post(address.expose().trim(), "application/json", body(message).to_string());
    Sent::by_http(&fetcher.fetch(ask).await)
}

/// Text runs, which unlike text blocks know no Markdown.
fn body(message: &Message) -> Value {
    let run = |text: String, bold: bool| {
        json!({"type": "RichTextBlock", "inlines": [
            {"type": "TextRun", "text": text, "weight": if bold { "Bolder" } else { "Default" }}]})
    };
    let facts = message.facts().into_iter().map(|(name, value)| run(format!("{name}: {value}"), false));
    let blocks: Vec<Value> = std::iter::once(run(message.headline(), true)).chain(facts).collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "fallbackText": message.headline(),
                "body": blocks,
                "actions": [{"type": "Action.OpenUrl", "title": "Look at it", "url": message.data.link}],
            },
        }],
    })
}
