//! `POST /v1/drills`: the kill switch, exercised.
//!
//! It is the switch itself that is thrown, at an agent that somebody names, and waited for as in an emergency: so what is
//! measured is what an emergency would take. Then it is lifted. The record tells both apart by who did it: `drill:…`.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use chancery_model::problem::{BAD_CONTAINMENT, INTERNAL, Problem};
use chancery_model::{Change, ContainmentId, DecisionId, Draft, Kind, Scope, Who};
use chancery_oversee::containment::{Wanted, contain, lift};
use chancery_oversee::oversight::DRILL;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::containments::contain::{Reach, Thrown, acknowledged, note};
use crate::door::admin::Peer;
use crate::failure::{Answer, Failure};
use crate::input::Body;
use crate::rooms::Rooms;

/// The agent that is stopped for it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    agent: String,
}

/// What it came to.
#[derive(Debug, Serialize)]
pub(crate) struct Drilled {
    containment: ContainmentId,
    agent: String,
    /// The entry that says so.
    entry: DecisionId,
    /// Who confirmed, and after how long.
    #[serde(flatten)]
    thrown: Value,
}

/// Stops the agent, waits until that is confirmed, and lets it go.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Body(asked): Body<Asked>,
) -> Answer<Json<Drilled>> {
    let (reach, by) = (Reach::begin(&rooms), format!("{DRILL}{}", peer.actor()));
    let wanted = Wanted {
        scope: Scope::Agent,
        subject: &asked.agent,
        known: false,
        reason: "a drill: it is lifted at once",
        by: &by,
    };
    let contained = contain(rooms.means(), wanted).await?;
    let (id, agent) = (contained.containment.id.clone(), contained.containment.subject.clone());
    if contained.entry.is_none() {
        let why = format!("`{agent}` is contained by {id}: a drill would let it go");
        return Err(Problem::new(BAD_CONTAINMENT, why).into());
    }
    // A client that goes away must not leave the agent stopped.
    let exercise = async move {
        let thrown = acknowledged(&rooms, contained, reach).await;
        if let Ok(thrown) = &thrown {
            note(&rooms, thrown, &by).await;
        }
        lift(rooms.means(), id.as_str(), &by, "the drill is over").await?;
        let entry = ended(&rooms, thrown.as_ref().ok(), (&id, &agent), by).await?;
        Ok::<_, Failure>(Drilled { containment: id, agent, entry, thrown: thrown?.measured() })
    };
    let drilled = tokio::spawn(exercise).await;
    Ok(Json(drilled.map_err(|e| Problem::new(INTERNAL, e.to_string()))??))
}

/// What it came to. One that was not acknowledged has no time.
async fn ended(
    rooms: &Rooms,
    thrown: Option<&Thrown>,
    (id, agent): (&ContainmentId, &str),
    by: String,
) -> Answer<DecisionId> {
    let unconfirmed = || json!({ "acknowledged": false, "scope": Scope::Agent, "subject": agent });
    let mut after = thrown.map_or_else(unconfirmed, Thrown::measured);
    after["containment"] = id.as_str().into();
    let change =
        Change { noun: "drill".to_owned(), id: id.to_string(), verb: "end".to_owned(), after: Some(after.to_string()) };
    let who = Who { human: Some(by), ..Who::default() };
    let draft = Draft { kind: Kind::Change, at: rooms.clock.now(), who, change: Some(change), ..Draft::default() };
    Ok(DecisionId(rooms.store.append(draft).await?.position()))
}
