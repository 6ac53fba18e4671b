//! Channels on which people are told what happens, and what was told on them.

use chancery_oversee::notify::ChannelView;
use chancery_store::deliveries::{Delivery, DeliveryState};
use serde::Serialize;

pub(crate) mod deliveries;
pub(crate) mod list;
pub(crate) mod retry;
pub(crate) mod test;

/// A channel as the API shows it; times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    name: String,
    kind: &'static str,
    events: Vec<String>,
    /// `ok`, `failing` (many attempts in vain) or `gone` (it said so, and nothing is sent).
    state: &'static str,
    waiting: u64,
    failed: u64,
    delivered_at: Option<String>,
    gone_at: Option<String>,
}

impl From<ChannelView> for View {
    fn from(view: ChannelView) -> Self {
        let state = match (&view.gone, view.failing) {
            (Some(_), _) => "gone",
            (None, true) => "failing",
            (None, false) => "ok",
        };
        Self {
            kind: view.channel.kind.word(),
            name: view.channel.name,
            events: view.channel.events,
            state,
            waiting: view.standing.waiting,
            failed: view.standing.failed,
            delivered_at: view.standing.delivered_at.map(|at| at.rfc3339()),
            gone_at: view.gone.map(|gone| gone.since.rfc3339()),
        }
    }
}

/// A message to a channel, without what it says.
#[derive(Debug, Serialize)]
pub(crate) struct DeliveryView {
    channel: String,
    id: String,
    event: String,
    about: String,
    state: DeliveryState,
    attempts: u32,
    answer: String,
    committed_at: String,
    next_at: Option<String>,
    ended_at: Option<String>,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        let waits = delivery.state == DeliveryState::Waiting;
        Self {
            channel: delivery.channel,
            id: delivery.id,
            event: delivery.event,
            about: delivery.thread,
            state: delivery.state,
            attempts: delivery.attempts,
            answer: delivery.answer,
            committed_at: delivery.committed_at.rfc3339(),
            next_at: waits.then(|| delivery.next_at.rfc3339()),
            ended_at: delivery.ended_at.map(|at| at.rfc3339()),
        }
    }
}
