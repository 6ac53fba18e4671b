//! `/v1/stand-ins`: who decides in whose place. Whoever is signed in names and ends their own.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use chancery_model::problem::{MISSING_ROLE, NO_PERSON, Problem};
use chancery_model::{Person, Role, StandIn, Timestamp};
use chancery_oversee::stand_ins::{self, StandInError, Wanted};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::agents::Because;
use crate::door::admin::Peer;
use crate::failure::{Answer, Failure};
use crate::input::{Body, Items, Params, time};
use crate::rooms::Rooms;

/// One as the API shows it; times in RFC 3339.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    id: String,
    /// In whose place.
    person: String,
    /// Who stands in.
    deputy: String,
    in_force: bool,
    from: String,
    until: String,
    reason: String,
    by: String,
    at: String,
    ended_at: Option<String>,
}

/// Who is to stand in for whom.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// In whose place; whoever asks, if nothing is said.
    person: Option<String>,
    deputy: String,
    /// From when; now, if nothing is said.
    from: Option<String>,
    until: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listed {
    /// Those that are over too.
    #[serde(default)]
    all: bool,
}

impl View {
    fn of(stand_in: &StandIn, now: Timestamp) -> Self {
        Self {
            id: stand_in.id.to_string(),
            person: stand_in.name.clone(),
            deputy: stand_in.deputy_name.clone(),
            in_force: stand_in.is_in_force(now),
            from: stand_in.from.rfc3339(),
            until: stand_in.until.rfc3339(),
            reason: stand_in.reason.clone(),
            by: stand_in.by.clone(),
            at: stand_in.at.rfc3339(),
            ended_at: stand_in.ended_at.map(Timestamp::rfc3339),
        }
    }
}

impl From<StandInError> for Failure {
    fn from(error: StandInError) -> Self {
        Problem::new(error.row(), error.to_string()).into()
    }
}

/// `GET /v1/stand-ins`: those that are in force or will be. Who has no role sees their own.
pub(crate) async fn list(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Params(wanted): Params<Listed>,
) -> Answer<Json<Items<View>>> {
    let now = rooms.clock.now();
    let mut found = match wanted.all {
        true => chancery_store::stand_ins::all(&rooms.store).await?,
        false => chancery_store::stand_ins::standing(&rooms.store, now).await?,
    };
    if let Some(person) = peer.person()
        && !rooms.is_overseer(person)
    {
        found.retain(|stand_in| is_party(stand_in, person));
    }
    Ok(Json(found.iter().map(|stand_in| View::of(stand_in, now)).collect()))
}

/// `POST /v1/stand-ins`: names one. For somebody else an administrator does it.
pub(crate) async fn name(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Body(asked): Body<Asked>,
) -> Answer<(StatusCode, Json<View>)> {
    let now = rooms.clock.now();
    let known = |name: &str| {
        let missing = || Problem::new(NO_PERSON, format!("`{}`", name.chars().take(80).collect::<String>()));
        rooms.authenticator.person_named(name).ok_or_else(missing)
    };
    let person = match (&asked.person, peer.person()) {
        (Some(name), _) => known(name)?,
        (None, Some(person)) => known(&person.name)?,
        (None, None) => return Err(StandInError::Bad("say in whose place: `person`".into()).into()),
    };
    let deputy = known(&asked.deputy)?;
    admitted(&peer, |by| by.id == person.id)?;
    let from = asked.from.as_deref().map_or(Ok(now), time)?;
    let (until, by) = (time(&asked.until)?, peer.actor());
    let wanted = Wanted { person: &person, deputy: &deputy, from, until, reason: &asked.reason, by: &by };
    let named = stand_ins::name(rooms.means(), wanted).await?;
    Ok((StatusCode::CREATED, Json(View::of(&named, now))))
}

/// `POST /v1/stand-ins/{id}/end`: ends one before its time. Either of both can, and an administrator.
pub(crate) async fn end(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    Body(because): Body<Because>,
) -> Answer<Json<View>> {
    let stand_in = stand_ins::get(rooms.means(), &id).await?;
    admitted(&peer, |by| is_party(&stand_in, by))?;
    let ended = stand_ins::end(rooms.means(), stand_in, &peer.actor(), because.text()).await?;
    Ok(Json(View::of(&ended, rooms.clock.now())))
}

fn is_party(stand_in: &StandIn, person: &Person) -> bool {
    stand_in.person == person.id || stand_in.deputy == person.id
}

/// May they: on the host, as an administrator, or because it is theirs?
fn admitted(peer: &Peer, theirs: impl Fn(&Person) -> bool) -> Result<(), Problem> {
    match peer.person() {
        Some(person) if !person.has(Role::Admin) && !theirs(person) => {
            Err(Problem::new(MISSING_ROLE, format!("`{}` is neither of both, and no administrator", person.name)))
        }
        _ => Ok(()),
    }
}
