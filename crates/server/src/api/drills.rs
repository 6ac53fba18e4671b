//! `POST /v1/drills`: the kill switch, exercised.
//!
//! It is the switch itself that is thrown, at an agent that somebody names, and waited for as in an emergency: so what is
//! measured is what an emergency would take. Then it is lifted. The record tells both apart by who did it: `drill:…`.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use chancery_model::problem::{BAD_CONTAINMENT, INTERNAL, Problem};
use chancery_model::{Change, Containment, ContainmentId, DecisionId, Draft, Kind, Scope, Span, Who};
use chancery_oversee::containment::{ContainError, Wanted, contain, lift_drill};
use chancery_store::containments;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::containments::contain::{Reach, Thrown, acknowledged, note};
use crate::door::admin::Peer;
use crate::failure::{Answer, Failure};
use crate::input::Body;
use crate::rooms::Rooms;

/// A drill takes no longer: its containment is confirmed, or not, within some seconds.
const LONGEST: Span = Span::minutes(1);

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
    let (reach, by) = (Reach::begin(&rooms), format!("{}{}", Containment::DRILL, peer.actor()));
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
        lift_drill(rooms.means(), id.as_str(), &by, "the drill is over").await?;
        let entry = ended(&rooms, after(thrown.as_ref().ok(), &agent), &id, by).await?;
        Ok::<_, Failure>(Drilled { containment: id, agent, entry, thrown: thrown?.measured() })
    };
    let drilled = tokio::spawn(exercise).await;
    Ok(Json(drilled.map_err(|e| Problem::new(INTERNAL, e.to_string()))??))
}

/// Lets go what a drill has stopped whose process went away in the middle: nobody else would.
pub(crate) async fn end_interrupted(rooms: &Rooms) -> Answer<()> {
    for left in containments::standing(&rooms.store).await? {
        if !left.is_drill() || rooms.clock.now() - left.at < LONGEST {
            continue;
        }
        let lifted = lift_drill(rooms.means(), left.id.as_str(), &left.by, "the drill was interrupted").await;
        if lifted.map_err(problem)?.already {
            continue;
        }
        let mut came_to = after(None, &left.subject);
        came_to["interrupted"] = true.into();
        ended(rooms, came_to, &left.id, left.by).await?;
    }
    Ok(())
}

fn problem(error: ContainError) -> Problem {
    Problem::new(error.row(), error.to_string())
}

/// What it came to. One that was not acknowledged has no time.
fn after(thrown: Option<&Thrown>, agent: &str) -> Value {
    let unconfirmed = || json!({ "acknowledged": false, "scope": Scope::Agent, "subject": agent });
    thrown.map_or_else(unconfirmed, Thrown::measured)
}

async fn ended(rooms: &Rooms, mut after: Value, id: &ContainmentId, by: String) -> Answer<DecisionId> {
    after["containment"] = id.as_str().into();
    let change =
        Change { noun: "drill".to_owned(), id: id.to_string(), verb: "end".to_owned(), after: Some(after.to_string()) };
    let who = Who { human: Some(by), ..Who::default() };
    let draft = Draft { kind: Kind::Change, at: rooms.clock.now(), who, change: Some(change), ..Draft::default() };
    Ok(DecisionId(rooms.store.append(draft).await?.position()))
}
