//! `POST /v1/containments`

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use chancery_gateway::Reached;
use chancery_model::problem::{NOT_ACKNOWLEDGED, Problem};
use chancery_model::{Change, DecisionId, Draft, Kind, Who};
use chancery_oversee::containment::{Contained, contain};
use chancery_store::{How, Watch};
use serde::Serialize;

use super::{Asked, Confirmed, View};
use crate::door::admin::Peer;
use crate::failure::Answer;
use crate::input::Body;
use crate::rooms::Rooms;
use crate::voided::void;

/// What is in force, and who has confirmed it.
#[derive(Debug, Serialize)]
pub(crate) struct Thrown {
    #[serde(flatten)]
    containment: View,
    /// It was in force before.
    already: bool,
    /// The entry of the log that says so, where it was not.
    entry: Option<DecisionId>,
    confirmations: Vec<Confirmed>,
    /// Microseconds until all of them were there.
    took_us: i64,
}

/// Somebody reaches for the switch: what it stops, and the leases of the other nodes, are counted from here.
pub(crate) struct Reach {
    stopped: Reached,
    others: Watch,
}

impl Reach {
    pub(crate) fn begin(rooms: &Rooms) -> Self {
        Self { stopped: rooms.gateway.reaches(), others: rooms.store.watch() }
    }
}

/// Throws the kill switch. Answered when nothing that it covers can do anything any more: what was on its way is cut.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Body(asked): Body<Asked>,
) -> Answer<Json<Thrown>> {
    let reach = Reach::begin(&rooms);
    let contained = contain(rooms.means(), asked.wanted(&rooms, &peer.actor())).await?;
    let thrown = acknowledged(&rooms, contained, reach).await?;
    note(&rooms, &thrown, &peer.actor()).await;
    Ok(Json(thrown))
}

/// Waits until everybody who enforces it has confirmed. One who does not is an error: the switch is thrown, and something
/// may go on.
pub(crate) async fn acknowledged(rooms: &Rooms, contained: Contained, reach: Reach) -> Answer<Thrown> {
    let Contained { containment, entry, change } = contained;
    let Reach { stopped, others } = reach;
    let since = || rooms.clock.monotonic() - stopped.at;
    // Whoever looks at tokens, sessions, chains and questions was told before the writer answered; of what another node
    // put in force, when it is heard of. A node tells its own, and cuts what is on its way there, before it confirms, and
    // acts for nobody once its lease is over.
    let open = |why: String| Problem::new(NOT_ACKNOWLEDGED, format!("{}: {why}", containment.id));
    rooms.store.heard(change).await.map_err(|e| open(e.to_string()))?;
    let mut confirmations = vec![Confirmed::at("record", since())];
    let (own, others) = tokio::join!(rooms.gateway.acknowledge(&containment, stopped), others.confirmed(change));
    let others = others.map_err(|e| open(e.to_string()))?;
    if let Some(silent) = others.iter().find(|node| node.how == How::Unconfirmed) {
        return Err(open(format!("node `{}` is there and has not confirmed", silent.node)).into());
    }
    confirmations.extend(own.into_iter().map(Confirmed::from));
    let stopped = void(rooms, &containment).await?;
    confirmations.push(Confirmed { stopped, ..Confirmed::at("approvals", since()) });
    confirmations.extend(others.into_iter().map(Confirmed::from));
    let took_us = since().0;
    if let Some(left) = confirmations.iter().find(|point| point.left > 0) {
        return Err(open(format!("{} of {} {} go on", left.left, left.stopped, left.point)).into());
    }
    let already = entry.is_none();
    Ok(Thrown { containment: View::from(&containment), already, entry, confirmations, took_us })
}

/// Writes down who confirmed, and when. That this cannot be written changes nothing about what is in force.
pub(crate) async fn note(rooms: &Rooms, thrown: &Thrown, by: &str) {
    if thrown.already {
        return;
    }
    let change = Change {
        noun: "containment".to_owned(),
        id: thrown.containment.id.clone(),
        verb: "acknowledge".to_owned(),
        after: Some(thrown.measured().to_string()),
    };
    let who = Who { human: Some(by.to_owned()), ..Who::default() };
    let draft = Draft { kind: Kind::Change, at: rooms.clock.now(), who, change: Some(change), ..Draft::default() };
    if let Err(error) = rooms.store.append(draft).await {
        tracing::warn!(%error, containment = thrown.containment.id, "an acknowledgement was not recorded");
    }
}

impl Thrown {
    /// What of it is evidence.
    pub(crate) fn measured(&self) -> serde_json::Value {
        serde_json::json!({
            "acknowledged": true, "confirmations": self.confirmations, "scope": self.containment.scope,
            "subject": self.containment.subject, "took_us": self.took_us,
        })
    }
}
