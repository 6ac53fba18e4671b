//! One channel's task: sends what is due, one message after the other, and waits for more.

use std::sync::Arc;
use std::time::Duration;

use chancery_model::Secret;
use chancery_store::StoreError;
use chancery_store::deliveries::{self, Delivery};

use super::config::{ChannelKind, SecretPlace};
use super::message::{Message, Sent};
use super::{Inner, Line, locked, slack, teams, webhook};

/// While something waits, how often it is looked whether its time has come.
const LOOK: Duration = Duration::from_secs(1);

/// Until the task is ended.
pub(super) async fn serve(inner: Arc<Inner>, at: usize) {
    let Some(line) = inner.lines.get(at) else { return };
    loop {
        let more = inner.send_due(line).await;
        match more {
            Ok(false) => line.wake.notified().await,
            Ok(true) => drop(tokio::time::timeout(LOOK, line.wake.notified()).await),
            Err(error) => {
                tracing::warn!(channel = line.channel.name, %error, "deliveries cannot be read or written");
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

impl Inner {
    /// Sends all that is due. Says whether something waits for its time.
    async fn send_due(&self, line: &Line) -> Result<bool, StoreError> {
        let (store, name) = (&self.parts.store, line.channel.name.as_str());
        while !locked(&self.gone).contains(name) {
            let Some(delivery) = deliveries::due(store, name, self.parts.clock.now()).await? else {
                return deliveries::waits(store, name).await;
            };
            let sent = self.send(line, &delivery).await;
            self.settle(line, delivery, sent).await?;
        }
        Ok(false)
    }

    async fn send(&self, line: &Line, delivery: &Delivery) -> Sent {
        let attempt = async {
            let message = Message::of(delivery)?;
            let secret = self.secret(line).await?;
            Ok::<_, String>(self.send_as(line, delivery, &message, secret.as_ref()).await)
        };
        attempt.await.unwrap_or_else(Sent::again)
    }

    async fn send_as(&self, line: &Line, delivery: &Delivery, message: &Message, secret: Option<&Secret>) -> Sent {
        let (channel, fetcher, now) = (&line.channel, &*self.parts.fetcher, self.parts.clock.now());
        match (channel.kind, secret) {
            (ChannelKind::Smtp, password) => match &line.mailer {
                Some(mailer) => mailer.send(channel, password, message, now).await,
                None => Sent::again("there is no mail server"),
            },
            (_, None) => Sent::again("there is no secret"),
            (ChannelKind::Webhook, Some(secret)) => {
                let url = channel.url.as_deref().unwrap_or_default();
                webhook::send(url, secret, delivery, now, fetcher).await
            }
            (ChannelKind::Teams, Some(address)) => teams::send(address, message, fetcher).await,
            (ChannelKind::Slack, Some(secret)) => match &channel.room {
                None => slack::post(secret, message, fetcher).await,
                Some(room) => {
                    let before = self.posted(delivery).await;
                    let bot = slack::Bot { api: channel.url.as_deref(), room, token: secret, fetcher };
                    bot.send(message, before.as_deref()).await
                }
            },
        }
    }

    /// Where an earlier message of the thread is. Without it a new one is written.
    async fn posted(&self, delivery: &Delivery) -> Option<String> {
        let posted = deliveries::posted(&self.parts.store, &delivery.channel, &delivery.thread).await;
        posted.unwrap_or_else(|error| {
            tracing::warn!(channel = delivery.channel, %error, "earlier messages cannot be read");
            None
        })
    }

    async fn secret(&self, line: &Line) -> Result<Option<Secret>, String> {
        match line.channel.secret_place() {
            None => Ok(None),
            Some(SecretPlace::Stored(name)) => {
                let opened = self.parts.secrets.open(&name).await?;
                opened.map(Some).ok_or_else(|| format!("no secret `{name}` is stored"))
            }
            Some(SecretPlace::File(path)) => {
                let read = tokio::fs::read_to_string(&path).await;
                read.map(|text| Some(Secret::new(text))).map_err(|e| format!("{}: {e}", path.display()))
            }
        }
    }
}
