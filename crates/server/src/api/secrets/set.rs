//! `PUT /v1/secrets/{name}`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use chancery_model::Secret;
use chancery_model::problem::{BAD_FIELD, INTERNAL, Problem};
use chancery_store::secrets::{self, SealedSecret};
use serde::Deserialize;
use serde_json::json;

use super::{View, check_name};
use crate::change::Act;
use crate::credentials::place;
use crate::door::admin::Peer;
use crate::failure::{Answer, Failure};
use crate::input::Body;
use crate::rooms::Rooms;

/// The longest value, in bytes: it has to fit in a header.
const LONGEST: usize = 8 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    value: String,
}

/// Stores a secret sealed, in the place of an older one of the same name.
pub(crate) async fn handle(
    State(rooms): State<Arc<Rooms>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    Body(wanted): Body<Wanted>,
) -> Answer<Json<View>> {
    check_name(&name)?;
    let value = checked(Secret::new(wanted.value))?;
    let before = secrets::get(&rooms.store, &name).await?.map_or(0, |secret| secret.version);
    let sealed = sealed(&rooms, &name, before + 1, &value)?;
    let view = View::from(&sealed);
    let act = Act { by: peer, noun: "secret", id: &name, verb: "set", reason: None };
    let draft = act.draft(sealed.updated_at, &json!({"version": sealed.version}))?;
    rooms.store.write(draft, move |tx| Box::pin(async move { secrets::put(tx, &sealed).await })).await?;
    rooms.gateway.secrets_changed();
    Ok(Json(view))
}

fn checked(value: Secret) -> Result<Secret, Failure> {
    let text = value.expose();
    let fits = !text.is_empty() && text.len() <= LONGEST && text.bytes().all(|b| (0x20..0x7f).contains(&b));
    if fits {
        return Ok(value);
    }
    let why = format!("a secret is printable ASCII on one line, {LONGEST} bytes at the most: it travels in a header");
    Err(Problem::new(BAD_FIELD, why).into())
}

fn sealed(rooms: &Rooms, name: &str, version: i64, value: &Secret) -> Result<SealedSecret, Failure> {
    let sealed = rooms.vault.seal(place(name), value.expose().as_bytes());
    Ok(SealedSecret {
        name: name.to_owned(),
        version,
        sealed: sealed.map_err(|e| Problem::new(INTERNAL, e.to_string()))?,
        kek_version: rooms.vault.version().into(),
        updated_at: rooms.clock.now(),
    })
}
